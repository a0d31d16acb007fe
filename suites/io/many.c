/*
 * many.c - io.many-waiters, io.cancel-loses-nothing: several threads wait for one descriptor, and
 * some of them are cancelled: what comes reaches those who are left, once each.
 */
#include "../common/rounds.h"
#include "../common/settle.h"
#include "waits.h"

#include "../common/mutant.h"
#include "../common/wrap.h"

#define READERS 8
#define CANCELLED 3 /* of them */

static struct tl_thread readers[READERS];
static _Atomic int entered;
static _Atomic int seen_byte[READERS]; /* how often each value was read */

static void *reader(void *arg)
{
    unsigned char byte = 0;
    size_t done = 0;

    atomic_fetch_add(&entered, 1);
    (void)arg;
    tl_delay(ctx, "before read");
    if (TL_CALL(ctx, io_read(ctx, ends[0], &byte, 1, &done)) &&
        TL_EXPECT(ctx, done == 1 && byte < READERS, "read answered %zu bytes", done))
        atomic_fetch_add(&seen_byte[byte], 1);
    return NULL;
}

/* Bytes one by one or at once, while requests come. */
static void feed(unsigned from, unsigned to, bool at_once)
{
    char bytes[READERS];

    for (unsigned i = 0; i < READERS; i++)
        bytes[i] = (char)i;
    for (unsigned step = at_once ? to - from : 1; from < to; from += step) {
        system_call(write(ends[1], bytes + from, step) == (ssize_t)step, "write");
        tl_delay(ctx, "between two bytes");
    }
}

/* All bytes are read by somebody: those who were not cancelled, or the first thread after them. */
static void settle_accounts(unsigned ended)
{
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    unsigned char byte;

    for (; ended < READERS && poll(&p, 1, 0) == 1; ended++)
        if (system_call(read(ends[0], &byte, 1) == 1, "read") && byte < READERS)
            atomic_fetch_add(&seen_byte[byte], 1);
    for (int i = 0; i < READERS && tl_verdict(ctx) == TL_OK; i++)
        TL_EXPECT(ctx, atomic_load(&seen_byte[i]) == 1, "byte %d was read %d times", i,
                  atomic_load(&seen_byte[i]));
}

static void one_round(unsigned round, unsigned cancelled)
{
    unsigned made = 0, ended = 0;
    void *value;

    atomic_store(&entered, 0);
    for (int i = 0; i < READERS; i++)
        atomic_store(&seen_byte[i], 0);
    if (!pipe_before())
        return;
    while (made < READERS && tl_start(ctx, made, &readers[made], reader, NULL))
        made++;
    while (atomic_load(&entered) < (int)made && tl_verdict(ctx) == TL_OK)
        ctx->impl->yield();
    if (round % 3)
        settle(ctx);
    /* The first to wait are those who are woken first. */
    feed(0, 2, round % 2);
    for (unsigned i = 0; i < cancelled && i < made; i++) {
        int err = ctx->impl->cancel->cancel(readers[i]);

        TL_EXPECT(ctx, !err || err == ESRCH, "cancel answered %d", err);
    }
    feed(2, READERS, round % 2);
    for (unsigned i = 0; i < made; i++) {
        TL_CALL(ctx, ctx->impl->join(readers[i], &value));
        ended += value != TL_CANCELED;
    }
    settle_accounts(ended);
    pipe_after();
}

static enum tl_status rounds(struct tl_ctx *c, unsigned cancelled)
{
    const char *lacks = waits_refused(c, READ);

    ctx = c;
    if (!tl_trait(c, TL_CONCURRENT))
        return tl_failed(c, "no two threads wait at the same time");
    if (lacks)
        return tl_refused(c, lacks);
    for (unsigned i = 0; rounds_more(c, i, 10, 60); i++)
        one_round(i, cancelled);
    return tl_verdict(c);
}

static enum tl_status run_many(struct tl_ctx *c)
{
    return rounds(c, 0);
}

static enum tl_status run_cancel(struct tl_ctx *c)
{
    return rounds(c, CANCELLED);
}

static const struct tl_check many_waiters = {
    .abi = TL_ABI,
    .name = "io.many-waiters",
    .group = "Blocking calls",
    .promise = "of several threads that read one pipe each gets a byte of its own",
    .source = "POSIX.1-2017 XSH read",
    .method = "8 threads read one byte each; 8 bytes are written, singly or at once; all must come "
              "back, and no byte may be lost or read twice; up to 60 seeded rounds",
    .meaning = "one wake-up for several bytes leaves somebody asleep before a pipe that is not "
               "empty",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_many,
};
TL_CHECK(many_waiters);

static const struct tl_check cancel_loses_nothing = {
    .abi = TL_ABI,
    .name = "io.cancel-loses-nothing",
    .group = "Blocking calls",
    .promise = "when threads that read one pipe are cancelled, no byte is lost: a thread that has "
               "read one is not cancelled there any more",
    .source = "POSIX.1-2017 XSH 2.9.5.2 (\"the side-effects of acting upon a cancellation request "
              "while suspended during a call of a function is the same as the side-effects that "
              "may be seen in a single-threaded program when a call to a function is interrupted "
              "by a signal and the given function returns [EINTR]\")",
    .method = "8 threads read one byte each; 3 are cancelled while 8 bytes are written, singly or "
              "at once; the others must come back, and no byte may be lost or read twice; up to 60 "
              "seeded rounds",
    .meaning = "a wake-up that goes to a thread which is cancelled leaves another one asleep; a "
               "request that acts between the end of the system call and the return loses what was "
               "read (glibc before 2.41, its bug 12683)",
    .needs = "cancel",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_cancel,
};
TL_CHECK(cancel_loses_nothing);

/* ---- mutants --------------------------------------------------------------------------------- */

#ifdef TL_INJECT
MUTANT(forgets, "user-poller-forgets",
       "an event wakes one thread, and the descriptor is not armed again for the others",
       "io.many-waiters io.cancel-loses-nothing", "green ucontext hybrid", NULL);
#endif

static const struct tl_io_ops *sound;
static _Atomic int last = -1; /* byte that was read */

/* As if two readers had been given one buffer. */
static int read_twice(int fd, void *buffer, size_t size, size_t *done)
{
    int err, byte = atomic_load(&last);

    if (byte >= 0 && wrap_once_in(8)) {
        *(char *)buffer = (char)byte;
        *done = 1;
        return 0;
    }
    err = sound->read(fd, buffer, size, done);
    if (!err)
        atomic_store(&last, *(char *)buffer);
    return err;
}

static void apply_twice(struct tl_impl *impl)
{
    sound = impl->io;
    TL_MUTATE(impl, io)->read = read_twice;
}
MUTANT(twice, "io-read-answers-twice", "one byte is given to two readers now and then",
       "io.many-waiters io.cancel-loses-nothing", "green ucontext hybrid clone", apply_twice);
