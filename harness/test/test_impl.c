/*
 * test_impl.c - what every registered implementation has to do, for each value of each of its
 * parameters: the cases are in impl_cases.h and impl_cases_sync.h.
 *
 * A case runs in a process of its own, since run() works once in each: forked, or, where a
 * parameter lives in the environment, executed anew ("test_impl IMPL PARAM=VALUE CASE", which also
 * repeats one case by hand). What an implementation does not offer is skipped with its reason; a
 * promise that it does not make (null: concurrency) must be seen to fail.
 *
 * TL_IMPLS=a,b restricts to some implementations, TL_REPEAT=n runs each case n times.
 */
#include "impl_cases.h"
#include "impl_cases_fork.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A hung case is killed after this many seconds (sanitizers: ten times). */
#define CASE_SECONDS 60

struct test_case {
    const char *name;
    void *(*entry)(void *);
    uint32_t traits;    /* needed, and skipped without */
    const char *member; /* of struct tl_impl, needed */
    bool must_fail;     /* without the traits: fails instead of being skipped */
    bool crashes;       /* has to end by a signal */
    bool unsanitized;   /* not under ASan and TSan (which delivers signals later) */
};

static const struct test_case cases[] = {
    {"value", case_value, 0, NULL, false, false, false},
    {"thousand", case_thousand, 0, NULL, false, false, false},
    {"detached", case_detached, 0, NULL, false, false, false},
    {"unjoined", case_unjoined, 0, NULL, false, false, false},
    {"stale", case_stale, 0, "stale", false, false, false},
    {"self", case_self, 0, NULL, false, false, false},
    {"churn", case_churn, 0, NULL, false, false, false},
    {"tree", case_tree, 0, NULL, false, false, false},
    {"attributes", case_attributes, 0, NULL, false, false, true},
    {"overflow", case_overflow, 0, NULL, false, true, true},
    {"slots", case_slots, TL_PARALLEL, "two CPUs", false, false, false},
    {"errno", case_errno, TL_CONCURRENT, "mutex", false, false, false},
    {"thread-local", case_thread_local, TL_CONCURRENT, "thread-local", false, false, false},
    {"libc", case_libc, TL_CONCURRENT, NULL, false, false, false},
    {"limit", case_limit, TL_CONCURRENT, "sem", false, false, true},
    {"mutex-block", case_mutex_block, 0, "mutex", false, false, false},
    {"mutex-spin", case_mutex_spin, 0, "mutex", false, false, false},
    {"mutex-adaptive", case_mutex_adaptive, 0, "mutex", false, false, false},
    {"trylock", case_trylock, 0, "mutex", false, false, false},
    {"cond", case_cond, TL_CONCURRENT, "cond", false, false, false},
    {"broadcast", case_broadcast, TL_CONCURRENT, "cond", false, false, false},
    {"sem", case_sem, TL_CONCURRENT, "sem", false, false, false},
    {"sem-many", case_sem_many, TL_CONCURRENT, "sem", false, false, false},
    {"trywait", case_trywait, 0, "sem", false, false, false},
    {"concurrent", case_concurrent, TL_CONCURRENT, "sem", true, false, false},
    {"preemptive", case_preemptive, TL_PREEMPTIVE, NULL, false, false, false},
    {"blocks-alone", case_blocks_alone, TL_BLOCKS_ALONE, NULL, false, false, false},
    {"parallel", case_parallel, TL_PARALLEL, "two CPUs", false, false, false},
    {"switches", case_switches, TL_CONCURRENT, NULL, false, false, false},
    {"sleep", case_sleep, 0, "sleep", false, false, false},
    {"signal-self", case_signal_self, 0, "signal", false, false, true},
    {"signal-thread", case_signal_thread, TL_CONCURRENT, "signal", false, false, true},
    {"signal-mask", case_signal_mask, 0, "signal", false, false, false},
    {"signal-pending", case_signal_pending, TL_ONE_TO_ONE, "signal", false, false, true},
    {"sigwait", case_sigwait, TL_CONCURRENT, "signal.wait", false, false, false},
    {"fork", case_fork, 0, "fork", false, false, true},
    {"fork-all", case_fork_all, TL_CONCURRENT, "fork.all", false, false, false},
};
#define NCASES (sizeof(cases) / sizeof(cases[0]))

/* A case ends with threads that nobody joined on purpose. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "report_thread_leaks=0";
}

/* One cmocka test. */
struct test {
    const struct tl_impl *impl;
    const struct tl_param *param; /* NULL: all parameters have their defaults */
    char value[32], name[96];
    const struct test_case *test_case;
};

static const struct test *now; /* in the child: what runs */

/* The value of a parameter: the one under test, or the first of those that it can have. Each has a
 * place of its own, which is good until the next case: callers hold several at once. NULL: there is
 * no such parameter. */
static const char *param_of(const char *name)
{
    static char firsts[16][32];

    if (now->param && !strcmp(now->param->name, name))
        return now->value;
    for (const struct tl_param *p = impl->params; p && p->name; p++)
        if (!strcmp(p->name, name)) {
            size_t i = (size_t)(p - impl->params);

            if (i >= sizeof(firsts) / sizeof(firsts[0]))
                abort();
            snprintf(firsts[i], sizeof(firsts[i]), "%.*s", (int)strcspn(p->values, ","), p->values);
            return firsts[i];
        }
    return NULL;
}

static const char *boot_param(const struct tl_boot *boot, const char *name)
{
    const char *value = param_of(name);

    (void)boot;
    return value ? value : "";
}

static cpu_set_t allowed; /* of the process at its start; slots are its CPUs in order */

static int boot_pin(const struct tl_boot *boot, int slot)
{
    cpu_set_t set;
    int n = 0;

    if (slot < 0 || slot >= (int)boot->nslots)
        return EINVAL;
    CPU_ZERO(&set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && n++ == slot)
            CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof(set), &set) ? errno : 0;
}

static _Noreturn void run_case(const struct test *test)
{
    struct tl_boot boot = {CPU_COUNT(&allowed) > 1 ? 2 : 1, boot_pin, boot_param};
    char reason[200] = "";
    int err;

    now = test;
    impl = test->impl;
    alarm(SANITIZED ? 10 * CASE_SECONDS : CASE_SECONDS);
    if (impl->probe && impl->probe(reason, sizeof(reason))) {
        dprintf(2, "%s: %s\n", impl->name, reason);
        _exit(77);
    }
    err = impl->run(&boot, test->test_case->entry, NULL, NULL);
    if (err) {
        dprintf(2, "%s: run: %s\n", impl->name, strerror(err));
        _exit(CASE_FAILED);
    }
    if (after_run)
        after_run();
    _exit(0);
}

/* Why it cannot be asked of this implementation, or NULL. */
static const char *unasked(const struct test *t)
{
    const struct tl_impl *i = t->impl;
    const char *m = t->test_case->member, *why = NULL;
    bool missing = false;

    if (SANITIZED && t->param && !strcmp(t->param->name, "tls") && !strcmp(t->value, "full"))
        return "the sanitizers' own state is in the TLS block: tls=full answers ENOTSUP there";
    if (SANITIZED && t->param && !strcmp(t->param->name, "preempt"))
        return "a switch in a handler is unknown to the sanitizers: preempt answers ENOTSUP there";
    if (SANITIZED && (t->test_case->unsanitized || !strcmp(i->name, "clone")))
        return "sanitizers do not know of it: see the README of clone";
    if (!t->test_case->must_fail && (i->traits & t->test_case->traits) != t->test_case->traits)
        return "promises less";
    if (t->param && !strcmp(t->param->name, "lwps") && !strcmp(t->value, "1") &&
        (!strcmp(t->test_case->name, "parallel") || !strcmp(t->test_case->name, "slots")))
        return "one kernel thread runs on one PU";
    if (t->param && !strcmp(t->param->name, "detector") && !strcmp(t->value, "seccomp") &&
        !strncmp(t->test_case->name, "fork", 4))
        return "fork answers ENOTSUP there: the child would have the filter without its monitor";
#ifdef __SANITIZE_THREAD__
    if (!strcmp(t->test_case->name, "fork-all"))
        return "in the child of a threaded process this sanitizer makes no threads, and knows no "
               "longer who switches to whom";
#endif
    if (!m)
        return NULL;
    impl = i;
    now = t;
    if (!strcmp(m, "stale"))
        return tells_stale() ? NULL : "cannot tell a stale id: using one is undefined";
    if (!strcmp(m, "two CPUs"))
        return CPU_COUNT(&allowed) > 1 ? NULL : "one CPU only";
    if (!strcmp(m, "thread-local"))
        return !param_of("tls") || !strcmp(param_of("tls"), "full") ? NULL : "tls=full only";
    missing = !strcmp(m, "mutex")      ? !i->mutex
              : !strcmp(m, "cond")     ? !i->cond || !i->mutex
              : !strcmp(m, "sem")      ? !i->sem
              : !strcmp(m, "sleep")    ? !i->sleep
              : !strcmp(m, "signal")   ? !i->signal
              : !strcmp(m, "fork")     ? !i->fork
              : !strcmp(m, "fork.all") ? !i->fork || !i->fork->fork_all
                                       : !i->signal || !i->signal->wait;
    if (missing && i->why_not)
        why = i->why_not(m);
    return missing ? why ? why : "not offered" : NULL;
}

/* The wait status of the case, in a process of its own. */
static int status_of(const struct test *t)
{
    const char *set = t->param && t->param->env ? t->param->env(t->value) : NULL;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid) {
        char param[64] = "-", variable[200];

        /* cmocka's own would go on with the other tests, in the child. */
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        if (!set)
            run_case(t);
        snprintf(param, sizeof(param), "%s=%s", t->param->name, t->value);
        snprintf(variable, sizeof(variable), "%s", set);
        putenv(variable);
        execl("/proc/self/exe", "test_impl", t->impl->name, param, t->test_case->name, NULL);
        _exit(126);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_case(void **state)
{
    const struct test *t = *state;
    const char *reason = unasked(t), *repeat = getenv("TL_REPEAT");
    int n = repeat ? atoi(repeat) : 1;

    if (reason) {
        print_message("# %s: %s\n", t->name, reason);
        skip();
    }
    while (n-- > 0) {
        int status = status_of(t);
        bool lacks = (t->impl->traits & t->test_case->traits) != t->test_case->traits;

        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
            skip(); /* has printed the reason */
        if (t->test_case->crashes)
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) != SIGALRM);
        else if (lacks && t->test_case->must_fail)
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == CASE_FAILED);
        else if (status)
            fail_msg("%s: %s %d", t->name, WIFSIGNALED(status) ? "signal" : "exit status",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
}

/* clone calls nothing of the pthread interface: neither in its objects nor in those it shares. */
static void test_no_pthread(void **state)
{
    static const char command[] =
        "dir=$(dirname \"$(readlink /proc/%d/exe)\")/../impls; [ -d \"$dir/clone\" ] || exit 77; "
        "nm -u \"$dir\"/clone/*.o \"$dir\"/common/futex_sync.o \"$dir\"/common/tls.o "
        "\"$dir\"/common/stack.o \"$dir\"/common/atfork.o >/dev/null || exit 1; "
        "! nm -u \"$dir\"/clone/*.o \"$dir\"/common/futex_sync.o \"$dir\"/common/tls.o "
        "\"$dir\"/common/stack.o \"$dir\"/common/atfork.o "
        "| grep -E ' (__)?(pthread|sem|thrd|mtx|cnd|tss)_'";
    char text[sizeof(command) + 16];
    int status;

    (void)state;
    snprintf(text, sizeof(text), command, (int)getpid());
    status = system(text); /* NOLINT: a fixed command */
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- the list of tests
 * ----------------------------------------------------------------------------- */

static struct test *tests;
static size_t ntests;

static void add_cases(const struct tl_impl *i, const struct tl_param *param, const char *value)
{
    for (size_t c = 0; c < NCASES; c++) {
        struct test *t;

        tests = realloc(tests, (ntests + 1) * sizeof(*tests));
        if (!tests)
            abort();
        t = &tests[ntests++];
        *t = (struct test){.impl = i, .param = param, .test_case = &cases[c]};
        snprintf(t->value, sizeof(t->value), "%s", value);
        snprintf(t->name, sizeof(t->name), "%s%s%s%s%s: %s", i->name, param ? " " : "",
                 param ? param->name : "", param ? "=" : "", value, cases[c].name);
    }
}

/* One parameter at a time; the defaults once. */
static void add_impl(const struct tl_impl *i)
{
    add_cases(i, NULL, "");
    for (const struct tl_param *p = i->params; p && p->name; p++) {
        const char *value = strchr(p->values, ',');

        /* Means nothing without preempt. */
        if (!strcmp(p->name, "quantum"))
            continue;
        while (value++) {
            char word[32];

            snprintf(word, sizeof(word), "%.*s", (int)strcspn(value, ","), value);
            add_cases(i, p, word);
            value = strchr(value, ',');
        }
    }
}

static bool selected(const char *name)
{
    const char *list = getenv("TL_IMPLS");
    size_t length = strlen(name);

    for (; list && *list; list += strcspn(list, ","), list += *list == ',')
        if (!strncmp(list, name, length) && (list[length] == ',' || !list[length]))
            return true;
    return !list;
}

/* By hand, or after execl in status_of. "-" for the parameter: defaults. */
static int one_case(char **argv)
{
    for (size_t i = 0; i < ntests; i++) {
        char param[64] = "-";
        const struct test *t = &tests[i];

        if (t->param)
            snprintf(param, sizeof(param), "%s=%s", t->param->name, t->value);
        if (!strcmp(t->impl->name, argv[1]) && !strcmp(param, argv[2]) &&
            !strcmp(t->test_case->name, argv[3]))
            run_case(t);
    }
    fprintf(stderr, "test_impl: no such case\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct tl_module module = tl_module_contents();
    struct CMUnitTest *list;

    if (sched_getaffinity(0, sizeof(allowed), &allowed))
        return 2;
    for (const struct tl_impl *const *p = module.impls; p < module.impls_end; p++)
        if (selected((*p)->name))
            add_impl(*p);
    if (argc == 4)
        return one_case(argv);
    list = calloc(ntests + 1, sizeof(*list));
    if (!list)
        return 2;
    for (size_t i = 0; i < ntests; i++)
        list[i] = (struct CMUnitTest){tests[i].name, test_case, NULL, NULL, &tests[i]};
    list[ntests] = (struct CMUnitTest){"clone: no pthread", test_no_pthread, NULL, NULL, NULL};
    return _cmocka_run_group_tests("implementations", list, ntests + 1, NULL, NULL);
}
