/*
 * private.c - preempt.fp, preempt.errno: what an interrupted thread finds as it left it.
 */
#include "../common/opaque.h"
#include "busy.h"

#include <errno.h>
#include <fenv.h>

#define THREADS 4
#define TURNS 60
#define LOOPS                                                                          \
    20000 /* about 10 us between two looks, so that most interruptions fall in between \
           */

static OPAQUE void idle_loop(void)
{
    for (volatile int k = 0; k < LOOPS; k++)
        ;
}

/* ---- preempt.fp ------------------------------------------------------------------------------ */

#if defined(__x86_64__)
/* Fills the vector registers and some others, spins, and adds up what is left of them. Bytes of
 * each register: 16. */
#define LOAD(n) "movdqu (%[pattern]), %%xmm" #n "\n\tpaddq %%xmm" #n ", %%xmm" #n "\n\t"
#define TEST(n) "pcmpeqd %%xmm0, %%xmm" #n "\n\tpand %%xmm" #n ", %%xmm15\n\t"
static OPAQUE bool vectors_survive(uint64_t pattern)
{
    uint64_t in[2] = {pattern, ~pattern}, out[2], loops = LOOPS, r8 = pattern, r15 = ~pattern;
    double one = 1;

    __asm__ volatile(LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(8) LOAD(9)
                         LOAD(10) LOAD(11) LOAD(12) LOAD(13)
                             LOAD(14) "fldl %[one]\n\t"
                                      "1: decq %[loops]\n\t"
                                      "jnz 1b\n\t"
                                      "fstpl %[one]\n\t"
                                      "pcmpeqd %%xmm15, %%xmm15\n\t" TEST(1) TEST(2) TEST(3) TEST(4)
                                          TEST(5) TEST(6) TEST(7) TEST(8) TEST(9) TEST(10) TEST(11)
                                              TEST(12) TEST(13) TEST(14)
                     /* and the one that they were compared with */
                     "movdqu (%[pattern]), %%xmm1\n\t"
                     "paddq %%xmm1, %%xmm1\n\t" TEST(1) "movdqu %%xmm15, %[out]"
                     : [loops] "+r"(loops), [out] "=m"(out), [one] "+m"(one), "+r"(r8), "+r"(r15)
                     : [pattern] "r"(in), "m"(in)
                     : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15");
    return out[0] == UINT64_MAX && out[1] == UINT64_MAX && r8 == pattern && r15 == ~pattern &&
           one == 1;
}

/* The upper halves. */
__attribute__((target("avx"))) static OPAQUE bool wide_survive(uint64_t pattern)
{
    uint64_t in[4] = {pattern, ~pattern, pattern * 3, pattern ^ 0x5555}, out[4], loops = LOOPS;

    if (!__builtin_cpu_supports("avx"))
        return true;
    __asm__ volatile("vmovdqu (%[in]), %%ymm7\n\t"
                     "1: decq %[loops]\n\t"
                     "jnz 1b\n\t"
                     "vmovdqu %%ymm7, %[out]\n\t"
                     "vzeroupper"
                     : [loops] "+r"(loops), [out] "=m"(out)
                     : [in] "r"(in), "m"(in)
                     : "cc", "memory", "xmm7");
    return memcmp(in, out, sizeof(in)) == 0;
}
#else
static OPAQUE bool vectors_survive(uint64_t pattern)
{
    double sum = 0, term = (double)(pattern >> 40);

    for (int k = 0; k < LOOPS; k++) {
        sum += term;
        __asm__ volatile("" : "+w"(sum), "+w"(term));
    }
    return sum == LOOPS * term;
}

static bool wide_survive(uint64_t pattern)
{
    (void)pattern;
    return true;
}
#endif

static void compute(unsigned i)
{
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    uint64_t random = busy.ctx->seed + i;
    int mode = modes[i % 4];

    fesetround(mode);
    while (busy_turn(i)) {
        TL_EXPECT(busy.ctx, vectors_survive(tl_random(&random)),
                  "thread %u: a register changed while it was interrupted", i);
        TL_EXPECT(busy.ctx, wide_survive(tl_random(&random)),
                  "thread %u: the upper half of a vector register changed", i);
        TL_EXPECT(busy.ctx, fegetround() == mode, "thread %u: rounds another way", i);
    }
}

static enum tl_status run_fp(struct tl_ctx *ctx)
{
    return busy_run(ctx, THREADS, TURNS, compute);
}

static const struct tl_check fp = {
    .abi = TL_ABI,
    .name = "preempt.fp",
    .group = "Preemption",
    .promise = "an interrupted thread finds all its registers as they were",
    .source = "Shiina, Iwasaki, Taura, Balaji 2021, section 3.1: the switch is inside a signal "
              "handler, whose frame holds them; sigreturn(2)",
    .method = "four threads on one PU fill the vector registers (256 bits where there are such), "
              "one of the x87 and some others with values of their own, spin, and compare; each "
              "has a rounding mode of its own",
    .meaning = "a switch that saves what a function call saves loses the others. 512-bit "
               "registers are not asked, but are in the same frame",
    .params = BUSY_PREEMPT,
    .prefers = BUSY_QUANTUM,
    .flags = TL_CHECK_CONCURRENT,
    .deadline_s = 120,
    .run = run_fp,
};
TL_CHECK(fp);

MUTANT(vectors, "preempt-spoils-vectors", "an interrupted thread loses its vector registers",
       "preempt.fp", BUSY_OF, NULL);

/* ---- preempt.errno --------------------------------------------------------------------------- */

static OPAQUE int errno_now(void)
{
    return errno;
}

static OPAQUE void errno_becomes(int value)
{
    errno = value;
}

static void keep_errno(unsigned i)
{
    for (int n = 0; busy_turn(i); n++) {
        int mine = 20000 + (int)i * 1000 + n % 1000;

        errno_becomes(mine);
        idle_loop();
        TL_EXPECT(busy.ctx, errno_now() == mine, "thread %u: errno became %d while it computed", i,
                  errno_now());
    }
}

static enum tl_status run_errno(struct tl_ctx *ctx)
{
    return busy_run(ctx, THREADS, TURNS, keep_errno);
}

static const struct tl_check private_errno = {
    .abi = TL_ABI,
    .name = "preempt.errno",
    .group = "Preemption",
    .promise = "an interrupted thread finds its errno as it was",
    .source = "POSIX.1-2017 XSH 2.3: each thread has its own errno, which other threads' calls do "
              "not affect",
    .method = "four threads on one PU set errno, each to values of its own, spin without any call, "
              "and look at it",
    .meaning = "what a handler, or the thread that it lets run, leaves in errno would show",
    .params = BUSY_PREEMPT,
    .prefers = BUSY_QUANTUM,
    .flags = TL_CHECK_CONCURRENT,
    .deadline_s = 120,
    .run = run_errno,
};
TL_CHECK(private_errno);

MUTANT(keeps_errno, "preempt-keeps-errno", "errno of an interrupted thread is left by the handler",
       "preempt.errno", BUSY_OF, NULL);
