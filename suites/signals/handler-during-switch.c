/*
 * handler-during-switch.c - handler.during-switch: signals that come while threads switch spoil
 * nothing of the threads.
 */
#include "signals.h"

#include <fenv.h>
#include <sys/time.h>

#define THREADS 4
/* Switches of each thread; more until STORM handlers have run. Those of kernel threads are not the
 * implementation's, and dear beside busy neighbours. */
#define SWITCHES_OF_KERNEL 500
#define SWITCHES_OF_LIBRARY 100000
#define STORM 200
#define PERIOD_US 100

static struct tl_ctx *ctx;
static struct tl_key key;
static bool has_key, aims;
static int switches;
static struct tl_thread who[THREADS];
static _Atomic int handled, ready, misled, running;
static _Atomic double sink;

/* Uses up registers and leaves its own rounding mode and flags behind, which the kernel undoes. */
static __attribute__((noinline)) double stir(double x)
{
    double a = x + 1, b = x * 3, c = x - 7, d = x / 3;

    fesetround(FE_UPWARD);
    for (int i = 0; i < 8; i++) {
        a = a * 0.5 + b;
        b = b * 0.25 + c;
        c = c * 0.125 + d;
        d = d * 0.5 + a;
    }
    return a + b + c + d;
}

static void handler(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    uint64_t me = ctx->impl->self().id;

    (void)sig;
    (void)context;
    atomic_store(&sink, stir((double)saved));
    if (info->si_code == SI_QUEUE && who[info->si_value.sival_int].id != me)
        atomic_fetch_add(&misled, 1);
    errno = EDOM;
    atomic_fetch_add(&handled, 1);
    errno = saved;
}

static __attribute__((noipa)) int get_errno(void)
{
    return errno;
}

static __attribute__((noipa)) void set_errno(int value)
{
    errno = value;
}

/* Enough integers and numbers that live across the switch to fill the registers that a call keeps,
 * and some of the stack. False: one was changed. */
static __attribute__((noinline)) bool switch_once(uint64_t seed)
{
    uint64_t a = seed * 3, b = seed * 5, c = seed * 7, d = seed * 11, e = seed * 13, f = seed * 17,
             g = seed * 19, h = ~seed;
    double x = (double)(seed >> 12), y = x * 0.5, z = x + 0.25;

    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
    __asm__ volatile("" : "+r"(g), "+r"(h));
    ctx->impl->yield();
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
    __asm__ volatile("" : "+r"(g), "+r"(h));
    return a == seed * 3 && b == seed * 5 && c == seed * 7 && d == seed * 11 && e == seed * 13 &&
           f == seed * 17 && g == seed * 19 && h == ~seed && x == (double)(seed >> 12) &&
           y == x * 0.5 && z == x + 0.25;
}

/* All are there. Signals in a thread that begins are kill.newborn's. */
static bool begin_storm(unsigned me)
{
    struct itimerval storm = {{0, PERIOD_US}, {0, PERIOD_US}};

    atomic_fetch_add(&ready, 1);
    while (atomic_load(&ready) < THREADS && tl_verdict(ctx) == TL_OK)
        ctx->impl->yield();
    return me > 0 || TL_EXPECT(ctx, setitimer(ITIMER_REAL, &storm, NULL) == 0, "setitimer: %s",
                               strerror(errno));
}

static void *worker(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    int mine = 10001 + (int)me, rounding = me % 2 ? FE_TOWARDZERO : FE_TONEAREST;
    const struct tl_impl *impl = ctx->impl;
    uint64_t state = ctx->seed + me;

    who[me] = impl->self();
    if (has_key)
        TL_CALL(ctx, impl->key->set(key, &who[me]));
    fesetround(rounding);
    begin_storm(me);
    set_errno(mine);
    for (int i = 0; (i < switches || atomic_load(&handled) < STORM) && tl_verdict(ctx) == TL_OK;
         i++) {
        TL_EXPECT(ctx, switch_once(tl_random(&state)), "a register or the stack was changed");
        if (!TL_EXPECT(ctx, get_errno() == mine, "errno is %d after switch %d, it was %d",
                       get_errno(), i, mine))
            break;
        TL_EXPECT(ctx, impl->self().id == who[me].id, "self is another thread after switch %d", i);
        TL_EXPECT(ctx, fegetround() == rounding, "the rounding mode was changed by switch %d", i);
        TL_EXPECT(ctx, !has_key || impl->key->get(key) == &who[me],
                  "the value of a key was changed by switch %d", i);
        if (aims && i % 16 == 0 && atomic_load(&running) == THREADS) {
            signals_kill(ctx, who[(me + 1) % THREADS], SIGUSR1, (int)((me + 1) % THREADS));
            set_errno(mine);
        }
    }
    atomic_fetch_sub(&running, 1); /* from now on nobody aims at anybody */
    for (int i = 0; atomic_load(&running) > 0 && tl_verdict(ctx) == TL_OK; i++)
        impl->yield(); /* somebody may have aimed already */
    return NULL;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct itimerval calm = {{0, 0}, {0, 0}};
    struct tl_thread t[THREADS];
    int made = 0;

    ctx = c;
    if (!signals_concurrent(ctx))
        return TL_FAILED;
    if (!signals_handle(ctx, SIGALRM, handler, 0) || !signals_handle(ctx, SIGUSR1, handler, 0))
        return TL_FAILED;
    has_key = ctx->impl->key && TL_CALL(ctx, ctx->impl->key->create(&key, NULL));
    aims = ctx->impl->signal && ctx->impl->signal->kill;
    switches = tl_trait(ctx, TL_ONE_TO_ONE) ? SWITCHES_OF_KERNEL : SWITCHES_OF_LIBRARY;
    atomic_store(&running, THREADS);
    while (made < THREADS &&
           tl_start(ctx, (unsigned)made, &t[made], worker, (void *)(uintptr_t)made))
        made++;
    while (made)
        tl_finish(ctx, t[--made]);
    setitimer(ITIMER_REAL, &calm, NULL);
    TL_EXPECT(ctx, atomic_load(&misled) == 0, "%d signals were handled by another thread",
              atomic_load(&misled));
    tl_say(ctx, "%d handlers in at least %d switches", atomic_load(&handled), THREADS * switches);
    return tl_verdict(ctx);
}

static const struct tl_check during_switch = {
    .abi = TL_ABI,
    .name = "handler.during-switch",
    .group = "Signals",
    .promise =
        "a signal may come at any point of a switch: registers, stack, errno, rounding mode, "
        "keys and self of the threads stay as they were",
    .source = "POSIX.1-2017 XSH 2.4.3 (signal actions), 2.3 (errno of the thread)",
    .method = "four threads switch 400,000 times (2000 times where the kernel does it) while a "
              "timer of 100 us and, where that is offered, the threads send signals, whose "
              "handlers use all of that; each thread compares it with its own after each switch; "
              "not before 200 handlers have run",
    .meaning = "a switch that is wrong for a moment is met by some handler, if the moment is not "
               "too short: a window of one instruction needs more signals than these",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(during_switch);

/* ---- mutants --------------------------------------------------------------------------------- */

static void (*sound_yield)(void);

/* The handler finds errno of the switch, and puts that back after the thread has its own. */
static void yield_with_errno(void)
{
    int before = atomic_load(&handled);

    sound_yield();
    if (atomic_load(&handled) != before)
        errno = EINTR;
}

static void apply_errno(struct tl_impl *impl)
{
    sound_yield = impl->yield;
    impl->yield = yield_with_errno;
}

static const struct tl_mutant switch_signal_spoils_errno = {
    .abi = TL_ABI,
    .name = "switch-signal-spoils-errno",
    .fault = "a signal during a switch leaves EINTR in errno",
    .kills = "handler.during-switch",
    .of = "nptl clone green ucontext",
    .apply = apply_errno,
};
TL_MUTANT_OF(switch_signal_spoils_errno);

static void yield_with_rounding(void)
{
    int before = atomic_load(&handled);

    sound_yield();
    if (atomic_load(&handled) != before)
        fesetround(FE_UPWARD);
}

static void apply_rounding(struct tl_impl *impl)
{
    sound_yield = impl->yield;
    impl->yield = yield_with_rounding;
}

static const struct tl_mutant switch_signal_spoils_rounding = {
    .abi = TL_ABI,
    .name = "switch-signal-spoils-rounding",
    .fault = "after a signal during a switch the thread has the rounding mode of the handler",
    .kills = "handler.during-switch",
    .of = "nptl clone green ucontext",
    .apply = apply_rounding,
};
TL_MUTANT_OF(switch_signal_spoils_rounding);

/* r15 and x26 belong to the caller: this function does not use and so not save them, and the
 * compiler is not told that they change. */
static void yield_with_register(void)
{
    int before = atomic_load(&handled);

    sound_yield();
    if (atomic_load(&handled) != before) {
#if defined(__x86_64__)
        __asm__ volatile("incq %%r15" ::: "cc");
#elif defined(__aarch64__)
        __asm__ volatile("add x26, x26, #1");
#endif
    }
}

static void apply_register(struct tl_impl *impl)
{
    sound_yield = impl->yield;
    impl->yield = yield_with_register;
}

static const struct tl_mutant switch_signal_spoils_register = {
    .abi = TL_ABI,
    .name = "switch-signal-spoils-register",
    .fault = "a signal during a switch changes a register that calls keep",
    .kills = "handler.during-switch",
    .of = "nptl clone green ucontext",
    .apply = apply_register,
};
TL_MUTANT_OF(switch_signal_spoils_register);
