/*
 * critical.c - see critical.h. The jackets that the linker puts around calls of the C library
 * (Makefile, WRAPPED). Their text counts as the library's (impls/user/text.h).
 *
 * Jackets for variable arguments call the form that takes a list. What is not listed in WRAPPED is
 * protected by the program counter only: enough for all that calls nobody back.
 */
#include "critical.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const struct critical_hooks *critical_hooks;

/* A program that links the library with jackets of its own (harness/veneer) has those; and where
 * the linker puts none, nobody calls these. */
#define WEAK __attribute__((weak))

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

/* The hooks do not change between the two: run() begins and ends outside all of these. */
#define ENTER()                                          \
    const struct critical_hooks *hooks = critical_hooks; \
    if (__builtin_expect(hooks != NULL, 0))              \
        hooks->enter();
#define LEAVE()                             \
    if (__builtin_expect(hooks != NULL, 0)) \
        hooks->leave(hooks->is_user(__builtin_return_address(0)));

#define JACKET(type, name, parameters, ...)   \
    type __real_##name parameters WEAK;       \
    type __wrap_##name parameters WEAK;       \
    type __wrap_##name parameters             \
    {                                         \
        type result_;                         \
        ENTER()                               \
        result_ = __real_##name(__VA_ARGS__); \
        LEAVE()                               \
        return result_;                       \
    }
#define JACKET_VOID(name, parameters, ...) \
    void __real_##name parameters WEAK;    \
    void __wrap_##name parameters WEAK;    \
    void __wrap_##name parameters          \
    {                                      \
        ENTER()                            \
        __real_##name(__VA_ARGS__);        \
        LEAVE()                            \
    }
/* real is also called by other jackets: it has one itself. */
#define JACKET_VARIABLE(name, parameters, last, call)                                         \
    int __wrap_##name parameters WEAK;                                                        \
    __attribute__((                                                                           \
        format(printf, FORMAT_OF_##name, FORMAT_OF_##name + 1))) int __wrap_##name parameters \
    {                                                                                         \
        va_list list;                                                                         \
        int result_;                                                                          \
        ENTER()                                                                               \
        va_start(list, last);                                                                 \
        result_ = call;                                                                       \
        va_end(list);                                                                         \
        LEAVE()                                                                               \
        return result_;                                                                       \
    }

/* ---- memory ---------------------------------------------------------------------------------- */

JACKET(void *, malloc, (size_t size), size)
JACKET(void *, calloc, (size_t n, size_t size), n, size)
JACKET(void *, realloc, (void *old, size_t size), old, size)
JACKET(void *, aligned_alloc, (size_t align, size_t size), align, size)
JACKET(int, posix_memalign, (void **p, size_t align, size_t size), p, align, size)
JACKET_VOID(free, (void *p), p)

/* ---- stdio ----------------------------------------------------------------------------------- */

JACKET(int, vfprintf, (FILE * f, const char *format, va_list list), f, format, list)
JACKET(int, vprintf, (const char *format, va_list list), format, list)
#define FORMAT_OF_fprintf 2
#define FORMAT_OF_printf 1
JACKET_VARIABLE(fprintf, (FILE * f, const char *format, ...), format,
                __real_vfprintf(f, format, list))
JACKET_VARIABLE(printf, (const char *format, ...), format, __real_vprintf(format, list))
JACKET(size_t, fwrite, (const void *p, size_t size, size_t n, FILE *f), p, size, n, f)
JACKET(size_t, fread, (void *p, size_t size, size_t n, FILE *f), p, size, n, f)
JACKET(int, fputs, (const char *s, FILE *f), s, f)
JACKET(int, puts, (const char *s), s)
JACKET(int, fputc, (int c, FILE *f), c, f)
JACKET(int, putc, (int c, FILE *f), c, f)
JACKET(int, putchar, (int c), c)
JACKET(int, fgetc, (FILE * f), f)
JACKET(int, getc, (FILE * f), f)
JACKET(int, getchar, (void))
JACKET(int, ungetc, (int c, FILE *f), c, f)
JACKET(char *, fgets, (char *s, int n, FILE *f), s, n, f)
JACKET(ssize_t, getline, (char **line, size_t *n, FILE *f), line, n, f)
JACKET(ssize_t, getdelim, (char **line, size_t *n, int end, FILE *f), line, n, end, f)
JACKET(int, fflush, (FILE * f), f)
JACKET(int, fclose, (FILE * f), f)
JACKET(int, fseek, (FILE * f, long offset, int whence), f, offset, whence)
JACKET(int, fseeko, (FILE * f, off_t offset, int whence), f, offset, whence)
JACKET(long, ftell, (FILE * f), f)
JACKET(off_t, ftello, (FILE * f), f)
JACKET_VOID(rewind, (FILE * f), f)
JACKET_VOID(perror, (const char *s), s)
JACKET(int, setvbuf, (FILE * f, char *buffer, int mode, size_t size), f, buffer, mode, size)

/* From flockfile to funlockfile: the lock is recursive, so that of one kernel thread's threads the
 * second would get it, too. */
void __real_flockfile(FILE *f) WEAK;
void __wrap_flockfile(FILE *f) WEAK;
void __wrap_flockfile(FILE *f)
{
    ENTER()
    __real_flockfile(f);
}

int __real_ftrylockfile(FILE *f) WEAK;
int __wrap_ftrylockfile(FILE *f) WEAK;
int __wrap_ftrylockfile(FILE *f)
{
    int busy;

    ENTER()
    busy = __real_ftrylockfile(f);
    if (busy) {
        LEAVE()
    }
    return busy;
}

void __real_funlockfile(FILE *f) WEAK;
void __wrap_funlockfile(FILE *f) WEAK;
void __wrap_funlockfile(FILE *f)
{
    const struct critical_hooks *hooks = critical_hooks;

    __real_funlockfile(f);
    LEAVE()
}

/* ---- the dynamic linker, and what runs once -------------------------------------------------- */

JACKET(void *, dlopen, (const char *path, int mode), path, mode)
JACKET(int, dlclose, (void *object), object)
JACKET(void *, dlsym, (void *object, const char *name), object, name)
JACKET(int, pthread_once, (pthread_once_t * once, void (*routine)(void)), once, routine)

/* ---- signals --------------------------------------------------------------------------------- */

int __real_sigaction(int sig, const struct sigaction *action, struct sigaction *old) WEAK;

static int set_action(int sig, const struct sigaction *action, struct sigaction *old)
{
    const struct critical_hooks *hooks = critical_hooks;
    struct sigaction held;

    if (hooks && action && sig != hooks->signal) {
        held = *action;
        sigaddset(&held.sa_mask, hooks->signal);
        action = &held;
    }
    return __real_sigaction(sig, action, old);
}

int __wrap_sigaction(int sig, const struct sigaction *action, struct sigaction *old) WEAK;
int __wrap_sigaction(int sig, const struct sigaction *action, struct sigaction *old)
{
    return set_action(sig, action, old);
}

sighandler_t __real_signal(int sig, sighandler_t handler) WEAK;
sighandler_t __wrap_signal(int sig, sighandler_t handler) WEAK;
sighandler_t __wrap_signal(int sig, sighandler_t handler)
{
    sighandler_t old = __real_signal(sig, handler);
    struct sigaction action;

    if (critical_hooks && old != SIG_ERR && !__real_sigaction(sig, NULL, &action))
        set_action(sig, &action, NULL);
    return old;
}

int __real_sigprocmask(int how, const sigset_t *set, sigset_t *old) WEAK;

/* What a change of the mask leaves alone: that signal, masked or not (in a handler). */
static const sigset_t *leaving_alone(int how, const sigset_t *set, sigset_t *copy)
{
    const struct critical_hooks *hooks = critical_hooks;
    sigset_t now;

    if (!hooks || !set)
        return set;
    *copy = *set;
    sigdelset(copy, hooks->signal);
    if (how == SIG_SETMASK && !__real_sigprocmask(SIG_BLOCK, NULL, &now) &&
        sigismember(&now, hooks->signal))
        sigaddset(copy, hooks->signal);
    return copy;
}

int __wrap_sigprocmask(int how, const sigset_t *set, sigset_t *old) WEAK;
int __wrap_sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
    sigset_t copy;

    return __real_sigprocmask(how, leaving_alone(how, set, &copy), old);
}

int __real_pthread_sigmask(int how, const sigset_t *set, sigset_t *old) WEAK;
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old) WEAK;
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    sigset_t copy;

    return __real_pthread_sigmask(how, leaving_alone(how, set, &copy), old);
}

/* As they are: the jacket of sigaction may be another one, which puts its own in their place. */
void critical_adopt_handlers(void)
{
    struct sigaction action;

    for (int sig = 1; sig < NSIG; sig++)
        if (!__real_sigaction(sig, NULL, &action) && action.sa_handler != SIG_DFL &&
            action.sa_handler != SIG_IGN)
            set_action(sig, &action, NULL);
}

#else

void critical_adopt_handlers(void)
{
}

#endif
