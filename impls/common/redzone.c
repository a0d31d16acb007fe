/* redzone.c - see redzone.h. sigaltstack(2), sigaction(2). */
#include "redzone.h"

#include "inject.h"

#include "sys.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51 /* Linux 5.14 */
#endif
#define ROOM (16u * 1024) /* for the handlers: this one, and what it hands on to */

static const int signals[] = {SIGSEGV, SIGBUS};
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

/* Constant between begin and end. */
static struct {
    const char *impl;
    bool (*owner)(const void *address, struct redzone_owner *o);
    struct sigaction before[SIGNALS];
} zone;

/* glibc's snprintf takes no lock and allocates nothing for these conversions. */
static void report(const struct redzone_owner *o, const void *address)
{
    uintptr_t low = (uintptr_t)o->low + (TL_MUTANT("redzone-tells-next") ? o->size + o->guard : 0);
    char line[256];
    int n = snprintf(line, sizeof(line),
                     "threadlab: stack overflow in %s thread %" PRIu64
                     " \"%.15s\": stack %#jx-%#jx, %zu bytes of guard below, fault at %#jx\n",
                     zone.impl, o->id, o->name, (uintmax_t)low, (uintmax_t)(low + o->size),
                     o->guard, (uintmax_t)(uintptr_t)address);

    SYS_CALL(SYS_write, STDERR_FILENO, line, n, 0, 0, 0);
}

/* To whoever was there before. The default action comes when the instruction faults again, or, if
 * somebody sent the signal, when it is sent once more. */
static void hand_on(int sig, siginfo_t *info, void *context)
{
    const struct sigaction *before = &zone.before[sig == SIGSEGV ? 0 : 1];
    struct sigaction usual = {.sa_handler = SIG_DFL};
    bool sent = info->si_code <= 0;

    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(sig, info, context);
    } else if (before->sa_handler == SIG_IGN && sent) {
        return;
    } else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
        before->sa_handler(sig);
    } else {
        sigaction(sig, &usual, NULL);
        if (sent)
            SYS_CALL(SYS_rt_tgsigqueueinfo, SYS_CALL(SYS_getpid, 0, 0, 0, 0, 0, 0),
                     SYS_CALL(SYS_gettid, 0, 0, 0, 0, 0, 0), sig, info, 0, 0);
    }
}

static void handler(int sig, siginfo_t *info, void *context)
{
    struct redzone_owner o;
    int saved = errno;

    memset(&o, 0, sizeof(o));
    if (info->si_code > 0 && zone.owner(info->si_addr, &o))
        report(&o, info->si_addr);
    if (o.id && TL_MUTANT("redzone-exits"))
        _exit(1);
    hand_on(sig, info, context);
    errno = saved;
}

int redzone_begin(const char *impl, bool (*owner)(const void *address, struct redzone_owner *o))
{
    struct sigaction action;
    int saved = errno, err = 0;

    memset(&action, 0, sizeof(action));
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigfillset(&action.sa_mask);
    zone.impl = impl;
    zone.owner = owner;
    for (size_t i = 0; i < SIGNALS && !err; i++) {
        err = sigaction(signals[i], NULL, &zone.before[i]) ? errno : 0;
        if (!err && sigaction(signals[i], &action, NULL))
            err = errno;
    }
    errno = saved;
    return err;
}

void redzone_end(void)
{
    struct sigaction now;

    for (size_t i = 0; i < SIGNALS; i++)
        if (!sigaction(signals[i], NULL, &now) && now.sa_sigaction == handler)
            sigaction(signals[i], &zone.before[i], NULL);
}

size_t redzone_stack_size(void)
{
    size_t frame = getauxval(AT_MINSIGSTKSZ), page = (size_t)sysconf(_SC_PAGESIZE);

    return ((frame ? frame : MINSIGSTKSZ) + ROOM + page - 1) / page * page;
}

void redzone_use(void *memory, size_t size)
{
    stack_t mine = {.ss_sp = memory, .ss_size = size, .ss_flags = memory ? 0 : SS_DISABLE};

    SYS_CALL(SYS_sigaltstack, &mine, NULL, 0, 0, 0, 0);
}

bool redzone_used(void)
{
    stack_t now = {.ss_flags = SS_DISABLE};

    SYS_CALL(SYS_sigaltstack, NULL, &now, 0, 0, 0, 0);
    return !(now.ss_flags & SS_DISABLE);
}
