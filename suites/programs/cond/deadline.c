/* deadline.c - who is not woken by its deadline hears ETIMEDOUT, though another has been; who has
 * been woken before it hears 0, though the mutex is free only after it; and who hears ETIMEDOUT has
 * not taken the signal of another (XSH pthread_cond_timedwait) */
#include "../verdict.h"

#include <pthread.h>
#include <unistd.h>

#define WAITERS 3
#define ROUNDS 300

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER, here = PTHREAD_COND_INITIALIZER;
static struct timespec until;
static int waiting, woken, late, go;

static void *wait(void *arg)
{
    int err;

    pthread_mutex_lock(&m);
    waiting++;
    pthread_cond_signal(&here);
    err = pthread_cond_timedwait(&c, &m, &until);
    if (err == 0) {
        woken++;
        late += is_past(CLOCK_REALTIME, &until);
    } else {
        ANSWERS(err, ETIMEDOUT);
        HOLDS(is_past(CLOCK_REALTIME, &until));
    }
    pthread_mutex_unlock(&m);
    return arg;
}

/* Afterwards the caller holds the mutex, and all wait. */
static void start(pthread_t *t, int n, void *(*f)(void *))
{
    for (int i = 0; i < n; i++)
        ANSWERS(pthread_create(&t[i], NULL, f, NULL), 0);
    pthread_mutex_lock(&m);
    while (waiting < n)
        pthread_cond_wait(&here, &m);
}

/* One is woken; those that are not answered before the deadline (wake-ups without a cause are
 * allowed) answer at it that it is over. */
static void one_of_several(void)
{
    pthread_t t[WAITERS];

    waiting = woken = late = 0;
    until = after_ms(CLOCK_REALTIME, 400);
    start(t, WAITERS, wait);
    ANSWERS(pthread_cond_signal(&c), 0);
    if (is_past(CLOCK_REALTIME, &until)) {
        printf("the machine was too slow\n");
        exit(UNRESOLVED);
    }
    pthread_mutex_unlock(&m);
    for (int i = 0; i < WAITERS; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    HOLDS(woken >= 1);
    if (late && woken > 1)
        FAILED("one signal: %d answered 0, %d of them after the deadline", woken, late);
}

static void all_of_them(void)
{
    pthread_t t[WAITERS];

    waiting = woken = late = 0;
    until = after_ms(CLOCK_REALTIME, 400);
    start(t, WAITERS, wait);
    ANSWERS(pthread_cond_broadcast(&c), 0);
    if (is_past(CLOCK_REALTIME, &until)) {
        printf("the machine was too slow\n");
        exit(UNRESOLVED);
    }
    while (!is_past(CLOCK_REALTIME, &until))
        usleep(10000);
    pthread_mutex_unlock(&m);
    for (int i = 0; i < WAITERS; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    if (woken != WAITERS)
        FAILED("%d of %d answered 0 after a broadcast before the deadline", woken, WAITERS);
}

/* Waits for long. */
static void *wait_long(void *arg)
{
    struct timespec end = after_ms(CLOCK_REALTIME, 20000);

    pthread_mutex_lock(&m);
    waiting++;
    pthread_cond_signal(&here);
    while (!go)
        if (pthread_cond_timedwait(&c, &m, &end))
            FAILED("the signal went to one that answered ETIMEDOUT");
    pthread_mutex_unlock(&m);
    return arg;
}

/* Its deadline is about now. Hands on what it is woken by. */
static void *wait_short(void *arg)
{
    pthread_mutex_lock(&m);
    waiting++;
    pthread_cond_signal(&here);
    if (pthread_cond_timedwait(&c, &m, &until) == 0)
        pthread_cond_signal(&c);
    pthread_mutex_unlock(&m);
    return arg;
}

static void at_the_deadline(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t t[2];

        waiting = go = 0;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 50000 + round * 1000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        ANSWERS(pthread_create(&t[0], NULL, wait_short, NULL), 0);
        ANSWERS(pthread_create(&t[1], NULL, wait_long, NULL), 0);
        pthread_mutex_lock(&m);
        while (waiting < 2)
            pthread_cond_wait(&here, &m);
        go = 1;
        pthread_mutex_unlock(&m);
        while (!is_past(CLOCK_REALTIME, &until))
            ;
        ANSWERS(pthread_cond_signal(&c), 0);
        ANSWERS(pthread_join(t[0], NULL), 0);
        ANSWERS(pthread_join(t[1], NULL), 0);
    }
}

int main(void)
{
    one_of_several();
    all_of_them();
    at_the_deadline();
    return PASS;
}
