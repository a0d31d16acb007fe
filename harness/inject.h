/*
 * inject.h - named points inside an implementation, for tests. Both are nothing in a normal build;
 * `make CONFIG=inject` defines TL_INJECT.
 *
 *     TL_POINT("clone.park.before-sleep");      a delay, seeded, may happen here (after librseq)
 *     if (TL_MUTANT("clone-lost-wake"))         true while this fault is chosen: a broken path that
 *         return 0;                             checks must catch; registered by a struct tl_mutant
 *                                               without .apply (check.h)
 *
 * Names are string literals. Async-signal-safe, any thread, also without a TLS block.
 */
#ifndef TL_INJECT_H
#define TL_INJECT_H

#include <stdbool.h>

#ifdef TL_INJECT
void tl_point(const char *name);
bool tl_mutant_chosen(const char *name);
#define TL_POINT(name) tl_point(name)
#define TL_MUTANT(name) tl_mutant_chosen(name)
#else
#define TL_POINT(name) ((void)0)
#define TL_MUTANT(name) false
#endif

#endif
