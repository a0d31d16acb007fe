/*
 * tls.h - thread-local storage blocks of the C library for threads that it did not create.
 *
 * A block holds what the thread pointer leads to: errno, malloc's cache, the locale, every
 * _Thread_local variable, and the C library's own descriptor of the thread. glibc only; the names
 * used are private ones (GLIBC_PRIVATE), so everything is looked up and checked by tls_init, which
 * says in one line what is missing.
 *
 *     tls_init, once, in the first thread
 *     tp = tls_new();  a kernel thread runs with tp (CLONE_SETTLS), or user code switches to it;
 *                      tls_start() first thing in it, tls_end() last thing
 *     tls_reset(tp);   before another thread uses it
 *     tls_delete(tp);  when nobody runs with it
 *
 * What is lost against a thread of the C library's own is listed in impls/clone/README.md.
 */
#ifndef TL_TLS_H
#define TL_TLS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* 0, or ENOSYS with the reason. May be called again. */
int tls_init(char *reason, size_t size);

/* The value of the thread pointer for a new block; NULL: no memory. Any thread. */
void *tls_new(void);
void tls_delete(void *tp);
/* As if new: initial values, errno 0; malloc's caches are kept. Any thread; nobody runs with tp. */
void tls_reset(void *tp);
/* The same for the caller's own block, which keeps its TID and its rseq area. */
void tls_renew(void);

void *tls_current(void);

/* What the C library believes to be the kernel's TID of this thread (owner of recursive locks,
 * raise). The word itself may be given to clone(2) for PARENT_SETTID and CHILD_CLEARTID. */
void tls_set_tid(void *tp, int tid);
_Atomic uint32_t *tls_tid_word(void *tp);

/* In the thread itself: the process's locale; destructors of C++ thread_local objects. */
void tls_start(void);
void tls_end(void);

/* Before the second kernel thread starts: the C library must lock from now on. */
void tls_multi_threaded(void);

/* This thread's CPU as the kernel keeps it in the thread's rseq area, which is registered at the
 * first call in a thread. -1: this is not offered here. */
int tls_cpu(void);

#endif
