/*
 * fifo.c - opening a FIFO waits for its other end, which may be about to be opened by a thread
 * below which the same kernel thread runs. So it is opened without waiting, and looked whether the
 * other end is there.
 */
#include "veneer.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a cancelled open has to close. */
struct opening {
    int fd, probe[2];
};

static void close_all(void *arg)
{
    const struct opening *o = arg;

    for (int i = 0; i < 2; i++)
        if (o->probe[i] >= 0)
            close(o->probe[i]);
    if (o->fd >= 0)
        close(o->fd);
}

/* Whether somebody has it open for writing, or had: tee(2) of an empty pipe answers 0 if nobody
 * has, EAGAIN if somebody has, and takes nothing out of one that is not empty. */
static bool has_writer(const struct opening *o)
{
    struct pollfd one = {.fd = o->fd, .events = POLLIN};

    return poll(&one, 1, 0) > 0 || tee(o->fd, o->probe[1], 1, SPLICE_F_NONBLOCK) != 0;
}

/* Done: 1; not yet: 0; errno: -1. */
static int look(struct opening *o, int at, const char *path, int flags, mode_t mode)
{
    if (o->fd < 0)
        o->fd = openat(at, path, flags | O_NONBLOCK, mode);
    if (o->fd < 0)
        return errno == ENXIO ? 0 : -1; /* nobody reads yet */
    return (flags & O_ACCMODE) == O_WRONLY || has_writer(o);
}

static int open_fifo(int at, const char *path, int flags, mode_t mode)
{
    struct veneer_thread *self = veneer_self();
    uint32_t interrupted = veneer_interrupted(self);
    struct opening o = {-1, {-1, -1}};
    void (*undo)(void *) = self->undo;
    void *undo_arg = self->undo_arg;
    int saved = errno, found, fd;

    if ((flags & O_ACCMODE) == O_RDONLY && pipe2(o.probe, O_CLOEXEC))
        return -1;
    self->undo_arg = &o;
    self->undo = close_all;
    while (!(found = look(&o, at, path, flags, mode))) {
        veneer_pause(VENEER_POLL_NS);
        if (veneer_interrupted(self) != interrupted) {
            found = -1;
            errno = EINTR;
            break;
        }
    }
    self->undo = undo;
    self->undo_arg = undo_arg;
    fd = o.fd;
    if (found > 0)
        o.fd = -1;
    found = found < 0 ? errno : 0;
    close_all(&o);
    if (found)
        return veneer_answer(found);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    errno = saved;
    return fd;
}

static bool waits(int at, const char *path, int flags)
{
    int saved = errno;
    struct stat st;
    bool fifo;

    if (!veneer.running || flags & (O_NONBLOCK | O_PATH | O_DIRECTORY) ||
        (flags & O_ACCMODE) == O_RDWR)
        return false;
    fifo = !fstatat(at, path, &st, 0) && S_ISFIFO(st.st_mode);
    errno = saved;
    return fifo;
}

int veneer_open_file(int at, const char *path, int flags, mode_t mode)
{
    return waits(at, path, flags) ? open_fifo(at, path, flags, mode)
                                  : openat(at, path, flags, mode);
}

/* ---- FILE ------------------------------------------------------------------------------------ */

/* As fopen's mode says; -1: as no mode of POSIX, or one that does not wait. */
static int flags_of(const char *mode)
{
    int flags = *mode == 'r'   ? O_RDONLY
                : *mode == 'w' ? O_WRONLY | O_CREAT | O_TRUNC
                : *mode == 'a' ? O_WRONLY | O_CREAT | O_APPEND
                               : -1;

    if (flags < 0 || strchr(mode, '+'))
        return -1;
    return flags | (strchr(mode, 'e') ? O_CLOEXEC : 0) | (strchr(mode, 'x') ? O_EXCL : 0);
}

FILE *WRAP(fopen)(const char *path, const char *mode);
FILE *WRAP(fopen)(const char *path, const char *mode)
{
    int flags = flags_of(mode), fd, err;
    FILE *f;

    if (flags < 0 || !waits(AT_FDCWD, path, flags))
        return fopen(path, mode);
    fd = open_fifo(AT_FDCWD, path, flags, 0666);
    f = fd < 0 ? NULL : fdopen(fd, mode);
    if (fd >= 0 && !f) {
        err = errno;
        close(fd);
        errno = err;
    }
    return f;
}

FILE *WRAP(fopen64)(const char *path, const char *mode);
FILE *WRAP(fopen64)(const char *path, const char *mode)
{
    return __wrap_fopen(path, mode);
}
