/* test_cell.c - what the driver knows of its cells' processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cell.h"

#include <signal.h>

static bool pends(int signal_number)
{
    sigset_t pending;
    assert_int_equal(sigpending(&pending), 0);
    return sigismember(&pending, signal_number);
}

/* A cell may end between two questions: whoever asks whether the driver is to stop must not take
 * the word of it, which ends the sleep of cell_pause. */
static void asking_leaves_the_end_of_a_cell(void **state)
{
    struct cell_runner *runner;
    (void)state;
    assert_int_equal(cell_open(&runner), 0);
    raise(SIGCHLD);
    assert_int_equal(cell_interrupted(runner), 0);
    assert_true(pends(SIGCHLD));
    raise(SIGTERM);
    assert_int_equal(cell_interrupted(runner), SIGTERM);
    assert_true(pends(SIGCHLD));
    assert_false(pends(SIGTERM));
    assert_int_equal(cell_interrupted(runner), SIGTERM);
    cell_close(runner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asking_leaves_the_end_of_a_cell),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
