/*
 * alarm.c - io.alarm-interrupts: a signal for the process ends the call that its only thread waits
 * in, as ever since alarm(2) was used to limit the time of a read.
 */
#include <sys/time.h>

#include "waits.h"

#include "../common/mutant.h"

#define AFTER 400 /* alarms: whoever is not interrupted by then never is */

static _Atomic int alarms;

static void on_alarm(int sig)
{
    (void)sig;
    if (atomic_fetch_add(&alarms, 1) == AFTER && write(ends[1], "x", 1) < 0)
        atomic_store(&alarms, 0);
}

static enum tl_status run(struct tl_ctx *c)
{
    struct sigaction act = {.sa_handler = on_alarm};
    struct itimerval timer = {{0, 5000}, {0, 5000}};
    char byte;
    size_t done = 0;
    int err;

    ctx = c;
    if (waits_refused(c, READ))
        return tl_refused(c, waits_refused(c, READ));
    if (!pipe_before() || (c->impl->signal && c->impl->signal->action
                               ? !TL_CALL(c, c->impl->signal->action(SIGALRM, &act, NULL))
                               : !system_call(!sigaction(SIGALRM, &act, NULL), "sigaction")))
        return tl_verdict(c);
    setitimer(ITIMER_REAL, &timer, NULL);
    err = io_read(c, ends[0], &byte, 1, &done);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    TL_EXPECT(c, err == EINTR, "read answered %d after %d alarms, not EINTR", err,
              atomic_load(&alarms));
    pipe_after();
    return tl_verdict(c);
}

static const struct tl_check alarm_interrupts = {
    .abi = TL_ABI,
    .name = "io.alarm-interrupts",
    .group = "Blocking calls",
    .promise = "a handler without SA_RESTART of a signal for the process ends the read that its "
               "only thread waits in",
    .source = "POSIX.1-2017 XSH 2.4.1 (a signal for the process is delivered to one of the threads "
              "that do not block it), read (EINTR)",
    .method = "the first thread, alone, reads an empty pipe while a timer sends SIGALRM every 5 "
              "ms; when 400 have come, the handler writes to the pipe",
    .meaning = "where the library waits in its own place for all threads, it has to hand the "
               "interruption on; with one thread there is no doubt to whom",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(alarm_interrupts);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_io_ops *sound;

static int read_again(int fd, void *buffer, size_t size, size_t *done)
{
    int err;

    do
        err = sound->read(fd, buffer, size, done);
    while (err == EINTR);
    return err;
}

static void apply(struct tl_impl *impl)
{
    sound = impl->io;
    TL_MUTATE(impl, io)->read = read_again;
}
MUTANT(alarm_lost, "io-read-outlives-alarm", "read goes on after the handler of an alarm",
       "io.alarm-interrupts", "green ucontext hybrid clone", apply);
