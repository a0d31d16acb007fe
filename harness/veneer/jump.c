/*
 * jump.c - siglongjmp, which may leave handlers, and with them waits (XSH siglongjmp).
 *
 * include/setjmp.h has the program call veneer_jump_here before it saves its registers. What is
 * kept lies in the C library's own buffer, where that would keep the mask: of 1024 bits the kernel
 * knows 64. To the C library it is a buffer without a mask; who jumps past the veneer (a shared
 * library) leaves the mask as it is.
 */
#include "veneer.h"

#include <setjmp.h>
#include <string.h>

/* In the place of __saved_mask. */
struct kept {
    uint64_t mask;
    void (*undo)(void *);
    void *undo_arg;
    uint32_t points, in_handler, inner; /* inner: the implementation's count of handlers */
    uint32_t masked;                    /* mask is to be put back */
    struct veneer_thread *self;         /* for a jump of another thread: undefined in POSIX */
    uint64_t magic;                     /* last: not where a set of signals has anything */
};
_Static_assert(sizeof(struct kept) + sizeof(uint64_t) <= sizeof(sigset_t), "must fit");

#define MAGIC UINT64_C(0x6a756d702d686572)

static struct kept *kept_in(struct __jmp_buf_tag *env)
{
    return (void *)((char *)&env->__saved_mask + sizeof(uint64_t));
}

static const struct tl_signal_ops *signal_ops(void)
{
    return veneer.running ? veneer.impl->signal : NULL;
}

struct __jmp_buf_tag *veneer_jump_here(struct __jmp_buf_tag *env, int mask);
struct __jmp_buf_tag *veneer_jump_here(struct __jmp_buf_tag *env, int mask)
{
    const struct tl_signal_ops *ops = signal_ops();
    struct veneer_thread *self = veneer_own;
    struct kept kept = {.magic = MAGIC, .self = self, .masked = mask != 0};
    sigset_t now;

    if (mask) {
        if (ops)
            ops->mask(SIG_BLOCK, NULL, &now);
        else
            sigprocmask(SIG_BLOCK, NULL, &now);
        memcpy(&kept.mask, &now, sizeof(kept.mask));
    }
    if (self) {
        kept.undo = self->undo;
        kept.undo_arg = self->undo_arg;
        kept.points = atomic_load(&self->points);
        kept.in_handler = atomic_load(&self->in_handler);
    }
    if (ops && ops->handlers)
        kept.inner = ops->handlers(UINT32_MAX);
    memcpy(kept_in(env), &kept, sizeof(kept));
    return env;
}

/* The caller is where it was when `kept` was made, but for its stack. */
static void back(const struct kept *kept)
{
    const struct tl_signal_ops *ops = signal_ops();
    struct veneer_thread *self = veneer_own;
    sigset_t mask, faults;

    if (self && self == kept->self) {
        self->undo = kept->undo;
        self->undo_arg = kept->undo_arg;
        atomic_store(&self->points, kept->points);
        atomic_store(&self->in_handler, kept->in_handler);
        if (ops && ops->handlers)
            ops->handlers(kept->inner);
        /* A wait that is no cancellation point may have been left, see veneer_pause. */
        if (veneer.running && self->known && veneer.impl->cancel && !kept->points &&
            !(atomic_load(&self->cancel) & VENEER_ENDING))
            veneer.impl->cancel->set_state(
                atomic_load(&self->cancel) & VENEER_DISABLED ? TL_CANCEL_DISABLE : TL_CANCEL_ENABLE,
                NULL);
    }
    sigemptyset(&mask);
    memcpy(&mask, &kept->mask, sizeof(kept->mask));
    if (!ops) {
        if (kept->masked)
            sigprocmask(SIG_SETMASK, &mask, NULL);
        return;
    }
    if (kept->masked)
        ops->mask(SIG_SETMASK, &mask, NULL);
    else
        ops->mask(SIG_BLOCK, NULL, &mask);
    if (veneer.impl->traits & TL_ONE_TO_ONE)
        return;
    /* The handler of a fault was called by the kernel, which blocks the signal until it returns. */
    sigemptyset(&faults);
    for (int sig = 1; sig < SIGRTMIN; sig++)
        if (veneer_is_fault(sig) && !sigismember(&mask, sig))
            sigaddset(&faults, sig);
    sigprocmask(SIG_UNBLOCK, &faults, NULL);
}

static __attribute__((noreturn)) void jump(struct __jmp_buf_tag *env, int value)
{
    struct kept kept;

    memcpy(&kept, kept_in(env), sizeof(kept));
    if (kept.magic == MAGIC && !env->__mask_was_saved)
        back(&kept);
    longjmp(env, value);
}

#define JUMPS(name)                                                                   \
    void WRAP(name)(struct __jmp_buf_tag * env, int value) __attribute__((noreturn)); \
    void WRAP(name)(struct __jmp_buf_tag * env, int value)                            \
    {                                                                                 \
        jump(env, value);                                                             \
    }
JUMPS(longjmp)
JUMPS(_longjmp)
JUMPS(siglongjmp)
