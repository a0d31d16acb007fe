/*
 * once.c - pthread_once: a word that says how far the routine is, and a wait for that word. The
 * routine has not run if its thread ends in it, or an exception leaves it; nor if a fork has left
 * its thread behind.
 */
#include "veneer.h"

/* NEW is PTHREAD_ONCE_INIT. RUNS has the number of forks in its upper bits. */
enum { NEW, DONE, RUNS };

static uint32_t runs_here(void)
{
    return (uint32_t)veneer.forks << 2 | RUNS;
}

/* Release: pairs with the acquire of who finds it DONE. */
static void becomes(_Atomic uint32_t *once, uint32_t state)
{
    atomic_store_explicit(once, state, memory_order_release);
    if (veneer.running)
        veneer_word_wake(once);
}

static void undone(void *once)
{
    becomes(once, NEW);
}

/* For the frame of run(), in the place of a landing pad, which would need -fexceptions and so
 * libgcc_s in each program: an exception passes. The end of a thread finds the handler by itself.
 * Handlers inside of it that stand there still are of frames that are gone. */
_Unwind_Reason_Code veneer_once_passed(int version, _Unwind_Action actions,
                                       _Unwind_Exception_Class class, struct _Unwind_Exception *e,
                                       struct _Unwind_Context *context)
    __attribute__((used, visibility("hidden")));
_Unwind_Reason_Code veneer_once_passed(int version, _Unwind_Action actions,
                                       _Unwind_Exception_Class class, struct _Unwind_Exception *e,
                                       struct _Unwind_Context *context)
{
    struct veneer_thread *self;

    (void)version;
    (void)class;
    (void)e;
    (void)context;
    if (!(actions & _UA_CLEANUP_PHASE) || actions & _UA_FORCE_UNWIND)
        return _URC_CONTINUE_UNWIND;
    self = veneer_self();
    while (self->cleanup && self->cleanup->routine != undone)
        self->cleanup = self->cleanup->outer;
    if (self->cleanup)
        veneer_cleanup_run(self, self->cleanup);
    return _URC_CONTINUE_UNWIND;
}

static __attribute__((noinline)) void run(_Atomic uint32_t *once, void (*routine)(void))
{
    struct veneer_cleanup c;

#ifdef __GCC_HAVE_DWARF2_CFI_ASM
    __asm__ volatile(".cfi_personality 0x1b, veneer_once_passed"); /* relative, signed, 4 bytes */
#endif
    veneer_cleanup_push(&c, undone, once);
    routine();
    veneer_cleanup_pop(&c, 0);
}

int WRAP(pthread_once)(pthread_once_t *once, void (*routine)(void));
int WRAP(pthread_once)(pthread_once_t *once, void (*routine)(void))
{
    _Atomic uint32_t *word = (_Atomic uint32_t *)once;
    uint32_t was;

    while ((was = atomic_load_explicit(word, memory_order_acquire)) != DONE) {
        if (was == runs_here()) {
            veneer_word_wait(word, was, CLOCK_MONOTONIC, UINT64_MAX);
        } else if (atomic_compare_exchange_strong(word, &was, runs_here())) {
            run(word, routine);
            becomes(word, DONE);
        }
    }
    return 0;
}
