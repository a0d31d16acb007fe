/*
 * info.c - names, stacks and scheduling: what the kernel knows of a kernel thread. proc(5),
 * /proc/self/task/TID/comm; sched(7).
 */
#include "thread.h"

#include "../common/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NAME_SIZE 16 /* of the kernel's comm, with its NUL */

/* Reads or writes the name of a thread. */
static int comm(int tid, int flags, char *name, size_t size)
{
    char path[48];
    long fd, n;

    snprintf(path, sizeof(path), "/proc/self/task/%d/comm", tid);
    fd = SYS_CALL(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return (int)-fd;
    n = SYS_CALL(flags == O_RDONLY ? SYS_read : SYS_write, fd, name, size, 0, 0, 0);
    SYS_CALL(SYS_close, fd, 0, 0, 0, 0, 0);
    if (n < 0)
        return (int)-n;
    if (flags == O_RDONLY)
        name[n ? n - 1 : 0] = '\0'; /* in the place of the newline */
    return 0;
}

static int set_name(struct tl_thread id, const char *name)
{
    char copy[NAME_SIZE];
    struct thread *t;
    int tid, err;

    if (strlen(name) >= NAME_SIZE)
        return ERANGE;
    strcpy(copy, name);
    err = thread_hold(id, &t, &tid);
    if (err)
        return err;
    atomic_store_explicit(&t->odd, true, memory_order_relaxed);
    err = comm(tid, O_WRONLY, copy, strlen(copy) + !*copy); /* "": its NUL, or nothing is set */
    thread_release(t);
    return err;
}

static int get_name(struct tl_thread id, char *name, size_t size)
{
    char read[NAME_SIZE + 1];
    struct thread *t;
    int tid, err;

    if (size < NAME_SIZE)
        return ERANGE;
    err = thread_hold(id, &t, &tid);
    if (err)
        return err;
    err = comm(tid, O_RDONLY, read, sizeof(read));
    thread_release(t);
    if (!err)
        strcpy(name, read);
    return err;
}

/* The process's own stack, which has `inside` in it: it grows down to its limit, or to the mapping
 * below it. */
static int first_stack(const void *inside, void **low, size_t *size)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    uintptr_t from, to, below = 0, here = (uintptr_t)inside;
    struct rlimit limit;
    char line[512];
    int err = ENOENT;

    if (!maps)
        return errno;
    while (err && fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx", &from, &to) != 2)
            continue;
        if (here >= from && here < to) {
            err = getrlimit(RLIMIT_STACK, &limit) ? errno : 0;
            if (!err && limit.rlim_cur < to - below)
                below = to - limit.rlim_cur;
            *low = (void *)below;
            *size = to - below;
        }
        below = to;
    }
    fclose(maps);
    return err;
}

static int stack(struct tl_thread id, void **low, size_t *size, size_t *guard)
{
    struct thread *t;
    int tid, saved = errno, err = thread_hold(id, &t, &tid);

    if (err)
        return err;
    if ((uint32_t)atomic_load_explicit(&t->life, memory_order_relaxed) == CLONE_LIFE_FIRST) {
        *guard = 0;
        err = first_stack(t->stack.high, low, size);
        errno = saved;
    } else {
        *low = t->stack.low;
        *size = (size_t)((char *)t->stack.high - (char *)t->stack.low);
        *guard = t->stack.guard;
    }
    thread_release(t);
    return err;
}

int clone_set_sched(int tid, const struct tl_sched *sched)
{
    struct sched_param param = {.sched_priority = sched->priority};

    return (int)-SYS_CALL(SYS_sched_setscheduler, tid, sched->policy, &param, 0, 0, 0);
}

static int set_sched(struct tl_thread id, const struct tl_sched *sched)
{
    struct thread *t;
    int tid, err = thread_hold(id, &t, &tid);

    if (err)
        return err;
    atomic_store_explicit(&t->odd, true, memory_order_relaxed);
    err = clone_set_sched(tid, sched);
    thread_release(t);
    return err;
}

static int get_sched(struct tl_thread id, struct tl_sched *sched)
{
    struct sched_param param;
    struct thread *t;
    long policy;
    int tid, err = thread_hold(id, &t, &tid);

    if (err)
        return err;
    policy = SYS_CALL(SYS_sched_getscheduler, tid, 0, 0, 0, 0, 0);
    err = policy < 0 ? (int)-policy : (int)-SYS_CALL(SYS_sched_getparam, tid, &param, 0, 0, 0, 0);
    thread_release(t);
    if (!err)
        *sched = (struct tl_sched){(int)policy, param.sched_priority};
    return err;
}

const struct tl_info_ops clone_info = {
    .set_name = set_name,
    .get_name = get_name,
    .stack = stack,
    .set_sched = set_sched,
    .get_sched = get_sched,
};
