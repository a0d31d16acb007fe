/*
 * cancel_sys.c - see cancel_sys.h.
 *
 *     cancel_sys_stub(cancel, number, a, b, c, d, e, f):
 *         begin:    if (*cancel & (REQUESTED | DISABLED | ENDING)) == REQUESTED: goto canceled
 *                   r = system call
 *         end:      return r
 *         canceled: return CANCEL_SYS_CANCELED
 *
 * The stub leaves the stack pointer and the callee-saved registers alone, so that the handler may
 * send it to `canceled` from anywhere between begin and end.
 */
#include "cancel_sys.h"

#include "sys.h"

#include <errno.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#define SET_SIZE 8 /* bytes of a signal set that the kernel knows */

_Static_assert((PERSONAL_REQUESTED | PERSONAL_DISABLED | PERSONAL_ENDING) == 11 &&
                   PERSONAL_REQUESTED == 1,
               "the stub uses these numbers");

long cancel_sys_stub(const _Atomic uint32_t *cancel, long number, long a, long b, long c, long d,
                     long e, long f);
extern const char cancel_sys_begin[], cancel_sys_end[], cancel_sys_canceled[];

#if defined(__x86_64__)
/* rdi cancel, rsi number, rdx a, rcx b, r8 c, r9 d, 8(%rsp) e, 16(%rsp) f. A load is acquire. */
__asm__(".pushsection .text\n"
        ".p2align 6\n"
        ".globl cancel_sys_stub, cancel_sys_begin, cancel_sys_end, cancel_sys_canceled\n"
        ".hidden cancel_sys_stub, cancel_sys_begin, cancel_sys_end, cancel_sys_canceled\n"
        ".type cancel_sys_stub, @function\n"
        "cancel_sys_stub:\n"
        "    .cfi_startproc\n"
        "cancel_sys_begin:\n"
        "    mov (%rdi), %eax\n"
        "    and $11, %eax\n"
        "    cmp $1, %eax\n"
        "    je cancel_sys_canceled\n"
        "    mov %rsi, %rax\n"
        "    mov %rdx, %rdi\n"
        "    mov %rcx, %rsi\n"
        "    mov %r8, %rdx\n"
        "    mov %r9, %r10\n"
        "    mov 8(%rsp), %r8\n"
        "    mov 16(%rsp), %r9\n"
        "    syscall\n"
        "cancel_sys_end:\n"
        "    ret\n"
        "cancel_sys_canceled:\n"
        "    mov $-4096, %rax\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size cancel_sys_stub, . - cancel_sys_stub\n"
        ".popsection\n");
#define CONTEXT_PC(uc) ((uc)->uc_mcontext.gregs[REG_RIP])
#elif defined(__aarch64__)
/* x0 cancel, x1 number, x2..x7 a..f. ldar: not before the store of `waiting` (stlr). */
__asm__(".pushsection .text\n"
        ".p2align 6\n"
        ".globl cancel_sys_stub, cancel_sys_begin, cancel_sys_end, cancel_sys_canceled\n"
        ".hidden cancel_sys_stub, cancel_sys_begin, cancel_sys_end, cancel_sys_canceled\n"
        ".type cancel_sys_stub, %function\n"
        "cancel_sys_stub:\n"
        "    .cfi_startproc\n"
        "cancel_sys_begin:\n"
        "    ldar w9, [x0]\n"
        "    mov w10, #11\n"
        "    and w9, w9, w10\n"
        "    cmp w9, #1\n"
        "    b.eq cancel_sys_canceled\n"
        "    mov x8, x1\n"
        "    mov x0, x2\n"
        "    mov x1, x3\n"
        "    mov x2, x4\n"
        "    mov x3, x5\n"
        "    mov x4, x6\n"
        "    mov x5, x7\n"
        "    svc #0\n"
        "cancel_sys_end:\n"
        "    ret\n"
        "cancel_sys_canceled:\n"
        "    mov x0, #-4096\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size cancel_sys_stub, . - cancel_sys_stub\n"
        ".popsection\n");
#define CONTEXT_PC(uc) ((uc)->uc_mcontext.pc)
#else
#error "cancel_sys.c: no stub for this architecture"
#endif

_Thread_local struct cancel_sys *cancel_sys_own;

uint64_t cancel_sys_without(const void *set)
{
    uint64_t bits;

    memcpy(&bits, set, sizeof(bits));
    return bits & ~((uint64_t)1 << (CANCEL_SYS_SIGNAL - 1));
}

static void unblock(void)
{
    uint64_t one = (uint64_t)1 << (CANCEL_SYS_SIGNAL - 1);

    SYS_CALL(SYS_rt_sigprocmask, SIG_UNBLOCK, &one, NULL, SET_SIZE, 0, 0);
}

void cancel_sys_start(struct cancel_sys *c, struct personal *personal)
{
    c->personal = personal;
    atomic_store_explicit(&c->waiting, 0, memory_order_relaxed);
    atomic_store_explicit(&c->requeued, false, memory_order_relaxed);
}

void cancel_sys_adopt(struct cancel_sys *c)
{
    cancel_sys_own = c;
}

long cancel_sys_call(long number, long a, long b, long c, long d, long e, long f)
{
    struct cancel_sys *own = cancel_sys_own;
    /* Not 0 in a handler that interrupted a call. */
    uint32_t outer = atomic_load_explicit(&own->waiting, memory_order_relaxed);
    long result;

    /* seq_cst: partner of cancel_sys_wants_signal. */
    atomic_store_explicit(&own->waiting, 1, memory_order_seq_cst);
    result = cancel_sys_stub(&own->personal->cancel, number, a, b, c, d, e, f);
    if (result == -EINTR && personal_due(own->personal))
        result = CANCEL_SYS_CANCELED;
    atomic_store_explicit(&own->waiting, outer, memory_order_relaxed);
    if (atomic_load_explicit(&own->requeued, memory_order_relaxed)) {
        atomic_store_explicit(&own->requeued, false, memory_order_relaxed);
        unblock(); /* not blocked for longer than this call; a new thread would inherit it */
    }
    return result;
}

/* ---- the signal ------------------------------------------------------------------------------ */

int cancel_sys_send(int tid)
{
    return (int)-SYS_CALL(SYS_tgkill, getpid(), tid, CANCEL_SYS_SIGNAL, 0, 0, 0);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    struct cancel_sys *own = cancel_sys_own;
    ucontext_t *uc = context;
    uintptr_t pc = (uintptr_t)CONTEXT_PC(uc);

    (void)sig;
    (void)info;
    if (!own || !personal_due(own->personal))
        return;
    if (!atomic_load_explicit(&own->waiting, memory_order_relaxed)) {
        if (atomic_load_explicit(&own->personal->cancel, memory_order_relaxed) & PERSONAL_ASYNC) {
            SYS_CALL(SYS_rt_sigprocmask, SIG_SETMASK, &uc->uc_sigmask, NULL, SET_SIZE, 0, 0);
            personal_test();
        }
    } else if (pc >= (uintptr_t)cancel_sys_begin && pc < (uintptr_t)cancel_sys_end) {
        CONTEXT_PC(uc) = (uintptr_t)cancel_sys_canceled;
    } else {
        atomic_store_explicit(&own->requeued, true, memory_order_relaxed);
        sigaddset(&uc->uc_sigmask, CANCEL_SYS_SIGNAL);
        cancel_sys_send((int)SYS_CALL(SYS_gettid, 0, 0, 0, 0, 0, 0));
    }
}

/* Any number of threads may do this at the same time: they do the same. SA_RESTART: a call that was
 * interrupted for a request that is not due goes on. */
static void install(void)
{
    static _Atomic bool installed;
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};

    if (atomic_load_explicit(&installed, memory_order_acquire))
        return;
    sigfillset(&action.sa_mask); /* no handler of the user's on top of this one */
    sigaction(CANCEL_SYS_SIGNAL, &action, NULL);
    atomic_store_explicit(&installed, true, memory_order_release);
}

bool cancel_sys_wants_signal(const struct cancel_sys *c)
{
    bool wanted =
        personal_due(c->personal) &&
        (atomic_load_explicit(&c->waiting, memory_order_seq_cst) ||
         atomic_load_explicit(&c->personal->cancel, memory_order_seq_cst) & PERSONAL_ASYNC);

    if (wanted)
        install();
    return wanted;
}
