/*
 * starve.h - makes the n-th request for memory or for a kernel thread fail, whoever makes it: the C
 * library, malloc, or an implementation by system calls of its own.
 *
 * A seccomp filter hands mmap, mremap, brk, mprotect, madvise, process_madvise, clone and clone3 to
 * a second process, which counts and lets the kernel go on or answers the error instead
 * (seccomp_unotify(2), Linux 5.5). That process shares the descriptor table, not the filter. Other
 * calls are not slowed. In a child process (tl_child) only: a filter stays until the end.
 *
 *     starve_begin()               0, or the error: this machine does not allow it
 *     starve_arm(n, all)           the caller's n-th request from now on fails; all: and each later
 *     failed = starve_disarm()     how many failed
 */
#ifndef SUITES_MISUSE_STARVE_H
#define SUITES_MISUSE_STARVE_H

#include "check.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Shared by the two processes. Release of armed pairs with acquire in starve_decide. */
struct starve {
    _Atomic int listener;   /* descriptor; -1: not there yet */
    _Atomic int armed;      /* thread whose requests are counted; 0: nobody's */
    _Atomic unsigned count; /* since armed */
    _Atomic unsigned failed;
    unsigned at; /* the request that fails */
    bool all;
};

static struct starve *starve;

static bool starve_decide(unsigned tid)
{
    if ((unsigned)atomic_load_explicit(&starve->armed, memory_order_acquire) != tid)
        return false;
    unsigned n = atomic_fetch_add(&starve->count, 1) + 1;
    if (n != starve->at && !(starve->all && n > starve->at))
        return false;
    atomic_fetch_add(&starve->failed, 1);
    return true;
}

static void starve_serve(void)
{
    struct seccomp_notif request;
    int listener;

    while ((listener = atomic_load(&starve->listener)) < 0)
        poll(NULL, 0, 1);
    for (;;) {
        struct pollfd wait = {.fd = listener, .events = POLLIN};
        if (poll(&wait, 1, -1) < 0)
            continue;
        if (!(wait.revents & POLLIN))
            _exit(0); /* nobody is left who has the filter */
        memset(&request, 0, sizeof(request));
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request))
            continue;
        struct seccomp_notif_resp answer = {.id = request.id};
        int nr = request.data.nr;
        if (!starve_decide(request.pid))
            answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        else if (nr == SYS_clone || nr == SYS_clone3)
            answer.error = -EAGAIN;
        else if (nr != SYS_brk) /* which fails by answering less than was asked for: 0 */
            answer.error = -ENOMEM;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

#define STARVE_CALL(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), STARVE_ASK
#define STARVE_ASK BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)

static int starve_filter(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        STARVE_CALL(SYS_mmap),
        STARVE_CALL(SYS_mremap),
        STARVE_CALL(SYS_brk),
        STARVE_CALL(SYS_mprotect),
        STARVE_CALL(SYS_madvise),
        STARVE_CALL(SYS_process_madvise),
        STARVE_CALL(SYS_clone),
        STARVE_CALL(SYS_clone3),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

/* From the only thread of its process, before the implementation boots. */
static int starve_begin(void)
{
    int fd, err;
    long pid;

    starve = mmap(NULL, sizeof(*starve), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (starve == MAP_FAILED)
        return errno;
    atomic_store(&starve->listener, -1);
    pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    if (pid < 0)
        return errno;
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        starve_serve();
    }
    fd = starve_filter();
    err = errno;
    if (fd < 0) {
        kill((pid_t)pid, SIGKILL);
        return err;
    }
    atomic_store(&starve->listener, fd);
    return 0;
}

static void starve_arm(unsigned n, bool all)
{
    starve->at = n;
    starve->all = all;
    atomic_store(&starve->count, 0);
    atomic_store(&starve->failed, 0);
    atomic_store_explicit(&starve->armed, (int)syscall(SYS_gettid), memory_order_release);
}

static unsigned starve_disarm(void)
{
    atomic_store(&starve->armed, 0);
    return atomic_load(&starve->failed);
}

#endif
