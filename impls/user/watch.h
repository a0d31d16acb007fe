/*
 * watch.h - LWPs that block in calls which the library does not see: a detector (common/detect.h)
 * tells of them, and others are made active for them as for jacketed calls (outside_begin in
 * lwp.h). Included by lwp.h, of M:N only.
 *
 * The calls of the detector come from its monitor, which is no LWP. It is started before there is a
 * second LWP, and the library takes its locks from then on. LWPs of bound threads are not watched:
 * nobody else waits for them. While an LWP sleeps, is spare, or its thread makes a jacketed call,
 * it is hidden.
 */
#ifndef TL_USER_WATCH_H
#define TL_USER_WATCH_H

#include <string.h>

static void outside_begin(struct lwp *lwp, uint8_t why);
static void outside_end(struct lwp *lwp, uint8_t why);
static void become_multi(void);

static inline void watch_hide(struct lwp *lwp)
{
    if (lwp->watched)
        detect_hide(&lwp->flag);
}

static inline void watch_show(struct lwp *lwp)
{
    if (lwp->watched)
        detect_show(&lwp->flag);
}

/* In the LWP, as it starts. One that cannot be watched (no more descriptors) works all the same,
 * and is counted. */
static void watch_adopt(struct lwp *lwp)
{
    lwp->watched =
        lib.detect && !lwp->bound && detect_adopt(lib.detect, lwp->number, &lwp->flag) == 0;
    if (lib.detect && !lwp->bound && !lwp->watched)
        atomic_fetch_add(&lib.unwatched, 1);
}

static void watch_leave(struct lwp *lwp)
{
    if (lwp->watched)
        detect_leave(lib.detect, lwp->number, &lwp->flag);
    lwp->watched = false;
}

static void watch_blocked(void *arg, unsigned number)
{
    (void)arg;
    atomic_fetch_add(&lib.seen_blocked, 1);
    outside_begin(USER_LOAD_ACQUIRE(lib.lwp[number]), OUTSIDE_SEEN);
}

static void watch_unblocked(void *arg, unsigned number)
{
    (void)arg;
    outside_end(USER_LOAD_ACQUIRE(lib.lwp[number]), OUTSIDE_SEEN);
}

/* The monitor: on the last PU, since LWP 0 is on the first. */
static void watch_begin(void *arg)
{
    (void)arg;
    lib.boot->pin(lib.boot, (int)lib.boot->nslots - 1);
}

/* From now on LWPs are watched; the caller is LWP lwp. Error with a line on standard error. */
static int watch_start(struct lwp *lwp)
{
    static const struct detect_calls calls = {
        .begin = watch_begin, .blocked = watch_blocked, .unblocked = watch_unblocked};
    char reason[256] = "the monitor thread cannot be created";
    int err = detect_open(lib.detect_kind, &lib.detect, reason, sizeof(reason));

    if (!err) {
        err = detect_run(lib.detect, &calls);
        if (err)
            detect_close(lib.detect);
    }
    if (err) {
        lib.detect = NULL;
        fprintf(stderr, "threadlab: " USER_NAME ": detector=%s: %s\n", detect_name(lib.detect_kind),
                reason);
        return err;
    }
    watch_adopt(lwp);
    return 0;
}

/* value: of the parameter. */
static int watch_boot(const char *value)
{
    lib.jackets = strcmp(value, "none") != 0;
    lib.detect_kind = detect_kind_of(value);
    if (lib.detect_kind == DETECT_KINDS)
        return 0;
    become_multi();
    return watch_start(lib.lwp[0]);
}

/* No LWP will be added by it any more. */
static void watch_stop(void)
{
    if (lib.detect)
        detect_stop(lib.detect);
}

/* All LWPs but the first have ended. */
static void watch_end(void)
{
    if (!lib.detect)
        return;
    watch_leave(lib.lwp[0]);
    detect_close(lib.detect);
    lib.detect = NULL;
}

/* 0, or why a child could not live with the detector. */
static int watch_may_fork(void)
{
    return lib.detect ? detect_may_fork(lib.detect) : 0;
}

/* The child, whose only LWP it is. */
static void watch_child(struct lwp *lwp)
{
    if (!lib.detect)
        return;
    detect_forget(lib.detect);
    lwp->watched = false;
    lwp->outside = 0;
    if (watch_start(lwp))
        fprintf(stderr, "threadlab: " USER_NAME ": the child is not watched\n");
}

#endif
