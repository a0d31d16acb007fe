/* test_plan.c - the plan is pure: request x registry x topology -> cells, in a seeded order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "plan.h"
#include "registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- a benchmark and an implementation of the test's own ----------------------------------- */

static enum tl_status nothing(struct tl_ctx *ctx)
{
    (void)ctx;
    return TL_OK;
}

static enum tl_status run_nothing(struct tl_ctx *ctx, uint64_t n)
{
    tl_begin(ctx);
    tl_end(ctx, n);
    return TL_OK;
}

static const struct tl_axis axes[] = {
    {"size", "1k", "1k,2k", "1k,2k,1M", "bytes"},
    {"how", "a", "a,b", NULL, "the way"},
    {0},
};

static const struct tl_bench axed = {
    .abi = TL_ABI,
    .name = "plantest.axed",
    .version = 1,
    .title = "t",
    .op = "o",
    .axes = axes,
    .vary = "colour",
    .kernel_threads = "size",
    .run = run_nothing,
    .verify = nothing,
};
TL_BENCH(axed);

static const struct tl_bench pair = {
    .abi = TL_ABI,
    .name = "plantest.pair",
    .version = 1,
    .title = "t",
    .op = "o",
    .workers = 2,
    .needs = TL_NEED_SIGWAIT,
    .run = run_nothing,
    .verify = nothing,
};
TL_BENCH(pair);

static int no_run(const struct tl_boot *b, void *(*f)(void *), void *a, void **v)
{
    (void)b;
    (void)f;
    (void)a;
    (void)v;
    return ENOSYS;
}

static int no_create(struct tl_thread *t, const struct tl_attr *a, void *(*f)(void *), void *x)
{
    (void)t;
    (void)a;
    (void)f;
    (void)x;
    return ENOSYS;
}

static int no_join(struct tl_thread t, void **v)
{
    (void)t;
    (void)v;
    return ENOSYS;
}

static int no_detach(struct tl_thread t)
{
    (void)t;
    return ENOSYS;
}

static void no_yield(void)
{
}

static struct tl_thread no_self(void)
{
    return (struct tl_thread){0};
}

static const char *because(const char *what)
{
    return strcmp(what, "signal.wait") == 0 ? "it has no ears" : NULL;
}

static const struct tl_param params[] = {
    {"colour", "red,green,blue", "of the thread", NULL, NULL, NULL},
    {"shape", "round,square", "of the thread", NULL, NULL, NULL},
    {0},
};

static const struct tl_impl planned = {
    .abi = TL_ABI,
    .name = "plantest",
    .model = "M:1",
    .summary = "s",
    .traits = TL_CONCURRENT | TL_ONE_TO_ONE,
    .params = params,
    .run = no_run,
    .create = no_create,
    .join = no_join,
    .detach = no_detach,
    .yield = no_yield,
    .self = no_self,
    .why_not = because,
};
TL_IMPL(planned);

/* ---- helpers ------------------------------------------------------------------------------- */

static struct place_topology *topology;
static struct plan_limits limits;
static char error[512];

static int open_all(void **state)
{
    (void)state;
    topology = place_open("synthetic:pack:2 core:4 pu:2", error, sizeof error);
    return topology && registry_init(error, sizeof error) == 0 ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    place_close(topology);
    return 0;
}

static struct request request_for(const char *bench)
{
    struct request q = {.verb = CLI_RUN, .preset = PRESET_QUICK, .seed = 42};
    q.benches.items[q.benches.n++] = (char *)(uintptr_t)bench;
    q.impls.items[q.impls.n++] = (char *)(uintptr_t) "plantest";
    return q;
}

static void set(struct request *q, const char *name, const char *values)
{
    q->sets[q->nsets++] = (struct cli_set){(char *)(uintptr_t)name, (char *)(uintptr_t)values};
}

static const struct cell_spec *cell(const struct plan *plan, const char *key)
{
    for (size_t i = 0; i < plan->n; i++)
        if (strcmp(plan->cells[i].key, key) == 0)
            return &plan->cells[i];
    return NULL;
}

/* ---- tests --------------------------------------------------------------------------------- */

static void integers_have_suffixes(void **state)
{
    (void)state;
    int64_t v;
    assert_true(plan_integer("64k", &v) && v == 65536);
    assert_true(plan_integer("0", &v) && v == 0);
    assert_true(plan_integer("9223372036854775807", &v) && v == INT64_MAX);
    assert_false(plan_integer("9223372036854775808", &v));
    assert_false(plan_integer("9000000000G", &v));
    assert_false(plan_integer("-1", &v));
    assert_false(plan_integer("1kk", &v));
    assert_false(plan_integer("", &v));
}

static void presets_choose_values_and_vary_chooses_parameters(void **state)
{
    (void)state;
    struct request q = request_for("plantest.axed");
    struct plan plan;
    assert_int_equal(plan_make(&q, topology, &limits, &plan, error, sizeof error), 0);
    assert_int_equal(plan.n, 3); /* 1 size x 1 how x 3 colours x the default shape */
    assert_non_null(cell(&plan, "plantest.axed/plantest/same-pu/size=1024,how=a,colour=blue,"
                                "shape=round"));
    plan_free(&plan);
    q.preset = PRESET_FULL;
    assert_int_equal(plan_make(&q, topology, &limits, &plan, error, sizeof error), 0);
    assert_int_equal(plan.n, 3 * 2 * 3);
    plan_free(&plan);
}

static void set_replaces_values_and_is_checked(void **state)
{
    (void)state;
    struct request q = request_for("plantest.axed");
    struct plan plan;
    set(&q, "size", "4k,4096"); /* one cell, written in two ways */
    set(&q, "colour", "blue");
    set(&q, "shape", "square,round");
    assert_int_equal(plan_make(&q, topology, &limits, &plan, error, sizeof error), 0);
    assert_int_equal(plan.n, 2);
    plan_free(&plan);

    q = request_for("plantest.axed");
    set(&q, "how", "c");
    assert_int_equal(plan_make(&q, topology, &limits, &plan, error, sizeof error), EINVAL);
    assert_non_null(strstr(error, "knows a,b"));
    q = request_for("plantest.axed");
    set(&q, "colour", "yellow");
    assert_int_equal(plan_make(&q, topology, &limits, &plan, error, sizeof error), EINVAL);
    q = request_for("plantest.axed");
    set(&q, "weight", "1");
    assert_int_equal(plan_make(&q, topology, &limits, &plan, error, sizeof error), EINVAL);
    assert_non_null(strstr(error, "weight=1"));
}

static void what_cannot_be_is_refused_with_the_reason(void **state)
{
    (void)state;
    struct plan plan;
    struct request q = request_for("plantest.pair");
    assert_int_equal(plan_make(&q, topology, &limits, &plan, error, sizeof error), 0);
    assert_true(plan.n >= 3); /* same-pu, smt, cross-package, ... as the topology has them */
    for (size_t i = 0; i < plan.n; i++)
        assert_string_equal(plan.cells[i].refused, "it has no ears");
    plan_free(&plan);

    q = request_for("plantest.axed");
    q.places.items[q.places.n++] = (char *)(uintptr_t) "cross-numa";
    q.places.items[q.places.n++] = (char *)(uintptr_t) "cpus=0,1";
    set(&q, "colour", "red");
    assert_int_equal(plan_make(&q, topology, &limits, &plan, error, sizeof error), 0);
    assert_int_equal(plan.n, 2);
    assert_non_null(strstr(plan.cells[0].refused, "one kernel thread")); /* cpus=0,1 */
    assert_int_equal(plan.cells[1].place.ncpus, 0);
    assert_string_equal(plan.cells[1].refused, plan.cells[1].place.reason);
    plan_free(&plan);

    struct plan_limits few = {1500, "kernel.pid_max=2012"};
    q = request_for("plantest.axed");
    set(&q, "size", "1k,2k");
    set(&q, "colour", "red");
    assert_int_equal(plan_make(&q, topology, &few, &plan, error, sizeof error), 0);
    assert_int_equal(plan.n, 2);
    assert_string_equal(plan.cells[0].refused, "");
    assert_non_null(strstr(plan.cells[1].refused, "kernel.pid_max=2012"));
    plan_free(&plan);
}

static void unknown_names_are_errors_with_a_hint(void **state)
{
    (void)state;
    struct plan plan;
    struct request q = request_for("plantest.axd");
    assert_int_equal(plan_make(&q, topology, &limits, &plan, error, sizeof error), EINVAL);
    assert_non_null(strstr(error, "did you mean plantest.axed?"));
    q = request_for("plantest.axed");
    q.places.items[q.places.n++] = (char *)(uintptr_t) "sideways";
    assert_int_equal(plan_make(&q, topology, &limits, &plan, error, sizeof error), EINVAL);
}

static void order_is_a_seeded_permutation(void **state)
{
    (void)state;
    struct request q = {.verb = CLI_RUN, .preset = PRESET_STANDARD, .seed = 9};
    struct plan plan;
    assert_int_equal(plan_make(&q, topology, &limits, &plan, error, sizeof error), 0);
    size_t *a = calloc(plan.n, sizeof *a), *b = calloc(plan.n, sizeof *b);
    char *seen = calloc(plan.n, 1);
    plan_order(&plan, 0, a);
    plan_order(&plan, 0, b);
    assert_memory_equal(a, b, plan.n * sizeof *a);
    for (size_t i = 0; i < plan.n; i++) {
        assert_false(seen[a[i]]);
        seen[a[i]] = 1;
    }
    plan_order(&plan, 1, b);
    assert_memory_not_equal(a, b, plan.n * sizeof *a);
    for (size_t i = 1; i < plan.n; i++)
        assert_true(strcmp(plan.cells[i - 1].key, plan.cells[i].key) < 0);
    free(a);
    free(b);
    free(seen);
    plan_free(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_have_suffixes),
        cmocka_unit_test(presets_choose_values_and_vary_chooses_parameters),
        cmocka_unit_test(set_replaces_values_and_is_checked),
        cmocka_unit_test(what_cannot_be_is_refused_with_the_reason),
        cmocka_unit_test(unknown_names_are_errors_with_a_hint),
        cmocka_unit_test(order_is_a_seeded_permutation),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
