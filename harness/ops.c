/* ops.c - see ops.h. */
#include "ops.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct member {
    const char *name;
    size_t table, offset; /* of the sub-table in struct tl_impl, NONE: it is no sub-table's */
    size_t size;          /* of the member: a pointer, or a bool */
};

#define NONE ((size_t)-1)
#define DIRECT(name)                                                                     \
    {                                                                                    \
#name, NONE, offsetof(struct tl_impl, name), sizeof(((struct tl_impl *)0)->name) \
    }
#define OF(table, name)                                                                           \
    {                                                                                             \
#table "." #name, offsetof(struct tl_impl, table),                                        \
            offsetof(struct tl_##table##_ops, name), sizeof(((struct tl_##table##_ops *)0)->name) \
    }

static const struct member members[] = {
    DIRECT(sleep),
    DIRECT(exit),
    DIRECT(protect),
    DIRECT(once),
    DIRECT(mutex),
    DIRECT(cond),
    DIRECT(sem),
    DIRECT(rwlock),
    DIRECT(barrier),
    DIRECT(key),
    DIRECT(cancel),
    DIRECT(signal),
    DIRECT(fork),
    DIRECT(info),
    DIRECT(io),
    DIRECT(concurrency),
    DIRECT(inspect),
    OF(mutex, timedlock),
    OF(mutex, consistent),
    OF(cond, timedwait),
    OF(sem, timedwait),
    OF(sem, getvalue),
    OF(sem, post_in_handler),
    OF(rwlock, timedrdlock),
    OF(rwlock, timedwrlock),
    OF(signal, kill),
    OF(signal, mask),
    OF(signal, wait),
    OF(signal, timedwait),
    OF(signal, suspend),
    OF(signal, pending),
    OF(signal, action),
    OF(signal, send),
    OF(fork, fork),
    OF(fork, atfork),
    OF(fork, fork_all),
    OF(info, set_name),
    OF(info, get_name),
    OF(info, stack),
    OF(info, set_sched),
    OF(info, get_sched),
    OF(io, read),
    OF(io, write),
    OF(io, accept),
    OF(io, connect),
    OF(io, poll),
    OF(io, waitpid),
    OF(io, blocking),
    OF(concurrency, bind),
    OF(concurrency, lwps),
    OF(inspect, threads),
    OF(inspect, counters),
};

static bool offered(const struct tl_impl *impl, const struct member *m)
{
    const char *base = (const char *)impl;
    if (m->table != NONE)
        memcpy(&base, base + m->table, sizeof base);
    if (!base)
        return false;
    for (size_t i = 0; i < m->size; i++) /* a pointer that is not NULL, a bool that is true */
        if (base[m->offset + i])
            return true;
    return false;
}

int ops_missing(const struct tl_impl *impl, const char *needs, char *missing, size_t size)
{
    for (const char *p = needs ? needs : ""; *(p += strspn(p, " "));) {
        size_t n = strcspn(p, " ");
        const struct member *m = NULL;
        for (size_t i = 0; i < sizeof members / sizeof *members && !m; i++)
            if (strlen(members[i].name) == n && strncmp(members[i].name, p, n) == 0)
                m = &members[i];
        if (!m || !offered(impl, m)) {
            snprintf(missing, size, "%.*s", (int)n, p);
            return m ? ENOTSUP : EINVAL;
        }
        p += n;
    }
    return 0;
}

const char *ops_trait_name(unsigned bit)
{
    static const char *const names[] = {"concurrent",   "parallel",   "preemptive",
                                        "blocks-alone", "one-to-one", "yield-is-fifo"};
    return bit < sizeof names / sizeof *names ? names[bit] : NULL;
}

void ops_why_not(const struct tl_impl *impl, const char *what, char *why, size_t size)
{
    const char *reason = impl->why_not ? impl->why_not(what) : NULL;
    if (reason)
        snprintf(why, size, "%s", reason);
    else
        snprintf(why, size, "%s does not offer %s", impl->name, what);
}
