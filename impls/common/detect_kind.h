/*
 * detect_kind.h - between detect.c, which has the monitor and its loop, and the kinds of detectors,
 * each of which is one const struct detect_ops.
 *
 * The loop waits for events of the kind's file descriptors and, while there is something to sample,
 * for the end of the period. Slots are guarded by `lock`; an LWP takes it only in adopt and leave.
 */
#ifndef TL_DETECT_KIND_H
#define TL_DETECT_KIND_H

#include "detect.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <sys/types.h>

/* Whether an LWP is sampled: DETECT_CALL, while it may be in a call that it has made. */
enum detect_look { DETECT_NOT, DETECT_CALL, DETECT_ALWAYS };

/* One LWP. */
struct detect_slot {
    struct detect_flag *flag; /* NULL: the slot is free */
    pid_t tid;
    int stat;     /* /proc/self/task/TID/stat; -1: none */
    bool blocked; /* as was last reported */
    bool blocks;  /* as the monitor has found out since */
    enum detect_look look;
    uint64_t ticks, ticks_at_call; /* CPU time when sampled, and when it made a listed call */

    /* Of the kind. */
    int fd;     /* -1: none */
    void *ring; /* perf: the mapping */
    bool out;   /* perf: the last record says that it gave up its CPU */
};

struct detect {
    const struct detect_ops *ops;
    struct detect_calls calls;
    pthread_t monitor;
    bool running;          /* the monitor was started and has not been joined */
    int poll, bell;        /* epoll of all descriptors; timer that wakes the monitor */
    _Atomic uint32_t idle; /* see detect_show */
    _Atomic bool stopping; /* detect_stop has begun */
    bool ended;            /* detect_close has begun; under lock */
    sem_t silent;          /* posted by the monitor when it has seen `stopping` */
    pthread_mutex_t lock;  /* whoever holds it makes no call that the filter of seccomp lists */
    unsigned slots;        /* of the table that have ever been used; under lock */
    struct detect_slot slot[DETECT_LWPS];

    /* seccomp: a descriptor for each filter; an LWP that was created by another has that one's. -1:
     * free. Under lock; only the monitor takes one away. */
    int listener[DETECT_LWPS];
    unsigned listeners;
    void *buffer; /* of the monitor */
};

struct detect_ops {
    const char *name;
    uint64_t min_ns, max_ns; /* of the period */
    enum detect_look look;   /* of a new slot */
    int (*probe)(char *reason, size_t size);
    int (*open)(struct detect *d);                          /* NULL: nothing to do */
    int (*adopt)(struct detect *d, struct detect_slot *s);  /* NULL. In the LWP, lock held */
    void (*leave)(struct detect *d, struct detect_slot *s); /* NULL. Lock held */
    /* Monitor: a descriptor that was given to detect_watch is readable, or hung up. */
    void (*event)(struct detect *d, unsigned key, bool hung_up);
    void (*again)(struct detect_slot *s); /* NULL, or: looks at who was reported. Lock held */
    bool outlives; /* its listeners must be served until they hang up (see detect_close) */
};

extern const struct detect_ops detect_proc, detect_perf, detect_seccomp;

/* From now on events of fd come with this key: the number of a slot, or another one for the kind to
 * choose, but not ~0u. */
int detect_watch(struct detect *d, int fd, unsigned key);

/* Even: the LWP is in user code. Acquire: partner of detect_hide and detect_show. */
static inline uint32_t detect_seq(const struct detect_slot *s)
{
    return atomic_load(&s->flag->seq);
}
static inline bool detect_hidden(uint32_t seq)
{
    return seq & 1;
}

/* What the kernel says of the thread now. */
enum detect_state { DETECT_RUNS, DETECT_WAITS, DETECT_GONE };
int detect_stat_open(struct detect_slot *s);
enum detect_state detect_stat(struct detect_slot *s); /* sets s->ticks, too */

/* Samples: sets s->blocks, s->ticks. */
void detect_sample(struct detect_slot *s);

#endif
