/*
 * fork.c - io.fork-child, io.fork-all: a fork while a thread waits in a blocking call.
 */
#include "../common/settle.h"
#include "../fork/forked.h"
#include "waits.h"

#include "../common/mutant.h"

#define ROUNDS 5
#define CHILD_S 10 /* the child has hung */

static _Atomic int waits;

static void *reader(void *arg)
{
    const int *fd = arg;
    char byte = 0;
    size_t done = 0;

    atomic_store(&waits, 1);
    if (TL_CALL(ctx, io_read(ctx, *fd, &byte, 1, &done)))
        TL_EXPECT(ctx, byte == 'x', "read %zu bytes, the first is %d", done, byte);
    return arg;
}

static bool start_reader(struct tl_thread *t, int *fd)
{
    atomic_store(&waits, 0);
    if (!tl_start(ctx, 1, t, reader, fd))
        return false;
    if (tl_await(ctx, &waits, "the thread to be about to wait"))
        settle(ctx);
    return true;
}

/* A pipe of its own, which its parent knows nothing of. */
static void in_child(struct tl_ctx *c, void *arg)
{
    struct tl_thread t;
    int own[2];

    (void)arg;
    alarm(CHILD_S);
    for (int i = 0; i < ROUNDS && tl_verdict(c) == TL_OK; i++) {
        if (!system_call(!pipe(own), "pipe") || !start_reader(&t, &own[0]))
            return;
        system_call(write(own[1], "x", 1) == 1, "write");
        usleep(1000); /* time for the parent to take what is not its own */
        tl_finish(c, t);
        close(own[0]);
        close(own[1]);
    }
}

static enum tl_status run_child(struct tl_ctx *c)
{
    const char *lacks = waits_refused(c, READ);
    struct tl_thread t;

    ctx = c;
    if (lacks)
        return tl_refused(c, lacks);
    if (!pipe_before())
        return tl_verdict(c);
    if (start_reader(&t, &ends[0])) {
        forked(c, in_child, NULL);
        system_call(write(ends[1], "x", 1) == 1, "write");
        tl_finish(c, t);
    }
    pipe_after();
    return tl_verdict(c);
}

static const struct tl_check fork_child = {
    .abi = TL_ABI,
    .name = "io.fork-child",
    .group = "Blocking calls",
    .promise = "after a fork, threads of the child wait in read by themselves, and take nothing "
               "from those of the parent",
    .source = "fork(2); epoll(7), question 8 and 9: an epoll instance is shared by parent and "
              "child",
    .method = "while a thread of the parent reads an empty pipe, a forked child makes five pipes "
              "of its own, with a thread that reads each; then the parent's thread gets its byte",
    .meaning = "who waits by an epoll instance that it has inherited takes the other's events",
    .needs = "fork",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_child,
};
TL_CHECK(fork_child);

static enum tl_status run_all(struct tl_ctx *c)
{
    struct tl_thread t;
    pid_t pid = -1;

    ctx = c;
    if (!pipe_before() || !start_reader(&t, &ends[0]))
        return tl_verdict(c);
    if (TL_CALL(c, c->impl->fork->fork_all(&pid)) && pid == 0) {
        alarm(CHILD_S);
        tl_finish(c, t);
        _exit(tl_verdict(c) == TL_OK ? 0 : 1);
    }
    system_call(write(ends[1], "xx", 2) == 2, "write");
    tl_finish(c, t);
    if (pid > 0)
        forked_wait(c, pid, 0);
    pipe_after();
    return tl_verdict(c);
}

static const struct tl_check fork_all = {
    .abi = TL_ABI,
    .name = "io.fork-all",
    .group = "Blocking calls",
    .promise = "after fork_all a thread that waits in read waits in parent and child",
    .source = "Solaris forkall(2)",
    .method = "a thread reads an empty pipe; after fork_all two bytes are written: both copies of "
              "the thread must get one",
    .meaning = "whatever tells the library of the byte has to be made anew in the child",
    .needs = "fork.fork_all",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_all,
};
TL_CHECK(fork_all);

/* ---- mutants --------------------------------------------------------------------------------- */

#ifdef TL_INJECT
MUTANT(shared, "user-poller-shared", "the child goes on with the epoll instance of its parent",
       "io.fork-child", "green ucontext hybrid", NULL);
#endif

/* Whose reads never wait again, as after a lock of the library that nobody opens in the child. */
static const struct tl_io_ops *sound;

static bool in_parent(void)
{
    static pid_t parent; /* the first to call it */

    if (!parent)
        parent = getpid();
    return getpid() == parent;
}

static int read_in_parent(int fd, void *buffer, size_t size, size_t *done)
{
    return in_parent() ? sound->read(fd, buffer, size, done) : EAGAIN;
}

/* It looks where it is when it is back. */
static int read_then_look(int fd, void *buffer, size_t size, size_t *done)
{
    int err;

    in_parent();
    err = sound->read(fd, buffer, size, done);
    return in_parent() ? err : EAGAIN;
}

static void apply_parent(struct tl_impl *impl)
{
    sound = impl->io;
    TL_MUTATE(impl, io)->read = read_in_parent;
}

static void apply_look(struct tl_impl *impl)
{
    sound = impl->io;
    TL_MUTATE(impl, io)->read = read_then_look;
}
MUTANT(no_child, "io-read-refuses-in-child", "in a forked child no thread can wait in read",
       "io.fork-child", "green ucontext hybrid clone", apply_parent);
MUTANT(no_copy, "io-read-fails-in-copy", "a read that fork_all has copied fails", "io.fork-all",
       "green ucontext", apply_look);
