/*
 * test_place.c - placement policies against golden files, and what holds for all of them.
 * Bad input: test_place_input.c.
 *
 * Each topology below has harness/test/data/place/<name>.golden: the tree, the relations that its
 * pairs have, and every policy for 1, 2, 4 and all PUs. To write them anew after a change that is
 * meant, and then read the difference by eye:
 *
 *     PLACE_GOLDEN_WRITE=1 build/release/test/test_place && git diff harness/test/data/place
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef TEST_DATA_DIR
#define TEST_DATA_DIR "harness/test/data"
#endif
#define DATA TEST_DATA_DIR "/place/"

static const struct topology {
    const char *name, *source; /* source NULL: <name>.xml */
} topologies[] = {
    {"2x8-smt2", "synthetic:pack:2 [numa] l3:1 l2:8 core:1 pu:2"},
    {"no-caches", "synthetic:pack:2 core:8 pu:2"},
    {"4-numa", "synthetic:pack:2 numa:2 l3:1 l2:4 core:1 pu:2"},
    {"snc", "synthetic:pack:2 l3:1 group:2 [numa] l2:4 core:1 pu:2"},
    {"ccx", "synthetic:pack:1 l3:4 l2:4 core:1 pu:2"},
    {"ccx-no-l2", "synthetic:pack:1 l3:4 core:4 pu:2"},
    {"64-pu", "synthetic:pack:2 numa:2 l3:2 l2:4 core:1 pu:2"},
    {"no-l3", "synthetic:pack:1 l2:2 core:4 pu:1"},
    {"one-l2", "synthetic:pack:1 l2:1 core:4 pu:1"},
    {"smt4", "synthetic:pack:1 l3:1 l2:2 core:1 pu:4"},
    {"bare", "synthetic:4"},
    {"1-pu", "synthetic:pack:1 l3:1 l2:1 core:1 pu:1"},
    {"hybrid", NULL},        /* three kinds of core; the slowest are outside the L3 */
    {"linux-numbers", NULL}, /* siblings are n and n + 16, as Linux numbers them */
    {"restricted", NULL},    /* PUs 1-3,8,18-21,24 of it */
    {"vm", NULL},            /* a virtual machine of a cloud */
};
#define NTOPOLOGIES (sizeof topologies / sizeof *topologies)

static const char *const relations[] = {"smt",      "shared-l2",  "shared-l3",
                                        "cross-l3", "cross-numa", "cross-package"};
#define NRELATIONS ((int)(sizeof relations / sizeof *relations))

/* From nearest to widest; -1: not a relation. */
static int rank(const char *relation)
{
    if (relation && strcmp(relation, "same-pu") == 0)
        return 0;
    for (int i = 0; relation && i < NRELATIONS; i++)
        if (strcmp(relation, relations[i]) == 0)
            return i + 1;
    return -1;
}

static struct place_topology *open_topology(const struct topology *topology)
{
    char path[4096], error[256] = "";
    snprintf(path, sizeof path, DATA "%s.xml", topology->name);
    struct place_topology *t =
        place_open(topology->source ? topology->source : path, error, sizeof error);
    if (!t)
        fail_msg("%s", error);
    assert_string_equal(error, "");
    assert_false(place_is_this_system(t));
    return t;
}

/* ---- golden files --------------------------------------------------------------------------- */

static void print_policy(FILE *out, const struct place_topology *t, const char *policy, int want)
{
    struct place p;
    int e = place_resolve(t, policy, want, &p);

    fprintf(out, "%-13s %3d: ", policy, want);
    if (e) {
        fprintf(out, "%s %s\n", e == ENOTSUP ? "ENOTSUP" : e == EINVAL ? "EINVAL" : "?", p.reason);
        return;
    }
    fprintf(out, "%s, node %d:", p.relation, p.node);
    for (int i = 0; i < p.ncpus; i++)
        fprintf(out, " %d", p.cpus[i]);
    fprintf(out, "\n");
}

static char *golden_text(const struct place_topology *t)
{
    const int counts[] = {1, 2, 4, place_allowed(t, NULL, 0)};
    char *text = NULL, *tree = place_text(t);
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    int(*pairs)[2], have[16] = {0};
    size_t npairs = place_pairs(t, PLACE_MAX, &pairs);

    assert_non_null(tree);
    /* Where an XML file lies depends on who runs the test. */
    fprintf(out, "%s\nPairs:", strncmp(tree, DATA, strlen(DATA)) ? tree : tree + strlen(DATA));
    for (size_t i = 0; i < npairs; i++)
        have[rank(place_relation(t, pairs[i][0], pairs[i][1]))]++;
    for (int i = 0; i < NRELATIONS; i++)
        if (have[i + 1])
            fprintf(out, " %s %d", relations[i], have[i + 1]);
    fprintf(out, "\n");
    for (const char *const *p = place_policies(); *p; p++) {
        fprintf(out, "\n");
        for (int i = 0; i < 4; i++)
            if (i < 3 || counts[i] > 4)
                print_policy(out, t, *p, counts[i]);
    }
    fprintf(out, "\n");
    print_policy(out, t, "cpus=0", 2);
    print_policy(out, t, "cpus=3,1-2", 1);
    fclose(out);
    free(pairs);
    free(tree);
    return text;
}

static char *read_file(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *in = fopen(path, "r");

    if (in && getdelim(&text, &size, '\0', in) < 0) {
        free(text);
        text = NULL;
    }
    if (in)
        fclose(in);
    return text;
}

static void show_first_difference(const char *path, const char *is, const char *was)
{
    int line = 1;
    while (*is) {
        size_t n = strcspn(is, "\n"), m = strcspn(was, "\n");
        if (n != m || memcmp(is, was, n) != 0) {
            print_error("%s:%d\n  is:  %.*s\n  was: %.*s\n", path, line, (int)n, is, (int)m, was);
            return;
        }
        is += n + (is[n] == '\n');
        was += m + (was[m] == '\n');
        line++;
    }
}

static void policies_are_as_in_the_golden_files(void **state)
{
    int wrong = 0;

    (void)state;
    for (size_t i = 0; i < NTOPOLOGIES; i++) {
        char path[4096];
        struct place_topology *t = open_topology(&topologies[i]);
        char *is = golden_text(t);

        snprintf(path, sizeof path, DATA "%s.golden", topologies[i].name);
        if (getenv("PLACE_GOLDEN_WRITE")) {
            FILE *out = fopen(path, "w");
            assert_non_null(out);
            assert_true(fputs(is, out) >= 0);
            assert_int_equal(fclose(out), 0);
        }
        char *was = read_file(path);
        if (!was) {
            print_error("%s: %s\n", path, strerror(errno));
            wrong++;
        } else if (strcmp(is, was) != 0) {
            show_first_difference(path, is, was);
            wrong++;
        }
        free(was);
        free(is);
        place_close(t);
    }
    assert_int_equal(wrong, 0);
}

/* ---- what holds for every topology ---------------------------------------------------------- */

static void check_place(const struct place_topology *t, const char *policy, int want)
{
    struct place p, again;
    int e = place_resolve(t, policy, want, &p), widest = 0;
    int allowed = place_allowed(t, NULL, 0);

    assert_int_equal(place_resolve(t, policy, want, &again), e);
    assert_string_equal(p.policy, policy);
    assert_string_equal(again.reason, p.reason);
    if (e) {
        assert_int_equal(e, ENOTSUP);
        assert_int_equal(p.ncpus, 0);
        assert_int_equal(strncmp(p.reason, policy, strlen(policy)), 0);
        assert_null(strchr(p.reason, '\n'));
        return;
    }
    assert_string_equal(p.reason, "");
    assert_int_equal(p.ncpus, again.ncpus);
    assert_memory_equal(p.cpus, again.cpus, (size_t)p.ncpus * sizeof *p.cpus);
    assert_true(p.ncpus <= allowed);
    for (int i = 0; i < p.ncpus; i++) {
        struct place_pu pu;
        assert_int_equal(place_describe(t, p.cpus[i], &pu), 0);
        for (int j = 0; j < i; j++) {
            int r = rank(place_relation(t, p.cpus[i], p.cpus[j]));
            assert_int_equal(r, rank(place_relation(t, p.cpus[j], p.cpus[i])));
            assert_true(r > 0); /* no PU twice */
            widest = r > widest ? r : widest;
            /* smt, shared-l2: between each two. shared-l3: or wider, inside one L3. */
            if (rank(policy) == 1 || rank(policy) == 2)
                assert_int_equal(r, rank(policy));
            if (rank(policy) == 3)
                assert_true(r == 3 || r == 5);
            if (rank(policy) >= 4 && j == i - 1)
                assert_true(r >= rank(policy));
        }
    }
    assert_int_equal(rank(p.relation), widest);
    if (strcmp(policy, "same-pu") == 0)
        assert_int_equal(p.ncpus, 1);
    else if (rank(policy) > 0)
        assert_int_equal(p.ncpus, want < 2 ? 2 : want);
    else
        assert_int_equal(p.ncpus, want);
}

static void policies_keep_their_word(void **state)
{
    (void)state;
    for (size_t i = 0; i < NTOPOLOGIES; i++) {
        struct place_topology *t = open_topology(&topologies[i]);
        int allowed = place_allowed(t, NULL, 0);
        for (const char *const *p = place_policies(); *p; p++) {
            assert_non_null(place_help(*p));
            for (int want = 1; want <= allowed + 1; want++)
                check_place(t, *p, want);
        }
        place_close(t);
    }
}

/* A relation that some pair has can be asked for by name. */
static void relations_that_exist_can_be_had(void **state)
{
    (void)state;
    for (size_t i = 0; i < NTOPOLOGIES; i++) {
        struct place_topology *t = open_topology(&topologies[i]);
        int(*pairs)[2], cpus[PLACE_MAX];
        int allowed = place_allowed(t, cpus, PLACE_MAX);
        size_t n = place_pairs(t, PLACE_MAX, &pairs);

        assert_int_equal(n, (size_t)allowed * (size_t)(allowed - 1) / 2);
        for (size_t k = 0; k < n; k++) {
            struct place p;
            const char *relation = place_relation(t, pairs[k][0], pairs[k][1]);
            assert_int_equal(place_resolve(t, relation, 2, &p), 0);
            assert_string_equal(p.relation, relation);
        }
        free(pairs);
        place_close(t);
    }
}

static void sampled_pairs_have_each_relation(void **state)
{
    (void)state;
    for (size_t i = 0; i < NTOPOLOGIES; i++) {
        struct place_topology *t = open_topology(&topologies[i]);
        int(*all)[2], (*some)[2], have[16] = {0}, sampled[16] = {0};
        size_t nall = place_pairs(t, PLACE_MAX, &all), n = place_pairs(t, 0, &some);

        assert_true(n <= nall && n <= 96);
        for (size_t k = 0; k < nall; k++)
            have[rank(place_relation(t, all[k][0], all[k][1]))]++;
        for (size_t k = 0; k < n; k++) {
            assert_true(some[k][0] < some[k][1]);
            assert_true(k == 0 || some[k][0] > some[k - 1][0] ||
                        (some[k][0] == some[k - 1][0] && some[k][1] > some[k - 1][1]));
            sampled[rank(place_relation(t, some[k][0], some[k][1]))]++;
        }
        assert_int_equal(sampled[0], 0);
        for (int r = 1; r <= NRELATIONS; r++) {
            assert_int_equal(sampled[r] > 0, have[r] > 0);
            /* From several origins: 8 make at least 4 different pairs. */
            assert_true(sampled[r] >= 4 || sampled[r] == have[r]);
        }
        free(all);
        free(some);
        place_close(t);
    }
}

static void large_topologies_work(void **state)
{
    char error[256];
    struct place p;
    int(*pairs)[2], cpus[8];
    struct place_topology *t =
        place_open("synthetic:pack:4 numa:4 l3:4 l2:8 core:1 pu:4", error, sizeof error);

    (void)state;
    assert_non_null(t);
    assert_int_equal(place_allowed(t, cpus, 8), 2048);
    assert_int_equal(cpus[7], 7);
    assert_int_equal(place_resolve(t, "spread", PLACE_MAX, &p), 0);
    assert_int_equal(p.ncpus, PLACE_MAX);
    assert_string_equal(p.relation, "cross-package");
    assert_int_equal(place_resolve(t, "compact", PLACE_MAX + 1, &p), ENOTSUP);
    assert_int_equal(place_resolve(t, "cross-l3", 128, &p), 0);
    assert_string_equal(p.relation, "cross-l3");
    size_t n = place_pairs(t, 64, &pairs);
    assert_in_range(n, 6 * 8, 6 * 16);
    free(pairs);
    place_close(t);
}

/* ---- this machine --------------------------------------------------------------------------- */

static struct place_topology *open_live(void)
{
    char error[256];
    struct place_topology *t = place_open(NULL, error, sizeof error);
    if (!t)
        fail_msg("%s", error);
    assert_true(place_is_this_system(t));
    return t;
}

static void this_machine_is_what_the_scheduler_allows(void **state)
{
    static int cpus[CPU_SETSIZE];
    cpu_set_t set;
    struct place_topology *t = open_live();
    int n = place_allowed(t, cpus, CPU_SETSIZE);

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    assert_int_equal(n, CPU_COUNT(&set));
    for (int i = 0; i < n; i++) {
        assert_true(CPU_ISSET(cpus[i], &set));
        assert_true(i == 0 || cpus[i] > cpus[i - 1]);
    }
    for (const char *const *p = place_policies(); *p; p++)
        for (int want = 1; want <= n + 1 && want <= 8; want++)
            check_place(t, *p, want);
    place_close(t);
}

/* Restricts this process to one PU and looks again. Exit status: 0, or a line number. */
static int look_from_one_pu(int cpu)
{
    char error[256];
    cpu_set_t set;
    struct place p;
    int cpus[4], (*pairs)[2];

#define MUST(condition) \
    if (!(condition))   \
    return __LINE__ & 0xff ? __LINE__ & 0xff : 1
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    MUST(sched_setaffinity(0, sizeof set, &set) == 0);
    struct place_topology *t = place_open(NULL, error, sizeof error);
    MUST(t);
    MUST(place_allowed(t, cpus, 4) == 1 && cpus[0] == cpu);
    MUST(place_pairs(t, 64, &pairs) == 0);
    free(pairs);
    MUST(place_resolve(t, "same-pu", 2, &p) == 0 && p.ncpus == 1 && p.cpus[0] == cpu);
    MUST(place_resolve(t, "compact", 1, &p) == 0 && p.cpus[0] == cpu);
    for (int i = 0; i < NRELATIONS; i++)
        MUST(place_resolve(t, relations[i], 2, &p) == ENOTSUP && p.reason[0]);
    MUST(place_resolve(t, cpu == 0 ? "cpus=1" : "cpus=0", 1, &p) == ENOTSUP);
    MUST(strstr(p.reason, "allowed: "));
    place_close(t);
    /* Looking must not have moved us. */
    MUST(sched_getaffinity(0, sizeof set, &set) == 0);
    MUST(CPU_COUNT(&set) == 1 && CPU_ISSET(cpu, &set));
    return 0;
#undef MUST
}

static void one_allowed_pu_is_all_there_is(void **state)
{
    static int cpus[CPU_SETSIZE];
    struct place_topology *t = open_live();
    int n = place_allowed(t, cpus, CPU_SETSIZE);

    (void)state;
    place_close(t);
    for (int i = 0; i < n && i < 4; i++) {
        int status;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(look_from_one_pu(cpus[i]));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_are_as_in_the_golden_files),
        cmocka_unit_test(policies_keep_their_word),
        cmocka_unit_test(relations_that_exist_can_be_had),
        cmocka_unit_test(sampled_pairs_have_each_relation),
        cmocka_unit_test(large_topologies_work),
        cmocka_unit_test(this_machine_is_what_the_scheduler_allows),
        cmocka_unit_test(one_allowed_pu_is_all_there_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
