/*
 * hybrid.c - many to many: user-level threads on several kernel threads (LWPs), with work stealing.
 * The library is impls/user; this file is its configuration.
 */
#define USER_NAME "hybrid"
#define USER_MODEL "M:N"
#define USER_SUMMARY "user-level threads on several kernel threads, with work stealing"
#define USER_UCONTEXT 0
#define USER_MN 1
#include "../user/user.h"

USER_IMPL(hybrid);
