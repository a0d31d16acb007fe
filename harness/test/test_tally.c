/* test_tally.c - the A/A result of a run, on made-up values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tally.h"

#include <math.h>
#include <string.h>

enum { CELLS = 4, ROUNDS = 4 };

static struct cell_spec cells[CELLS];
static struct plan plan;
static struct tally tally;

/* Cells 0 and 1 on one PU, 2 and 3 across two; nothing is measured yet. */
static int make(void **state)
{
    (void)state;
    plan = (struct plan){.cells = cells, .n = CELLS, .rounds = ROUNDS};
    for (int i = 0; i < CELLS; i++)
        cells[i].place.ncpus = i < 2 ? 1 : 2;
    return tally_init(&tally, &plan);
}

static int drop(void **state)
{
    (void)state;
    tally_free(&tally);
    return 0;
}

static void ok(size_t cell, int round, double value)
{
    tally_add(&tally, cell, round, TL_OK, value, true, "");
}

static struct tally_aa aa(enum tally_scope scope)
{
    struct tally_aa found;
    tally_aa(&tally, scope, &found);
    return found;
}

static void assert_unknown(enum tally_scope scope, const char *reason)
{
    struct tally_aa found = aa(scope);
    assert_int_equal(found.pairs, 0);
    assert_true(isnan(found.median) && isnan(found.p95) && isnan(found.max));
    assert_string_equal(found.reason, reason);
}

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

static void a_pair_is_two_consecutive_rounds_of_one_cell(void **state)
{
    (void)state;
    ok(0, 0, 100);
    ok(0, 1, 110); /* 10% */
    ok(0, 2, 88);  /* 110 is 25% more: the same both ways */
    tally_add(&tally, 0, 3, TL_FAILED, 88, false, "x");
    ok(1, 0, 50); /* rounds 0 and 2 are not consecutive */
    ok(1, 2, 99);
    struct tally_aa found = aa(TALLY_ALL);
    assert_int_equal(found.pairs, 2);
    assert_null(found.reason);
    assert_true(near(found.median, 100 * (sqrt(1.1 * 1.25) - 1))); /* the middle of the logs */
    assert_true(near(found.p95, 25) && near(found.max, 25));
}

static void one_pu_and_several_are_told_apart(void **state)
{
    (void)state;
    ok(0, 0, 10);
    ok(0, 1, 11);
    assert_unknown(TALLY_CROSS_PU, "no cell across PUs was ok in two consecutive rounds");
    ok(2, 1, 10);
    ok(2, 2, 15);
    tally_add(&tally, 3, 0, TL_OK, 10, false, ""); /* untrusted ones are values as well */
    ok(3, 1, 20);
    assert_true(aa(TALLY_SAME_PU).pairs == 1 && near(aa(TALLY_SAME_PU).max, 10));
    assert_true(aa(TALLY_CROSS_PU).pairs == 2 && near(aa(TALLY_CROSS_PU).max, 100));
    assert_true(aa(TALLY_ALL).pairs == 3 && near(aa(TALLY_ALL).median, 50));
}

static void without_a_pair_there_is_a_reason(void **state)
{
    (void)state;
    assert_unknown(TALLY_ALL, "no cell was ok in two consecutive rounds");
    ok(0, 0, 0); /* no time at all has no ratio */
    ok(0, 1, 5);
    ok(1, 3, 5);
    assert_unknown(TALLY_ALL, "no cell was ok in two consecutive rounds");
    assert_unknown(TALLY_SAME_PU, "no cell on one PU was ok in two consecutive rounds");
    plan.rounds = 1;
    assert_unknown(TALLY_ALL, "there is one round only");
    assert_unknown(TALLY_CROSS_PU, "there is one round only");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_pair_is_two_consecutive_rounds_of_one_cell),
        CASE(one_pu_and_several_are_told_apart),
        CASE(without_a_pair_there_is_a_reason),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
