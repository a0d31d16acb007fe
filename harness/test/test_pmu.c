/*
 * test_pmu.c - names, reasons, and counts that are exact on any machine and under any load: at
 * least what we did ourselves. What this machine cannot count must say why.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pmu.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define N 200

static struct pmu_set *open_names(const char *const *names, size_t n)
{
    static struct pmu_code codes[PMU_MAX_EVENTS];

    for (size_t i = 0; i < n; i++)
        pmu_encode(names[i], &codes[i]);
    return pmu_open(codes, n);
}

static char reason[PMU_REASON_SIZE];

static void touch_pages(void)
{
    long page = sysconf(_SC_PAGESIZE);
    char *p =
        mmap(NULL, (size_t)page * N, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(p != MAP_FAILED);
    madvise(p, (size_t)page * N, MADV_NOHUGEPAGE);
    for (int i = 0; i < N; i++)
        *(volatile char *)(p + i * page) = 1;
    munmap(p, (size_t)page * N);
}

static void make_calls(void)
{
    for (int i = 0; i < N; i++)
        syscall(SYS_getppid);
}

/* A value, or a reason: never both, never neither. */
static void assert_sound(const struct pmu_count *count)
{
    assert_true(count->available == !count->reason[0]);
    if (count->available)
        assert_true(count->running_ns > 0 && count->running_ns <= count->enabled_ns);
    else
        assert_true(count->value == 0);
}

static void default_events_count_or_say_why(void **state)
{
    const char *const *names = pmu_default_events();
    struct pmu_count counts[PMU_MAX_EVENTS];
    struct pmu_set *set;
    size_t n = 0;

    (void)state;
    while (names[n])
        n++;
    assert_in_range(n, 1, PMU_MAX_EVENTS);
    set = open_names(names, n);
    assert_non_null(set);
    pmu_start(set);
    touch_pages();
    make_calls();
    pmu_stop(set);
    pmu_read(set, counts);
    for (size_t i = 0; i < n; i++) {
        int error = pmu_check(names[i], reason, sizeof(reason));

        assert_string_equal(counts[i].event, names[i]);
        assert_sound(&counts[i]);
        assert_int_not_equal(error, EINVAL);
        if (error)
            assert_false(counts[i].available);
        if (!counts[i].available)
            continue;
        if (strcmp(names[i], "page-faults") == 0 || strcmp(names[i], "raw_syscalls:sys_enter") == 0)
            assert_true(counts[i].value >= N);
        if (strcmp(names[i], "task-clock") == 0)
            assert_true(counts[i].value > 0);
    }
    pmu_close(set);
}

static void only_the_window_counts(void **state)
{
    const char *const names[] = {"page-faults:u", "minor-faults:u"};
    struct pmu_count first[2], second[2];
    struct pmu_set *set = open_names(names, 2);

    (void)state;
    assert_non_null(set);
    pmu_read(set, first);
    assert_false(first[0].available); /* never started */
    assert_string_not_equal(first[0].reason, "");
    pmu_start(set);
    touch_pages();
    pmu_stop(set);
    pmu_read(set, first);
    touch_pages();
    pmu_read(set, second);
    for (int i = 0; i < 2; i++) {
        assert_sound(&first[i]);
        if (!first[i].available)
            continue;
        assert_true(first[i].value >= N);
        assert_int_equal(second[i].value, first[i].value);
    }
    pmu_start(set);
    touch_pages();
    pmu_stop(set);
    pmu_read(set, second);
    if (first[1].available)
        assert_true(second[1].value >= first[1].value + N);
    pmu_close(set);
}

static void *touching_thread(void *barrier)
{
    if (barrier)
        pthread_barrier_wait(barrier);
    touch_pages();
    return NULL;
}

/* A thread from before the start, one from within the window, and a child process. */
static void threads_and_children_are_counted(void **state)
{
    const char *const names[] = {"context-switches", "page-faults:u"};
    struct pmu_count counts[2];
    struct pmu_set *set = open_names(names, 2);
    pthread_barrier_t barrier;
    pthread_t early, late;
    pid_t child;

    (void)state;
    assert_non_null(set);
    pthread_barrier_init(&barrier, NULL, 2);
    assert_int_equal(pthread_create(&early, NULL, touching_thread, &barrier), 0);
    pmu_start(set);
    pthread_barrier_wait(&barrier);
    assert_int_equal(pthread_create(&late, NULL, touching_thread, NULL), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        touch_pages();
        _exit(0);
    }
    pthread_join(early, NULL);
    pthread_join(late, NULL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    pmu_stop(set);
    pmu_read(set, counts);
    assert_sound(&counts[0]);
    assert_sound(&counts[1]);
    if (counts[1].available)
        assert_true(counts[1].value >= 3 * N);
    pthread_barrier_destroy(&barrier);
    pmu_close(set);
}

static void wrong_names_get_the_nearest(void **state)
{
    static const struct {
        const char *name, *says;
    } cases[] = {
        {"cyclse", "cycles"},
        {"cyclse:u", "cycles:u"},
        {"instuctions:k", "instructions:k"},
        {"page-fault", "page-faults"},
        {"contxt-switches", "context-switches"},
        {"Cycles:x", "modifier"},
        {"cycles:u=0", "nothing"},
        {"context-switches:u", "nothing"},
        {"task-clock:k", "privilege"},
        {"", "characters"},
        {"a b", "spaces"},
        {"xyzzyxyzzyxyzzy", "unknown event"},
        {"../../etc/passwd:x", "unknown event"},
        {"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", "characters"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pmu_count count;
        struct pmu_set *set = open_names(&cases[i].name, 1);

        assert_int_equal(pmu_check(cases[i].name, reason, sizeof(reason)), EINVAL);
        assert_non_null(strstr(reason, cases[i].says));
        assert_null(strchr(reason, '\n'));
        pmu_start(set);
        pmu_stop(set);
        pmu_read(set, &count);
        assert_false(count.available);
        assert_string_not_equal(count.reason, "");
        pmu_close(set);
    }
}

static void a_reason_fits_any_buffer(void **state)
{
    char small[8];

    (void)state;
    memset(small, 'x', sizeof(small));
    assert_int_equal(pmu_check("cyclse", small, 4), EINVAL);
    assert_int_equal(strlen(small), 3);
    assert_int_equal(small[4], 'x');
}

static void tracepoints_exist_or_tracefs_is_named(void **state)
{
    int error = pmu_check("raw_syscalls:sys_enter", reason, sizeof(reason));

    (void)state;
    if (error == 0) { /* then tracefs is readable, and a wrong name is one */
        assert_int_equal(pmu_check("raw_syscalls:sys_entr", reason, sizeof(reason)), EINVAL);
        assert_non_null(strstr(reason, "raw_syscalls:sys_enter"));
    } else {
        assert_int_not_equal(error, EINVAL);
        assert_string_not_equal(reason, "");
    }
}

static int visit(const char *name, const char *help, void *arg)
{
    int *seen = arg;

    (void)help;
    seen[0]++;
    seen[1] += strcmp(name, "context-switches") == 0;
    return seen[0] == seen[2] ? 7 : 0;
}

static void the_list_has_what_can_be_asked(void **state)
{
    int seen[3] = {0, 0, -1};

    (void)state;
    assert_int_equal(pmu_list(true, visit, seen), 0);
    assert_true(seen[0] > 10);
    assert_int_equal(seen[1], 1);
    seen[0] = 0;
    seen[2] = 3;
    assert_int_equal(pmu_list(false, visit, seen), 7);
    assert_int_equal(seen[0], 3);
    assert_string_not_equal(pmu_library_version(), "");
}

/* In a child process: perf_event_open answers `error`, as a container's filter makes it. */
static int check_denied(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = code};
    const char *name = "page-faults";
    struct pmu_count count;
    struct pmu_set *set;
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
            _exit(77);
        if (pmu_check(name, reason, sizeof(reason)) != error || !reason[0])
            _exit(1);
        set = open_names(&name, 1);
        if (!set)
            _exit(2);
        pmu_start(set);
        pmu_stop(set);
        pmu_read(set, &count);
        pmu_close(set);
        _exit(count.available || !count.reason[0] ? 3 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_denied_call_has_a_reason(void **state)
{
    static const int errors[] = {EPERM, ENOSYS, EACCES, EMFILE, EBUSY};

    (void)state;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        int result = check_denied(errors[i]);

        if (result == 77)
            skip(); /* no seccomp here */
        assert_int_equal(result, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_events_count_or_say_why),
        cmocka_unit_test(only_the_window_counts),
        cmocka_unit_test(threads_and_children_are_counted),
        cmocka_unit_test(wrong_names_get_the_nearest),
        cmocka_unit_test(a_reason_fits_any_buffer),
        cmocka_unit_test(tracepoints_exist_or_tracefs_is_named),
        cmocka_unit_test(the_list_has_what_can_be_asked),
        cmocka_unit_test(a_denied_call_has_a_reason),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
