/*
 * test_green_kernel.c - user-level threads and the kernel: idling, deadlock, signals, fork.
 */
#include "green_child.h"

/* ---- idling, deadlock, signals, fork --------------------------------------------------------- */

/* A sleeper's deadline lies between `from` and `to`, read before and after its call to sleep: late
 * or early by how busy the machine is, but no order of waking is right that contradicts them. */
static struct sleeper {
    uint64_t ns, from, to, woken;
} sleepers[10];
static int woken_order[10], woken;

static void *sleeps(void *arg)
{
    struct sleeper *s = arg;

    s->from = now_ns(CLOCK_MONOTONIC) + s->ns;
    impl->sleep(s->ns);
    s->woken = now_ns(CLOCK_MONOTONIC);
    woken_order[woken++] = (int)(s - sleepers);
    return NULL;
}

static long times_blocked(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nvcsw;
}

static void *sleep_case(void *arg)
{
    static const unsigned steps[] = {5, 1, 9, 3, 2, 8, 4, 7, 6, 10};
    struct tl_thread t[10];
    long blocked;

    (void)arg;
    for (int i = 0; i < 10; i++) {
        sleepers[i].ns = steps[i] * UINT64_C(10000000);
        CHECK(!impl->create(&t[i], NULL, sleeps, &sleepers[i]));
        /* it runs at once, so it sleeps already */
        sleepers[i].to = now_ns(CLOCK_MONOTONIC) + sleepers[i].ns;
        CHECK(sleepers[i].from);
    }
    for (int i = 0; i < 10; i++)
        CHECK(!impl->join(t[i], NULL));
    CHECK(woken == 10);
    for (int i = 0; i < 10; i++) {
        CHECK(sleepers[i].woken >= sleepers[i].from);
        for (int later = i + 1; later < 10; later++)
            CHECK(sleepers[woken_order[i]].from <= sleepers[woken_order[later]].to);
    }
    /* Idling blocks in the kernel instead of spinning. One sleep may be over before it begins where
     * the CPU is taken away meanwhile; not each of a thousand. */
    blocked = times_blocked();
    for (int i = 0; i < 1000 && times_blocked() == blocked; i++)
        impl->sleep(1000000);
    CHECK(times_blocked() > blocked);
    /* the sleeper's time comes while another thread only yields */
    woken = 0;
    CHECK(!impl->create(&t[0], NULL, sleeps, &sleepers[1]));
    while (!woken)
        impl->yield();
    return impl->join(t[0], NULL) ? (void *)1 : NULL;
}

static void *deadlock_case(void *arg)
{
    struct tl_mutex m;

    (void)arg;
    signal(SIGABRT, SIG_DFL);
    impl->mutex->init(&m, TL_MUTEX_BLOCK);
    impl->mutex->lock(&m);
    impl->mutex->lock(&m);
    return NULL;
}

static void *spin_deadlock_case(void *arg)
{
    struct tl_mutex m;

    (void)arg;
    signal(SIGABRT, SIG_DFL);
    impl->mutex->init(&m, TL_MUTEX_SPIN);
    impl->mutex->lock(&m);
    impl->mutex->lock(&m);
    return NULL;
}

static volatile uint64_t handled_by;

static void handler(int sig)
{
    (void)sig;
    handled_by = impl->self().id + 1;
}

static void *signals_itself(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        handled_by = 0;
        CHECK(!impl->signal->kill(impl->self(), SIGUSR1, NULL));
        CHECK(handled_by == impl->self().id + 1);
        impl->yield();
    }
    return NULL;
}

static void *signal_case(void *arg)
{
    struct tl_thread t[4];
    sigset_t set, old;
    void *value;

    (void)arg;
    signal(SIGUSR1, handler);
    for (int i = 0; i < 4; i++)
        CHECK(!impl->create(&t[i], NULL, signals_itself, NULL));
    for (int i = 0; i < 4; i++)
        CHECK(!impl->join(t[i], &value) && !value);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    handled_by = 0;
    CHECK(!impl->signal->mask(SIG_BLOCK, &set, &old));
    CHECK(!impl->signal->kill(impl->self(), SIGUSR1, NULL) && !handled_by);
    CHECK(!impl->signal->mask(SIG_SETMASK, &old, NULL) && handled_by);
    CHECK(impl->signal->kill(impl->self(), 1000, NULL) == EINVAL);
    CHECK(impl->signal->wait && !impl->why_not("signal.wait"));
    return NULL;
}

static void *forks(void *arg)
{
    struct tl_thread t;
    int status;
    pid_t pid;

    (void)arg;
    CHECK(!impl->fork->fork(&pid));
    if (!pid) {
        void *value = NULL;

        prctl(PR_SET_PDEATHSIG, SIGKILL); /* the parent's is not inherited */
        for (int i = 0; i < 100; i++) {   /* the others are gone, new ones work */
            if (impl->create(&t, NULL, private_thread, (void *)(intptr_t)(i + 1)) ||
                impl->join(t, &value) || value)
                _exit(3);
            impl->yield();
        }
        if (impl->join(the_first, NULL) != ESRCH && the_first.id != impl->self().id)
            _exit(4);
        if (the_first.id == impl->self().id)
            _exit(0);
        return NULL; /* the last thread: exit(0) */
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    return (void *)(intptr_t)status;
}

static void *fork_case(void *arg)
{
    struct tl_attr attr = {.detached = true, .slot = TL_SLOT_INHERIT};
    struct tl_thread t;
    void *value;

    (void)arg;
    the_first = impl->self();
    impl->sem->init(&gate, 0);
    for (int i = 0; i < 100; i++)
        CHECK(!impl->create(&t, &attr, parks, NULL));
    CHECK(!forks(NULL));
    CHECK(!impl->create(&t, NULL, forks, NULL));
    CHECK(!impl->join(t, &value) && !value);
    CHECK(parked == 100);
    for (int i = 0; i < 100; i++)
        impl->sem->post(&gate);
    return NULL;
}

CASE(sleep)

static void test_signal(void **state)
{
    (void)state;
    SKIP_IF(TSAN, "ThreadSanitizer runs handlers later, at a system call of its choice");
    run_case(signal_case);
}

static void test_fork(void **state)
{
    (void)state;
    SKIP_IF(TSAN, "ThreadSanitizer hangs when a forked child forks or creates");
    run_case(fork_case);
}

static void test_deadlock(void **state)
{
    char output[1024];
    int status;

    (void)state;
    impl = find("green");
    status = in_child(deadlock_case, output, sizeof(output));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(output, "green: deadlock"));
    assert_non_null(strstr(output, "1 for a mutex"));
    status = in_child(spin_deadlock_case, output, sizeof(output));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(output, "1 spin"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sleep),
        cmocka_unit_test(test_signal),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_deadlock),
    };

    return RUN(tests);
}
