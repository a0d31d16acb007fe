/*
 * partner.h - a second process for benchmarks that measure the machine: forked, pinned, and sure
 * to be gone afterwards.
 *
 *     setup:     shared = partner_shared(size);
 *                partner_start(&p, ctx, 1, serve, shared, on_end)
 *     teardown:  partner_stop(&p)                idempotent, at any time
 *
 * The child runs serve(arg) on the PU of the given slot and then ends. It is killed when its
 * parent dies. When the child ends first, on_end() is called in the parent from a SIGCHLD handler,
 * and a blocked call of the parent returns with EINTR: on_end changes the word that the parent
 * waits on, so that it cannot wait for a dead partner.
 */
#ifndef SUITES_PARTNER_H
#define SUITES_PARTNER_H

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

struct partner {
    pid_t pid; /* 0: none */
    struct sigaction old;
};

/* One a process: the handler has no other way to find it. */
static void (*partner_on_end)(void);

static inline void partner_sigchld(int sig)
{
    (void)sig;
    if (partner_on_end)
        partner_on_end();
}

/* Memory that a forked child shares, zeroed and touched by the caller; NULL: no memory. */
static inline void *partner_shared(size_t size)
{
    void *shared =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    return shared == MAP_FAILED ? NULL : shared;
}

static inline int partner_pin(const struct tl_ctx *ctx, unsigned slot)
{
    int cpu = ctx->cpus[slot % ctx->nslots];
    size_t size = CPU_ALLOC_SIZE(cpu + 1);
    cpu_set_t *set = CPU_ALLOC(cpu + 1);
    int error = 0;

    if (!set)
        return ENOMEM;
    CPU_ZERO_S(size, set);
    CPU_SET_S(cpu, size, set);
    if (sched_setaffinity(0, size, set))
        error = errno;
    CPU_FREE(set);
    return error;
}

/* Pins the caller to slot 0 and starts serve(arg) in a child on the PU of `slot`. on_end: called
 * from a signal handler of the parent when the child has ended. */
static inline enum tl_status partner_start(struct partner *p, struct tl_ctx *ctx, unsigned slot,
                                           void (*serve)(void *), void *arg, void (*on_end)(void))
{
    struct sigaction act = {.sa_handler = partner_sigchld, .sa_flags = SA_NOCLDSTOP};
    pid_t parent = getpid();
    int error = partner_pin(ctx, 0);

    if (error)
        return tl_failed(ctx, "cannot run on CPU %d: %s", ctx->cpus[0], strerror(error));
    partner_on_end = on_end;
    if (sigaction(SIGCHLD, &act, &p->old))
        return tl_failed(ctx, "sigaction: %s", strerror(errno));
    p->pid = fork();
    if (p->pid == 0) {
        /* The parent may have died before prctl: then nobody would kill us. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent || partner_pin(ctx, slot))
            _exit(1);
        serve(arg);
        _exit(0);
    }
    if (p->pid < 0) {
        error = errno;
        p->pid = 0;
        sigaction(SIGCHLD, &p->old, NULL);
        return tl_failed(ctx, "fork: %s", strerror(error));
    }
    return TL_OK;
}

/* Kills the partner, wherever it stands, and reaps it. */
static inline void partner_stop(struct partner *p)
{
    if (p->pid <= 0)
        return;
    partner_on_end = NULL;
    kill(p->pid, SIGKILL);
    while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    sigaction(SIGCHLD, &p->old, NULL);
    p->pid = 0;
}

#endif
