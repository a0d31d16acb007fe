/*
 * test_clock.c - the clock's arithmetic, its choice, and that it never runs backwards. Nothing here
 * asks how long anything takes: a busy machine must not turn it red.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench.h"
#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void conversion_is_exact_and_wide(void **state)
{
    struct clock_info info = {.mult = 1, .shift = 0};

    (void)state;
    assert_int_equal(clock_ticks_to_ns(&info, 0), 0);
    assert_int_equal(clock_ticks_to_ns(&info, UINT64_MAX), UINT64_MAX);
    info.mult = 1717986918; /* 2.5 GHz: 0.4 * 2^32 */
    info.shift = 32;
    assert_int_equal(clock_ticks_to_ns(&info, 2500000000u), 999999999);
    /* A hundred years of ticks: 64-bit arithmetic would have wrapped after 4 s. */
    assert_int_equal(clock_ticks_to_ns(&info, UINT64_C(7884000000000000000)),
                     UINT64_C(3153599999265745282));
    info.mult = UINT32_MAX;
    assert_int_equal(clock_ticks_to_ns(&info, UINT64_MAX), UINT64_C(18446744069414584319));
}

static void conversion_is_monotone(void **state)
{
    struct clock_info info = {.mult = 2796202667u, .shift = 26}; /* 24 MHz */

    (void)state;
    for (int bit = 0; bit < 58; bit++)
        for (uint64_t i = 0; i < 64; i++) {
            uint64_t ticks = (UINT64_C(1) << bit) + i;

            assert_true(clock_ticks_to_ns(&info, ticks) <= clock_ticks_to_ns(&info, ticks + 1));
        }
}

static void calibration_is_complete(void **state)
{
    struct clock_info info;

    (void)state;
    unsetenv("THREADLAB_CLOCK");
    assert_int_equal(clock_calibrate(&info), 0);
    if (strcmp(info.source, "clock_gettime") == 0)
        assert_string_not_equal(info.reason, "");
    else
        assert_true(strcmp(info.source, "tsc") == 0 || strcmp(info.source, "cntvct") == 0);
    assert_true(info.hz >= 1000000 && info.mult > 0 && info.shift < 64);
    assert_true(info.cost_ns > 0 && info.resolution_ns >= 1 && info.error_ppm >= 0);
    assert_true(clock_min_sample_ns(&info) >= 1000);
    /* mult and shift agree with hz: one second of ticks is one second, within 1 us. */
    assert_in_range(clock_ticks_to_ns(&info, info.hz), 999999000, 1000001000);
}

static void override_is_obeyed(void **state)
{
    struct clock_info info;

    (void)state;
    setenv("THREADLAB_CLOCK", "clock_gettime", 1);
    assert_int_equal(clock_calibrate(&info), 0);
    assert_string_equal(info.source, "clock_gettime");
    assert_string_not_equal(info.reason, "");
    setenv("THREADLAB_CLOCK", "sundial", 1);
    assert_int_equal(clock_calibrate(&info), EINVAL);
    assert_non_null(strstr(info.reason, "sundial"));
#if defined(__x86_64__)
    setenv("THREADLAB_CLOCK", "tsc", 1);
    assert_int_equal(clock_calibrate(&info), 0);
    assert_string_equal(info.source, "tsc");
    setenv("THREADLAB_CLOCK", "cntvct", 1);
    assert_int_equal(clock_calibrate(&info), ENOTSUP);
    assert_string_equal(info.source, "clock_gettime");
#endif
    unsetenv("THREADLAB_CLOCK");
}

static void time_never_runs_backwards(void **state)
{
    struct clock_info info;

    (void)state;
    for (int forced = 0; forced < 2; forced++) {
        uint64_t last = 0;

        if (forced)
            setenv("THREADLAB_CLOCK", "clock_gettime", 1);
        assert_int_equal(clock_calibrate(&info), 0);
        for (int i = 0; i < 100000; i++) {
            uint64_t now = tl_now_ns();

            assert_true(now >= last);
            last = now;
        }
    }
    unsetenv("THREADLAB_CLOCK");
}

static uint64_t monotonic_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* At least, never at most. CLOCK_MONOTONIC may be slewed by up to 500 ppm, hence the 1%. */
static void spinning_lasts_long_enough(void **state)
{
    struct clock_info info;
    uint64_t start, own;

    (void)state;
    assert_int_equal(clock_calibrate(&info), 0);
    start = monotonic_ns();
    own = tl_now_ns();
    tl_spin_ns(2000000);
    assert_true(tl_now_ns() - own >= 2000000);
    assert_true(monotonic_ns() - start >= 1980000);
    tl_spin_ns(0);
}

static void use_takes_over_what_the_driver_found(void **state)
{
    struct clock_info info, none = {.source = "clock_gettime", .mult = 1};
    uint64_t before, after;

    (void)state;
    assert_int_equal(clock_calibrate(&info), 0);
    clock_use(&none);
    before = monotonic_ns();
    assert_true(tl_now_ns() >= before);
    clock_use(&info);
    before = tl_now_ns();
    after = tl_now_ns();
    assert_true(after >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversion_is_exact_and_wide),
        cmocka_unit_test(conversion_is_monotone),
        cmocka_unit_test(calibration_is_complete),
        cmocka_unit_test(override_is_obeyed),
        cmocka_unit_test(time_never_runs_backwards),
        cmocka_unit_test(spinning_lasts_long_enough),
        cmocka_unit_test(use_takes_over_what_the_driver_found),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
