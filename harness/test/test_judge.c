/* test_judge.c - each self-check of a sample is seen to fire, and a clean sample to pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)

static struct cell_spec spec;
static struct cell_result *timed, *counted;
static const struct clock_info clock_info = {.cost_ns = 20, .resolution_ns = 10};

/* 8 batches of 1 ms and 2 ms, 1 us an op, on one quiet PU, no switches. */
static int clean(void **state)
{
    (void)state;
    memset(&spec, 0, sizeof spec);
    spec.place.ncpus = 1;
    timed = calloc(1, sizeof *timed);
    counted = calloc(1, sizeof *counted);
    if (!timed || !counted)
        return -1;
    for (int i = 0; i < 8; i++) {
        uint64_t ms = i % 2 ? 2 : 1;
        timed->batches[i] = (struct cell_batch){ms * MS, ms * 1000};
        timed->timed_ns += ms * MS;
    }
    timed->nbatches = 8;
    timed->usage_known = timed->noise_known = true;
    timed->noise.stat_known = true;
    timed->noise.tick_ns = 10 * MS;
    timed->expect = (struct tl_expect){.switches = TL_ANY, .syscalls = TL_ANY};
    counted->counted_ops = 1000;
    snprintf(counted->counters[0].event, PMU_NAME_SIZE, "raw_syscalls:sys_enter");
    counted->counters[0].available = true;
    snprintf(counted->counters[1].event, PMU_NAME_SIZE, "cpu-migrations");
    counted->counters[1].available = true;
    return 0;
}

static int drop(void **state)
{
    (void)state;
    free(timed);
    free(counted);
    return 0;
}

static struct judgement judged(void)
{
    struct judgement j;
    judge(&spec, &clock_info, timed, counted, "", &j);
    return j;
}

static void assert_distrusted(const char *words)
{
    struct judgement j = judged();
    assert_false(j.trusted);
    assert_int_equal(j.n, 1);
    assert_non_null(strstr(j.reasons[0], words));
}

static void a_clean_sample_is_trusted(void **state)
{
    (void)state;
    struct judgement j = judged();
    assert_true(j.trusted);
    assert_int_equal(j.n, 0);
    assert_true(j.linearity > 0.999 && j.linearity < 1.001);
    assert_true(j.rates[0].known && j.rates[0].seen == 0);
    assert_true(j.rates[1].known && j.rates[1].seen == 0);
}

static void a_short_window(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++)
        timed->batches[i].ns /= 100; /* 10 us against 1000 readings of 20 ns */
    assert_distrusted("shorter than 1000 clock readings");
}

static void a_constant_in_the_window(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++)
        timed->batches[i].ns += MS;
    assert_distrusted("not linear");
    timed->expect.not_linear = true;
    assert_true(judged().trusted);
}

static void stolen_time(void **state)
{
    (void)state;
    timed->noise.steal_ns = 10 * MS; /* one tick: may be rounding */
    assert_true(judged().trusted);
    timed->noise.steal_ns = 20 * MS;
    assert_distrusted("hypervisor");
    timed->noise.stat_known = false; /* then nothing can be said */
    assert_true(judged().trusted);
}

static void foreign_time(void **state)
{
    (void)state;
    timed->noise.foreign_ns = 22 * (int64_t)MS; /* two ticks, and a fifth of 12 ms */
    assert_true(judged().trusted);
    timed->noise.foreign_ns = 30 * (int64_t)MS;
    assert_distrusted("other processes");
    timed->noise.foreign_ns = -30 * (int64_t)MS; /* rounding */
    assert_true(judged().trusted);
}

static void switches_beside_the_declared(void **state)
{
    (void)state;
    timed->expect.switches = (struct tl_range){1, 2};
    assert_distrusted("0.000 context switches per op");
    timed->usage.voluntary_switches = 12000; /* 1 an op */
    assert_true(judged().trusted);
    timed->usage.involuntary_switches = 60000; /* a neighbour's doing */
    assert_true(judged().trusted);
    timed->usage.voluntary_switches = 36000;
    assert_distrusted("declares 1 to 2");
}

static void system_calls_beside_the_declared(void **state)
{
    (void)state;
    timed->expect.syscalls = (struct tl_range){0, 0};
    assert_true(judged().trusted);
    counted->counters[0].value = 2000;
    assert_distrusted("2.000 system calls per op");
    counted->counters[0].available = false;
    struct judgement j = judged();
    assert_true(j.trusted);
    assert_false(j.rates[1].known);
    assert_true(j.rates[1].reason[0] != '\0');
}

static void migrations_on_one_pu(void **state)
{
    (void)state;
    counted->counters[1].value = 1;
    assert_distrusted("1 migrations between PUs in the counting pass");
    timed->noise.migrations_known = true;
    assert_distrusted("in the counting pass");
    timed->noise.migrations = 3; /* one reason, not two */
    assert_distrusted("3 migrations between PUs in the timed windows");
    counted->counters[1].value = 0;
    assert_distrusted("3 migrations between PUs in the timed windows");
    spec.place.ncpus = 2; /* there a thread may move when it is pinned */
    assert_true(judged().trusted);
    spec.place.ncpus = 1;
    timed->noise.migrations_known = false;
    assert_true(judged().trusted);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, clean, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_clean_sample_is_trusted),
        CASE(a_short_window),
        CASE(a_constant_in_the_window),
        CASE(stolen_time),
        CASE(foreign_time),
        CASE(switches_beside_the_declared),
        CASE(system_calls_beside_the_declared),
        CASE(migrations_on_one_pu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
