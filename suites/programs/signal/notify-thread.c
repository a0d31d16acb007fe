/*
 * notify-thread.c - SIGEV_THREAD: each expiration of a timer, and a message in an empty queue, run
 * a function in a thread of its own, which may do what a thread may (XSH 2.4.1, timer_create,
 * mq_notify)
 */
#include "../verdict.h"

#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_t first;
static int calls, wrong, detached;
static pthread_key_t key;

static void on_end(void *value)
{
    (void)value;
    pthread_mutex_lock(&lock);
    detached++;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void notified(union sigval value)
{
    pthread_attr_t attr;
    int state = -1;

    pthread_mutex_lock(&lock);
    calls++;
    wrong += value.sival_int != 42 || pthread_equal(pthread_self(), first);
    if (!pthread_getattr_np(pthread_self(), &attr)) {
        pthread_attr_getdetachstate(&attr, &state);
        pthread_attr_destroy(&attr);
        wrong += state != PTHREAD_CREATE_DETACHED;
    }
    pthread_setspecific(key, &calls);
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_for(const int *count, int wanted)
{
    struct timespec end = after_ms(CLOCK_REALTIME, 10000);

    pthread_mutex_lock(&lock);
    while (*count < wanted)
        ANSWERS(pthread_cond_timedwait(&changed, &lock, &end), 0);
    pthread_mutex_unlock(&lock);
    HOLDS(!wrong);
}

static void timers(struct sigevent *event)
{
    struct itimerspec often = {{0, 5000000}, {0, 5000000}}, none = {{0, 0}, {0, 0}}, left;
    timer_t timer;
    int had;

    WORKS(timer_create(CLOCK_MONOTONIC, event, &timer));
    WORKS(timer_gettime(timer, &left));
    HOLDS(!left.it_value.tv_sec && !left.it_value.tv_nsec);
    WORKS(timer_settime(timer, 0, &often, NULL));
    wait_for(&calls, 3);
    WORKS(timer_settime(timer, 0, &none, &left));
    HOLDS(left.it_interval.tv_nsec == 5000000);
    HOLDS(timer_getoverrun(timer) >= 0);
    usleep(50000); /* those that were begun */
    pthread_mutex_lock(&lock);
    had = calls;
    pthread_mutex_unlock(&lock);
    usleep(50000);
    HOLDS(calls == had);
    wait_for(&detached, had); /* they end as threads do */
    WORKS(timer_delete(timer));
    FAILS(timer_settime(timer, 0, &often, NULL), EINVAL);
}

static void queues(struct sigevent *event)
{
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 8};
    char name[64], message[8];
    mqd_t queue;
    int had = calls;

    snprintf(name, sizeof name, "/notify-%d", (int)getpid());
    queue = mq_open(name, O_CREAT | O_RDWR, 0600, &attr);
    if (queue < 0 && errno == ENOSYS)
        return;
    WORKS(queue);
    mq_unlink(name);
    WORKS(mq_notify(queue, event));
    FAILS(mq_notify(queue, event), EBUSY);
    WORKS(mq_send(queue, "x", 1, 0));
    wait_for(&calls, had + 1);
    WORKS(mq_send(queue, "y", 1, 0)); /* one notification for a registration */
    HOLDS(mq_receive(queue, message, sizeof message, NULL) == 1);
    HOLDS(mq_receive(queue, message, sizeof message, NULL) == 1);
    WORKS(mq_notify(queue, event));
    WORKS(mq_notify(queue, NULL));
    WORKS(mq_send(queue, "z", 1, 0));
    usleep(30000);
    HOLDS(calls == had + 1);
    mq_close(queue);
}

int main(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_int = 42};

    event.sigev_notify_function = notified;
    first = pthread_self();
    NEEDS(pthread_key_create(&key, on_end));
    timers(&event);
    queues(&event);
    return PASS;
}
