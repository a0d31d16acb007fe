/*
 * pshared.c - mutex.pshared-recursive: a recursive mutex that two processes share.
 */
#include "../fork/forked.h"
#include "mutex.h"

#include <sys/mman.h>

/* In memory of both processes. */
static struct shared {
    struct tl_mutex mutex;
    _Atomic int entering, released, early;
} * shared;

static void child(struct tl_ctx *c)
{
    const struct tl_mutex_ops *ops = c->impl->mutex;

    TL_ANSWERS(c, ops->trylock(&shared->mutex), EBUSY);
    TL_ANSWERS(c, ops->unlock(&shared->mutex), EPERM);
    atomic_store(&shared->entering, 1);
    TL_CALL(c, ops->lock(&shared->mutex));
    atomic_store(&shared->early, !atomic_load(&shared->released));
    TL_CALL(c, ops->lock(&shared->mutex));
    TL_CALL(c, ops->unlock(&shared->mutex));
    TL_CALL(c, ops->unlock(&shared->mutex));
    _exit(tl_verdict(c) == TL_OK ? 0 : 1);
}

static void hand_over(struct tl_ctx *c)
{
    const struct tl_mutex_ops *ops = c->impl->mutex;
    pid_t pid = -1;

    atomic_store(&shared->entering, 0);
    atomic_store(&shared->released, 0);
    TL_CALL(c, ops->lock(&shared->mutex));
    TL_CALL(c, ops->lock(&shared->mutex));
    if (!TL_CALL(c, c->impl->fork->fork(&pid)))
        return;
    if (pid == 0)
        child(c);
    tl_await(c, &shared->entering, "the child to wait for the mutex");
    mutex_linger(c);
    TL_CALL(c, ops->unlock(&shared->mutex));
    mutex_linger(c);
    atomic_store(&shared->released, 1);
    TL_CALL(c, ops->unlock(&shared->mutex));
    forked_wait(c, pid, 0);
    TL_EXPECT(c, !atomic_load(&shared->early), "the child got the mutex that was still held once");
}

static enum tl_status run(struct tl_ctx *c)
{
    enum tl_status status;

    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return tl_invalid(c, "mmap: %s", strerror(errno));
    status = mutex_make(c, &shared->mutex, TL_MUTEX_SHARED_RECURSIVE, "mutex.shared-recursive");
    for (int i = 0; i < 10 && status == TL_OK; i++) {
        hand_over(c);
        status = tl_verdict(c);
    }
    return status;
}

static const struct tl_check pshared_recursive = {
    .abi = TL_ABI,
    .name = "mutex.pshared-recursive",
    .group = "Mutex",
    .promise =
        "a recursive mutex in shared memory excludes another process until it was unlocked as "
        "often as locked",
    .source = "POSIX.1-2017 XSH pthread_mutexattr_setpshared, pthread_mutexattr_settype",
    .method = "the parent holds it twice; a child tries, waits, and must get it after the second "
              "unlock; it locks it twice itself; ten times",
    .meaning = "owner, count and wake-up work across processes",
    .needs = "mutex fork.fork",
    .run = run,
};
TL_CHECK(pshared_recursive);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_mutex_ops *sound;

/* Until it answers EPERM: only the mutex of this check is of a kind that does. */
static int unlock_wholly(struct tl_mutex *m)
{
    int err = sound->unlock(m);

    while (!err && shared && m == &shared->mutex && sound->unlock(m) == 0)
        ;
    return err;
}

static void apply(struct tl_impl *impl)
{
    sound = impl->mutex;
    TL_MUTATE(impl, mutex)->unlock = unlock_wholly;
}

static const struct tl_mutant pshared_uncounted = {
    .abi = TL_ABI,
    .name = "mutex-pshared-uncounted",
    .fault = "the first unlock frees a shared recursive mutex, however often it was locked",
    .kills = "mutex.pshared-recursive",
    .of = "nptl clone",
    .apply = apply,
};
TL_MUTANT_OF(pshared_uncounted);
