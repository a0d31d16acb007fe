/*
 * pmu_trace.c - see pmu_trace.h.
 *
 * A tracepoint's number is in <tracefs>/events/<system>/<event>/id (perf_event_open(2),
 * PERF_TYPE_TRACEPOINT). Nothing is mounted from here: the user is told how to.
 */
#include "pmu_trace.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRACEFS "/sys/kernel/tracing"

/* The second is where it was before Linux 4.1, and still is once debugfs is mounted. */
static const char *const roots[] = {TRACEFS "/events", "/sys/kernel/debug/tracing/events"};
#define NROOTS (sizeof(roots) / sizeof(roots[0]))

bool pmu_trace_form(const char *name)
{
    const char *colon = strchr(name, ':');
    size_t length = 0;

    if (!colon || colon == name || !colon[1])
        return false;
    for (const char *c = name; c < colon; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '_')
            return false;
    for (const char *c = colon + 1; *c; c++, length++)
        if (!isalnum((unsigned char)*c) && *c != '_')
            return false;
    return strspn(colon + 1, "ukh") < length;
}

/* The directory of all events, or NULL with errno of the more telling root. */
static DIR *open_root(void)
{
    int error = ENOENT;

    for (size_t i = 0; i < NROOTS; i++) {
        DIR *dir = opendir(roots[i]);

        if (dir)
            return dir;
        if (errno != ENOENT)
            error = errno;
    }
    errno = error;
    return NULL;
}

int pmu_trace_id(const char *name, uint64_t *id, char *reason, size_t size)
{
    char path[256], text[32];
    const char *colon = strchr(name, ':');
    DIR *root = open_root();
    ssize_t n;
    int fd, error;

    if (!root) {
        error = errno;
        if (error == EACCES || error == EPERM)
            snprintf(reason, size,
                     "tracefs is not readable: run as root, or mount -o "
                     "remount,mode=755 " TRACEFS);
        else if (error == ENOENT && access(TRACEFS, F_OK) != 0)
            snprintf(reason, size, "the kernel offers no tracefs at " TRACEFS);
        else if (error == ENOENT)
            snprintf(reason, size, "tracefs is not mounted: mount -t tracefs tracefs " TRACEFS);
        else
            snprintf(reason, size, "tracefs: %s", strerror(error));
        return error;
    }
    error = EINVAL;
    if (!pmu_trace_form(name) || strlen(name) > 200)
        goto out;
    snprintf(path, sizeof(path), "%.*s/%s/id", (int)(colon - name), name, colon + 1);
    fd = openat(dirfd(root), path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error = errno == ENOENT ? EINVAL : errno;
        snprintf(reason, size, "tracefs: events/%.80s: %s", path, strerror(errno));
        goto out;
    }
    n = read(fd, text, sizeof(text) - 1);
    if (n > 0) {
        text[n] = '\0';
        *id = strtoull(text, NULL, 10);
        error = 0;
    } else {
        error = n < 0 ? errno : EIO;
        snprintf(reason, size, "tracefs: events/%.80s: %s", path, strerror(error));
    }
    close(fd);
out:
    closedir(root);
    return error;
}

static DIR *open_below(DIR *parent, const char *name)
{
    int fd = openat(dirfd(parent), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir && fd >= 0)
        close(fd);
    return dir;
}

int pmu_trace_list(int (*visit)(const char *name, const char *help, void *arg), void *arg)
{
    DIR *root = open_root();
    struct dirent *system, *event;
    int stop = 0;

    if (!root)
        return 0;
    while (!stop && (system = readdir(root))) {
        DIR *dir = system->d_name[0] == '.' ? NULL : open_below(root, system->d_name);

        if (!dir)
            continue;
        while (!stop && (event = readdir(dir))) {
            char name[520], id[264];

            /* Only an event has an id; "enable" and "filter" are files of the system. */
            snprintf(id, sizeof(id), "%s/id", event->d_name);
            if (event->d_name[0] == '.' || faccessat(dirfd(dir), id, F_OK, 0) != 0)
                continue;
            snprintf(name, sizeof(name), "%s:%s", system->d_name, event->d_name);
            stop = visit(name, "tracepoint", arg);
        }
        closedir(dir);
    }
    closedir(root);
    return stop;
}
