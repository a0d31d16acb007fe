/*
 * tls-module.c - tls.dlopen, tls.large: the thread-local variable of a shared object that is loaded
 * while threads run.
 */
#include "../common/crowd.h"
#include "../common/module.h"
#include "../common/wrap.h"

#define THREADS 4
#define TURNS 40
#define SMALL 4096
#define LARGE (1u << 20)

static struct tl_ctx *ctx;
static size_t size;
static void *module;
static unsigned char *where[THREADS];

static bool is_initial(const unsigned char *v, unsigned i)
{
    for (size_t b = 0; b < size; b++)
        if (!TL_EXPECT(ctx, v[b] == (b < MODULE_IMAGE ? b + 1 : 0),
                       "thread %u: byte %zu of the variable is %u, initially %zu", i, b, v[b],
                       b < MODULE_IMAGE ? b + 1 : 0))
            return false;
    return true;
}

static bool is_own(const unsigned char *v, unsigned i)
{
    for (size_t b = 0; b < size; b++)
        if (!TL_EXPECT(ctx, v[b] == 100 + i, "thread %u: byte %zu is %u, it wrote %u", i, b, v[b],
                       100 + i))
            return false;
    return true;
}

static void use(unsigned i)
{
    unsigned char *v = module_variable(module);

    if (!TL_EXPECT(ctx, v, "thread %u: the variable has no address: %s", i, dlerror()) ||
        !TL_EXPECT(ctx, (uintptr_t)v % 64 == 0, "a variable aligned to 64 is at %p", (void *)v) ||
        !is_initial(v, i))
        return;
    where[i] = v;
    memset(v, 100 + (int)i, size);
    if (!crowd_meet())
        return;
    for (unsigned other = 0; other < i; other++)
        TL_EXPECT(ctx, where[other] != v, "threads %u and %u have the variable at %p both", other,
                  i, (void *)v);
    for (int n = 0; n < TURNS && tl_verdict(ctx) == TL_OK; n++) {
        tl_delay(ctx, "with a variable of a shared object");
        crowd_step();
        TL_EXPECT(ctx, v[0] == 100 + i && v[size - 1] == 100 + i,
                  "thread %u: the variable's first and last byte are %u and %u, it wrote %u", i,
                  v[0], v[size - 1], 100 + i);
    }
    TL_EXPECT(ctx, module_variable(module) == v, "thread %u: the variable moved", i);
    is_own(v, i);
}

static void load_and_use(unsigned i)
{
    if (i == 0) {
        module = module_load(size);
        TL_EXPECT(ctx, module, "dlopen: %s", dlerror());
    }
    if (crowd_meet() && module)
        use(i);
}

static enum tl_status ask(struct tl_ctx *c, size_t bytes)
{
    ctx = c;
    size = bytes;
    crowd_run(ctx, THREADS, load_and_use); /* loaded while they run */
    for (int round = 0; round < 3 && tl_verdict(ctx) == TL_OK; round++)
        crowd_run(ctx, THREADS, use); /* loaded before they start */
    return tl_verdict(ctx);
}

static enum tl_status run_dlopen(struct tl_ctx *c)
{
    return ask(c, SMALL);
}

static enum tl_status run_large(struct tl_ctx *c)
{
    return ask(c, LARGE);
}

static const struct tl_check tls_dlopen = {
    .abi = TL_ABI,
    .name = "tls.dlopen",
    .group = "TLS and errno",
    .promise = "the thread-local variables of a shared object that is loaded while threads run are "
               "private and start at their initial values, in old and new threads",
    .source = "U. Drepper, ELF Handling For Thread-Local Storage (2005), section 3; dlopen(3)",
    .method = "one of four running threads loads a shared object (made in memory) with a variable "
              "of 4 KiB; each looks at the initial values, writes its own number and finds it "
              "after 40 yields; so do three generations of threads that are created later",
    .meaning = "TLS that is laid out once at the start has no room for it, or hands an ended "
               "thread's copy on; access by dlsym, so compiled access models are not asked",
    .params = "tls=full",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_dlopen,
};
TL_CHECK(tls_dlopen);

static const struct tl_check tls_large = {
    .abi = TL_ABI,
    .name = "tls.large",
    .group = "TLS and errno",
    .promise = "a thread-local variable of 1 MiB, more than a stack may have, works like a small "
               "one",
    .source = "C11 6.2.4 p4 (no limit on the size is named)",
    .method = "as tls.dlopen, with a variable of 1 MiB, all of which is compared",
    .meaning = "a fixed area for all thread-local variables would be overrun; that the program's "
               "own static TLS may be that large is not asked: it would cost every benchmark's "
               "threads as much",
    .params = "tls=full",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_large,
};
TL_CHECK(tls_large);

/* ---- mutant ---------------------------------------------------------------------------------- */

static void (*sound_yield)(void);
static _Atomic unsigned last;

static void yield_mixes(void)
{
    unsigned char *v = module ? module_variable(module) : NULL;

    if (v)
        atomic_store(&last, *v);
    sound_yield();
    if (v && wrap_once_in(8))
        *v = (unsigned char)atomic_load(&last);
}

static void apply(struct tl_impl *impl)
{
    sound_yield = impl->yield;
    impl->yield = yield_mixes;
}

static const struct tl_mutant tls_module_mixed_up = {
    .abi = TL_ABI,
    .name = "tls-module-mixed-up",
    .fault = "after one yield in eight a thread has another's copy of a shared object's variable",
    .kills = "tls.dlopen tls.large",
    .of = "nptl clone green hybrid",
    .apply = apply,
};
TL_MUTANT_OF(tls_module_mixed_up);
