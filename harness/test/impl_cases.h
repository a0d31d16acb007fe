/*
 * impl_cases.h - what every implementation has to do: the cases of test_impl.c, which says how they
 * are run. Each is the entry of the first thread, in a process of its own, and reaches threads
 * through the contract only.
 */
#ifndef TL_IMPL_CASES_H
#define TL_IMPL_CASES_H

#include "impl.h"

#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif
#ifdef __SANITIZE_THREAD__
#define TSAN 1
#else
#define TSAN 0
#endif

#define CASE_FAILED 3

static const struct tl_impl *impl;             /* under test */
static void (*after_run)(void);                /* set by a case: checks when run() has returned */
static const char *param_of(const char *name); /* in test_impl.c: NULL, no such parameter */

#define CHECK(x)                                               \
    do {                                                       \
        if (!(x)) {                                            \
            dprintf(2, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
            _exit(CASE_FAILED);                                \
        }                                                      \
    } while (0)

/* POSIX calls of the contract: 0 or the error, named in what is printed. */
#define OK(call)                                                                         \
    do {                                                                                 \
        int ok_err_ = (call);                                                            \
        if (ok_err_) {                                                                   \
            dprintf(2, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, strerror(ok_err_)); \
            _exit(CASE_FAILED);                                                          \
        }                                                                                \
    } while (0)

static struct tl_thread start(void *(*entry)(void *), void *arg)
{
    struct tl_thread t = {0};

    OK(impl->create(&t, NULL, entry, arg));
    return t;
}

static void *finish(struct tl_thread t)
{
    void *value = NULL;

    OK(impl->join(t, &value));
    return value;
}

static void *same(void *arg)
{
    return arg;
}

/* Whether a stale id answers ESRCH. The C library cannot tell: using one is undefined. */
static bool tells_stale(void)
{
    return strcmp(impl->name, "nptl") != 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void *case_value(void *arg)
{
    (void)arg;
    for (intptr_t i = 0; i < 300; i++)
        CHECK(finish(start(same, (void *)i)) == (void *)i);
    OK(impl->join(start(same, NULL), NULL));
    return NULL;
}

static void *case_thousand(void *arg)
{
    static struct tl_thread t[1000];

    (void)arg;
    for (int round = 0; round < 3; round++) {
        for (intptr_t i = 0; i < 1000; i++)
            t[i] = start(same, (void *)i);
        for (intptr_t i = 0; i < 1000; i++)
            CHECK(finish(t[round == 1 ? 999 - i : i]) == (void *)(round == 1 ? 999 - i : i));
    }
    return NULL;
}

static atomic_int ended;

static void *count_end(void *arg)
{
    impl->yield();
    atomic_fetch_add(&ended, 1);
    return arg;
}

static void all_ended(void)
{
    CHECK(atomic_load(&ended) == 1000);
}

/* run() waits for them. */
static void *case_detached(void *arg)
{
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_thread t;

    (void)arg;
    attr.detached = true;
    for (int i = 0; i < 1000; i++) {
        if (i % 2) {
            OK(impl->create(&t, &attr, count_end, NULL));
        } else {
            t = start(count_end, NULL);
            OK(impl->detach(t));
        }
    }
    after_run = all_ended;
    return NULL;
}

static void *case_unjoined(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        start(count_end, NULL);
    after_run = all_ended;
    return NULL;
}

static void *case_stale(void *arg)
{
    struct tl_thread t[50], garbage = {UINT64_MAX};

    (void)arg;
    for (int i = 0; i < 50; i++) {
        t[i] = start(same, NULL);
        finish(t[i]);
    }
    for (int i = 0; i < 50; i++) {
        CHECK(impl->join(t[i], NULL) == ESRCH);
        CHECK(impl->detach(t[i]) == ESRCH);
        if (impl->signal)
            CHECK(impl->signal->kill(t[i], 0, NULL) == ESRCH);
    }
    CHECK(impl->join(garbage, NULL) == ESRCH);
    garbage.id = 0x7fffffff;
    CHECK(impl->detach(garbage) == ESRCH);
    return NULL;
}

static struct tl_thread told;

static void *check_self(void *arg)
{
    (void)arg;
    CHECK(impl->self().id == told.id);
    if (!SANITIZED) /* TSan reports it instead */
        CHECK(impl->join(impl->self(), NULL) == EDEADLK);
    impl->yield();
    CHECK(impl->self().id == told.id);
    return NULL;
}

static void *case_self(void *arg)
{
    struct tl_thread first = impl->self();

    (void)arg;
    for (int i = 0; i < 20; i++) {
        OK(impl->create(&told, NULL, check_self, NULL));
        CHECK(told.id != first.id);
        finish(told);
        CHECK(impl->self().id == first.id);
    }
    return NULL;
}

static void *churn(void *arg)
{
    for (intptr_t i = 0; i < 300; i++)
        CHECK(finish(start(same, (void *)i)) == (void *)i);
    return arg;
}

static void *case_churn(void *arg)
{
    struct tl_thread t[4];

    (void)arg;
    for (int i = 0; i < 4; i++)
        t[i] = start(churn, NULL);
    for (int i = 0; i < 4; i++)
        finish(t[i]);
    return NULL;
}

static void *tree(void *arg)
{
    intptr_t depth = (intptr_t)arg;
    struct tl_thread left, right;

    if (!depth)
        return (void *)1;
    left = start(tree, (void *)(depth - 1));
    right = start(tree, (void *)(depth - 1));
    return (void *)((intptr_t)finish(left) + (intptr_t)finish(right));
}

static void *case_tree(void *arg)
{
    (void)arg;
    CHECK((intptr_t)finish(start(tree, (void *)7)) == 128);
    return NULL;
}

/* ---- attributes
 * ----------------------------------------------------------------------------------- */

static void *use_stack(void *arg)
{
    volatile char room[4096];

    for (size_t i = 0; i < sizeof(room); i += 64)
        room[i] = (char)i;
    impl->yield();
    CHECK(room[128] == (char)128);
    return arg;
}

static void *case_attributes(void *arg)
{
    static const size_t sizes[] = {16384, 65536, 1 << 20}, guards[] = {0, 4096, 65536};
    struct tl_thread t[8];

    (void)arg;
    for (int i = 0; i < 9 * 2 * 3; i++) {
        struct tl_attr attr = TL_ATTR_INIT;

        attr.stack_size = sizes[i % 3];
        attr.guard_size = guards[i / 3 % 3];
        attr.no_guard = i / 9 % 2;
        for (int j = 0; j < 8; j++)
            OK(impl->create(&t[j], &attr, use_stack, &attr));
        for (int j = 0; j < 8; j++)
            CHECK(finish(t[j]) == &attr);
    }
    return NULL;
}

static __attribute__((noinline)) int overflow(int depth)
{
    volatile char room[512];

    room[0] = (char)depth;
    return depth < 1000000 ? overflow(depth + 1) + room[0] : 0;
}

static void *overflowing(void *arg)
{
    return overflow(1) ? arg : NULL;
}

/* Ends by a signal. */
static void *case_overflow(void *arg)
{
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_thread t, above;

    (void)arg;
    attr.stack_size = 65536;
    OK(impl->create(&above, &attr, same, NULL)); /* has a mapping next to it */
    OK(impl->create(&t, &attr, overflowing, NULL));
    finish(t);
    finish(above);
    return NULL;
}

static void *where(void *arg)
{
    cpu_set_t set;

    CHECK(!sched_getaffinity(0, sizeof(set), &set));
    CHECK(CPU_COUNT(&set) == 1);
    CHECK(CPU_ISSET(sched_getcpu(), &set));
    *(int *)arg = sched_getcpu();
    return NULL;
}

/* A thread runs where its slot is, and without one where its creator does. */
static void *case_slots(void *arg)
{
    struct tl_attr attr = TL_ATTR_INIT;
    int first, cpu, by_slot[2] = {-1, -1};
    struct tl_thread t;

    (void)arg;
    where(&first);
    for (int i = 0; i < 60; i++) {
        attr.slot = i % 3 == 2 ? TL_SLOT_INHERIT : i % 3;
        if (impl->create(&t, &attr, where, &cpu) == EINVAL) {
            CHECK(attr.slot == 1); /* one slot only: no such */
            continue;
        }
        finish(t);
        if (attr.slot == TL_SLOT_INHERIT)
            CHECK(cpu == first);
        else if (by_slot[attr.slot] < 0)
            by_slot[attr.slot] = cpu;
        else
            CHECK(cpu == by_slot[attr.slot]);
    }
    CHECK(by_slot[0] == first && by_slot[1] != first);
    attr.slot = 1000;
    CHECK(impl->create(&t, &attr, same, NULL) == EINVAL);
    attr.slot = -2;
    CHECK(impl->create(&t, &attr, same, NULL) == EINVAL);
    return NULL;
}

/* ---- what is private
 * -------------------------------------------------------------------------------- */

static __attribute__((noinline)) int *where_errno(void)
{
    __asm__ volatile(""); /* else it counts as a constant, as __errno_location does */
    return &errno;
}

static void *keep_errno(void *arg)
{
    struct tl_mutex *m = arg;
    int mine = (int)(impl->self().id % 1000) + 1;

    CHECK(*where_errno() == 0);
    *where_errno() = mine;
    for (int i = 0; i < 50; i++) {
        OK(impl->mutex->lock(m));
        impl->yield();
        OK(impl->mutex->unlock(m));
        impl->yield();
        CHECK(*where_errno() == mine);
    }
    return NULL;
}

static void *case_errno(void *arg)
{
    struct tl_thread t[8];
    struct tl_mutex m;

    (void)arg;
    OK(impl->mutex->init(&m, TL_MUTEX_BLOCK));
    errno = 4711;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 8; i++)
            t[i] = start(keep_errno, &m);
        for (int i = 0; i < 8; i++)
            finish(t[i]);
    }
    CHECK(*where_errno() == 4711);
    OK(impl->mutex->destroy(&m));
    return NULL;
}

static _Thread_local struct {
    int set;
    char zero[300];
} own = {42, {0}};

static __attribute__((noinline)) int *where_own(void)
{
    __asm__ volatile("");
    return &own.set;
}

static void *keep_own(void *arg)
{
    int mine = (int)(impl->self().id % 1000) + 100;

    CHECK(*where_own() == 42);
    for (size_t i = 0; i < sizeof(own.zero); i++)
        CHECK(own.zero[i] == 0);
    memset(own.zero, 1, sizeof(own.zero));
    *where_own() = mine;
    for (int i = 0; i < 20; i++) {
        impl->yield();
        CHECK(*where_own() == mine);
    }
    return arg;
}

static void *case_thread_local(void *arg)
{
    struct tl_thread t[8];

    (void)arg;
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 8; i++)
            t[i] = start(keep_own, NULL);
        for (int i = 0; i < 8; i++)
            finish(t[i]);
    }
    CHECK(*where_own() == 42);
    return NULL;
}

static void *use_libc(void *arg)
{
    char *heap[20], text[64];
    FILE *file = arg;
    struct tm tm;
    time_t when = 86400;

    for (int i = 0; i < 20; i++) {
        heap[i] = malloc((size_t)(i + 1) * 700);
        CHECK(heap[i]);
        memset(heap[i], i, (size_t)(i + 1) * 700);
        impl->yield();
    }
    for (int i = 0; i < 20; i++) {
        CHECK(heap[i][699] == i);
        free(heap[i]);
    }
    CHECK(snprintf(text, sizeof(text), "%s %d %.2f", "x", 42, 1.5) == 9);
    CHECK(!strcmp(text, "x 42 1.50"));
    CHECK(fprintf(file, "%s\n", text) == 10);
    CHECK(strtod("2.5", NULL) == 2.5);
    CHECK(isalpha('a') && !isalpha('1') && toupper('b') == 'B');
    CHECK(localtime_r(&when, &tm) && tm.tm_year == 70);
    CHECK(strtol("junk", NULL, 99) == 0 && errno == EINVAL);
    CHECK(strlen(strerror(ENOENT)) > 3);
    return NULL;
}

static void *case_libc(void *arg)
{
    FILE *file = fopen("/dev/null", "w");
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_thread t[8];

    (void)arg;
    CHECK(file);
    attr.stack_size = 131072;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 8; i++)
            OK(impl->create(&t[i], round % 2 ? NULL : &attr, use_libc, file));
        for (int i = 0; i < 8; i++)
            finish(t[i]);
    }
    fclose(file);
    return NULL;
}

/* ---- limits
 * ---------------------------------------------------------------------------------------- */

static void *wait_for(void *arg)
{
    OK(impl->sem->wait(arg));
    return NULL;
}

/* Creates until memory is short; then all that exist still work, and later others can be. */
static void *case_limit(void *arg)
{
    enum { MAX = 4000 };
    static struct tl_thread t[MAX];
    struct tl_attr attr = TL_ATTR_INIT;
    struct rlimit limit, old;
    struct tl_sem sem;
    long pages = 0;
    int n = 0, err = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    (void)arg;
    CHECK(f && fscanf(f, "%ld", &pages) == 1 && !fclose(f));
    OK(impl->sem->init(&sem, 0));
    CHECK(!getrlimit(RLIMIT_AS, &old));
    limit = old;
    limit.rlim_cur = (rlim_t)pages * 4096 + (200u << 20);
    attr.stack_size = 1 << 20;
    for (int round = 0; round < 2; round++) {
        CHECK(!setrlimit(RLIMIT_AS, &limit));
        for (n = 0; n < MAX && !(err = impl->create(&t[n], &attr, wait_for, &sem)); n++)
            ;
        CHECK(n > 20 && n < MAX);
        CHECK(err == EAGAIN || err == ENOMEM);
        CHECK(impl->create(&t[n], &attr, wait_for, &sem) == err);
        for (int i = 0; i < n; i++)
            OK(impl->sem->post(&sem));
        for (int i = 0; i < n; i++)
            finish(t[i]);
        CHECK(finish(start(same, &sem)) == &sem);
    }
    CHECK(!setrlimit(RLIMIT_AS, &old));
    for (int i = 0; i < 100; i++)
        CHECK(finish(start(same, &sem)) == &sem);
    return NULL;
}

#endif
