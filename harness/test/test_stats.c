/* test_stats.c - histogram buckets, quantiles, process values, linearity. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "bench.h"
#include "hist.h"
#include "stats.h"

#include <math.h>
#include <string.h>

static void every_value_is_in_its_bucket(void **state)
{
    (void)state;
    uint64_t random = 1, low, high;
    for (int i = 0; i < 200000; i++) {
        uint64_t v = tl_random(&random) >> (tl_random(&random) % 64);
        hist_bounds(hist_bucket(v), &low, &high);
        assert_true(low <= v && (v < high || high == INT64_MAX));
        if (v >= HIST_EXACT && high != INT64_MAX)
            assert_true(high - low <= low / HIST_SUB);
    }
}

static void buckets_are_contiguous(void **state)
{
    (void)state;
    uint64_t low, high, last = 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        hist_bounds(i, &low, &high);
        assert_int_equal(low, last);
        assert_int_equal(hist_bucket(low), i);
        last = high;
    }
}

static void a_percentile_is_one_of_the_values(void **state)
{
    (void)state;
    double values[40];
    for (int n = 1; n <= 40; n++) {
        for (int i = 0; i < n; i++)
            values[i] = n - i; /* n .. 1 */
        assert_true(stats_percentile(values, (size_t)n, 95) == (n < 20 ? n : n < 40 ? n - 1 : 38));
        assert_true(stats_percentile(values, (size_t)n, 100) == n);
    }
}

static void only_an_open_gate_counts(void **state)
{
    (void)state;
    static struct tl_hist h;
    memset(&h, 0, sizeof h);
    hist_gate(false);
    tl_record(&h, 5);
    assert_int_equal(hist_count(&h), 0);
    hist_gate(true);
    for (uint64_t i = 1; i <= 1000; i++)
        tl_record(&h, i);
    hist_gate(false);
    assert_int_equal(hist_count(&h), 1000);
    assert_int_equal(h.max, 1000);
    assert_in_range(hist_quantile(&h, 0.5), 500, 516);
    assert_in_range(hist_quantile(&h, 0.99), 990, 1000);
    assert_int_equal(hist_quantile(&h, 1), 1000);
}

static void value_is_the_least_batch(void **state)
{
    (void)state;
    struct cell_batch b[] = {{100, 10}, {190, 20}, {120, 10}, {400, 20}};
    assert_true(stats_process_value(b, 4) == 9.5);
    assert_true(isnan(stats_process_value(b, 0)));
}

static void linearity_sees_a_hidden_constant(void **state)
{
    (void)state;
    struct cell_batch honest[] = {{1000, 10}, {2000, 20}, {1010, 10}, {2020, 20}};
    struct cell_batch hidden[] = {{2000, 10}, {3000, 20}, {2000, 10}, {3000, 20}};
    struct cell_batch single[] = {{1000, 10}, {1000, 10}};
    assert_true(fabs(stats_linearity(honest, 4) - 1) < 1e-9);
    assert_true(fabs(stats_linearity(hidden, 4) - 0.75) < 1e-9);
    assert_true(isnan(stats_linearity(single, 2)));
}

static void median_of_even_and_odd(void **state)
{
    (void)state;
    double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2};
    assert_true(stats_median(odd, 3) == 2);
    assert_true(stats_median(even, 4) == 2.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_is_in_its_bucket),
        cmocka_unit_test(buckets_are_contiguous),
        cmocka_unit_test(a_percentile_is_one_of_the_values),
        cmocka_unit_test(only_an_open_gate_counts),
        cmocka_unit_test(value_is_the_least_batch),
        cmocka_unit_test(linearity_sees_a_hidden_constant),
        cmocka_unit_test(median_of_even_and_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
