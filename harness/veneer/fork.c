/*
 * fork.c - fork: only the caller lives on in the child, whatever the model (a plain fork of a
 * process whose threads are memory would keep them all).
 */
#include "veneer.h"

#include <unistd.h>

/* In the child: whoever else was a thread is none any more, and who called is the first. */
static void alone(void)
{
    struct veneer_thread *self = veneer_self();

    veneer_forget_others(self);
    self->tid = getpid();
    veneer_keep();
}

pid_t WRAP(fork)(void);
pid_t WRAP(fork)(void)
{
    pid_t pid;
    int err;

    if (!veneer.running || !veneer.impl->fork || !veneer_self()->known)
        return fork();
    err = veneer.impl->fork->fork(&pid);
    if (err)
        return veneer_answer(err);
    if (!pid)
        alone();
    return pid;
}

/* Handlers of before main, too: the C library calls those in each fork, which ours is in the end.
 */
int WRAP(pthread_atfork)(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int WRAP(pthread_atfork)(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    if (!veneer.running || !veneer.impl->fork)
        return pthread_atfork(prepare, parent, child);
    return veneer.impl->fork->atfork(prepare, parent, child);
}
