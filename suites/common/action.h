/*
 * action.h - sigaction(2), through the implementation where it stands between the kernel and the
 * handlers.
 */
#ifndef SUITES_ACTION_H
#define SUITES_ACTION_H

#include <errno.h>
#include <signal.h>

#include "impl.h"

/* Answers 0 or an error number, and leaves errno alone. Either pointer may be NULL. */
static inline int tl_sigaction(const struct tl_impl *impl, int sig, const struct sigaction *action,
                               struct sigaction *old)
{
    int saved = errno, err = 0;

    if (impl->signal && impl->signal->action)
        return impl->signal->action(sig, action, old);
    if (sigaction(sig, action, old))
        err = errno;
    errno = saved;
    return err;
}

/* As signal(sig, SIG_IGN). */
static inline int tl_sigignore(const struct tl_impl *impl, int sig)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    return tl_sigaction(impl, sig, &ignore, NULL);
}

#endif
