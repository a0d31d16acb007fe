/*
 * wait-in-handler.c - a handler may wait for time while it interrupts a wait for time: both end,
 * and those of others, too (XSH 2.4.3: sleep and nanosleep are async-signal-safe)
 */
#include "../verdict.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

enum { ROUNDS = 5 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t none;
static volatile sig_atomic_t handled;

static void sleeps(int sig)
{
    struct timespec time = {0, 3000000};

    (void)sig;
    while (nanosleep(&time, &time))
        ;
    handled++;
}

static void by_sleep(const struct timespec *until)
{
    while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, until, NULL))
        ;
}

static void by_condition(const struct timespec *until)
{
    pthread_mutex_lock(&mutex);
    while (!pthread_cond_timedwait(&cond, &mutex, until))
        ;
    pthread_mutex_unlock(&mutex);
}

static void by_semaphore(const struct timespec *until)
{
    while (!sem_timedwait(&none, until) || errno == EINTR)
        ;
    HOLDS(errno == ETIMEDOUT);
}

static void by_lock(const struct timespec *until)
{
    ANSWERS(pthread_rwlock_timedrdlock(&lock, until), ETIMEDOUT);
}

static void (*const waits[])(const struct timespec *) = {by_sleep, by_condition, by_semaphore,
                                                         by_lock};

static void *waiter(void *arg)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct timespec until = after_ms(CLOCK_REALTIME, 30);

        (*(void (*const *)(const struct timespec *))arg)(&until);
        HOLDS(is_past(CLOCK_REALTIME, &until));
    }
    return arg;
}

int main(void)
{
    struct sigaction action = {.sa_handler = sleeps};
    pthread_t threads[sizeof(waits) / sizeof(*waits)];

    WORKS(sigaction(SIGUSR1, &action, NULL));
    WORKS(sem_init(&none, 0, 0));
    ANSWERS(pthread_rwlock_wrlock(&lock), 0);
    for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++)
        NEEDS(pthread_create(&threads[i], NULL, waiter, (void *)&waits[i]));
    for (int round = 0; round < ROUNDS; round++) {
        usleep(10000);
        for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++)
            ANSWERS(pthread_kill(threads[i], SIGUSR1), 0);
    }
    for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++)
        ANSWERS(pthread_join(threads[i], NULL), 0);
    HOLDS(handled > 0);
    return PASS;
}
