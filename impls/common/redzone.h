/*
 * redzone.h - who overflows a stack is named: the fault in the guard below it (the red zone) is
 * caught on an alternate stack, one line tells thread, id and bounds, and the process ends by the
 * fault as it would have.
 *
 * After the red zones of SunOS (Powell et al. 1991, "SunOS Multi-thread Architecture").
 *
 *     in run():                   redzone_begin("green", owner);    ...    redzone_end();
 *     in each kernel thread:      redzone_use(memory, size);
 *
 * What is no overflow goes to the handler that was there before, or has its default action. An
 * application that handles SIGSEGV or SIGBUS itself takes the report's place. A frame that is
 * larger than the guard jumps over it, unless it was compiled with -fstack-clash-protection, or the
 * guard is made larger (attribute guard_size).
 */
#ifndef TL_REDZONE_H
#define TL_REDZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redzone_owner {
    uint64_t id;
    char name[16];
    const void *low; /* lowest usable byte of its stack */
    size_t size;     /* usable bytes from low on */
    size_t guard;    /* bytes below that fault */
};

/* owner: true, with *o filled in, if the calling thread has run into its own guard at `address`; is
 * called in the handler, on the alternate stack, so async-signal-safe. impl: not copied. Errors of
 * sigaction. Once at a time. */
int redzone_begin(const char *impl, bool (*owner)(const void *address, struct redzone_owner *o));
/* Handlers are what they were before. */
void redzone_end(void);

/* Bytes of an alternate stack: what the kernel needs for a signal frame and 16 KiB, in pages. */
size_t redzone_stack_size(void);
/* The calling kernel thread's alternate stack from now on; NULL: it has none any more. */
void redzone_use(void *memory, size_t size);
/* The calling kernel thread has one, whose ever (a sanitizer's, say). */
bool redzone_used(void);

#endif
