/*
 * cpu-clock.c - where the option Thread CPU-Time Clocks is offered, so says sysconf, a thread's
 * clock is that of what the thread has run (XSH pthread_getcpuclockid, clock_getres)
 */
#include "../verdict.h"

#include <pthread.h>
#include <unistd.h>

#define WORK_NS 20000000

static long long ns_of(clockid_t clock)
{
    struct timespec t;

    WORKS(clock_gettime(clock, &t));
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Nobody else runs meanwhile: the first thread waits for this one to end. */
static void *work(void *arg)
{
    long long begin = ns_of(CLOCK_PROCESS_CPUTIME_ID);

    while (ns_of(CLOCK_PROCESS_CPUTIME_ID) - begin < WORK_NS)
        ;
    return arg;
}

static void *look(void *arg)
{
    clockid_t own;
    pthread_t worker;

    ANSWERS(pthread_getcpuclockid(pthread_self(), &own), 0);
    ANSWERS(pthread_create(&worker, NULL, work, NULL), 0);
    ANSWERS(pthread_join(worker, NULL), 0);
    HOLDS(ns_of(own) < WORK_NS);
    HOLDS(ns_of(CLOCK_THREAD_CPUTIME_ID) < WORK_NS);
    return arg;
}

int main(void)
{
    long offered = sysconf(_SC_THREAD_CPUTIME);
    clockid_t own;
    pthread_t t;

    HOLDS(offered == -1 || offered > 0);
    if (offered == -1) {
        int err = pthread_getcpuclockid(pthread_self(), &own);

        HOLDS(err == ENOTSUP || err == ENOSYS || err == ENOENT);
        return PASS;
    }
    ANSWERS(pthread_create(&t, NULL, look, NULL), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    return PASS;
}
