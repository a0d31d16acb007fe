/*
 * opaque.h - functions that the compiler may not look into from where they are called: not inlined,
 * not cloned, and nothing known of what they answer.
 */
#ifndef SUITES_OPAQUE_H
#define SUITES_OPAQUE_H

#ifdef __clang__
#define OPAQUE __attribute__((noinline, optnone))
#else
#define OPAQUE __attribute__((noipa))
#endif

#endif
