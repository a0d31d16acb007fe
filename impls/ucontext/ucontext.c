/*
 * ucontext.c - many to one over swapcontext(3): green with the C library's switch, which keeps a
 * signal mask per thread by two system calls a switch. The library is impls/user; this file is its
 * configuration.
 */
#define USER_NAME "ucontext"
#define USER_MODEL "M:1"
#define USER_SUMMARY "user-level threads on one kernel thread, switched by swapcontext"
#define USER_UCONTEXT 1
#include "../user/user.h"

USER_IMPL(ucontext);
