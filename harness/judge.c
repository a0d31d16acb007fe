/* judge.c - see judge.h. Each threshold is an engineering margin, explained where it stands. */
#include "judge.h"
#include "stats.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Time per op at 2n over that at n. A hidden constant of a fifth of the window gives 0.8; the least
 * of four batches varies by a few per cent. */
#define LINEAR_LOW 0.80
#define LINEAR_HIGH 1.25
/* Of the timed windows; but not less than one tick, the grain of /proc/stat. */
#define STEAL_SHARE 0.01
/* Of the time of the PUs used, beyond two ticks each (one at either end). The last steps of a
 * kernel thread are charged to nobody: up to a fifth of the time where threads come and go
 * (create.batch on 6.18, an idle machine). */
#define FOREIGN_SHARE 0.20
/* Events per op that stem from the harness and the timer interrupt. */
#define RATE_SLACK 0.01

static void distrust(struct judgement *j, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void distrust(struct judgement *j, const char *format, ...)
{
    va_list args;
    j->trusted = false;
    if (j->n == JUDGE_REASONS)
        return;
    va_start(args, format);
    vsnprintf(j->reasons[j->n++], sizeof j->reasons[0], format, args);
    va_end(args);
}

static void judge_windows(struct judgement *j, const struct clock_info *clock,
                          const struct cell_result *t)
{
    uint64_t least = UINT64_MAX, wanted = clock_min_sample_ns(clock);
    for (int i = 0; i < t->nbatches; i++)
        if (t->batches[i].ns < least)
            least = t->batches[i].ns;
    if (t->nbatches == 0)
        distrust(j, "no batch was timed");
    else if (least < wanted)
        distrust(j, "a batch took %llu ns: shorter than 1000 clock readings (%llu ns)",
                 (unsigned long long)least, (unsigned long long)wanted);
}

static void judge_linearity(struct judgement *j, const struct cell_result *t)
{
    j->linearity = stats_linearity(t->batches, t->nbatches);
    if (t->expect.not_linear)
        return;
    if (j->linearity < LINEAR_LOW || j->linearity > LINEAR_HIGH)
        distrust(j, "not linear: an op of a batch of 2n takes %.2f times one of n", j->linearity);
}

static void judge_noise(struct judgement *j, const struct cell_spec *spec,
                        const struct cell_result *t)
{
    const struct noise *noise = &t->noise;
    /* With a baton the time of the others' turns is in what was counted. */
    double window = (double)(t->baton.seats ? noise->wall_ns : t->timed_ns);
    double pus = spec->place.ncpus;
    double tick = (double)noise->tick_ns;
    if (!noise->stat_known)
        return;
    double steal = (double)noise->steal_ns, foreign = (double)noise->foreign_ns;
    if (steal > fmax(tick, STEAL_SHARE * window * pus))
        distrust(j, "the hypervisor took %.1f ms of %.1f ms", steal / 1e6, window * pus / 1e6);
    if (foreign > 2 * tick * pus + FOREIGN_SHARE * window * pus)
        distrust(j, "other processes ran for %.1f ms on its PUs, in %.1f ms", foreign / 1e6,
                 window * pus / 1e6);
}

static void judge_rate(struct judgement *j, struct judge_rate *rate, const char *words)
{
    const struct tl_range *d = &rate->declared;
    if (!rate->known || d->max < 0)
        return;
    if (rate->seen < d->min - RATE_SLACK || rate->seen > d->max + RATE_SLACK)
        distrust(j, "%.3f %s per op were seen; the benchmark declares %g to %g", rate->seen, words,
                 d->min, d->max);
}

static uint64_t all_ops(const struct cell_result *t)
{
    uint64_t ops = 0;
    for (int i = 0; i < t->nbatches; i++)
        ops += t->batches[i].ops;
    return ops;
}

static const struct pmu_count *find_count(const struct cell_result *counted, const char *event)
{
    for (int i = 0; counted && i < PMU_MAX_EVENTS; i++)
        if (strcmp(counted->counters[i].event, event) == 0)
            return &counted->counters[i];
    return NULL;
}

static void judge_switches(struct judgement *j, const struct cell_result *t)
{
    struct judge_rate *rate = &j->rates[0];
    uint64_t ops = all_ops(t);
    *rate = (struct judge_rate){.name = "switches_per_op", .declared = t->expect.switches};
    if (!t->usage_known || ops == 0) {
        snprintf(rate->reason, sizeof rate->reason, "getrusage was not asked");
        return;
    }
    /* A neighbour's preemptions are switches too: they are not held against the upper bound. */
    double voluntary = (double)t->usage.voluntary_switches / (double)ops;
    double all = voluntary + (double)t->usage.involuntary_switches / (double)ops;
    rate->known = true;
    rate->seen = rate->declared.max >= 0 && all > rate->declared.max ? voluntary : all;
    judge_rate(j, rate, "context switches");
}

static void judge_syscalls(struct judgement *j, const struct cell_result *t,
                           const struct cell_result *counted, const char *count_reason)
{
    struct judge_rate *rate = &j->rates[1];
    const struct pmu_count *c = find_count(counted, "raw_syscalls:sys_enter");
    *rate = (struct judge_rate){.name = "syscalls_per_op", .declared = t->expect.syscalls};
    if (!c || !c->available || counted->counted_ops == 0) {
        snprintf(rate->reason, sizeof rate->reason, "%s",
                 c && c->reason[0] ? c->reason
                 : counted         ? "raw_syscalls:sys_enter was not counted"
                                   : count_reason);
        return;
    }
    rate->known = true;
    rate->seen = (double)c->value / (double)counted->counted_ops;
    judge_rate(j, rate, "system calls");
}

/* Of the timed windows, and of the counting pass, which also sees threads that came and went. Where
 * there are several PUs, every thread may move once, when it is pinned; on one there is nowhere to
 * go: the first thread was pinned before, and the others begin where it is. */
static void judge_migrations(struct judgement *j, const struct cell_spec *spec,
                             const struct cell_result *t, const struct cell_result *counted)
{
    const struct pmu_count *c = find_count(counted, "cpu-migrations");
    uint64_t timed = t->noise_known && t->noise.migrations_known ? t->noise.migrations : 0;
    uint64_t seen = timed > 0 ? timed : c && c->available ? c->value : 0;
    if (spec->place.ncpus == 1 && seen > 0)
        distrust(j, "%llu migrations between PUs in the %s although all is placed on one",
                 (unsigned long long)seen, timed > 0 ? "timed windows" : "counting pass");
}

void judge(const struct cell_spec *spec, const struct clock_info *clock,
           const struct cell_result *timed, const struct cell_result *counted,
           const char *count_reason, struct judgement *out)
{
    memset(out, 0, sizeof *out);
    out->trusted = true;
    judge_windows(out, clock, timed);
    judge_linearity(out, timed);
    if (timed->noise_known)
        judge_noise(out, spec, timed);
    judge_switches(out, timed);
    judge_syscalls(out, timed, counted, count_reason);
    judge_migrations(out, spec, timed, counted);
}
