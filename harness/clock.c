/*
 * clock.c - see clock.h. Defines tl_now_ns and tl_spin_ns of the benchmark contract.
 *
 * The rules for reading the TSC: Paoloni, "How to Benchmark Code Execution Times on Intel IA-32 and
 * IA-64", 2010, section 3.2; Intel SDM vol. 2B, RDTSC and LFENCE; for aarch64 the Arm ARM (DDI
 * 0487), D11 "The Generic Timer", and "isb" before CNTVCT_EL0 as in the kernel's arch_timer.h.
 */
#include "clock.h"

#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define NS_PER_S 1000000000u

/* Anchors of the calibration and the sleep between two: 6 points 9 ms apart see 45 ms, within the
 * 60 ms that a start may take. A point is read to about 50 ns, hence about 1 ppm. */
#define ANCHORS 6
#define ANCHOR_GAP_NS 9000000
#define ANCHOR_TRIES 64

/* Written by clock_use before there is a second thread, only read afterwards. */
static struct {
    bool counter;
    uint32_t mult, shift;
} in_use;

#if defined(__x86_64__)
#define COUNTER "tsc"
/* t := TSC, not before everything earlier in program order is complete, and before anything later
 * starts:
 *     lfence    earlier instructions have completed (stores may still sit in the store buffer)
 *     rdtsc
 *     lfence    no later instruction starts before the counter was read
 * One function serves both ends of a window, so both fences are needed. `rdtscp; lfence` orders the
 * same, but RDTSCP is absent on the oldest x86-64 and is trapped by some hypervisors that let RDTSC
 * pass. On AMD, lfence waits because the kernel sets DE_CFG.LFENCE_SERIALIZE (since Linux 4.15). */
static inline uint64_t counter_read(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}
#elif defined(__aarch64__)
#define COUNTER "cntvct"
/* t := CNTVCT_EL0 between two context synchronisations: the first isb keeps the read from being
 * done early, the second keeps later instructions from starting before it. */
static inline uint64_t counter_read(void)
{
    uint64_t ticks;

    __asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(ticks) : : "memory");
    return ticks;
}
#else
#define COUNTER ""
static inline uint64_t counter_read(void)
{
    return 0; /* never in use: counter_usable says no */
}
#endif

static uint64_t gettime_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static inline uint64_t convert(uint64_t ticks, uint32_t mult, uint32_t shift)
{
    return (uint64_t)((unsigned __int128)ticks * mult >> shift);
}

uint64_t clock_ticks_to_ns(const struct clock_info *info, uint64_t ticks)
{
    return convert(ticks, info->mult, info->shift);
}

/* The counter is converted from its own zero, not from a base: then two processes with the same
 * clock_info agree. */
uint64_t tl_now_ns(void)
{
    if (__builtin_expect(in_use.counter, 1))
        return convert(counter_read(), in_use.mult, in_use.shift);
    return gettime_ns(CLOCK_MONOTONIC);
}

/* No pause instruction: it takes up to 140 cycles, more than the shortest times asked for. With
 * clock_gettime on a clock source that the vDSO cannot read this does enter the kernel; the record
 * shows it as the clock's cost. */
void tl_spin_ns(uint64_t ns)
{
    uint64_t start = tl_now_ns();

    while (tl_now_ns() - start < ns)
        ;
}

void clock_use(const struct clock_info *info)
{
    in_use.mult = info->mult;
    in_use.shift = info->shift;
    in_use.counter = COUNTER[0] && info->mult && strcmp(info->source, COUNTER) == 0;
}

uint64_t clock_min_sample_ns(const struct clock_info *info)
{
    return (uint64_t)ceil(1000 * fmax(info->cost_ns, info->resolution_ns));
}

#if defined(__x86_64__) || defined(__aarch64__)
/* The words of a one-line sysfs file; "" if it cannot be read. */
static void read_line(const char *path, char *line, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, line, size - 1);

    if (fd >= 0)
        close(fd);
    line[n < 0 ? 0 : n] = '\0';
    line[strcspn(line, "\n")] = '\0';
}

static bool has_word(const char *line, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = line; (at = strstr(at, word)); at += length)
        if ((at == line || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}
#endif

#define CLOCKSOURCE "/sys/devices/system/clocksource/clocksource0/"

/* Does the counter tick at one rate, through sleep states and alike on all CPUs? The CPU promises
 * the first two; only the kernel has compared the CPUs with each other. It keeps "tsc" among the
 * available sources as long as it has found nothing wrong, also where a hypervisor's clock derived
 * from the TSC is the current one: kvm-clock and Hyper-V's TSC page are therefore accepted. */
static bool counter_usable(char *why, size_t size)
{
#if defined(__x86_64__)
    unsigned a, b, c, d;
    char current[64], available[256];

    if (!__get_cpuid(0x80000007, &a, &b, &c, &d) || !(d & 1u << 8)) {
        snprintf(why, size, "the TSC is not invariant (CPUID 80000007H EDX bit 8 is 0)");
        return false;
    }
    read_line(CLOCKSOURCE "current_clocksource", current, sizeof(current));
    read_line(CLOCKSOURCE "available_clocksource", available, sizeof(available));
    if (!current[0]) {
        snprintf(why, size, "the kernel's clock source is unknown (sysfs cannot be read)");
        return false;
    }
    if (strcmp(current, "tsc") == 0)
        return true;
    if (has_word(available, "tsc") &&
        (strcmp(current, "kvm-clock") == 0 || strcmp(current, "hyperv_clocksource_tsc_page") == 0))
        return true;
    snprintf(why, size, "the kernel's clock source is %.40s, not tsc", current);
    return false;
#elif defined(__aarch64__)
    char current[64];

    read_line(CLOCKSOURCE "current_clocksource", current, sizeof(current));
    if (has_word(current, "arch_sys_counter"))
        return true;
    snprintf(why, size, "the kernel's clock source is %.40s, not arch_sys_counter",
             current[0] ? current : "unknown");
    return false;
#else
    snprintf(why, size, "no counter is known for this architecture");
    return false;
#endif
}

struct anchor {
    uint64_t ticks, ns;
};

/* The same moment on both clocks: the try with the narrowest bracket of counter readings, so that a
 * preemption in between spoils one try only. MONOTONIC_RAW, because NTP slews the other one. */
static struct anchor anchor_take(clockid_t reference)
{
    struct anchor best = {0, 0};
    uint64_t narrowest = UINT64_MAX;

    for (int i = 0; i < ANCHOR_TRIES; i++) {
        uint64_t before = counter_read(), ns = gettime_ns(reference), after = counter_read();

        if (after - before < narrowest) {
            narrowest = after - before;
            best = (struct anchor){before + narrowest / 2, ns};
        }
    }
    return best;
}

static double rate(const struct anchor *from, const struct anchor *to)
{
    return (double)(to->ticks - from->ticks) * NS_PER_S / (double)(to->ns - from->ns);
}

/* hz over the whole span; the spread of three estimates over half of it each. */
static bool calibrate_counter(struct clock_info *out)
{
    struct timespec gap = {.tv_nsec = ANCHOR_GAP_NS}, t;
    clockid_t reference =
        clock_gettime(CLOCK_MONOTONIC_RAW, &t) == 0 ? CLOCK_MONOTONIC_RAW : CLOCK_MONOTONIC;
    struct anchor a[ANCHORS];
    double hz, low = HUGE_VAL, high = 0;

    for (int i = 0; i < ANCHORS; i++) {
        if (i > 0)
            nanosleep(&gap, NULL);
        a[i] = anchor_take(reference);
        if (i > 0 && (a[i].ticks <= a[i - 1].ticks || a[i].ns <= a[i - 1].ns))
            return false;
    }
    hz = rate(&a[0], &a[ANCHORS - 1]);
    for (int i = 0; i < ANCHORS / 2; i++) {
        double half = rate(&a[i], &a[i + ANCHORS / 2]);

        low = fmin(low, half);
        high = fmax(high, half);
    }
    if (hz < 1e6 || hz > 1e11)
        return false;
    out->hz = (uint64_t)llround(hz);
    out->error_ppm = (high - low) / hz * 1e6;

    /* The largest shift that keeps mult within 32 bits: a rounding error of at most 2^-32. */
    out->shift = 0;
    while (out->shift < 63 && ldexp(NS_PER_S / hz, (int)out->shift + 1) < 4294967295.0)
        out->shift++;
    out->mult = (uint32_t)llround(ldexp(NS_PER_S / hz, (int)out->shift));
    return true;
}

static void measure_reading(struct clock_info *out)
{
    enum { BATCHES = 20, READS = 1000 };
    uint64_t step = UINT64_MAX;

    out->cost_ns = HUGE_VAL;
    for (int b = 0; b < BATCHES; b++) {
        uint64_t start = tl_now_ns(), last = start, now = start;

        for (int i = 0; i < READS; i++) {
            now = tl_now_ns();
            if (now > last && now - last < step)
                step = now - last;
            last = now;
        }
        if (now > start)
            out->cost_ns = fmin(out->cost_ns, (double)(now - start) / READS);
    }
    /* A clock that stood still through all batches: wait for its next step. */
    if (step == UINT64_MAX) {
        uint64_t start = tl_now_ns(), now, n = 0;

        while ((now = tl_now_ns()) == start)
            ;
        for (start = now; (now = tl_now_ns()) == start; n++)
            ;
        step = now - start;
        out->cost_ns = (double)step / (double)(n + 1);
    }
    out->resolution_ns = (double)step;
}

static void choose_gettime(struct clock_info *out)
{
    snprintf(out->source, sizeof(out->source), "clock_gettime");
    out->hz = NS_PER_S;
    out->mult = 1;
    out->shift = 0;
    out->error_ppm = 0;
}

int clock_calibrate(struct clock_info *out)
{
    const char *wish = getenv("THREADLAB_CLOCK");
    char why[100] = "";
    bool usable;
    int error = 0;

    memset(out, 0, sizeof(*out));
    choose_gettime(out);
    usable = counter_usable(why, sizeof(why));

    if (wish && !wish[0])
        wish = NULL;
    if (wish && strcmp(wish, "clock_gettime") == 0) {
        snprintf(out->reason, sizeof(out->reason), "THREADLAB_CLOCK=clock_gettime");
    } else if (wish && strcmp(wish, "tsc") != 0 && strcmp(wish, "cntvct") != 0) {
        snprintf(out->reason, sizeof(out->reason),
                 "THREADLAB_CLOCK=%.30s is unknown: clock_gettime%s%s", wish,
                 COUNTER[0] ? " or " : "", COUNTER);
        error = EINVAL;
    } else if (wish && strcmp(wish, COUNTER) != 0) {
        snprintf(out->reason, sizeof(out->reason),
                 "THREADLAB_CLOCK=%.30s: this architecture has no such counter", wish);
        error = ENOTSUP;
    } else if (!usable && !wish) {
        snprintf(out->reason, sizeof(out->reason), "%s", why);
    } else if (!calibrate_counter(out)) {
        snprintf(out->reason, sizeof(out->reason),
                 "the counter does not advance with CLOCK_MONOTONIC_RAW");
        choose_gettime(out);
    } else {
        snprintf(out->source, sizeof(out->source), "%s", COUNTER);
        if (!usable)
            snprintf(out->reason, sizeof(out->reason), "forced, although %.90s", why);
    }
    clock_use(out);
    measure_reading(out);
    return error;
}
