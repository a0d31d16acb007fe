/*
 * handler.c - preempt.handler: a thread is not replaced in a signal handler that has interrupted
 * the C library.
 */
#include "../signals/signals.h"
#include "busy.h"

#include <sys/time.h>

#define THREADS 3
#define TURNS 60
#define ALARM_US 700
#define HANDLER_NS 300000 /* it takes: some quanta */
#define CALLS 2000

static _Atomic unsigned alarms;
static _Atomic bool armed;

/* Once: a second one would interrupt who waits for the first. */
static void arm(void)
{
    const struct itimerval soon = {{0, 0}, {0, ALARM_US}};

    if (!atomic_exchange(&armed, true))
        setitimer(ITIMER_REAL, &soon, NULL);
}

/* Spins in code of the program. */
static void on_alarm(int sig, siginfo_t *info, void *context)
{
    uint64_t until = tl_now_ns() + HANDLER_NS;

    (void)sig;
    (void)info;
    (void)context;
    atomic_fetch_add(&alarms, 1);
    while (tl_now_ns() < until)
        for (volatile int k = 0; k < 1000; k++)
            ;
    atomic_store(&armed, false);
}

/* random(3) has a lock, and is none of the calls that the library knows. */
static void draw(unsigned i)
{
    long sum = 0;

    while (busy_turn(i)) {
        arm();
        for (int k = 0; k < CALLS; k++)
            sum += random();
    }
    TL_EXPECT(busy.ctx, sum > 0, "random: negative");
}

static enum tl_status run(struct tl_ctx *ctx)
{
    const struct itimerval off = {{0, 0}, {0, 0}};

    if (!signals_handle(ctx, SIGALRM, on_alarm, SA_RESTART))
        return TL_FAILED;
    busy_run(ctx, THREADS, TURNS, draw);
    setitimer(ITIMER_REAL, &off, NULL);
    TL_EXPECT(ctx, atomic_load(&alarms) > 0 || !tl_trait(ctx, TL_CONCURRENT),
              "the timer's signal was never handled");
    return tl_verdict(ctx);
}

static const struct tl_check check = {
    .abi = TL_ABI,
    .name = "preempt.handler",
    .group = "Preemption",
    .promise = "a thread is not replaced by another one in a signal handler that has interrupted a "
               "call of the C library",
    .source = "POSIX.1-2017 XSH 2.9.1 (random is thread-safe), 2.4.3; Shiina, Iwasaki, Taura, "
              "Balaji 2021, section 3.5 (functions that are not to be interrupted by a switch)",
    .method = "three threads on one PU draw random numbers of the C library, which takes a lock "
              "for each, while a timer's signal interrupts them, whose handler lasts for some "
              "quanta",
    .meaning = "the handler is code of the program, but below it is somebody who may hold a lock "
               "of the C library: the next thread would wait for it on the same kernel thread, "
               "for ever",
    .params = BUSY_PREEMPT,
    .prefers = BUSY_QUANTUM,
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(check);

MUTANT(in_handlers, "preempt-in-handlers", "threads are also replaced in handlers of signals",
       "preempt.handler", BUSY_OF, NULL);
