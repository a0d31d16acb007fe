/*
 * stdio.c - preempt.stdio: a stream stays whole when threads are interrupted while they write to
 * it, also in a function of the program that the C library calls with the stream's lock held.
 */
#include "busy.h"

#include <stdio.h>

#define THREADS 4
#define TURNS 60
#define ROOM (8u << 20)
#define COOKIE_NS 30000 /* it takes: long enough to be interrupted */

#define OUTSIDE_NS \
    20000 /* between two lines: else a kernel's slice mostly ends with the lock held */

/* Written by the cookie function only, that is, with the stream's lock held. */
static char *text;
static size_t used;
static _Atomic int inside;
static FILE *stream;

static ssize_t take(void *cookie, const char *p, size_t size)
{
    (void)cookie;
    TL_EXPECT(busy.ctx, atomic_fetch_add(&inside, 1) == 0, "two threads are inside one stream");
    if (size > ROOM - used)
        size = ROOM - used;
    memcpy(text + used, p, size);
    tl_spin_ns(COOKIE_NS);
    used += size;
    atomic_fetch_sub(&inside, 1);
    return (ssize_t)size;
}

static void body(unsigned i)
{
    for (unsigned n = 0; busy_turn(i); n++) {
        tl_spin_ns(OUTSIDE_NS);
        if (n % 2) {
            fprintf(stream, "<%u %u %u>\n", i, n, i ^ n);
            continue;
        }
        flockfile(stream);
        fprintf(stream, "<%u ", i);
        tl_spin_ns(2000);
        fprintf(stream, "%u ", n);
        fprintf(stream, "%u>\n", i ^ n);
        funlockfile(stream);
    }
}

/* Each line is one thread's, and those of each come in its order. */
static void read_back(void)
{
    unsigned next[THREADS] = {0}, lines = 0;
    const char *at = text;

    for (text[used] = '\0'; *at; lines++) {
        unsigned i, n, x;
        int length = 0;

        if (!TL_EXPECT(busy.ctx,
                       sscanf(at, "<%u %u %u>%n", &i, &n, &x, &length) == 3 && length &&
                           at[length] == '\n',
                       "line %u is broken: %.40s", lines, at) ||
            !TL_EXPECT(busy.ctx, i < THREADS && x == (i ^ n) && n == next[i],
                       "line %u is not the next one of thread %u: %.40s", lines, i, at))
            return;
        next[i]++;
        at += length + 1;
    }
}

static enum tl_status run(struct tl_ctx *ctx)
{
    static const cookie_io_functions_t functions = {.write = take};
    enum tl_status status;

    text = malloc(ROOM + 1);
    stream = text ? fopencookie(NULL, "w", functions) : NULL;
    if (!stream || setvbuf(stream, NULL, _IOFBF, 256))
        return tl_failed(ctx, "fopencookie: no memory");
    status = busy_run(ctx, THREADS, TURNS, body);
    fclose(stream);
    if (status == TL_OK && used < ROOM)
        read_back();
    free(text);
    return tl_verdict(ctx);
}

static const struct tl_check check = {
    .abi = TL_ABI,
    .name = "preempt.stdio",
    .group = "Preemption",
    .promise = "a thread that is interrupted while it writes to a stream keeps the others out",
    .source = "POSIX.1-2017 XSH 2.5 (streams behave as if flockfile were called), flockfile; "
              "fopencookie(3)",
    .method = "four threads on one PU write numbered lines to one stream, some in pieces between "
              "flockfile and funlockfile; what takes the bytes is a slow function of the program. "
              "All lines are read back",
    .meaning = "the lock of a stream is the kernel thread's, and recursive: a user-level thread "
               "that comes in the place of its holder gets it as well. Lines that are torn, lost "
               "or out of order show that",
    .params = BUSY_PREEMPT,
    .prefers = BUSY_QUANTUM,
    .flags = TL_CHECK_CONCURRENT,
    .deadline_s = 120,
    .run = run,
};
TL_CHECK(check);

MUTANT(callbacks, "preempt-in-callbacks",
       "threads are also replaced in functions that the C library calls",
       "preempt.stdio preempt.dlopen", BUSY_OF, NULL);
