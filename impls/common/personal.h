/*
 * personal.h - what belongs to one thread besides its stack and registers: cleanup handlers, values
 * of keys, the state of cancellation, its name. For implementations that make their own threads.
 *
 *     in run():          personal_init(my_personal, my_end);
 *     control block:     struct personal personal;
 *     before the entry:  personal_start(&t->personal, &creator->personal);
 *     at the end:        personal_finish(&t->personal);    cleanup handlers, then destructors: they
 *                                                          may block, yield, create; in the thread
 *     in the table:      .key = &personal_key, .protect = personal_protect, and in .cancel:
 *                        personal_set_state, personal_set_type, personal_test
 *
 * What is left to the implementation: .cancel.cancel (personal_request, then wake the target if it
 * blocks in a cancellation point and personal_due), and to call personal_test before and after each
 * wait that is a cancellation point (POSIX.1-2017 XSH 2.9.5: join, cond wait, sem wait, sigwait,
 * sleep, read, write, test; not mutex lock, not barrier, not rwlock).
 *
 * Nothing here touches errno or allocates, but key.set (ENOMEM), whose memory personal_finish
 * frees.
 */
#ifndef TL_PERSONAL_H
#define TL_PERSONAL_H

#include "impl.h"

#include <stdatomic.h>

struct personal_cleanup; /* on the stack of personal_protect */
struct personal_values;

/* Bits of struct personal.cancel. */
enum {
    PERSONAL_REQUESTED = 1u << 0, /* cancel was called; never cleared while the thread lives */
    PERSONAL_DISABLED = 1u << 1,
    PERSONAL_ASYNC = 1u << 2,
    PERSONAL_ENDING = 1u << 3, /* it has begun to end: no request is acted on any more */
};

/* Invariants: all but `cancel` is touched by the thread itself only; any thread sets REQUESTED,
 * the thread itself the other bits (all read-modify-write, seq_cst: one side sets REQUESTED and
 * looks whether the target waits, the other says that it waits and looks for REQUESTED). All bytes
 * zero is a fresh one. */
struct personal {
    struct personal_cleanup *cleanup; /* innermost */
    struct personal_values *values;   /* NULL: no key was ever set */
    _Atomic uint32_t cancel;
    char name[16]; /* NUL-terminated; guarded by the implementation where others read it */
};

/* self: the caller's own. end: ends the calling thread with that value, from any depth (it calls
 * personal_finish on its way); used when a request is acted on. async: TL_CANCEL_ASYNC is offered.
 */
void personal_init(struct personal *(*self)(void), void (*end)(void *value), bool async);

/* Fresh; the name is the creator's (as the kernel copies comm), NULL: none. */
void personal_start(struct personal *p, const struct personal *creator);

/* For tl_info_ops, both ERANGE: more than 15 characters; size below 16. The caller guards p. */
int personal_set_name(struct personal *p, const char *name);
int personal_get_name(const struct personal *p, char *name, size_t size);

/* Runs the cleanup handlers and the destructors, and frees. From then on no request is acted on. */
void personal_finish(struct personal *p);

/* Any thread. True: it was the first request. */
bool personal_request(struct personal *p);

/* The thread is to act on a request at its next cancellation point. Any thread. */
static inline bool personal_due(const struct personal *p)
{
    return (atomic_load_explicit(&((struct personal *)p)->cancel, memory_order_seq_cst) &
            (PERSONAL_REQUESTED | PERSONAL_DISABLED | PERSONAL_ENDING)) == PERSONAL_REQUESTED;
}

extern const struct tl_key_ops personal_key;
void personal_protect(void (*body)(void *), void *body_arg, void (*routine)(void *), void *arg,
                      bool execute);
int personal_set_state(int state, int *old);
int personal_set_type(int type, int *old);
void personal_test(void);

#endif
