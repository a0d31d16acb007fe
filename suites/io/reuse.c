/*
 * reuse.c - io.fd-reused: the number of a descriptor that is closed names another file soon.
 */
#include "../common/settle.h"
#include "waits.h"

#include "../common/mutant.h"

#define ROUNDS 20

static _Atomic int waits;
static int kept[2]; /* duplicates of a pipe whose own numbers are used again */
static bool socket_now;

static void *reader(void *arg)
{
    char bytes[8] = "";
    size_t done = 0;

    atomic_store(&waits, 1);
    if (TL_CALL(ctx, io_read(ctx, ends[0], bytes, sizeof(bytes), &done)))
        TL_EXPECT(ctx, done == 1 && *bytes == 'n', "read %zu bytes, the first is %d", done, *bytes);
    return arg;
}

/* A thread waits for the numbers of now; first something comes where they led before, then here. */
static void wait_once(bool stir_kept)
{
    struct tl_thread t;

    atomic_store(&waits, 0);
    if (!tl_start(ctx, 1, &t, reader, NULL))
        return;
    if (tl_await(ctx, &waits, "the thread to be about to wait"))
        settle(ctx);
    if (stir_kept)
        system_call(write(kept[1], "old", 3) == 3, "write to the old one");
    tl_delay(ctx, "between the old one and the new one");
    system_call(write(ends[1], "n", 1) == 1, "write to the new one");
    tl_finish(ctx, t);
}

/* Gives the same two numbers to something new. */
static bool renew(void)
{
    int again[2];

    kept[0] = dup(ends[0]);
    kept[1] = dup(ends[1]);
    pipe_after();
    socket_now = !socket_now;
    if (!system_call(socket_now ? !socketpair(AF_UNIX, SOCK_STREAM, 0, again) : !pipe(again),
                     "the next pair"))
        return false;
    return TL_EXPECT(ctx, again[0] == ends[0] && again[1] == ends[1],
                     "the kernel gave other numbers");
}

static enum tl_status run(struct tl_ctx *c)
{
    const char *lacks = waits_refused(c, READ);

    ctx = c;
    if (lacks)
        return tl_refused(c, lacks);
    if (!pipe_before())
        return tl_verdict(c);
    wait_once(false);
    for (int i = 0; i < ROUNDS && tl_verdict(c) == TL_OK && renew(); i++) {
        wait_once(true);
        wait_once(false);
        close(kept[0]);
        close(kept[1]);
    }
    pipe_after();
    return tl_verdict(c);
}

static const struct tl_check fd_reused = {
    .abi = TL_ABI,
    .name = "io.fd-reused",
    .group = "Blocking calls",
    .promise = "when the number of a descriptor is used again, a thread that reads it waits for "
               "the new file, even if the old one is still open by another number",
    .source = "POSIX.1-2017 XSH close, 2.14 (the lowest that is available); epoll(7), question 6: "
              "a closed descriptor whose file is still open goes on reporting events",
    .method = "a thread waits for a pipe, whose numbers then name a pair of sockets or another "
              "pipe, while duplicates keep the old one open; a thread waits again, something is "
              "written to the old one, then to the new one; 20 seeded rounds",
    .meaning = "a library that remembers numbers waits for the old file for ever, or reads without "
               "having waited",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(fd_reused);

/* ---- mutants --------------------------------------------------------------------------------- */

#ifdef TL_INJECT
MUTANT(remembers, "user-poller-remembers",
       "a descriptor that was waited for once is not given to epoll a second time", "io.fd-reused",
       "green ucontext hybrid", NULL);
#endif

static const struct tl_io_ops *sound;
static int meant[64]; /* by number: a duplicate of what it was when it was read first, + 1 */

static int read_first(int fd, void *buffer, size_t size, size_t *done)
{
    if (fd >= 0 && fd < 64) {
        if (!meant[fd])
            meant[fd] = fcntl(fd, F_DUPFD, 100) + 1;
        fd = meant[fd] - 1;
    }
    return sound->read(fd, buffer, size, done);
}

static void apply_first(struct tl_impl *impl)
{
    sound = impl->io;
    TL_MUTATE(impl, io)->read = read_first;
}
MUTANT(first_file, "io-read-remembers-file",
       "a number goes on to mean the file that it meant when it was read first", "io.fd-reused",
       "green ucontext hybrid clone", apply_first);
