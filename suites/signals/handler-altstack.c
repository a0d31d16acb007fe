/*
 * handler-altstack.c - handler.on-altstack, handler.altstack-per-thread: a handler runs on the
 * alternate stack of its thread.
 */
#include "signals.h"

#include "../common/crowd.h"

#define THREADS 3
#define TURNS 20
#define SIZE ((size_t)64 * 1024) /* more than a frame with the widest vector registers */

static struct tl_ctx *ctx;
static char *stacks[THREADS];
static _Atomic uintptr_t last_frame;
static _Atomic int handled;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    atomic_store(&last_frame, (uintptr_t)__builtin_frame_address(0));
    atomic_fetch_add(&handled, 1);
}

static bool within(const char *stack)
{
    uintptr_t at = atomic_load(&last_frame);

    return at >= (uintptr_t)stack && at < (uintptr_t)stack + SIZE;
}

static bool have_stack(unsigned i)
{
    stack_t alternate = {.ss_size = SIZE};

    stacks[i] = malloc(SIZE);
    alternate.ss_sp = stacks[i];
    return TL_EXPECT(ctx, stacks[i] && sigaltstack(&alternate, NULL) == 0,
                     "malloc or sigaltstack failed");
}

static void drop_stack(unsigned i)
{
    stack_t none = {.ss_flags = SS_DISABLE};

    sigaltstack(&none, NULL);
    free(stacks[i]);
}

/* One thread after the other: a signal, perhaps a switch, and so on. */
static void body(unsigned i)
{
    bool have = have_stack(i);

    for (int n = 0; have && n < TURNS && tl_verdict(ctx) == TL_OK; n++) {
        ctx->impl->yield();
        atomic_store(&last_frame, 0);
        TL_CALL(ctx, ctx->impl->signal->kill(ctx->impl->self(), SIGUSR1, NULL));
        TL_EXPECT(ctx, within(stacks[i]),
                  "the handler did not run on the thread's own "
                  "alternate stack");
    }
    drop_stack(i);
}

static void *one(void *arg)
{
    body(0);
    return arg;
}

static enum tl_status run_one(struct tl_ctx *c)
{
    struct tl_thread t;

    ctx = c;
    if (signals_handle(ctx, SIGUSR1, handler, SA_ONSTACK | SA_RESTART) &&
        tl_start(ctx, 1, &t, one, NULL))
        tl_finish(ctx, t);
    TL_EXPECT(ctx, tl_verdict(ctx) != TL_OK || atomic_load(&handled) == TURNS,
              "%d signals were sent, %d handled", TURNS, atomic_load(&handled));
    return tl_verdict(ctx);
}

static const struct tl_check on_altstack = {
    .abi = TL_ABI,
    .name = "handler.on-altstack",
    .group = "Signals",
    .promise = "a handler with SA_ONSTACK runs on the alternate stack that its thread has set",
    .source = "POSIX.1-2017 XSH sigaltstack, sigaction (SA_ONSTACK)",
    .method = "a thread sets an alternate stack and sends itself 20 signals, after a yield each; "
              "the handler notes the address of its frame",
    .meaning = "no race: a thread whose alternate stack is forgotten in a switch is always seen, "
               "if there is anything to switch to",
    .needs = "signal.kill",
    .run = run_one,
};
TL_CHECK(on_altstack);

/* What the handler noted is for one thread at a time: the others wait for the turn. */
static void in_turn(unsigned i)
{
    bool have = have_stack(i);

    for (unsigned n = 0; n < TURNS * THREADS && tl_verdict(ctx) == TL_OK; n++) {
        if (have && n % THREADS == i) {
            atomic_store(&last_frame, 0);
            TL_CALL(ctx, ctx->impl->signal->kill(ctx->impl->self(), SIGUSR1, NULL));
            TL_EXPECT(ctx, within(stacks[i]), "the handler of thread %u ran on %s", i,
                      within(stacks[(i + 1) % THREADS]) || within(stacks[(i + 2) % THREADS])
                          ? "another thread's alternate stack"
                          : "no alternate stack");
        }
        if (!crowd_meet())
            break;
    }
    drop_stack(i);
}

static enum tl_status run_each(struct tl_ctx *c)
{
    ctx = c;
    if (signals_handle(ctx, SIGUSR1, handler, SA_ONSTACK | SA_RESTART))
        crowd_run(ctx, THREADS, in_turn);
    return tl_verdict(ctx);
}

static const struct tl_check altstack_each = {
    .abi = TL_ABI,
    .name = "handler.altstack-per-thread",
    .group = "Signals",
    .promise = "each thread has an alternate stack of its own",
    .source = "POSIX.1-2017 XSH sigaltstack (for the current thread)",
    .method = "three threads set alternate stacks and send themselves signals in turn; each "
              "handler has to run on its thread's",
    .meaning = "an alternate stack that belongs to the kernel thread is the last one that was "
               "set: two handlers may then overwrite each other's frames",
    .needs = "signal.kill",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_each,
};
TL_CHECK(altstack_each);

/* ---- mutant ---------------------------------------------------------------------------------- */

static void (*sound_yield)(void);

static void yield_without_stack(void)
{
    static _Atomic unsigned calls;
    stack_t none = {.ss_flags = SS_DISABLE};

    sound_yield();
    if (atomic_fetch_add(&calls, 1) % 8 == 7)
        sigaltstack(&none, NULL);
}

static void apply(struct tl_impl *impl)
{
    sound_yield = impl->yield;
    impl->yield = yield_without_stack;
}

static const struct tl_mutant switch_drops_altstack = {
    .abi = TL_ABI,
    .name = "switch-drops-altstack",
    .fault = "one switch in eight leaves the thread without its alternate stack",
    .kills = "handler.on-altstack handler.altstack-per-thread",
    .of = "nptl clone",
    .apply = apply,
};
TL_MUTANT_OF(switch_drops_altstack);
