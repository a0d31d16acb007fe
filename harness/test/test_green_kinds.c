/*
 * test_green_kinds.c - mutexes with an owner, policies of the run queue, fork of all threads,
 * stacks of the caller's, names.
 */
#include "green_child.h"

#include <sched.h>

/* ---- mutexes with an owner ------------------------------------------------------------------- */

static void *dies_with(void *arg)
{
    int err = impl->mutex->lock(arg);

    impl->yield();
    return (void *)(intptr_t)err;
}

static void *unlocks(void *arg)
{
    return (void *)(intptr_t)impl->mutex->unlock(arg);
}

static intptr_t in_thread(void *(*entry)(void *), void *arg)
{
    struct tl_thread t;
    void *value;

    impl->create(&t, NULL, entry, arg);
    impl->join(t, &value);
    return (intptr_t)value;
}

static void *kinds_case(void *arg)
{
    struct tl_mutex m, second;
    struct tl_thread t[3];
    void *value;

    (void)arg;
    CHECK(!impl->mutex->init(&m, TL_MUTEX_ERRORCHECK) && !impl->mutex->lock(&m));
    CHECK(impl->mutex->lock(&m) == EDEADLK && impl->mutex->trylock(&m) == EBUSY);
    CHECK(in_thread(unlocks, &m) == EPERM);
    CHECK(!impl->mutex->unlock(&m) && impl->mutex->unlock(&m) == EPERM);
    CHECK(!impl->mutex->init(&m, TL_MUTEX_RECURSIVE));
    for (int i = 0; i < 3; i++)
        CHECK(!(i % 2 ? impl->mutex->trylock(&m) : impl->mutex->lock(&m)));
    for (int i = 0; i < 3; i++)
        CHECK(impl->mutex->destroy(&m) == EBUSY && in_thread(unlocks, &m) == EPERM &&
              !impl->mutex->unlock(&m));
    CHECK(impl->mutex->unlock(&m) == EPERM && !impl->mutex->destroy(&m));
    CHECK(impl->mutex->init(&m, TL_MUTEX_SHARED_RECURSIVE) == ENOTSUP);
    CHECK(impl->mutex->init(&m, TL_MUTEX_PI) == ENOTSUP);
    CHECK(impl->mutex->init(&m, TL_MUTEX_KINDS) == EINVAL);

    CHECK(!impl->mutex->init(&m, TL_MUTEX_ROBUST) && !impl->mutex->init(&second, TL_MUTEX_ROBUST));
    CHECK(!impl->mutex->lock(&second) && !impl->mutex->lock(&m) && !impl->mutex->unlock(&m));
    CHECK(impl->mutex->consistent(&m) == EINVAL);
    CHECK(in_thread(dies_with, &m) == 0 && impl->mutex->trylock(&m) == EOWNERDEAD);
    CHECK(!impl->mutex->consistent(&m) && impl->mutex->consistent(&m) == EINVAL);
    CHECK(!impl->mutex->unlock(&m) && !impl->mutex->lock(&m) && !impl->mutex->unlock(&m));
    /* one who waits hears it, and ends with it in turn */
    CHECK(!impl->create(&t[0], NULL, dies_with, &m) && !impl->create(&t[1], NULL, locks, &m));
    CHECK(!impl->join(t[0], &value) && !value);
    CHECK(!impl->join(t[1], &value) && (intptr_t)value == EOWNERDEAD);
    CHECK(impl->mutex->lock(&m) == EOWNERDEAD);
    for (int i = 0; i < 3; i++)
        CHECK(!impl->create(&t[i], NULL, locks, &m));
    CHECK(!impl->mutex->unlock(&m)); /* not made consistent */
    for (int i = 0; i < 3; i++)
        CHECK(!impl->join(t[i], &value) && (intptr_t)value == ENOTRECOVERABLE);
    CHECK(impl->mutex->trylock(&m) == ENOTRECOVERABLE && !impl->mutex->destroy(&m));
    CHECK(!impl->mutex->unlock(&second) && !impl->mutex->destroy(&second));
    return NULL;
}

/* ---- policies -------------------------------------------------------------------------------- */

static void *notes(void *arg)
{
    impl->sem->wait(&gate);
    note((int)(intptr_t)arg);
    return NULL;
}

static bool noted(int a, int b, int c)
{
    return traced == 3 && trace[0] == a && trace[1] == b && trace[2] == c;
}

static void *policy_case(void *arg)
{
    struct tl_sched sched = {SCHED_FIFO, 31}, got;
    struct tl_attr attr = {.sched = &sched, .slot = TL_SLOT_INHERIT};
    bool priority = !strcmp(param_policy, "priority");
    struct tl_thread t[3];

    (void)arg;
    traced = 0;
    impl->sem->init(&gate, 0);
    CHECK(impl->info->set_sched(impl->self(), &sched) == (priority ? 0 : ENOTSUP));
    for (int i = 0; i < 3; i++) {
        sched.priority = i == 0 ? 5 : i == 1 ? 9 : 1;
        CHECK(impl->create(&t[i], priority ? &attr : NULL, notes, (void *)(intptr_t)i) == 0);
        impl->yield();
        CHECK(!impl->info->get_sched(t[i], &got));
        CHECK(got.priority == (priority ? sched.priority : 0));
        CHECK(!impl->sleep(1)); /* it is less urgent than we are: it runs to its wait now */
    }
    for (int i = 0; i < 3; i++)
        CHECK(!impl->sem->post(&gate));
    CHECK(!traced);
    for (int i = 0; i < 3; i++)
        CHECK(!impl->join(t[i], NULL));
    return noted(0, 1, 2) == !strcmp(param_policy, "fifo") &&
                   noted(2, 1, 0) == !strcmp(param_policy, "lifo") &&
                   noted(1, 0, 2) == !strcmp(param_policy, "priority")
               ? NULL
               : (void *)1;
}

static struct tl_mutex inherited;

static void *low(void *arg)
{
    impl->mutex->lock(&inherited);
    impl->sem->post(&ping); /* the middle and the high one come */
    impl->yield();
    note(1);
    impl->mutex->unlock(&inherited);
    impl->yield();
    note(4);
    return arg;
}

static void *middle(void *arg)
{
    note(3);
    return arg;
}

static void *high(void *arg)
{
    impl->mutex->lock(&inherited);
    note(2);
    impl->mutex->unlock(&inherited);
    return arg;
}

static void *inherits_case(void *arg)
{
    static const int want[] = {1, 2, 3, 4};
    struct tl_sched sched = {SCHED_FIFO, 30};
    struct tl_attr attr = {.sched = &sched, .slot = TL_SLOT_INHERIT};
    struct tl_thread t[3];

    (void)arg;
    traced = 0;
    impl->sem->init(&ping, 0);
    CHECK(!impl->info->set_sched(impl->self(), &sched));
    CHECK(!impl->mutex->init(&inherited, TL_MUTEX_PI));
    sched.priority = 1;
    CHECK(!impl->create(&t[0], &attr, low, NULL) && !impl->sem->wait(&ping));
    sched.priority = 10;
    CHECK(!impl->create(&t[1], &attr, middle, NULL));
    sched.priority = 20;
    CHECK(!impl->create(&t[2], &attr, high, NULL));
    for (int i = 0; i < 3; i++)
        CHECK(!impl->join(t[i], NULL));
    return traced == 4 && !memcmp(trace, want, sizeof(want)) ? NULL : (void *)1;
}

/* ---- fork of all, stacks, names -------------------------------------------------------------- */

static int child_pid_seen;

static void *counts_in_child(void *arg)
{
    pid_t parent = getpid();

    impl->sem->wait(&gate);
    for (int i = 0; i < 3; i++) {
        impl->yield();
        impl->sleep(1000);
    }
    child_pid_seen += getpid() != parent;
    return arg;
}

static void *fork_all_case(void *arg)
{
    struct tl_thread t[10];
    int status;
    pid_t pid;

    (void)arg;
    impl->sem->init(&gate, 0);
    for (int i = 0; i < 10; i++)
        CHECK(!impl->create(&t[i], NULL, counts_in_child, &t[i]));
    CHECK(!impl->fork->fork_all(&pid));
    if (!pid)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < 10; i++)
        impl->sem->post(&gate);
    for (int i = 0; i < 10; i++) {
        void *value;

        CHECK(!impl->join(t[i], &value) && value == &t[i]);
    }
    if (!pid)
        _exit(child_pid_seen);
    CHECK(!child_pid_seen && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 10 ? NULL : (void *)1;
}

static char memory[64 << 10] __attribute__((aligned(4096)));

static void *knows_its_stack(void *arg)
{
    struct tl_attr *attr = arg;
    char here, name[16];
    size_t size, guard;
    void *low_end;

    CHECK(!impl->info->stack(impl->self(), &low_end, &size, &guard));
    CHECK(&here > (char *)low_end && &here < (char *)low_end + size);
    CHECK(size >= (attr->stack_size ? attr->stack_size : 1));
    CHECK(!attr->stack || (low_end == attr->stack && size == attr->stack_size));
    CHECK((guard != 0) == (!attr->stack && !attr->no_guard));
    CHECK(!impl->info->get_name(impl->self(), name, sizeof(name)) && !strcmp(name, "creator"));
    CHECK(!impl->info->set_name(impl->self(), "own"));
    return NULL;
}

static void *info_case(void *arg)
{
    struct tl_attr attr = TL_ATTR_INIT;
    size_t size, guard;
    char name[16];
    void *low_end;

    (void)arg;
    CHECK(!impl->info->stack(impl->self(), &low_end, &size, &guard));
    CHECK(name > (char *)low_end && name < (char *)low_end + size);
    CHECK(!impl->info->set_name(impl->self(), "creator"));
    CHECK(impl->info->set_name(impl->self(), "sixteen letters!") == ERANGE);
    CHECK(!in_thread(knows_its_stack, &attr));
    for (int i = 0; i < 4; i++) {
        struct tl_thread t;
        void *value;

        attr.no_guard = i % 2;
        attr.stack = i < 2 ? NULL : memory;
        attr.stack_size = sizeof(memory) / (i == 3 ? 2 : 1);
        CHECK(!impl->create(&t, &attr, knows_its_stack, &attr));
        CHECK(!impl->join(t, &value) && !value);
        memset(memory, 0, sizeof(memory));
    }
    CHECK(!impl->info->get_name(impl->self(), name, sizeof(name)) && !strcmp(name, "creator"));
    CHECK(impl->info->get_name((struct tl_thread){123456}, name, sizeof(name)) == ESRCH);
    return NULL;
}

CASE(kinds)

static void test_policy(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        param_policy = i == 0 ? "fifo" : i == 1 ? "lifo" : "priority";
        run_case(policy_case);
    }
    run_case(inherits_case);
    param_policy = "fifo";
}

static void test_fork_all(void **state)
{
    (void)state;
    SKIP_IF(TSAN, "ThreadSanitizer hangs when a forked child forks or creates");
    run_case(fork_all_case);
}

static void test_info(void **state)
{
    (void)state;
    SKIP_IF(ASAN, "AddressSanitizer keeps addresses of locals elsewhere");
    run_case(info_case);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_fork_all),
        cmocka_unit_test(test_info),
    };

    return RUN(tests);
}
