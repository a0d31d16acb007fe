/*
 * cancel.c - cancellation, and the system calls that are cancellation points and nothing else.
 * cancel_sys.h says how a thread is woken that sleeps in one.
 */
#include "thread.h"

#include "../common/futex.h"

#include <errno.h>
#include <time.h>

static int cancel(struct tl_thread id)
{
    struct thread *t;
    int tid, err = thread_hold(id, &t, &tid);

    if (err)
        return err;
    personal_request(&t->personal);
    if (cancel_sys_wants_signal(&t->cancel)) {
        atomic_store_explicit(&t->signaled, true, memory_order_relaxed);
        err = cancel_sys_send(tid);
    }
    thread_release(t);
    return err;
}

const struct tl_cancel_ops clone_cancel = {
    .cancel = cancel,
    .set_state = personal_set_state,
    .set_type = personal_set_type,
    .test = personal_test,
};

int clone_sleep(uint64_t ns)
{
    struct timespec left = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    long answer;

    cancel_sys_test();
    futex_sleeps(true);
    do {
        answer = CANCEL_SYS_CALL(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &left, &left, 0, 0);
        if (answer == CANCEL_SYS_CANCELED)
            personal_test();
    } while (answer == -EINTR || answer == CANCEL_SYS_CANCELED);
    futex_sleeps(false);
    return (int)-answer;
}

/* -errno, or the result. */
static long call(long number, long a, long b, long c, long d, long e)
{
    long answer;

    cancel_sys_test();
    futex_sleeps(true);
    answer = CANCEL_SYS_CALL(number, a, b, c, d, e, 0);
    futex_sleeps(false);
    if (answer == CANCEL_SYS_CANCELED) {
        personal_test();
        answer = -EINTR;
    }
    return answer;
}

static int transfer(long number, int fd, const void *buffer, size_t size, size_t *done)
{
    long answer = call(number, fd, (long)buffer, (long)size, 0, 0);

    *done = answer < 0 ? 0 : (size_t)answer;
    return answer < 0 ? (int)-answer : 0;
}

static int read_some(int fd, void *buffer, size_t size, size_t *done)
{
    return transfer(SYS_read, fd, buffer, size, done);
}

static int write_some(int fd, const void *buffer, size_t size, size_t *done)
{
    return transfer(SYS_write, fd, buffer, size, done);
}

static int count(long answer, int *done)
{
    *done = (int)answer;
    return answer < 0 ? (int)-answer : 0;
}

static int accept_one(int fd, struct sockaddr *address, unsigned *size, int flags, int *done)
{
    return count(call(SYS_accept4, fd, (long)address, (long)size, flags, 0), done);
}

static int connect_to(int fd, const struct sockaddr *address, unsigned size)
{
    return (int)-call(SYS_connect, fd, (long)address, size, 0, 0);
}

static int poll_some(struct pollfd *fds, size_t n, int timeout_ms, int *done)
{
    struct timespec left = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};

    return count(call(SYS_ppoll, (long)fds, (long)n, timeout_ms < 0 ? 0 : (long)&left, 0, 0), done);
}

static int wait_child(pid_t pid, int *status, int options, pid_t *done)
{
    return count(call(SYS_wait4, pid, (long)status, options, 0, 0), done);
}

const struct tl_io_ops clone_io = {
    .read = read_some,
    .write = write_some,
    .accept = accept_one,
    .connect = connect_to,
    .poll = poll_some,
    .waitpid = wait_child,
};
