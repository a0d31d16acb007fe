/*
 * futex.c - a thread that waits by syscall(SYS_futex) lets the others run, and is woken (futex(2))
 */
#include "../verdict.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS 200

static _Atomic unsigned turn, woken;

static long futex(int operation, unsigned value, const struct timespec *time)
{
    return syscall(SYS_futex, &turn, operation, value, time, NULL, FUTEX_BITSET_MATCH_ANY);
}

/* Each waits for its turn. */
static void *play(void *arg)
{
    unsigned own = (unsigned)(long)arg, now;

    for (int i = 0; i < ROUNDS; i++) {
        while ((now = atomic_load(&turn)) % THREADS != own)
            futex(FUTEX_WAIT | FUTEX_PRIVATE_FLAG, now, NULL);
        atomic_fetch_add(&turn, 1);
        futex(FUTEX_WAKE | FUTEX_PRIVATE_FLAG, THREADS, NULL);
    }
    return NULL;
}

/* As if other processes had the word, too. */
static void *wait_shared(void *arg)
{
    while (atomic_load(&turn) == 0)
        futex(FUTEX_WAIT, 0, NULL);
    atomic_fetch_add(&woken, 1);
    return arg;
}

int main(void)
{
    struct timespec soon = {0, 2000000}, until;
    pthread_t t[THREADS];

    for (long i = 0; i < THREADS; i++)
        ANSWERS(pthread_create(&t[i], NULL, play, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    HOLDS(atomic_load(&turn) == THREADS * ROUNDS);

    FAILS(futex(FUTEX_WAIT_PRIVATE, 1, NULL), EAGAIN);
    FAILS(futex(FUTEX_WAIT_PRIVATE, THREADS * ROUNDS, &soon), ETIMEDOUT);
    clock_gettime(CLOCK_REALTIME, &until);
    FAILS(futex(FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, THREADS * ROUNDS, &until),
          ETIMEDOUT);
    HOLDS(futex(FUTEX_WAKE_PRIVATE, 1, NULL) == 0);

    atomic_store(&turn, 0);
    for (long i = 0; i < THREADS; i++)
        ANSWERS(pthread_create(&t[i], NULL, wait_shared, NULL), 0);
    usleep(5000);
    atomic_store(&turn, 1);
    futex(FUTEX_WAKE, THREADS, NULL);
    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    HOLDS(atomic_load(&woken) == THREADS);
    return PASS;
}
