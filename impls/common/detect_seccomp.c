/*
 * detect_seccomp.c - LWPs that are about to block, by seccomp user notification.
 *
 * A filter (seccomp(2), SECCOMP_RET_USER_NOTIF, Linux 5.0) stops the LWP in front of each listed
 * call until the monitor has answered SECCOMP_USER_NOTIF_FLAG_CONTINUE (5.5). From then on the
 * monitor samples the LWP, at first every 10 us, until it has run for 10 to 20 ms of CPU time
 * without blocking. That the kernel then looks at the arguments again is no matter here: nothing is
 * decided by them.
 *
 * A filter holds for a thread and all that it creates, for ever. An LWP created by another has its
 * filter already, and a second one with a listener is refused (EBUSY).
 */
#include "detect_kind.h"

#include "sys.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define NOTIFY BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)
#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
/* Skips the next `otherwise` statements unless what was loaded is k. */
#define IF(k, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, 0, otherwise)
#define LISTED(call) IF(call, 1), NOTIFY

/* Calls that may wait for something outside this process for ever. Not futex, by which the library
 * itself waits, nor openat, which seldom does. Little-endian: args[1] begins with its low half. */
static struct sock_filter listed[] = {
    LOAD(arch),
    IF(OUR_ARCH, 1),
    BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
    ALLOW,
    LOAD(nr),
    LISTED(SYS_read),
    LISTED(SYS_readv),
    LISTED(SYS_pread64),
    LISTED(SYS_preadv),
    LISTED(SYS_write),
    LISTED(SYS_writev),
    LISTED(SYS_pwrite64),
    LISTED(SYS_pwritev),
    LISTED(SYS_recvfrom),
    LISTED(SYS_recvmsg),
    LISTED(SYS_recvmmsg),
    LISTED(SYS_sendto),
    LISTED(SYS_sendmsg),
    LISTED(SYS_sendmmsg),
    LISTED(SYS_accept),
    LISTED(SYS_accept4),
    LISTED(SYS_connect),
    LISTED(SYS_ppoll),
    LISTED(SYS_pselect6),
    LISTED(SYS_epoll_pwait),
#ifdef SYS_poll
    LISTED(SYS_poll),
    LISTED(SYS_select),
    LISTED(SYS_epoll_wait),
    LISTED(SYS_pause),
#endif
    LISTED(SYS_wait4),
    LISTED(SYS_waitid),
    LISTED(SYS_nanosleep),
    LISTED(SYS_clock_nanosleep),
    LISTED(SYS_flock),
    LISTED(SYS_fsync),
    LISTED(SYS_fdatasync),
    LISTED(SYS_rt_sigsuspend),
    LISTED(SYS_rt_sigtimedwait),
    LISTED(SYS_msgrcv),
    LISTED(SYS_msgsnd),
    LISTED(SYS_semtimedop),
    IF(SYS_fcntl, 3),
    LOAD(args[1]),
    LISTED(F_SETLKW),
    ALLOW,
};

static struct sock_filter getppid_only[] = {LOAD(nr), LISTED(SYS_getppid), ALLOW};

#define PROGRAM(filter)                              \
    (struct sock_fprog)                              \
    {                                                \
        sizeof(filter) / sizeof((filter)[0]), filter \
    }

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* Linux 5.19 */
#endif

/* A signal does not interrupt the question once the monitor has it: signals that come more often
 * than it answers would make the call start again for ever. Older kernels have no such flag. */
static long set_filter(const struct sock_fprog *program)
{
    long fd = SYS_CALL(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                       SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                       program, 0, 0, 0);

    if (fd == -EINVAL)
        fd = SYS_CALL(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                      program, 0, 0, 0);
    return fd;
}

/* For the calling thread. Returns the listener or -error. */
static int install(struct sock_fprog program)
{
    long fd = set_filter(&program);

    /* Without CAP_SYS_ADMIN: only for who can never gain privileges by exec. */
    if (fd == -EACCES && SYS_CALL(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0) == 0)
        fd = set_filter(&program);
    return (int)fd;
}

/* ---- the monitor's side ---------------------------------------------------------------------- */

/* The kernel's structures may be longer than those of our headers. */
struct sizes {
    size_t request, response;
};

static int sizes_get(struct sizes *sizes)
{
    struct seccomp_notif_sizes kernel;
    long error = SYS_CALL(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &kernel, 0, 0, 0);

    if (error)
        return (int)-error;
    sizes->request = kernel.seccomp_notif > sizeof(struct seccomp_notif)
                         ? kernel.seccomp_notif
                         : sizeof(struct seccomp_notif);
    sizes->response = kernel.seccomp_notif_resp > sizeof(struct seccomp_notif_resp)
                          ? kernel.seccomp_notif_resp
                          : sizeof(struct seccomp_notif_resp);
    return 0;
}

struct buffer {
    struct sizes sizes;
    _Alignas(16) char bytes[];
};

static struct buffer *buffer_new(void)
{
    struct sizes sizes;
    struct buffer *b = NULL;

    if (sizes_get(&sizes) == 0) {
        b = calloc(1, sizeof(*b) + sizes.request + sizes.response + 16);
        if (b)
            b->sizes = sizes;
    }
    return b;
}

/* Takes one notification and lets its call go on. *tid: who made it. ENOENT: it was interrupted by
 * a signal and will come again, or has died. */
static int let_through(int listener, struct buffer *b, pid_t *tid)
{
    struct seccomp_notif *request = (void *)b->bytes;
    struct seccomp_notif_resp *response =
        (void *)(b->bytes + ((b->sizes.request + 15) & ~(size_t)15));

    memset(request, 0, b->sizes.request); /* the kernel insists */
    long error = SYS_CALL(SYS_ioctl, listener, SECCOMP_IOCTL_NOTIF_RECV, request, 0, 0, 0);
    if (error)
        return (int)-error;
    *tid = (pid_t)request->pid;
    memset(response, 0, b->sizes.response);
    response->id = request->id;
    response->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    return (int)-SYS_CALL(SYS_ioctl, listener, SECCOMP_IOCTL_NOTIF_SEND, response, 0, 0, 0);
}

/* Lock held. */
static void look_at(struct detect *d, pid_t tid)
{
    for (unsigned n = 0; n < d->slots; n++) {
        struct detect_slot *s = &d->slot[n];

        if (!s->flag || s->tid != tid)
            continue;
        s->blocks = false; /* it ran, to make this call */
        s->look = DETECT_NOT;
        if (detect_hidden(detect_seq(s)) || detect_stat(s) == DETECT_GONE)
            continue;
        s->look = DETECT_CALL;
        s->ticks_at_call = s->ticks;
    }
}

static void event(struct detect *d, unsigned key, bool hung_up)
{
    int *listener = &d->listener[key - DETECT_LWPS];
    pid_t tid;

    pthread_mutex_lock(&d->lock);
    if (hung_up) { /* nobody has this filter any more */
        close(*listener);
        *listener = -1;
        d->listeners--;
    } else if (let_through(*listener, d->buffer, &tid) == 0) {
        look_at(d, tid);
    }
    pthread_mutex_unlock(&d->lock);
}

/* ---- the LWP's side -------------------------------------------------------------------------- */

static int detector_open(struct detect *d)
{
    for (unsigned i = 0; i < DETECT_LWPS; i++)
        d->listener[i] = -1;
    d->buffer = buffer_new();
    return d->buffer ? 0 : ENOMEM;
}

static int adopt(struct detect *d, struct detect_slot *s)
{
    unsigned i = 0;

    (void)s;
    while (i < DETECT_LWPS && d->listener[i] >= 0)
        i++;
    if (i == DETECT_LWPS)
        return EAGAIN;
    int fd = install(PROGRAM(listed));
    if (fd == -EBUSY && d->listeners)
        return 0; /* it has that of its creator */
    if (fd < 0)
        return -fd;
    /* A failure cannot be mended, nor does it occur: the calls would wait for ever. */
    int error = detect_watch(d, fd, DETECT_LWPS + i);
    if (error) {
        close(fd);
        return error;
    }
    d->listener[i] = fd; /* before the monitor looks: we hold the lock */
    d->listeners++;
    return 0;
}

/* ---- may we? --------------------------------------------------------------------------------- */

struct trial {
    int pipe[2]; /* the thread tells its listener, or -error */
    int error;
};

static void *try(void *arg)
{
    struct trial *trial = arg;
    int fd = install(PROGRAM(getppid_only));

    if (write(trial->pipe[1], &fd, sizeof(fd)) == sizeof(fd) && fd >= 0)
        SYS_CALL(SYS_getppid, 0, 0, 0, 0, 0, 0);
    return NULL;
}

static int refused(int error, char *reason, size_t size)
{
    if (error == EBUSY)
        snprintf(
            reason, size,
            "this process already runs under a seccomp filter with a listener (a container's), "
            "and the kernel allows one only");
    else if (error == EINVAL || error == ENOSYS)
        snprintf(
            reason, size,
            "this kernel or sandbox has no seccomp user notification with CONTINUE (Linux 5.5)");
    else
        snprintf(reason, size, "a seccomp filter with a listener is refused: %s", strerror(error));
    return error == EINVAL || error == ENOSYS ? ENOTSUP : error;
}

/* A thread installs a filter and makes a call; the filter dies with it. */
static int probe(char *reason, size_t size)
{
    struct buffer *b = buffer_new();
    struct trial trial;
    pthread_t thread;
    pid_t tid;
    int fd = -ENOSYS, error;

    if (!b)
        return refused(ENOSYS, reason, size);
    error = pipe2(trial.pipe, O_CLOEXEC) ? errno : 0;
    if (error)
        goto no_pipe;
    error = pthread_create(&thread, NULL, try, &trial);
    if (error)
        goto no_thread;
    if (read(trial.pipe[0], &fd, sizeof(fd)) != sizeof(fd))
        fd = -EIO;
    error = fd < 0 ? -fd : let_through(fd, b, &tid);
    if (fd >= 0)
        close(fd); /* a call that still waits fails by that, and the thread ends */
    pthread_join(thread, NULL);
no_thread:
    close(trial.pipe[0]);
    close(trial.pipe[1]);
no_pipe:
    free(b);
    return error ? refused(error, reason, size) : 0;
}

const struct detect_ops detect_seccomp = {
    .name = "seccomp",
    .min_ns = 10000,
    .max_ns = 5000000,
    .look = DETECT_NOT,
    .probe = probe,
    .open = detector_open,
    .adopt = adopt,
    .event = event,
    .outlives = true,
};
