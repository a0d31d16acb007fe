/*
 * truth.c - do the hardware counters tell the truth? Counts loops of a known number of instructions
 * through pmu.h, the path of every cell. For a machine with a PMU: that of scripts/lab, or a real
 * one. TAP on standard output; exit status 1 if a count is off.
 *
 * The loop has two instructions a turn, so TURNS turns are 2 TURNS instructions, besides some
 * hundred for starting and stopping: a count is to be within 0.1% (TOLERANCE).
 *
 * On a machine with one CPU all must be right. An emulator that counts for all its CPUs together
 * (QEMU; THREADLAB_EMULATED) charges a thread with what other CPUs execute while it runs: there
 * such a count is told and skipped, as no count of a thread can be had. All but the last two stay
 * on one CPU, so that they are charged with no more than what the kernel does on the others.
 */
#include "pmu.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TURNS UINT64_C(5000000)
#define PER_TURN 2
#define TOLERANCE 0.001
#define THREADS 4
#define CALLS 20000

#define EVENTS_MAX 12

static int number, failed;
static int cpus[2], ncpus; /* the first two that are allowed */

static void loop(uint64_t turns)
{
#if defined(__aarch64__)
    __asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(turns) : : "cc");
#elif defined(__x86_64__)
    __asm__ volatile("1: decq %0\n\tjnz 1b" : "+r"(turns) : : "cc");
#else
#error "truth.c: no loop for this architecture"
#endif
}

static void verdict(bool ok, const char *what, const char *format, double a, double b)
{
    printf("%s %d - %s: ", ok ? "ok" : "not ok", ++number, what);
    printf(format, a, b);
    printf("\n");
    failed += !ok;
}

/* The emulator's only counter goes on while other CPUs have their turns: too much, by no more than
 * they could execute in that time, has that cause. Too little has none. */
static bool by_other_cpus(double seen, double wanted)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);

    return getenv("THREADLAB_EMULATED") && online > 1 && seen > wanted &&
           seen <= (double)online * wanted * (1 + TOLERANCE);
}

static void near(const char *what, double seen, double wanted)
{
    bool right = fabs(seen - wanted) <= TOLERANCE * wanted;

    if (right || !by_other_cpus(seen, wanted))
        verdict(right, what, "%.0f counted, %.0f executed", seen, wanted);
    else
        printf("ok %d - %s # SKIP %.4f times of what was executed is counted: the emulator has one "
               "counter for all its CPUs\n",
               ++number, what, seen / wanted);
}

/* Of this thread, and of those that it creates. */
static void stay_on(int first, int n)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (int i = first; i < first + n; i++)
        CPU_SET((size_t)cpus[i], &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void find_cpus(void)
{
    cpu_set_t set;

    sched_getaffinity(0, sizeof set, &set);
    for (int cpu = 0; cpu < CPU_SETSIZE && ncpus < 2; cpu++)
        if (CPU_ISSET((size_t)cpu, &set))
            cpus[ncpus++] = cpu;
}

/* Counts body() by the events. False: one of them is not there; that is a failure here. */
static bool count(const char *const *events, size_t n, void (*body)(void), struct pmu_count *out)
{
    static struct pmu_code codes[EVENTS_MAX];
    struct pmu_set *set;
    bool all = true;

    for (size_t i = 0; i < n; i++)
        pmu_encode(events[i], &codes[i]);
    set = pmu_open(codes, n);
    if (!set)
        return false;
    pmu_start(set);
    body();
    pmu_stop(set);
    pmu_read(set, out);
    pmu_close(set);
    for (size_t i = 0; i < n; i++)
        if (!out[i].available) {
            printf("not ok %d - %s cannot be counted: %s\n", ++number, events[i], out[i].reason);
            failed++;
            all = false;
        }
    return all;
}

static void once(void)
{
    loop(TURNS);
}

static void *turns_of_thread(void *arg)
{
    loop(*(uint64_t *)arg);
    return NULL;
}

/* Thread i takes i + 1 parts. */
static void threads(void)
{
    pthread_t t[THREADS];
    uint64_t turns[THREADS];

    for (int i = 0; i < THREADS; i++) {
        turns[i] = TURNS / THREADS * (uint64_t)(i + 1);
        pthread_create(&t[i], NULL, turns_of_thread, &turns[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
}

static void calls(void)
{
    for (int i = 0; i < CALLS; i++)
        syscall(SYS_getppid);
}

static void long_loop(void)
{
    loop(20 * TURNS);
}

static void one_event(void)
{
    static const char *const names[] = {"instructions:u", "INST_RETIRED:u"};
    struct pmu_count out[2];

    if (count(names, 1, once, out))
        near("a loop, by the kernel's generic event", (double)out[0].value, TURNS * PER_TURN);
    if (count(names + 1, 1, once, out))
        near("a loop, by libpfm4's event of this CPU", (double)out[0].value, TURNS * PER_TURN);
}

static void inherited(void)
{
    static const char *const names[] = {"instructions:u"};
    struct pmu_count out[1];
    uint64_t turns = TURNS / THREADS * (THREADS * (THREADS + 1) / 2);

    if (count(names, 1, threads, out))
        near("loops of four threads, added up", (double)out[0].value, (double)(turns * PER_TURN));
}

/* A thread that counts itself, while it is counted as one of the process. */
struct counted_thread {
    uint64_t turns;
    struct pmu_count own;
};

static struct counted_thread counted[THREADS];
static struct pmu_code own_code;

static void *turns_counted(void *arg)
{
    struct counted_thread *me = arg;
    struct pmu_set *set = pmu_open(&own_code, 1);

    if (!set)
        return NULL;
    pmu_start(set);
    loop(me->turns);
    pmu_stop(set);
    pmu_read(set, &me->own);
    pmu_close(set);
    return NULL;
}

static void counted_threads(void)
{
    pthread_t t[THREADS];

    for (int i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, turns_counted, &counted[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
}

/* Each thread's own count is of its own loop, and together they are what the process has counted.
 */
static void each_thread(void)
{
    static const char *const names[] = {"instructions:u"};
    struct pmu_count out[1];
    double sum = 0, worst = 0, executed = 0;

    pmu_encode(names[0], &own_code);
    for (int i = 0; i < THREADS; i++)
        counted[i].turns = TURNS * (uint64_t)(i + 1);
    if (!count(names, 1, counted_threads, out))
        return;
    for (int i = 0; i < THREADS; i++) {
        double wanted = (double)(counted[i].turns * PER_TURN);

        sum += (double)counted[i].own.value;
        executed += wanted;
        worst = fmax(worst, fabs((double)counted[i].own.value / wanted - 1));
    }
    verdict(worst <= TOLERANCE, "each of four threads counts its own loop",
            "the worst is off by %.4f%% of %.0f executed", 100 * worst, executed);
    near("what the threads counted of themselves, added up, of what the process has counted", sum,
         (double)out[0].value);
}

static void split(void)
{
    static const char *const names[] = {"instructions:u", "instructions:k"};
    struct pmu_count quiet[2], busy[2];

    if (!count(names, 2, once, quiet) || !count(names, 2, calls, busy))
        return;
    verdict(quiet[1].value < quiet[0].value / 10, "a loop executes in user mode only",
            "%.0f in the kernel of %.0f", (double)quiet[1].value, (double)quiet[0].value);
    verdict(busy[1].value > 50 * (uint64_t)CALLS && busy[0].value < 50 * (uint64_t)CALLS,
            "system calls execute in the kernel mostly", "%.1f in the kernel and %.1f beside, each",
            (double)busy[1].value / CALLS, (double)busy[0].value / CALLS);
}

static void grouped(void)
{
    static const char *const names[] = {"cycles:u", "instructions:u"};
    struct pmu_count out[2];

    if (!count(names, 2, once, out))
        return;
    near("a loop, in a group with the cycles", (double)out[1].value, TURNS * PER_TURN);
    verdict(out[0].enabled_ns == out[1].enabled_ns && out[0].running_ns == out[1].running_ns &&
                out[0].running_ns == out[0].enabled_ns,
            "a group runs together, all of the time", "%.0f ns of %.0f ns",
            (double)out[0].running_ns, (double)out[0].enabled_ns);
}

/* More events than counters. How long each had one is told, and the scaled count is right to some
 * per cent: the kernel rotates at its ticks. */
static void multiplexed(void)
{
    static const char *const names[EVENTS_MAX] = {
        "INST_RETIRED:u", "INST_RETIRED:u", "INST_RETIRED:u", "INST_RETIRED:u",
        "INST_RETIRED:u", "INST_RETIRED:u", "INST_RETIRED:u", "INST_RETIRED:u",
        "INST_RETIRED:u", "INST_RETIRED:u", "INST_RETIRED:u", "INST_RETIRED:u"};
    struct pmu_count out[EVENTS_MAX];
    double worst = 0, share = 0;

    if (!count(names, EVENTS_MAX, long_loop, out))
        return;
    for (int i = 0; i < EVENTS_MAX; i++) {
        double ran = (double)out[i].running_ns / (double)out[i].enabled_ns;
        double off = fabs((double)out[i].value / ran / (double)(20 * TURNS * PER_TURN) - 1);

        worst = fmax(worst, off);
        share += ran / EVENTS_MAX;
    }
    verdict(share < 0.9, "twelve events take turns at the counters", "each ran %.0f%% of %.0f%%",
            100 * share, 100);
    verdict(worst < 0.1, "a scaled count is right to a tenth", "the worst is off by %.2f%% of %.0f",
            100 * worst, (double)(20 * TURNS * PER_TURN));
}

static pthread_barrier_t both;

static void *turns_elsewhere(void *arg)
{
    stay_on(*(int *)arg, 1);
    pthread_barrier_wait(&both);
    loop(TURNS);
    return NULL;
}

static void together(void)
{
    pthread_t t[2];
    int which[] = {0, 1};

    pthread_barrier_init(&both, NULL, 2);
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, turns_elsewhere, &which[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    pthread_barrier_destroy(&both);
}

/* What one counts is not what its neighbour executes. */
static void two_cpus(void)
{
    static const char *const names[] = {"instructions:u"};
    struct pmu_count out[1];

    if (ncpus < 2) {
        printf("ok %d - threads on two CPUs at once # SKIP this machine has one\n", ++number);
        return;
    }
    if (count(names, 1, together, out))
        near("loops of two threads at once, added up", (double)out[0].value,
             2.0 * TURNS * PER_TURN);
    pid_t neighbour = fork();
    if (neighbour == 0) {
        stay_on(1, 1);
        for (;;)
            loop(TURNS);
    }
    usleep(10000); /* until it is there; were it not, the count would be right all the more */
    if (count(names, 1, once, out))
        near("a loop beside a busy process", (double)out[0].value, TURNS * PER_TURN);
    if (neighbour > 0) {
        kill(neighbour, SIGKILL);
        waitpid(neighbour, NULL, 0);
    }
}

int main(void)
{
    printf("TAP version 13\n");
    find_cpus();
    stay_on(0, 1);
    one_event();
    inherited();
    each_thread();
    split();
    grouped();
    multiplexed();
    two_cpus();
    printf("1..%d\n", number);
    return failed ? 1 : 0;
}
