/*
 * pthread.h - the C library's <pthread.h>, but for cleanup handlers: what it compiles into the
 * program are calls of its own unwinder, which knows its own threads only. Found before it, because
 * `threadlab cc` puts this folder first among the system's.
 *
 * As in the C library the two open and close one block. With -fexceptions, and in C++, an exception
 * that passes runs the handler.
 */
#ifndef TL_VENEER_PTHREAD_H
#define TL_VENEER_PTHREAD_H

#include_next <pthread.h>

#ifndef TL_VENEER_nptl /* the C library's unwinder knows those threads */

#ifdef __cplusplus
extern "C" {
#endif

struct veneer_cleanup {
    void (*routine)(void *);
    void *arg;
    struct veneer_cleanup *outer;
    int done;
};
extern void veneer_cleanup_push(struct veneer_cleanup *c, void (*routine)(void *), void *arg);
extern void veneer_cleanup_pop(struct veneer_cleanup *c, int execute);

#ifdef __cplusplus
}
#endif

#undef pthread_cleanup_push
#undef pthread_cleanup_pop
#undef pthread_cleanup_push_defer_np
#undef pthread_cleanup_pop_restore_np

#if defined(__cplusplus)
struct veneer_cleanup_guard : veneer_cleanup {
    ~veneer_cleanup_guard()
    {
        veneer_cleanup_pop(this, 1);
    }
};
#define VENEER_CLEANUP struct veneer_cleanup_guard veneer_cleanup_here
#elif defined(__EXCEPTIONS)
static inline __attribute__((unused)) void veneer_cleanup_unwound(struct veneer_cleanup *c)
{
    veneer_cleanup_pop(c, 1);
}
#define VENEER_CLEANUP \
    struct veneer_cleanup veneer_cleanup_here __attribute__((cleanup(veneer_cleanup_unwound)))
#else
#define VENEER_CLEANUP struct veneer_cleanup veneer_cleanup_here
#endif

#define pthread_cleanup_push(routine, arg) \
    do {                                   \
        VENEER_CLEANUP;                    \
        veneer_cleanup_push(&veneer_cleanup_here, (routine), (arg));
#define pthread_cleanup_pop(execute)                     \
    veneer_cleanup_pop(&veneer_cleanup_here, (execute)); \
    }                                                    \
    while (0)

/* Deferred meanwhile, and as it was after. */
#define pthread_cleanup_push_defer_np(routine, arg)                    \
    do {                                                               \
        int veneer_type_;                                              \
        pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &veneer_type_); \
    pthread_cleanup_push(routine, arg)
#define pthread_cleanup_pop_restore_np(execute) \
    pthread_cleanup_pop(execute);               \
    pthread_setcanceltype(veneer_type_, NULL);  \
    }                                           \
    while (0)

#endif

#endif
