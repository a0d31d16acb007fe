/*
 * detect_lwps.h - for tests of impls/common/detect.h: plain threads for LWPs, what they do, and
 * what is reported of them.
 *
 * Nothing is decided by time: a report is waited for until the test's end is near, and what must
 * not be reported has had as many opportunities as the blocker beside it, whose reports arrived.
 */
#ifndef TL_DETECT_LWPS_H
#define TL_DETECT_LWPS_H

#include "../../impls/common/detect.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define LWPS 8
#define ROUNDS 20
#define DEADLINE_S 60

/* What has been reported of each LWP. */
struct seen {
    _Atomic unsigned blocked, unblocked;
    _Atomic bool disorder;
};
static struct seen seen[LWPS];
static struct detect *detect;
static _Atomic bool held; /* the monitor shall stay in the call */

static void on_blocked(void *arg, unsigned lwp)
{
    struct seen *s = &seen[lwp];

    assert_ptr_equal(arg, seen);
    if (s->blocked++ != s->unblocked)
        s->disorder = true;
    while (held)
        sched_yield();
}

static void on_unblocked(void *arg, unsigned lwp)
{
    struct seen *s = &seen[lwp];

    assert_ptr_equal(arg, seen);
    if (++s->unblocked != s->blocked)
        s->disorder = true;
}

static const struct detect_calls calls = {
    .blocked = on_blocked, .unblocked = on_unblocked, .arg = seen};

/* Until *count has reached n, at most DEADLINE_S. */
static bool reaches(const _Atomic unsigned *count, unsigned n)
{
    struct timespec pause = {0, 100000};

    for (unsigned i = 0; i < DEADLINE_S * 10000u; i++) {
        if (*count >= n)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* One LWP: a thread with a pipe to block on. */
struct lwp {
    pthread_t thread;
    pid_t tid, child;
    unsigned number;
    void (*work)(struct lwp *lwp);
    struct detect_flag flag;
    int pipe[2];
    _Atomic unsigned rounds; /* read() came back */
    _Atomic bool quit, ready;
    int error;
};
static struct lwp lwps[LWPS];
static unsigned long slack_ns; /* 0, or the timer slack of LWPs */

static void *lwp_main(void *arg)
{
    struct lwp *lwp = arg;

    lwp->tid = gettid();
    if (slack_ns)
        prctl(PR_SET_TIMERSLACK, slack_ns);
    lwp->error = detect_adopt(detect, lwp->number, &lwp->flag);
    lwp->ready = true;
    if (lwp->error)
        return NULL;
    lwp->work(lwp);
    detect_leave(detect, lwp->number, &lwp->flag);
    return NULL;
}

static struct lwp *start(unsigned number, void (*work)(struct lwp *))
{
    struct lwp *lwp = &lwps[number];

    lwp->number = number;
    lwp->work = work;
    assert_int_equal(pipe(lwp->pipe), 0);
    assert_int_equal(pthread_create(&lwp->thread, NULL, lwp_main, lwp), 0);
    while (!lwp->ready)
        sched_yield();
    assert_int_equal(lwp->error, 0);
    return lwp;
}

static void feed(struct lwp *lwp)
{
    assert_int_equal(write(lwp->pipe[1], "x", 1), 1);
}

static void finish(struct lwp *lwp)
{
    lwp->quit = true;
    feed(lwp);
    assert_int_equal(pthread_join(lwp->thread, NULL), 0);
    close(lwp->pipe[0]);
    close(lwp->pipe[1]);
}

static void swallow(struct lwp *lwp)
{
    char byte;

    if (read(lwp->pipe[0], &byte, 1) == 1)
        lwp->rounds++;
}

/* One that blocked again at once would not be seen running. It may have been reported once more
 * than it has blocked here: a page fault waits, too. Equal when read in this order, they were. */
static bool is_reported(const struct lwp *lwp)
{
    unsigned unblocked = seen[lwp->number].unblocked;

    return seen[lwp->number].blocked != unblocked;
}

/* What LWPs do. */
static void blocks(struct lwp *lwp)
{
    while (!lwp->quit) {
        swallow(lwp);
        while (is_reported(lwp) && !lwp->quit)
            ;
    }
}

static void hides_and_blocks(struct lwp *lwp)
{
    while (!lwp->quit) {
        detect_hide(&lwp->flag);
        swallow(lwp);
        detect_show(&lwp->flag);
    }
}

static enum detect_kind kind; /* under test */

/* False: skipped, with the reason. */
static bool open_and_run(void)
{
    char reason[256] = "";
    int error = detect_open(kind, &detect, reason, sizeof(reason));

    memset(seen, 0, sizeof(seen));
    memset(lwps, 0, sizeof(lwps));
    if (error) {
        assert_true(reason[0]);
        print_message("cannot: %s\n", reason);
        return false;
    }
    assert_int_equal(detect_run(detect, &calls), 0);
    return true;
}

static void stop_and_close(void)
{
    detect_stop(detect);
    for (unsigned i = 0; i < LWPS; i++) {
        assert_false(seen[i].disorder);
        assert_in_range(seen[i].blocked - seen[i].unblocked, 0, 1);
    }
    detect_close(detect);
}

/* Rounds in which the blocker is fed when it has been reported, and must then be taken back. */
static void play(struct lwp *blocker)
{
    const struct seen *s = &seen[blocker->number];

    for (unsigned i = 1; i <= ROUNDS; i++) {
        unsigned before = s->unblocked, rounds = blocker->rounds;

        assert_true(reaches(&s->blocked, before + 1));
        feed(blocker);
        assert_true(reaches(&blocker->rounds, rounds + 1));
        assert_true(reaches(&s->unblocked, before + 1));
    }
}

#endif
