/*
 * dlopen.c - preempt.dlopen: who is interrupted in the constructor of an object that it loads keeps
 * the others out of the loader.
 */
#include "../common/module.h"
#include "busy.h"

#include <dlfcn.h>

#define THREADS 4
#define TURNS 60
#define CONSTRUCTOR_NS 30000 /* long enough to be interrupted */
#define OUTSIDE_NS 20000     /* else a kernel's slice mostly ends inside */

static _Atomic int inside;
static _Atomic unsigned constructed;

static void construct(void)
{
    TL_EXPECT(busy.ctx, atomic_fetch_add(&inside, 1) == 0, "two threads are inside the loader");
    tl_spin_ns(CONSTRUCTOR_NS);
    atomic_fetch_add(&constructed, 1);
    atomic_fetch_sub(&inside, 1);
}

static void body(unsigned i)
{
    while (busy_turn(i)) {
        void *module;

        tl_spin_ns(OUTSIDE_NS);
        module = module_load_begin(MODULE_IMAGE, construct);
        if (!TL_EXPECT(busy.ctx, module, "thread %u: dlopen: %s", i, dlerror()))
            return;
        TL_EXPECT(busy.ctx, dlclose(module) == 0, "thread %u: dlclose: %s", i, dlerror());
    }
}

static enum tl_status run(struct tl_ctx *ctx)
{
    enum tl_status status = busy_run(ctx, THREADS, TURNS, body);

    if (status == TL_OK)
        TL_EXPECT(ctx, constructed >= TURNS, "%u constructors ran", constructed);
    return tl_verdict(ctx);
}

static const struct tl_check check = {
    .abi = TL_ABI,
    .name = "preempt.dlopen",
    .group = "Preemption",
    .promise = "a thread that is interrupted while it loads an object keeps the others out of the "
               "loader",
    .source = "POSIX.1-2017 XSH 2.9.1 (dlopen is thread-safe); Stein and Shah 1992, \"Implementing "
              "Lightweight Threads\", on libraries that are not interrupted",
    .method = "four threads on one PU load and unload objects (made in memory) whose constructor, "
              "a function of the program, takes 30 us and counts who is inside",
    .meaning = "the loader's lock is the kernel thread's, and recursive: a user-level thread that "
               "comes in the place of its holder gets it as well, and finds lists that are half "
               "changed",
    .params = BUSY_PREEMPT,
    .prefers = BUSY_QUANTUM,
    .flags = TL_CHECK_CONCURRENT,
    .deadline_s = 120,
    .run = run,
};
TL_CHECK(check);
