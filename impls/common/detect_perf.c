/*
 * detect_perf.c - blocked LWPs by the context-switch records of perf_event_open(2).
 *
 * Each LWP has a software event of its own that counts nothing (PERF_COUNT_SW_DUMMY) and, with
 * attr.context_switch, writes PERF_RECORD_SWITCH into a ring whenever the LWP leaves its CPU or
 * gets one. Leaving with PERF_RECORD_MISC_SWITCH_OUT_PREEMPT (Linux 4.17) is preemption: it was
 * runnable. No PMU is needed, and with perf_event_paranoid up to 2 no privilege, since the event
 * excludes the kernel and belongs to our own thread.
 *
 * A record for leaving and one for coming back alternate. The ring wakes the monitor at each second
 * record, which is made to be that for leaving: were it woken by both, then on the CPU of an LWP it
 * would be woken by the record of that LWP's return, push it from its CPU again, and so on for
 * ever. That a reported LWP is back is seen by looking, after 50 us, 100 us ... 5 ms.
 *
 * The ring has one page: 512 records. Should the monitor be so late that records are lost, the LWP
 * is sampled from then on as by the proc detector, hidden or not: which records wake the monitor is
 * no longer known, so that the LWP could come back from where it hid and block unseen.
 */
#include "detect_kind.h"

#include "sys.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef PERF_RECORD_MISC_SWITCH_OUT_PREEMPT
#define PERF_RECORD_MISC_SWITCH_OUT_PREEMPT (1 << 14)
#endif

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Of the calling thread. Returns the descriptor or -error. */
static int event_open(void)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attr),
        .config = PERF_COUNT_SW_DUMMY,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .context_switch = 1,
        .watermark = 1, /* in bytes: what is not a sample does not count as an event */
        .wakeup_watermark = 2 * sizeof(struct perf_event_header),
    };

    return (int)SYS_CALL(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC, 0);
}

static int refused(int error, char *reason, size_t size)
{
    if (error == EINVAL)
        snprintf(reason, size, "perf_event_open knows no context-switch records (Linux 4.3)");
    else if (error == ENOSYS)
        snprintf(reason, size, "this kernel has no perf_event_open, or a sandbox hides it");
    else if (error == EACCES || error == EPERM)
        snprintf(reason, size,
                 "perf_event_open of our own thread is forbidden (%s): "
                 "/proc/sys/kernel/perf_event_paranoid above 2, or a sandbox",
                 strerror(error));
    else
        snprintf(reason, size, "perf_event_open: %s", strerror(error));
    return error == EINVAL || error == ENOSYS ? ENOTSUP : error;
}

static int probe(char *reason, size_t size)
{
    int fd = event_open();

    if (fd < 0)
        return refused(-fd, reason, size);
    void *ring = mmap(NULL, 2 * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int error = ring == MAP_FAILED ? errno : 0;

    if (error)
        snprintf(
            reason, size,
            "the ring of a perf event cannot be mapped: %s (perf_event_mlock_kb, RLIMIT_MEMLOCK)",
            strerror(error));
    else
        munmap(ring, 2 * page_size());
    close(fd);
    return error;
}

/* The caller leaves its CPU and comes back, which writes the first two records. The kernel wakes
 * when more than two are new, and then counts two less: at the third, the fifth and so on, which
 * are those for leaving. A short sleep may be over before it has begun (nearly always, where the
 * thread was made by one with a timer slack of 1 us, as the monitor has). */
static int step_aside(struct perf_event_mmap_page *page)
{
    for (long ns = 1; ns < 1000000000; ns *= 2) {
        SYS_CALL(SYS_nanosleep, &((struct timespec){0, ns}), NULL, 0, 0, 0, 0);
        if (__atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE))
            return 0;
    }
    return EIO; /* the kernel took an event that writes nothing */
}

static int adopt(struct detect *d, struct detect_slot *s)
{
    int fd = event_open();

    if (fd < 0)
        return -fd;
    void *ring = mmap(NULL, 2 * page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int error = ring == MAP_FAILED ? errno : step_aside(ring);

    if (!error)
        error = detect_watch(d, fd, (unsigned)(s - d->slot));
    if (error) {
        if (ring != MAP_FAILED)
            munmap(ring, 2 * page_size());
        close(fd);
        return error;
    }
    s->fd = fd;
    s->ring = ring;
    s->out = false;
    return 0;
}

static void leave(struct detect *d, struct detect_slot *s)
{
    /* First: without its ring the event reads as hung up, and where a child of fork has it, too, it
     * is not gone when it is closed. The monitor would take it for that of the next LWP. */
    epoll_ctl(d->poll, EPOLL_CTL_DEL, s->fd, NULL);
    munmap(s->ring, 2 * page_size());
    close(s->fd);
    s->ring = NULL;
}

/* Reads the records that are there; what the last one says is in s->out. A header is 8 bytes and
 * records are multiples of that, so none is cut by the end of the ring. */
static void drain(struct detect_slot *s)
{
    struct perf_event_mmap_page *page = s->ring;
    const char *data = (const char *)s->ring + page_size();
    /* Acquire: partner of the kernel's barrier after it has written a record. */
    uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
    uint64_t tail = page->data_tail; /* ours */

    while (tail != head) {
        struct perf_event_header header;

        memcpy(&header, data + tail % page_size(), sizeof(header));
        if (header.type == PERF_RECORD_SWITCH) {
            s->out = header.misc & PERF_RECORD_MISC_SWITCH_OUT &&
                     !(header.misc & PERF_RECORD_MISC_SWITCH_OUT_PREEMPT);
        } else if (header.type == PERF_RECORD_LOST) {
            s->look = DETECT_ALWAYS;
        }
        tail += header.size;
    }
    /* Release: the kernel may overwrite what we have read. */
    __atomic_store_n(&page->data_tail, tail, __ATOMIC_RELEASE);
}

/* An LWP shows itself only after it is back on a CPU, whose record then stands in the ring. So if
 * its flag has not changed around the reading and is in user code, and the last record is that it
 * waits, then it waits in user code. */
static void look(struct detect_slot *s)
{
    uint32_t seq;

    do {
        seq = detect_seq(s);
        drain(s);
    } while (seq != detect_seq(s));
    if (s->look != DETECT_ALWAYS)
        s->blocks = s->out && !detect_hidden(seq);
}

static void event(struct detect *d, unsigned key, bool hung_up)
{
    struct detect_slot *s = &d->slot[key];

    pthread_mutex_lock(&d->lock);
    if (s->flag)
        look(s);
    if (s->flag && hung_up) /* the thread ended without detect_leave */
        epoll_ctl(d->poll, EPOLL_CTL_DEL, s->fd, NULL);
    pthread_mutex_unlock(&d->lock);
}

const struct detect_ops detect_perf = {
    .name = "perf",
    .min_ns = 50000,
    .max_ns = 5000000,
    .look = DETECT_NOT,
    .probe = probe,
    .adopt = adopt,
    .leave = leave,
    .event = event,
    .again = look,
};
