/*
 * backtrace.c - unwind.backtrace: the frames of a thread begin at its entry.
 */
#include "../common/opaque.h"

#include "check.h"

#include <execinfo.h>

#define FRAMES 64
#define DEPTH 5
/* Frames between the entry and the end: what the implementation calls the entry from. */
#define BELOW 4

static struct tl_ctx *ctx;

/* Exact return addresses, noted on the way down: of the outermost call of nested(), which is in
 * the entry, and of create_and_join(), which is in run(). */
static const void *in_entry, *in_creator;

static void look(void)
{
    void *frames[FRAMES];
    int n = backtrace(frames, FRAMES), entry_at = -1, creator_at = -1;

    for (int i = 0; i < n; i++) {
        if (entry_at < 0 && frames[i] == in_entry)
            entry_at = i;
        if (creator_at < 0 && frames[i] == in_creator)
            creator_at = i;
    }
    TL_EXPECT(ctx, n < FRAMES, "the back-trace does not end within %d frames", FRAMES);
    TL_EXPECT(ctx, entry_at >= DEPTH, "the entry is frame %d of %d, right is at least %d", entry_at,
              n, DEPTH);
    TL_EXPECT(ctx, creator_at < 0, "frame %d of the thread is the creator's", creator_at);
    TL_EXPECT(ctx, n <= entry_at + 1 + BELOW, "%d frames lie beyond the entry", n - entry_at - 1);
}

static OPAQUE int nested(int depth)
{
    int found = 0;

    if (depth == DEPTH - 1)
        in_entry = __builtin_extract_return_addr(__builtin_return_address(0));
    if (depth)
        found = nested(depth - 1);
    else
        look();
    __asm__ volatile("" : "+r"(found)); /* not a tail call */
    return found + 1;
}

static OPAQUE void *entry(void *arg)
{
    ctx->impl->yield(); /* so that it has been switched away from once */
    TL_EXPECT(ctx, nested(DEPTH - 1) == DEPTH, "the calls did not return");
    return arg;
}

static OPAQUE void create_and_join(unsigned i)
{
    struct tl_thread t;

    in_creator = __builtin_extract_return_addr(__builtin_return_address(0));
    if (tl_start(ctx, i, &t, entry, NULL))
        tl_finish(ctx, t);
}

static enum tl_status run(struct tl_ctx *c)
{
    ctx = c;
    for (unsigned i = 0; i < 10 && tl_verdict(ctx) == TL_OK; i++)
        create_and_join(i);
    return tl_verdict(ctx);
}

static const struct tl_check unwind_backtrace = {
    .abi = TL_ABI,
    .name = "unwind.backtrace",
    .group = "Stacks",
    .promise = "a back-trace from within a thread shows its calls up to its entry, and ends there",
    .source = "backtrace(3); System V ABI AMD64 3.2.2, 6.2 (end of the frames); DWARF 5, 6.4",
    .method = "ten threads call backtrace five calls deep: the entry is in it, the creator is not, "
              "and at most four frames come after the entry",
    .meaning = "missing unwind information cuts it short, a wrong end runs on into garbage or a "
               "crash; exceptions, cancellation and debuggers use the same tables",
    .flags = TL_CHECK_CONCURRENT, /* whose thread is a call shows the creator's frames */
    .run = run,
};
TL_CHECK(unwind_backtrace);

/* ---- mutant ---------------------------------------------------------------------------------- */

static struct {
    struct tl_thread t;
    void *(*entry)(void *);
    void *arg;
} waiting;
static int (*sound_join)(struct tl_thread t, void **value);

/* The entry runs on the stack of whoever joins. */
static int create_later(struct tl_thread *t, const struct tl_attr *attr, void *(*function)(void *),
                        void *arg)
{
    (void)attr;
    waiting.t = *t = (struct tl_thread){77};
    waiting.entry = function;
    waiting.arg = arg;
    return 0;
}

static int join_runs(struct tl_thread t, void **value)
{
    if (t.id != waiting.t.id)
        return sound_join(t, value);
    void *got = waiting.entry(waiting.arg);
    if (value)
        *value = got;
    return 0;
}

static void apply(struct tl_impl *impl)
{
    sound_join = impl->join;
    impl->create = create_later;
    impl->join = join_runs;
}

static const struct tl_mutant thread_on_joiners_stack = {
    .abi = TL_ABI,
    .name = "thread-on-joiners-stack",
    .fault = "a thread runs as a call on its joiner's stack",
    .kills = "unwind.backtrace",
    .of = "nptl clone green",
    .apply = apply,
};
TL_MUTANT_OF(thread_on_joiners_stack);
