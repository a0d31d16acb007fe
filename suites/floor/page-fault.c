/*
 * floor.page-fault - the first touch of an anonymous page: what a fresh stack costs before
 * anything runs on it. Includes zeroing the page and, every 512 pages, a page table. Mapping and
 * unmapping lie outside of the window. Verified by the kernel's own count of minor faults.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "loop.h"

static uint64_t faults(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_minflt;
}

/* The address sanitizer's shadow of the pages would fault too. */
static __attribute__((no_sanitize("address"))) enum tl_status run(struct tl_ctx *ctx, uint64_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    volatile unsigned char *memory =
        mmap(NULL, n * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t before, seen;

    if (memory == MAP_FAILED)
        return tl_failed(ctx, "mmap: %s", strerror(errno));
    /* One fault a page: neither huge pages nor what lies between. EINVAL: a kernel without them. */
    if (madvise((void *)memory, n * page, MADV_NOHUGEPAGE) && errno != EINVAL) {
        munmap((void *)memory, n * page);
        return tl_failed(ctx, "madvise: %s", strerror(errno));
    }
    before = faults();
    tl_begin(ctx);
    for (uint64_t i = 0; i < n; i++)
        memory[i * page] = 1;
    tl_end(ctx, n);
    seen = faults() - before;
    munmap((void *)memory, n * page);

    /* tl_begin and tl_end may fault a few times themselves. */
    loop_done(ctx, n, seen >= n && seen <= n + 16 ? n : seen);
    return TL_OK;
}

static const struct tl_bench floor_page_fault = {
    .abi = TL_ABI,
    .name = "floor.page-fault",
    .version = 1,
    .title = "First touch of an anonymous page",
    .op = "one page of fresh memory written for the first time",
    .flags = TL_NO_IMPL,
    .max_n = 16384, /* 64 MiB of 4 KiB pages: a window of some ten milliseconds */
    .setup = loop_setup,
    .run = run,
    .verify = loop_verify,
    .teardown = loop_teardown,
};
TL_BENCH(floor_page_fault);
