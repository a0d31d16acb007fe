/*
 * mask-no-syscall.c - mask.no-syscall: where the library keeps the masks of its threads itself, a
 * change of one does not enter the kernel.
 */
#include "signals.h"

#include "../common/model.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>

#define CHANGES 1000

enum { NOWHERE, STRICT, DONE, WRONG, NO_SECCOMP };

static struct tl_ctx *ctx;
static _Atomic int *where; /* shared with the child: how far it came */

/* In strict mode any system call but read, write, exit and sigreturn ends the thread by SIGKILL. */
static void *change(void *arg)
{
    const struct tl_signal_ops *ops = ctx->impl->signal;
    sigset_t usr1 = signals_of(SIGUSR1), now = signals_of(0);
    int result = DONE;

    ops->mask(SIG_BLOCK, &usr1, &now); /* what is made at first use */
    ops->mask(SIG_UNBLOCK, &usr1, NULL);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) {
        atomic_store(where, NO_SECCOMP);
        return arg;
    }
    atomic_store(where, STRICT);
    for (int i = 0; i < CHANGES; i++) {
        int how = i % 2 ? SIG_UNBLOCK : SIG_BLOCK;

        if (ops->mask(how, &usr1, NULL) || ops->mask(SIG_BLOCK, NULL, &now) ||
            sigismember(&now, SIGUSR1) != (how == SIG_BLOCK))
            result = WRONG;
    }
    atomic_store(where, result);
    syscall(SYS_exit, 0);
    return NULL;
}

static enum tl_status outside(struct tl_ctx *c)
{
    const char *what = "signal.mask-user";
    struct tl_child end;

    ctx = c;
    if (!model_user_level(ctx))
        return tl_unsupported(ctx, "the threads' masks are those of their kernel threads: each "
                                   "change is a system call");
    if (ctx->impl->why_not && ctx->impl->why_not(what))
        return tl_refused(ctx, what);
    where = signals_share(ctx);
    if (!where)
        return TL_FAILED;
    if (!signals_child(ctx, change, 0, &end))
        return TL_FAILED;
    if (atomic_load(where) == NO_SECCOMP)
        return tl_unsupported(ctx, "this kernel has no seccomp: system calls cannot be caught");
    TL_EXPECT(ctx, atomic_load(where) != WRONG, "the mask is not what it was set to");
    TL_EXPECT(ctx, atomic_load(where) == WRONG || atomic_load(where) == DONE,
              "a change of the mask made a system call (%s)",
              atomic_load(where) == STRICT ? "seccomp ended the process" : "or did not begin");
    return tl_verdict(ctx);
}

static const struct tl_check mask_no_syscall = {
    .abi = TL_ABI,
    .name = "mask.no-syscall",
    .group = "Signals",
    .promise = "a change of a thread's mask does not enter the kernel, where the library keeps the "
               "masks of its threads itself",
    .source = "Stein, Shah 1992, \"Implementing Lightweight Threads\", on signals",
    .method = "in a child process under seccomp's strict mode a thread changes its mask 1000 times "
              "and looks at it; any system call would end the process",
    .meaning =
        "no race: one system call is enough to fail. Models in which each thread is a kernel "
        "thread do not promise it",
    .needs = "signal.mask",
    .params = "lwps=1", /* exit(2) of the only kernel thread ends the process */
    .outside = outside,
};
TL_CHECK(mask_no_syscall);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_signal_ops *sound;

static int mask_by_kernel(int how, const sigset_t *set, sigset_t *old)
{
    if (set)
        sigprocmask(how, set, NULL);
    return sound->mask(how, set, old);
}

static void apply(struct tl_impl *impl)
{
    sound = impl->signal;
    TL_MUTATE(impl, signal)->mask = mask_by_kernel;
}

static const struct tl_mutant mask_enters_kernel = {
    .abi = TL_ABI,
    .name = "mask-enters-kernel",
    .fault = "each change of a mask that the library keeps is told to the kernel, too",
    .kills = "mask.no-syscall",
    .of = "green",
    .apply = apply,
};
TL_MUTANT_OF(mask_enters_kernel);
