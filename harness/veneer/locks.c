/*
 * locks.c - locks of files, semaphores and message queues of System V, aio_suspend, lio_listio:
 * what is waited for without a descriptor. Each is tried without waiting, with a pause in between.
 */
#include "veneer.h"

#include <aio.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <unistd.h>

#define SEM_OPS 500 /* Linux takes that many at once; more fail, in the plain call */

/* ---- locks of files -------------------------------------------------------------------------- */

/* In slices of trying: take() answers 0, or -1 and errno. */
static int lock_file(int (*take)(const long *a), const long *a)
{
    struct veneer_thread *self = veneer_self();
    uint32_t interrupted = veneer_interrupted(self);
    int result;

    for (;;) {
        result = take(a);
        if (!result || (errno != EAGAIN && errno != EACCES))
            return result;
        veneer_pause(VENEER_POLL_NS);
        if (veneer_interrupted(self) != interrupted)
            return veneer_answer(EINTR);
    }
}

static int take_fcntl(const long *a)
{
    return fcntl((int)a[0], F_SETLK, (void *)a[1]);
}

static int take_lockf(const long *a)
{
    return lockf((int)a[0], F_TLOCK, a[2]);
}

static long fcntl_now(const long *a)
{
    return veneer.running ? lock_file(take_fcntl, a) : fcntl((int)a[0], F_SETLKW, (void *)a[1]);
}

static long lockf_now(const long *a)
{
    return veneer.running && a[1] == F_LOCK ? lock_file(take_lockf, a)
                                            : lockf((int)a[0], (int)a[1], a[2]);
}

int WRAP(lockf)(int fd, int what, off_t size);
int WRAP(lockf)(int fd, int what, off_t size)
{
    return (int)POINT(lockf_now, fd, what, size);
}

int WRAP(lockf64)(int fd, int what, off64_t size);
int WRAP(lockf64)(int fd, int what, off64_t size)
{
    return __wrap_lockf(fd, what, size);
}

static int take_flock(const long *a)
{
    return flock((int)a[0], (int)a[1] | LOCK_NB);
}

/* Not POSIX's, and no cancellation point. */
int WRAP(flock)(int fd, int what);
int WRAP(flock)(int fd, int what)
{
    if (!veneer.running || what & LOCK_NB || (what & ~LOCK_NB) == LOCK_UN)
        return flock(fd, what);
    return lock_file(take_flock, (const long[]){fd, what});
}

#define FCNTL(name)                                                 \
    int WRAP(name)(int fd, int what, ...);                          \
    int WRAP(name)(int fd, int what, ...)                           \
    {                                                               \
        va_list list;                                               \
        void *arg;                                                  \
        va_start(list, what);                                       \
        arg = va_arg(list, void *); /* an int comes the same way */ \
        va_end(list);                                               \
        if (what == F_SETLKW)                                       \
            return (int)POINT(fcntl_now, fd, (long)arg);            \
        return fcntl(fd, what, arg);                                \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* ---- System V -------------------------------------------------------------------------------- */

/* take() is made without waiting, until it answers anything but -1 and `again`, or a handler ran:
 * these are never made again after one. end 0: for ever. errno is set with -1 only. */
static long in_slices(long (*take)(const long *a), const long *a, int again, uint64_t end)
{
    struct veneer_thread *self = veneer_self();
    uint32_t handled = veneer_handled(self);
    int saved = errno;
    long n;

    while ((n = take(a)) < 0 && errno == again) {
        if (end && veneer_now(CLOCK_MONOTONIC) >= end)
            return -1;
        veneer_pause(VENEER_POLL_NS);
        if (veneer_handled(self) != handled)
            return veneer_answer(EINTR);
    }
    if (n >= 0)
        errno = saved;
    return n;
}

static long take_msgrcv(const long *a)
{
    return msgrcv((int)a[0], (void *)a[1], (size_t)a[2], a[3], (int)a[4] | IPC_NOWAIT);
}

static long msgrcv_now(const long *a)
{
    int flags = (int)a[4];

    if (!veneer.running || flags & IPC_NOWAIT)
        return msgrcv((int)a[0], (void *)a[1], (size_t)a[2], a[3], flags);
    return in_slices(take_msgrcv, a, ENOMSG, 0);
}

ssize_t WRAP(msgrcv)(int queue, void *message, size_t size, long type, int flags);
ssize_t WRAP(msgrcv)(int queue, void *message, size_t size, long type, int flags)
{
    return POINT(msgrcv_now, queue, (long)message, (long)size, type, flags);
}

static long take_msgsnd(const long *a)
{
    return msgsnd((int)a[0], (const void *)a[1], (size_t)a[2], (int)a[3] | IPC_NOWAIT);
}

static long msgsnd_now(const long *a)
{
    int flags = (int)a[3];

    if (!veneer.running || flags & IPC_NOWAIT)
        return msgsnd((int)a[0], (const void *)a[1], (size_t)a[2], flags);
    return in_slices(take_msgsnd, a, EAGAIN, 0);
}

int WRAP(msgsnd)(int queue, const void *message, size_t size, int flags);
int WRAP(msgsnd)(int queue, const void *message, size_t size, int flags)
{
    return (int)POINT(msgsnd_now, queue, (long)message, (long)size, flags);
}

static long take_semop(const long *a)
{
    return semop((int)a[0], (struct sembuf *)a[1], (size_t)a[2]);
}

/* One operation with IPC_NOWAIT that cannot be done ends all of them with EAGAIN, as ever. */
int WRAP(semtimedop)(int set, struct sembuf *ops, size_t n, const struct timespec *timeout);
int WRAP(semtimedop)(int set, struct sembuf *ops, size_t n, const struct timespec *timeout)
{
    struct sembuf tries[SEM_OPS];
    uint64_t now = veneer_now(CLOCK_MONOTONIC);
    bool waits = veneer.running && !veneer.blocks_alone && n && n <= SEM_OPS;

    for (size_t i = 0; waits && i < n; i++) {
        waits = !(ops[i].sem_flg & IPC_NOWAIT);
        tries[i] = ops[i];
        tries[i].sem_flg |= IPC_NOWAIT;
    }
    if (!waits || (timeout && (!veneer_time_ok(timeout) || timeout->tv_sec < 0)))
        return semtimedop(set, ops, n, timeout);
    return (int)in_slices(take_semop, (const long[]){set, (long)tries, (long)n}, EAGAIN,
                          timeout ? now + veneer_ns(timeout) : 0);
}

int WRAP(semop)(int set, struct sembuf *ops, size_t n);
int WRAP(semop)(int set, struct sembuf *ops, size_t n)
{
    return __wrap_semtimedop(set, ops, n, NULL);
}

/* ---- asynchronous input and output ----------------------------------------------------------- */

static long take_aio(const long *a)
{
    return aio_suspend((const struct aiocb *const *)a[0], (int)a[1], &(struct timespec){0});
}

static long aio_suspend_now(const long *a)
{
    const struct timespec *timeout = (void *)a[2];

    if (!veneer.running || (timeout && !veneer_time_ok(timeout)))
        return aio_suspend((const struct aiocb *const *)a[0], (int)a[1], timeout);
    return in_slices(take_aio, a, EAGAIN,
                     timeout ? veneer_now(CLOCK_MONOTONIC) + veneer_ns(timeout) : 0);
}

#define AIO_SUSPEND(name)                                                                    \
    int WRAP(name)(const struct aiocb *const list[], int n, const struct timespec *timeout); \
    int WRAP(name)(const struct aiocb *const list[], int n, const struct timespec *timeout)  \
    {                                                                                        \
        return (int)POINT(aio_suspend_now, (long)list, n, (long)timeout);                    \
    }
AIO_SUSPEND(aio_suspend)
AIO_SUSPEND(aio_suspend64)

static bool lio_goes_on(struct aiocb *const list[], int n, bool *failed)
{
    for (int i = 0; i < n; i++)
        if (list[i] && list[i]->aio_lio_opcode != LIO_NOP) {
            int err = aio_error(list[i]);

            if (err == EINPROGRESS)
                return true;
            *failed |= err != 0;
        }
    return false;
}

/* POSIX has it among those that may be a cancellation point; it is none. */
static int lio_wait(struct aiocb *const list[], int n)
{
    struct veneer_thread *self = veneer_self();
    uint32_t handled = veneer_handled(self);
    bool failed = false;

    if (lio_listio(LIO_NOWAIT, list, n, NULL)) {
        if (errno == EINVAL)
            return -1;
        failed = true; /* those that were queued are waited for all the same */
    }
    while (lio_goes_on(list, n, &failed)) {
        if (veneer_handled(self) != handled)
            return veneer_answer(EINTR);
        veneer_pause(VENEER_POLL_NS);
    }
    return failed ? veneer_answer(EIO) : 0;
}

#define LIO_LISTIO(name)                                                                 \
    int WRAP(name)(int mode, struct aiocb *const list[], int n, struct sigevent *event); \
    int WRAP(name)(int mode, struct aiocb *const list[], int n, struct sigevent *event)  \
    {                                                                                    \
        return mode == LIO_WAIT && veneer.running ? lio_wait(list, n)                    \
                                                  : lio_listio(mode, list, n, event);    \
    }
LIO_LISTIO(lio_listio)
LIO_LISTIO(lio_listio64)
