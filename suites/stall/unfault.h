/*
 * unfault.h - page faults that take as long as one wants: pages of userfaultfd(2), each of which
 * another process provides `hold_ns` after it was touched.
 *
 *     status = unfault_start(&u, ctx, pages, hold_ns)    TL_UNSUPPORTED: userfaultfd is forbidden
 *     unfault_touch(&u, page)                            again and again; any thread
 *     unfault_stop(&u)                                   idempotent, also if it never started
 */
#ifndef SUITES_UNFAULT_H
#define SUITES_UNFAULT_H

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../common/partner.h"

#define UNFAULT_PAGES 8

struct unfault {
    struct partner partner;
    int fd; /* valid while memory is not NULL */
    char *memory;
    size_t page;
    unsigned pages;
    uint64_t hold_ns;
};

static inline void unfault_provide(const struct unfault *u, uint64_t address)
{
    struct uffdio_zeropage zero = {
        .range = {.start = address & ~(uint64_t)(u->page - 1), .len = u->page}};

    ioctl(u->fd, UFFDIO_ZEROPAGE, &zero);
}

/* The partner. Faults that come while it holds one are provided no sooner than they should. */
static inline void unfault_serve(void *arg)
{
    const struct unfault *u = arg;
    struct timespec hold = {(time_t)(u->hold_ns / 1000000000), (long)(u->hold_ns % 1000000000)};
    struct timespec gather = {0, 1000000};
    struct pollfd ready = {.fd = u->fd, .events = POLLIN};
    uint64_t address[UNFAULT_PAGES];

    while (poll(&ready, 1, -1) > 0) {
        struct uffd_msg message;
        unsigned n = 0;

        nanosleep(&gather, NULL);
        while (n < u->pages && read(u->fd, &message, sizeof(message)) == sizeof(message))
            if (message.event == UFFD_EVENT_PAGEFAULT)
                address[n++] = message.arg.pagefault.address;
        nanosleep(&hold, NULL);
        while (n)
            unfault_provide(u, address[--n]);
    }
}

static inline enum tl_status unfault_start(struct unfault *u, struct tl_ctx *ctx, unsigned pages,
                                           uint64_t hold_ns)
{
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
    char *memory;

    u->page = (size_t)sysconf(_SC_PAGESIZE);
    u->pages = pages;
    u->hold_ns = hold_ns;
    u->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (u->fd < 0)
        return tl_unsupported(ctx, "userfaultfd: %s", strerror(errno));
    memory =
        mmap(NULL, pages * u->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return tl_failed(ctx, "mmap: %s", strerror(errno));
    range.range.start = (uintptr_t)memory;
    range.range.len = pages * u->page;
    if (ioctl(u->fd, UFFDIO_API, &api) || ioctl(u->fd, UFFDIO_REGISTER, &range))
        return tl_unsupported(ctx, "userfaultfd: %s", strerror(errno));
    u->memory = memory;
    return partner_start(&u->partner, ctx, 1, unfault_serve, u, NULL);
}

static inline void unfault_touch(struct unfault *u, unsigned page)
{
    char *at = u->memory + page * u->page;

    *(volatile char *)at; /* waits */
    madvise(at, u->page, MADV_DONTNEED);
}

static inline void unfault_stop(struct unfault *u)
{
    if (!u->memory)
        return;
    partner_stop(&u->partner);
    munmap(u->memory, u->pages * u->page);
    close(u->fd);
    u->memory = NULL;
}

#endif
