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

static int transfer(long number, int fd, const void *buffer, size_t size, size_t *done)
{
    long answer;

    cancel_sys_test();
    futex_sleeps(true);
    answer = CANCEL_SYS_CALL(number, fd, buffer, size, 0, 0, 0);
    futex_sleeps(false);
    if (answer == CANCEL_SYS_CANCELED) {
        personal_test();
        answer = -EINTR;
    }
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

const struct tl_io_ops clone_io = {
    .read = read_some,
    .write = write_some,
};
