/*
 * unwind.c - the frames of a thread that ends are left one by one, from the innermost on: objects
 * of C++ in them are destroyed, catch (abi::__forced_unwind &) and catch (...) are entered, and
 * noexcept ends the process, all by what the compiler has put into the program and its unwinder
 * finds there (Itanium C++ ABI, 1.3 and 2.5: _Unwind_ForcedUnwind).
 *
 * Cleanup handlers that no frame runs by itself (those of C without -fexceptions) run when their
 * frame is left, so that the order is that of the frames. Where the unwinder can go no further, at
 * a frame without tables, those that are left run at once, and objects beyond are not destroyed.
 * Where there is no unwinder in the program, no frame has anything to be destroyed.
 *
 * The frames that are not left yet lie above the unwinder's, so what runs in the end may run there,
 * too: nothing jumps back.
 */
#include "veneer.h"

#include <dlfcn.h>
#include <stdio.h>
#include <unwind.h>

/* Weak: a program of C is not to need libgcc_s for us. */
#pragma weak _Unwind_ForcedUnwind
#pragma weak _Unwind_GetCFA

static struct {
    _Unwind_Reason_Code (*force)(struct _Unwind_Exception *e, _Unwind_Stop_Fn stop, void *arg);
    _Unwind_Word (*cfa)(struct _Unwind_Context *context);
} unwinder;

/* A shared library may have brought it. */
void veneer_unwind_init(void)
{
    unwinder.force = _Unwind_ForcedUnwind;
    unwinder.cfa = _Unwind_GetCFA;
    if (unwinder.force && unwinder.cfa)
        return;
    *(void **)&unwinder.force = dlsym(RTLD_DEFAULT, "_Unwind_ForcedUnwind");
    *(void **)&unwinder.cfa = dlsym(RTLD_DEFAULT, "_Unwind_GetCFA");
}

/* Rises from frame to frame outwards, on the thread's own stack; an alternate one of a handler is
 * further inside, wherever it lies. */
static uintptr_t outwards(const struct veneer_thread *t, uintptr_t address)
{
    return address - (uintptr_t)t->frames.outermost - 1;
}

/* The context is that of the frame which is to be left next; its CFA the end of the one before. */
static _Unwind_Reason_Code stop(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
                                struct _Unwind_Exception *e, struct _Unwind_Context *context,
                                void *arg)
{
    struct veneer_thread *t = arg;
    uintptr_t left = outwards(t, unwinder.cfa(context));
    bool last = actions & _UA_END_OF_STACK || left > outwards(t, (uintptr_t)t->frames.first);
    struct veneer_cleanup *c;

    (void)version;
    (void)class;
    (void)e;
    while ((c = t->cleanup) && (last || outwards(t, (uintptr_t)c) < left))
        veneer_cleanup_run(t, c);
    if (last)
        veneer_end(t);
    return _URC_NO_REASON;
}

/* Somebody has caught it and gone on. */
static void kept(_Unwind_Reason_Code reason, struct _Unwind_Exception *e)
{
    (void)reason;
    (void)e;
    fputs("threadlab: the end of a thread was caught and not thrown again\n", stderr);
    abort();
}

void veneer_unwind(struct veneer_thread *t)
{
    if (!t->frames.first || !unwinder.force || !unwinder.cfa)
        return;
    t->frames.exception = (struct _Unwind_Exception){.exception_cleanup = kept};
    unwinder.force(&t->frames.exception, stop, t);
}
