/*
 * ceiling.c - PTHREAD_PRIO_PROTECT: who holds the mutex runs at its ceiling, if its own priority is
 * below, and as before from the unlock on; who is above it gets EINVAL; what pthread_getschedparam
 * answers does not change (XSH pthread_mutexattr_setprotocol, pthread_mutex_setprioceiling)
 */
#include "../verdict.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

enum { OWN = 4, BETWEEN = 5, CEILING = 6, ABOVE = 7, ROUNDS = 10 };

static pthread_mutex_t m;
static volatile int ran;

/* Of two CPUs the other would run whoever is between. */
static void on_one_cpu(char **argv)
{
    cpu_set_t set;

    WORKS(sched_getaffinity(0, sizeof(set), &set));
    if (CPU_COUNT(&set) == 1)
        return;
    for (int cpu = 0, found = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set) && found++)
            CPU_CLR(cpu, &set);
    WORKS(sched_setaffinity(0, sizeof(set), &set));
    execv("/proc/self/exe", argv);
    exit(UNRESOLVED);
}

static void have_priority(int priority)
{
    struct sched_param param = {.sched_priority = priority};
    int err = pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);

    if (err == EPERM) {
        puts("SCHED_FIFO is not permitted: RLIMIT_RTPRIO or CAP_SYS_NICE");
        exit(UNSUPPORTED);
    }
    NEEDS(err);
}

static int own_priority(void)
{
    struct sched_param param;
    int policy;

    ANSWERS(pthread_getschedparam(pthread_self(), &policy, &param), 0);
    HOLDS(policy == SCHED_FIFO);
    return param.sched_priority;
}

static void *run(void *arg)
{
    ran++;
    return arg;
}

static pthread_t create_between(void)
{
    struct sched_param param = {.sched_priority = BETWEEN};
    pthread_attr_t attr;
    pthread_t t;

    ANSWERS(pthread_attr_init(&attr), 0);
    ANSWERS(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED), 0);
    ANSWERS(pthread_attr_setschedpolicy(&attr, SCHED_FIFO), 0);
    ANSWERS(pthread_attr_setschedparam(&attr, &param), 0);
    ANSWERS(pthread_create(&t, &attr, run, NULL), 0);
    return t;
}

/* With the mutex held, whoever is between does not run before the unlock, and then at once. Either
 * may go wrong where a page fault stops one of the two: in all rounds it is the priority. */
static void runs_at_ceiling(int (*lock)(pthread_mutex_t *))
{
    int waited = 0, followed = 0;

    for (int round = 0; round < ROUNDS; round++) {
        pthread_t t;

        ran = 0;
        ANSWERS(lock(&m), 0);
        HOLDS(own_priority() == OWN);
        t = create_between();
        for (int i = 0; i < 50; i++)
            sched_yield();
        waited += ran == 0;
        ANSWERS(pthread_mutex_unlock(&m), 0);
        followed += ran == 1;
        HOLDS(own_priority() == OWN);
        ANSWERS(pthread_join(t, NULL), 0);
    }
    HOLDS(waited > 0);
    HOLDS(followed > 0);
}

static void *inherits(void *arg)
{
    HOLDS(own_priority() == OWN);
    return arg;
}

int main(int argc, char **argv)
{
    pthread_mutexattr_t attr;
    pthread_mutex_t plain;
    int ceiling, most = sched_get_priority_max(SCHED_FIFO);
    pthread_t t;

    (void)argc;
    on_one_cpu(argv);
    ANSWERS(pthread_mutexattr_init(&attr), 0);
    ANSWERS(pthread_mutex_init(&plain, &attr), 0);
    ANSWERS(pthread_mutex_getprioceiling(&plain, &ceiling), EINVAL);
    ANSWERS(pthread_mutex_setprioceiling(&plain, CEILING, &ceiling), EINVAL);
    ANSWERS(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_PROTECT), 0);
    ANSWERS(pthread_mutexattr_setprioceiling(&attr, CEILING), 0);
    NEEDS(pthread_mutex_init(&m, &attr));
    ANSWERS(pthread_mutex_getprioceiling(&m, &ceiling), 0);
    HOLDS(ceiling == CEILING);
    ANSWERS(pthread_mutex_setprioceiling(&m, most + 1, &ceiling), EINVAL);

    have_priority(OWN);
    runs_at_ceiling(pthread_mutex_lock);
    runs_at_ceiling(pthread_mutex_trylock);

    ANSWERS(pthread_mutex_lock(&m), 0);
    ANSWERS(pthread_create(&t, NULL, inherits, NULL), 0);
    ANSWERS(pthread_mutex_unlock(&m), 0);
    ANSWERS(pthread_join(t, NULL), 0);

    have_priority(ABOVE);
    ANSWERS(pthread_mutex_lock(&m), EINVAL);
    ANSWERS(pthread_mutex_trylock(&m), EINVAL);
    ceiling = 0;
    ANSWERS(pthread_mutex_setprioceiling(&m, ABOVE, &ceiling), 0);
    HOLDS(ceiling == CEILING);
    ANSWERS(pthread_mutex_lock(&m), 0);
    ANSWERS(pthread_mutex_unlock(&m), 0);
    ANSWERS(pthread_mutex_destroy(&m), 0);
    return PASS;
}
