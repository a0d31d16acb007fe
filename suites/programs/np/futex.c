/*
 * futex.c - a thread that waits by syscall(SYS_futex) lets the others run, and is woken, by another
 * process, too, where the word is shared (futex(2))
 */
#include "../verdict.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS 200

static _Atomic unsigned turn, waiting, woken;
static _Atomic unsigned *shared; /* what each process waits for; the child has them, too */

static long futex_of(_Atomic unsigned *word, int operation, unsigned value,
                     const struct timespec *time)
{
    return syscall(SYS_futex, word, operation, value, time, NULL, FUTEX_BITSET_MATCH_ANY);
}

static long futex(int operation, unsigned value, const struct timespec *time)
{
    return futex_of(&turn, operation, value, time);
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

static void *wait_shared(void *arg)
{
    atomic_fetch_add(&waiting, 1);
    while (atomic_load(&shared[0]) == 0)
        futex_of(&shared[0], FUTEX_WAIT, 0, NULL);
    atomic_fetch_add(&woken, 1);
    return arg;
}

static void child(void)
{
    while (atomic_load(&shared[1]) == 0)
        futex_of(&shared[1], FUTEX_WAIT, 0, NULL);
    atomic_store(&shared[0], 1);
    futex_of(&shared[0], FUTEX_WAKE, THREADS, NULL);
    _exit(0);
}

static void between_processes(void)
{
    pthread_t t[THREADS];
    pid_t pid;
    int status;

    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    HOLDS(shared != MAP_FAILED);
    WORKS(pid = fork());
    if (!pid)
        child();
    for (long i = 0; i < THREADS; i++)
        ANSWERS(pthread_create(&t[i], NULL, wait_shared, NULL), 0);
    while (atomic_load(&waiting) < THREADS) /* they let us run */
        usleep(1000);
    atomic_store(&shared[1], 1);
    futex_of(&shared[1], FUTEX_WAKE, 1, NULL);
    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    HOLDS(atomic_load(&woken) == THREADS);
    WORKS(waitpid(pid, &status, 0));
    HOLDS(status == 0);
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

    between_processes();
    return PASS;
}
