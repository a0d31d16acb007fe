/*
 * sched-outside.c - a policy that a kernel thread got by sched_setscheduler(2) is told, and not
 * taken for the one it had (XSH pthread_setschedparam, pthread_create)
 */
#include "../verdict.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of the kernel thread that the caller runs on. */
static int policy_here(void)
{
    return (int)syscall(SYS_sched_getscheduler, 0);
}

static void set_here(int policy)
{
    struct sched_param param = {0};

    WORKS(syscall(SYS_sched_setscheduler, 0, policy, &param));
}

static void *tells(void *policy)
{
    *(int *)policy = policy_here();
    return NULL;
}

static void *outside(void *arg)
{
    struct sched_param param;
    pthread_attr_t attr;
    pthread_t t;
    int policy;

    set_here(SCHED_BATCH);
    ANSWERS(pthread_getschedparam(pthread_self(), &policy, &param), 0);
    if (policy == SCHED_OTHER) /* the thread is not the kernel's: that has changed another one */
        return arg;
    HOLDS(policy == SCHED_BATCH);
    param.sched_priority = 0;
    ANSWERS(pthread_setschedparam(pthread_self(), SCHED_OTHER, &param), 0);
    HOLDS(policy_here() == SCHED_OTHER);

    set_here(SCHED_BATCH);
    ANSWERS(pthread_attr_init(&attr), 0);
    ANSWERS(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED), 0);
    ANSWERS(pthread_attr_setschedpolicy(&attr, SCHED_OTHER), 0);
    ANSWERS(pthread_attr_setschedparam(&attr, &param), 0);
    ANSWERS(pthread_create(&t, &attr, tells, &policy), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    HOLDS(policy == SCHED_OTHER);
    return arg;
}

int main(void)
{
    pthread_t t;

    ANSWERS(pthread_create(&t, NULL, outside, NULL), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    return PASS;
}
