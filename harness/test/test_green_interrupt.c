/*
 * test_green_interrupt.c - user-level threads that end from any depth, and that are interrupted
 * while they wait: by a cancellation, by the time, by a signal.
 */
#include "green_child.h"

static struct tl_mutex lock;
static struct tl_cond cond;

/* ---- ends ------------------------------------------------------------------------------------ */

static struct tl_key key;

static void cleanup(void *arg)
{
    note((int)(intptr_t)arg);
}

static void deepest(void *arg)
{
    impl->exit(arg);
}

static void deeper(void *arg)
{
    impl->protect(deepest, arg, cleanup, (void *)2, true);
}

static void *exits(void *arg)
{
    impl->key->set(key, (void *)1);
    impl->protect(deeper, arg, cleanup, (void *)3, true);
    return NULL;
}

static void *exit_case(void *arg)
{
    static const int want[] = {2, 3, 1};
    struct tl_thread t;
    void *value;

    (void)arg;
    CHECK(!impl->key->create(&key, cleanup));
    for (int i = 0; i < 3; i++) {
        traced = 0;
        CHECK(!impl->create(&t, NULL, exits, &t));
        CHECK(!impl->join(t, &value) && value == &t);
        CHECK(traced == 3 && !memcmp(trace, want, sizeof(want)));
        CHECK(!impl->key->get(key));
    }
    return NULL;
}

static void *outlives(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        impl->yield();
    return (void *)(intptr_t)impl->join(the_first, NULL);
}

/* The first thread's exit is not the end of the others. */
static void *exit_first_case(void *arg)
{
    struct tl_attr attr = {.detached = true, .slot = TL_SLOT_INHERIT};
    struct tl_thread t;

    (void)arg;
    the_first = impl->self();
    CHECK(!impl->create(&t, &attr, outlives, NULL));
    impl->exit(NULL);
    return (void *)1;
}

/* ---- cancellation ---------------------------------------------------------------------------- */

enum { IN_COND, IN_SEM, IN_SEM_TIMED, IN_JOIN, IN_SLEEP, PLACES };

static struct tl_thread target;

static void waits(void *arg)
{
    switch ((intptr_t)arg) {
    case IN_COND:
        impl->mutex->lock(&lock);
        impl->cond->wait(&cond, &lock);
        break;
    case IN_SEM:
        impl->sem->wait(&gate);
        break;
    case IN_SEM_TIMED:
        impl->sem->timedwait(&gate, CLOCK_REALTIME, in_ms(CLOCK_REALTIME, 1000000));
        break;
    case IN_JOIN:
        impl->join(target, NULL);
        break;
    default:
        impl->sleep(UINT64_C(1000000000000));
    }
    note(99);
}

static void releases(void *arg)
{
    note((intptr_t)arg == IN_COND ? impl->mutex->unlock(&lock) : 0); /* 0: it was held */
}

static void *cancelled(void *arg)
{
    impl->protect(waits, arg, releases, arg, false);
    return NULL;
}

static void *waits_for_ping(void *arg)
{
    impl->sem->wait(&ping);
    return arg;
}

static void *cancel_case(void *arg)
{
    struct tl_thread t, other;
    void *value;
    int count;

    (void)arg;
    impl->mutex->init(&lock, TL_MUTEX_BLOCK);
    impl->cond->init(&cond);
    impl->sem->init(&gate, 0);
    impl->sem->init(&ping, 0);
    CHECK(!impl->create(&target, NULL, waits_for_ping, NULL));
    for (intptr_t place = 0; place < PLACES; place++) {
        traced = 0;
        CHECK(!impl->create(&t, NULL, cancelled, (void *)place));
        CHECK(!traced && !impl->cancel->cancel(t));
        CHECK(!impl->cancel->cancel(t));
        CHECK(!impl->join(t, &value) && value == TL_CANCELED);
        CHECK(traced == 1 && trace[0] == 0);
        CHECK(impl->cancel->cancel(t) == ESRCH);
    }
    /* the post is for the one that was not cancelled */
    traced = 0;
    CHECK(!impl->create(&t, NULL, cancelled, (void *)IN_SEM));
    CHECK(!impl->create(&other, NULL, cancelled, (void *)IN_SEM));
    CHECK(!impl->cancel->cancel(t) && !impl->sem->post(&gate));
    CHECK(!impl->join(t, &value) && value == TL_CANCELED);
    CHECK(!impl->join(other, &value) && !value && traced == 2 && trace[1] == 99);
    CHECK(!impl->sem->getvalue(&gate, &count) && !count);
    /* one that has got the unit keeps it */
    CHECK(!impl->create(&t, NULL, cancelled, (void *)IN_SEM));
    CHECK(!impl->sem->post(&gate) && !impl->cancel->cancel(t));
    CHECK(!impl->join(t, &value) && !value);
    /* the target of the cancelled joiner is joinable */
    CHECK(!impl->sem->post(&ping) && !impl->join(target, NULL));
    CHECK(impl->cancel->set_type(TL_CANCEL_ASYNC, NULL) == ENOTSUP);
    /* itself, at its next point; as first thread, too */
    CHECK(!impl->cancel->cancel(impl->self()));
    CHECK(!impl->cancel->set_state(TL_CANCEL_DISABLE, &count) && count == TL_CANCEL_ENABLE);
    CHECK(!impl->sleep(1000));
    CHECK(!impl->cancel->set_state(TL_CANCEL_ENABLE, NULL));
    return NULL;
}

/* ---- timed waits ----------------------------------------------------------------------------- */

#define WAITERS 40
static int timed_out;

static void *times_out(void *arg)
{
    unsigned i = (unsigned)(intptr_t)arg, ms = i * 7 % WAITERS / 4;
    clockid_t clock = i % 2 ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    uint64_t until = in_ms(clock, ms);
    int err;

    if (i % 4 == 3) {
        CHECK(!impl->mutex->lock(&lock));
        err = impl->cond->timedwait(&cond, &lock, clock, until);
        CHECK(impl->mutex->trylock(&lock) == EBUSY && !impl->mutex->unlock(&lock));
    } else {
        err = impl->sem->timedwait(&gate, clock, until);
    }
    CHECK(err == 0 || err == ETIMEDOUT);
    CHECK(!err || now_ns(clock) >= until);
    timed_out += err == ETIMEDOUT;
    return NULL;
}

static void *holds(void *arg)
{
    impl->mutex->lock(arg);
    impl->sem->wait(&ping);
    return (void *)(intptr_t)impl->mutex->unlock(arg);
}

static void *timed_case(void *arg)
{
    struct tl_thread t[WAITERS];
    void *value;

    (void)arg;
    impl->mutex->init(&lock, TL_MUTEX_BLOCK);
    impl->cond->init(&cond);
    impl->sem->init(&gate, 0);
    impl->sem->init(&ping, 0);
    for (int posts = 0; posts <= WAITERS; posts += WAITERS / 8) {
        int left;

        timed_out = 0;
        for (intptr_t i = 0; i < WAITERS; i++)
            CHECK(!impl->create(&t[i], NULL, times_out, (void *)i));
        for (int i = 0; i < posts; i++) {
            CHECK(!impl->sem->post(&gate));
            CHECK(!impl->cond->signal(&cond));
        }
        for (int i = 0; i < WAITERS; i++)
            CHECK(!impl->join(t[i], &value) && !value);
        /* each unit went to a waiter or is still there */
        CHECK(!impl->sem->getvalue(&gate, &left) && left >= 0);
        CHECK(timed_out <= WAITERS && timed_out + posts - left + posts >= WAITERS);
        while (!impl->sem->trywait(&gate))
            ;
    }
    CHECK(impl->sem->timedwait(&gate, CLOCK_PROCESS_CPUTIME_ID, 0) == EINVAL);
    CHECK(!impl->create(&t[0], NULL, holds, &lock));
    CHECK(impl->mutex->timedlock(&lock, CLOCK_REALTIME, 0) == ETIMEDOUT);
    CHECK(impl->mutex->timedlock(&lock, CLOCK_MONOTONIC, in_ms(CLOCK_MONOTONIC, 5)) == ETIMEDOUT);
    impl->sem->post(&ping);
    CHECK(!impl->mutex->timedlock(&lock, CLOCK_REALTIME, in_ms(CLOCK_REALTIME, 100000)));
    CHECK(!impl->mutex->unlock(&lock) && !impl->join(t[0], NULL));
    return NULL;
}

/* ---- signals --------------------------------------------------------------------------------- */

static uint64_t handled_by[64];
static int handled, payload[64];
static bool handler_yields;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    handled_by[handled % 64] = impl->self().id;
    payload[handled++ % 64] = info->si_value.sival_int;
    if (handler_yields)
        impl->yield();
    errno = 0;
}

static bool stop;

static void *yields(void *arg)
{
    errno = 77;
    while (!stop)
        impl->yield();
    return arg;
}

static void *waits_all_over(void *arg)
{
    waits(arg);
    if ((intptr_t)arg == IN_COND)
        impl->mutex->unlock(&lock);
    return arg;
}

static void *kill_case(void *arg)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    union sigval value = {0};
    struct tl_thread t;

    (void)arg;
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGRTMIN, &action, NULL);
    sigaction(SIGRTMIN + 1, &action, NULL);
    impl->mutex->init(&lock, TL_MUTEX_BLOCK);
    impl->cond->init(&cond);
    impl->sem->init(&gate, 0);
    impl->sem->init(&ping, 0);
    for (int round = 0; round < 2; round++) {
        handler_yields = round;
        /* ready: a standard signal once, real-time ones each, the lower number first */
        handled = 0;
        stop = false;
        CHECK(!impl->create(&t, NULL, yields, NULL));
        for (value.sival_int = 0; value.sival_int < 5; value.sival_int++)
            CHECK(!impl->signal->kill(t, SIGRTMIN + (value.sival_int < 2), &value));
        for (int i = 0; i < 5; i++)
            CHECK(!impl->signal->kill(t, SIGUSR1, NULL));
        CHECK(!handled);
        while (handled < 6)
            impl->yield();
        for (int i = 0; i < 6; i++)
            CHECK(handled_by[i] == t.id);
        CHECK(payload[1] == 2 && payload[2] == 3 && payload[3] == 4);
        CHECK(payload[4] == 0 && payload[5] == 1);
        stop = true;
        CHECK(!impl->join(t, NULL) && handled == 6);
        /* waiting: the handler runs at once, and the wait goes on */
        CHECK(!impl->create(&target, NULL, waits_for_ping, NULL));
        for (intptr_t place = 0; place < PLACES - 1; place++) {
            CHECK(!impl->create(&t, NULL, waits_all_over, (void *)place));
            handled = traced = 0;
            for (int i = 1; i <= (place == IN_COND ? 1 : 20); i++) {
                CHECK(!impl->signal->kill(t, SIGUSR1, NULL));
                while (handled < i)
                    impl->yield();
                CHECK(handled == i && handled_by[i - 1] == t.id);
                CHECK(!traced || place == IN_COND); /* which may wake spuriously */
            }
            impl->cond->signal(&cond);
            if (place == IN_SEM || place == IN_SEM_TIMED)
                impl->sem->post(&gate);
            if (place == IN_JOIN)
                impl->sem->post(&ping);
            CHECK(!impl->join(t, NULL) && traced == 1);
        }
        CHECK(!impl->mutex->lock(&lock) && !impl->create(&t, NULL, locks, &lock));
        handled = 0;
        CHECK(!impl->signal->kill(t, SIGUSR1, NULL));
        while (!handled)
            impl->yield();
        CHECK(handled_by[0] == t.id && !impl->mutex->unlock(&lock) && !impl->join(t, NULL));
        impl->mutex->init(&lock, TL_MUTEX_BLOCK);
        CHECK(impl->signal->kill(t, SIGUSR1, NULL) == ESRCH);
    }
    return NULL;
}

CASE(exit)
CASE(exit_first)
CASE(cancel)
CASE(timed)

static void test_by_priority(void **state)
{
    (void)state;
    param_policy = "priority";
    run_case(cancel_case);
    run_case(timed_case);
    param_policy = "fifo";
}

static void test_kill(void **state)
{
    (void)state;
    SKIP_IF(TSAN, "ThreadSanitizer runs handlers later, at a system call of its choice");
    run_case(kill_case);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit),        cmocka_unit_test(test_exit_first),
        cmocka_unit_test(test_cancel),      cmocka_unit_test(test_timed),
        cmocka_unit_test(test_by_priority), cmocka_unit_test(test_kill),
    };

    return RUN(tests);
}
