/*
 * before-main.c - constructors, which run before main, may call what waits and what threads have;
 * values of keys are the first thread's (C library: constructors run in the first thread)
 */
#include "../verdict.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_key_t key;
static pthread_t first;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t l = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int runs, ready, cleaned;
static volatile sig_atomic_t handled;

static void routine(void)
{
    runs++;
}

static void clean(void *arg)
{
    cleaned += *(int *)arg;
}

static void on_signal(int sig)
{
    handled = sig;
}

static void waits(void)
{
    struct timespec soon = {0, 1000000};
    struct timeval now = {0, 0};
    struct pollfd one = {.events = POLLIN};
    fd_set set;
    int ends[2], status;
    char byte = 'x';
    pid_t child;

    WORKS(pipe(ends));
    one.fd = ends[0];
    HOLDS(poll(&one, 1, 0) == 0);
    HOLDS(poll(&one, 1, 2) == 0);
    HOLDS(write(ends[1], &byte, 1) == 1);
    HOLDS(poll(&one, 1, -1) == 1);
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    HOLDS(select(ends[0] + 1, &set, NULL, NULL, &now) == 1);
    HOLDS(read(ends[0], &byte, 1) == 1 && byte == 'x');
    WORKS(close(ends[0]));
    WORKS(close(ends[1]));
    WORKS(usleep(1000));
    WORKS(nanosleep(&soon, NULL));
    HOLDS(sysconf(_SC_PAGESIZE) > 0);
    WORKS(child = fork());
    if (!child)
        _exit(3);
    HOLDS(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 3);
}

static void locks(void)
{
    struct timespec soon = after_ms(CLOCK_REALTIME, 2);
    sem_t s;

    ANSWERS(pthread_mutex_lock(&m), 0);
    ANSWERS(pthread_cond_timedwait(&c, &m, &soon), ETIMEDOUT);
    ANSWERS(pthread_cond_signal(&c), 0);
    ANSWERS(pthread_mutex_unlock(&m), 0);
    ANSWERS(pthread_rwlock_rdlock(&l), 0);
    ANSWERS(pthread_rwlock_unlock(&l), 0);
    WORKS(sem_init(&s, 0, 1));
    WORKS(sem_wait(&s));
    FAILS(sem_trywait(&s), EAGAIN);
    WORKS(sem_post(&s));
    WORKS(sem_destroy(&s));
}

static __attribute__((constructor)) void before_main(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct sched_param param;
    sigset_t set;
    int two = 2, policy;

    first = pthread_self();
    ANSWERS(pthread_key_create(&key, NULL), 0);
    HOLDS(!pthread_getspecific(key));
    ANSWERS(pthread_setspecific(key, &key), 0);
    HOLDS(pthread_getspecific(key) == &key);
    ANSWERS(pthread_once(&once, routine), 0);
    pthread_cleanup_push(clean, &two);
    pthread_testcancel();
    ANSWERS(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL), 0);
    ANSWERS(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL), 0);
    pthread_cleanup_pop(1);
    sched_yield();
    ANSWERS(pthread_getschedparam(first, &policy, &param), 0);
    locks();
    waits();
    WORKS(sigaction(SIGUSR1, &action, NULL));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ANSWERS(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    ANSWERS(pthread_kill(first, SIGUSR1), 0);
    HOLDS(!handled);
    ready = 1;
}

int main(void)
{
    sigset_t set;

    HOLDS(ready && runs == 1 && cleaned == 2);
    HOLDS(pthread_equal(first, pthread_self()));
    HOLDS(pthread_getspecific(key) == &key);
    ANSWERS(pthread_key_delete(key), 0);
    ANSWERS(pthread_once(&once, routine), 0);
    HOLDS(runs == 1);
    ANSWERS(pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
    HOLDS(sigismember(&set, SIGUSR1));
    sigemptyset(&set);
    ANSWERS(pthread_sigmask(SIG_SETMASK, &set, NULL), 0);
    HOLDS(handled == SIGUSR1);
    ANSWERS(pthread_mutex_lock(&m), 0);
    ANSWERS(pthread_mutex_unlock(&m), 0);
    return PASS;
}
