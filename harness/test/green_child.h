/*
 * green_child.h - what the tests of the user-level library (green, ucontext) share.
 *
 * run() works once in a process, so each case runs in a child: the case's entry is the first
 * thread, and what it returns (the line of the first failed check, 0: none) its exit status.
 * TL_TEST=pattern picks cases of a program.
 */
#ifndef TEST_GREEN_CHILD_H
#define TEST_GREEN_CHILD_H

#include "impl.h"

#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* gcc defines a macro for each, clang answers __has_feature. */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define TSAN 1
#else
#define TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define ASAN 1
#else
#define ASAN 0
#endif
#define SANITIZED (ASAN || TSAN)

/* A child that takes longer hangs: the slowest takes a few seconds. */
#define CHILD_NS UINT64_C(120000000000)

/* cmocka prints no reason of its own. */
#define SKIP_IF(condition, reason)                         \
    do {                                                   \
        if (condition) {                                   \
            print_message("# %s: %s\n", __func__, reason); \
            skip();                                        \
        }                                                  \
    } while (0)

#if SANITIZED
/* A forked child ends by exit() with what cmocka and the parent hold: no leak. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
#endif

static const struct tl_impl *impl;
static const char *param_tls = "errno", *param_recycle = "stack", *param_policy = "fifo";
static int pins;

#define MANY 16
#define SHARED __attribute__((unused)) static
SHARED struct tl_sem gate, ping, pong;
SHARED int order[MANY * 8], ordered;
SHARED unsigned long parked;
SHARED struct tl_thread the_first;
SHARED _Thread_local int private_number = 4711;

/* In a case: a failed check ends the calling function with the line. */
#define CHECK(x)                                                    \
    do {                                                            \
        if (!(x)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
            return (void *)(intptr_t)(__LINE__ % 251 + 1);          \
        }                                                           \
    } while (0)

static inline int pin(const struct tl_boot *boot, int slot)
{
    (void)boot;
    pins += slot == 0;
    return 0;
}

static inline const char *param(const struct tl_boot *boot, const char *name)
{
    (void)boot;
    return !strcmp(name, "tls")       ? param_tls
           : !strcmp(name, "recycle") ? param_recycle
           : !strcmp(name, "policy")  ? param_policy
                                      : "";
}

static inline const struct tl_impl *find(const char *name)
{
    struct tl_module module = tl_module_contents();

    for (const struct tl_impl *const *p = module.impls; p < module.impls_end; p++)
        if (!strcmp((*p)->name, name))
            return *p;
    return NULL;
}

static inline uint64_t now_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The child's part: a process group of its own, which the parent kills; dies with its parent. */
static inline _Noreturn void child_main(void *(*entry)(void *), pid_t parent)
{
    static const struct tl_boot boot = {.nslots = 1, .pin = pin, .param = param};
    void *value = NULL;
    int err;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(249); /* it ended before the line above */
    err = impl->run(&boot, entry, NULL, &value);
    if (err == ENOTSUP)
        exit(250);
    exit(err ? 251 : pins != 1 ? 252 : (int)(intptr_t)value);
}

/* The wait status of a child that ran entry as first thread; what it wrote to stderr in output. */
static inline int in_child(void *(*entry)(void *), char *output, size_t size)
{
    uint64_t end = now_ns(CLOCK_MONOTONIC) + CHILD_NS;
    pid_t pid, parent = getpid();
    siginfo_t ended = {0};
    int fd[2] = {-1, -1}, status;
    size_t used = 0;

    if (output)
        assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        if (output)
            dup2(fd[1], STDERR_FILENO);
        child_main(entry, parent);
    }
    setpgid(pid, pid); /* both do it, so that it is done whoever is first */
    if (output)
        close(fd[1]);
    /* Left as it is, so that its number stays taken until the group has been killed. */
    while (!waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) && !ended.si_pid) {
        struct timespec nap = {0, 1000000};

        if (now_ns(CLOCK_MONOTONIC) > end) {
            print_error("hangs: killed after %d s\n", (int)(CHILD_NS / 1000000000));
            break;
        }
        nanosleep(&nap, NULL);
    }
    kill(-pid, SIGKILL); /* what it forked, too */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (output) {
        ssize_t got;

        while (used + 1 < size && (got = read(fd[0], output + used, size - used - 1)) > 0)
            used += (size_t)got;
        output[used] = '\0';
        close(fd[0]);
    }
    return status;
}

static inline void *nop(void *arg)
{
    return arg;
}

static inline void run_case(void *(*entry)(void *))
{
    static const char *const names[] = {"green", "ucontext"};
    static const char *const tls[] = {"errno", "full"}, *const recycle[] = {"stack", "none"};

    for (int i = 0; i < 8; i++) {
        int status;

        impl = find(names[i & 1]);
        assert_non_null(impl);
        param_tls = tls[i >> 1 & 1];
        param_recycle = recycle[i >> 2 & 1];
        if (SANITIZED && (i >> 1 & 1))
            continue; /* run answers ENOTSUP: see boot.h */
        status = in_child(entry, NULL, 0);
        if (status)
            print_error("%s tls=%s recycle=%s: status %#x\n", names[i & 1], param_tls,
                        param_recycle, (unsigned)status);
        assert_int_equal(status, 0);
    }
    param_tls = "errno";
    param_recycle = "stack";
}

#define CASE(name)                        \
    static void test_##name(void **state) \
    {                                     \
        (void)state;                      \
        run_case(name##_case);            \
    }

/* ---- what several programs use ---- */

static inline void create_and_join(void)
{
    struct tl_thread t;

    impl->create(&t, NULL, nop, NULL);
    impl->join(t, NULL);
}

static inline void *order_thread(void *arg)
{
    impl->sem->wait(&gate);
    for (int i = 0; i < 8; i++) {
        order[ordered++] = (int)(intptr_t)arg;
        impl->yield();
    }
    return NULL;
}

static inline void *private_thread(void *arg)
{
    int mine = (int)(intptr_t)arg;
    bool full = !strcmp(param_tls, "full");

    CHECK(errno == 0);
    CHECK(!full || private_number == 4711);
    for (int i = 0; i < 100; i++) {
        errno = mine;
        private_number = mine;
        if (i % 3 == 0)
            impl->sleep(10 * (uint64_t)(mine % 7));
        else if (i % 3 == 1)
            create_and_join();
        else
            impl->yield();
        CHECK(errno == mine);
        CHECK(!full || private_number == mine);
        free(malloc((size_t)mine * 100));
    }
    return NULL;
}

static inline void *parks(void *arg)
{
    (void)arg;
    parked++;
    impl->sem->wait(&gate);
    parked--;
    return NULL;
}

static inline void *locks(void *arg)
{
    return (void *)(intptr_t)impl->mutex->lock(arg);
}

SHARED int trace[64], traced;

static inline void note(int what)
{
    trace[traced++ % 64] = what;
}

static inline uint64_t in_ms(clockid_t clock, unsigned ms)
{
    return now_ns(clock) + ms * UINT64_C(1000000);
}

#define RUN(tests)                                                            \
    (getenv("TL_TEST") ? cmocka_set_test_filter(getenv("TL_TEST")) : (void)0, \
     cmocka_run_group_tests(tests, NULL, NULL))

#endif
