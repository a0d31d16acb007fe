/*
 * green.c - many to one: user-level threads on one kernel thread, switched by hand-written
 * assembly. The library is impls/user; this file is its configuration.
 */
#define USER_NAME "green"
#define USER_MODEL "M:1"
#define USER_SUMMARY "user-level threads on one kernel thread, hand-written context switch"
#define USER_UCONTEXT 0
#include "../user/user.h"

USER_IMPL(green);
