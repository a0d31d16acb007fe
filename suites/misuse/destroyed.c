/*
 * destroyed.c - misuse.destroyed, misuse.destroyed-mutex: objects that are used after destroy.
 *
 * POSIX leaves it open and recommends EINVAL where it is detected. The calls that are tried are
 * those that never block.
 */
#include "check.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define HANG_MS 5000 /* what one call takes at most on a busy machine, and some seconds more */

/* What the child tells, in shared memory; it may die. */
struct told {
    _Atomic int begun, answered, answer;
};

/* One kind of object: makes and destroys one, then uses it. */
struct object {
    const char *name;
    int (*use_destroyed)(const struct tl_impl *impl);
};

static struct tl_ctx *ctx;
static struct told *told;
static const struct object *asked;

/* Each answers what the use of the destroyed object answered. */
static int use_mutex(const struct tl_impl *impl)
{
    struct tl_mutex m;

    if (!TL_CALL(ctx, impl->mutex->init(&m, TL_MUTEX_BLOCK)) ||
        !TL_CALL(ctx, impl->mutex->destroy(&m)))
        return -1;
    atomic_store(&told->begun, 1);
    return impl->mutex->trylock(&m);
}

static int use_cond(const struct tl_impl *impl)
{
    struct tl_cond c;

    if (!TL_CALL(ctx, impl->cond->init(&c)) || !TL_CALL(ctx, impl->cond->destroy(&c)))
        return -1;
    atomic_store(&told->begun, 1);
    return impl->cond->signal(&c);
}

static int use_sem(const struct tl_impl *impl)
{
    struct tl_sem s;

    if (!TL_CALL(ctx, impl->sem->init(&s, 1)) || !TL_CALL(ctx, impl->sem->destroy(&s)))
        return -1;
    atomic_store(&told->begun, 1);
    return impl->sem->trywait(&s);
}

static int use_rwlock(const struct tl_impl *impl)
{
    struct tl_rwlock l;

    if (!TL_CALL(ctx, impl->rwlock->init(&l)) || !TL_CALL(ctx, impl->rwlock->destroy(&l)))
        return -1;
    atomic_store(&told->begun, 1);
    return impl->rwlock->tryrdlock(&l);
}

static void *first(void *arg)
{
    int answer = asked->use_destroyed(ctx->impl);

    atomic_store(&told->answer, answer);
    atomic_store(&told->answered, 1);
    return arg;
}

static int child(struct tl_ctx *c, void *arg)
{
    (void)arg;
    return tl_boot(c, first, NULL, NULL);
}

/* Its answer; -1: noted. */
static int ask(const struct object *object)
{
    struct tl_child end;
    int err;

    asked = object;
    atomic_store(&told->begun, 0);
    atomic_store(&told->answered, 0);
    err = tl_child(ctx, child, NULL, HANG_MS, &end);
    TL_EXPECT(ctx, !err, "fork: %s", strerror(err));
    if (tl_verdict(ctx) == TL_OK)
        TL_EXPECT(ctx, atomic_load(&told->begun), "the child did not come to its call");
    TL_EXPECT(ctx, atomic_load(&told->answered) && !end.signal && !end.hung,
              "the use of a destroyed %s %s (signal %d)", object->name,
              end.hung ? "does not come back" : "ends the process", end.signal);
    return tl_verdict(ctx) == TL_OK ? atomic_load(&told->answer) : -1;
}

static bool begin(struct tl_ctx *c)
{
    ctx = c;
    told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return told != MAP_FAILED;
}

static enum tl_status outside_any(struct tl_ctx *c)
{
    static const struct object objects[] = {
        {"mutex", use_mutex}, {"cond", use_cond}, {"sem", use_sem}, {"rwlock", use_rwlock}};

    if (!begin(c))
        return tl_invalid(ctx, "no shared memory");
    for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++)
        if (objects[i].use_destroyed != use_rwlock || ctx->impl->rwlock)
            ask(&objects[i]);
    return tl_verdict(ctx);
}

static const struct tl_check misuse_destroyed = {
    .abi = TL_ABI,
    .name = "misuse.destroyed",
    .group = "Errors and misuse",
    .promise = "the use of a destroyed object, by a call that never blocks, answers something: it "
               "neither crashes nor hangs",
    .source = "POSIX.1-2017 XSH 2.9.9 leaves it undefined, and recommends EINVAL where it is "
              "detected",
    .method = "a mutex, condition variable, semaphore and, where offered, read-write lock are made "
              "and destroyed in a child process, then tried once",
    .meaning = "more than POSIX asks for: a mistake of the caller does not take the process along "
               "at once. What a destroyed object does to those who wait for it is not asked",
    .needs = "mutex cond sem",
    .outside = outside_any,
};
TL_CHECK(misuse_destroyed);

static enum tl_status outside_mutex(struct tl_ctx *c)
{
    static const struct object mutex = {"mutex", use_mutex};
    int answer;

    if (!begin(c))
        return tl_invalid(ctx, "no shared memory");
    answer = ask(&mutex);
    if (answer == -1 || answer == EINVAL)
        return tl_verdict(ctx);
    return tl_unsupported(ctx,
                          "POSIX leaves it open: trylock of a destroyed mutex answers %d, as that "
                          "of a live one may",
                          answer);
}

static const struct tl_check misuse_destroyed_mutex = {
    .abi = TL_ABI,
    .name = "misuse.destroyed-mutex",
    .group = "Errors and misuse",
    .promise = "the use of a destroyed mutex is detected: EINVAL",
    .source = "POSIX.1-2017 XSH pthread_mutex_destroy (rationale: EINVAL is recommended)",
    .method = "a mutex is made and destroyed in a child process, then tried once",
    .meaning = "who does not detect it promises nothing, and is unsupported; a crash fails",
    .needs = "mutex",
    .outside = outside_mutex,
};
TL_CHECK(misuse_destroyed_mutex);

/* ---- mutants --------------------------------------------------------------------------------- */

static const struct tl_cond_ops *sound_cond;
static const struct tl_mutex_ops *sound_mutex;
static const struct tl_sem_ops *sound_sem;
static _Atomic(const void *) gone; /* what was destroyed last */

static int cond_destroy(struct tl_cond *c)
{
    atomic_store(&gone, c);
    return sound_cond->destroy(c);
}

static int cond_signal(struct tl_cond *c)
{
    if (atomic_load(&gone) == c)
        __builtin_trap();
    return sound_cond->signal(c);
}

static void apply_cond(struct tl_impl *impl)
{
    sound_cond = impl->cond;
    struct tl_cond_ops *broken = TL_MUTATE(impl, cond);
    broken->destroy = cond_destroy;
    broken->signal = cond_signal;
}

static const struct tl_mutant destroyed_cond_followed = {
    .abi = TL_ABI,
    .name = "destroyed-cond-followed",
    .fault = "cond signal follows a pointer that destroy has cleared",
    .kills = "misuse.destroyed",
    .of = "nptl clone green",
    .apply = apply_cond,
};
TL_MUTANT_OF(destroyed_cond_followed);

static int mutex_destroy(struct tl_mutex *m)
{
    atomic_store(&gone, m);
    return sound_mutex->destroy(m);
}

static int mutex_trylock(struct tl_mutex *m)
{
    if (atomic_load(&gone) == m)
        __builtin_trap();
    return sound_mutex->trylock(m);
}

static void apply_mutex(struct tl_impl *impl)
{
    sound_mutex = impl->mutex;
    struct tl_mutex_ops *broken = TL_MUTATE(impl, mutex);
    broken->destroy = mutex_destroy;
    broken->trylock = mutex_trylock;
}

static const struct tl_mutant destroyed_mutex_followed = {
    .abi = TL_ABI,
    .name = "destroyed-mutex-followed",
    .fault = "mutex trylock follows a pointer that destroy has cleared",
    .kills = "misuse.destroyed-mutex misuse.destroyed",
    .of = "nptl",
    .apply = apply_mutex,
};
TL_MUTANT_OF(destroyed_mutex_followed);

static int sem_destroy(struct tl_sem *s)
{
    atomic_store(&gone, s);
    return sound_sem->destroy(s);
}

/* The lock inside it was left locked. */
static int sem_trywait(struct tl_sem *s)
{
    while (atomic_load(&gone) == s)
        ;
    return sound_sem->trywait(s);
}

static void apply_sem(struct tl_impl *impl)
{
    sound_sem = impl->sem;
    struct tl_sem_ops *broken = TL_MUTATE(impl, sem);
    broken->destroy = sem_destroy;
    broken->trywait = sem_trywait;
}

static const struct tl_mutant destroyed_sem_hangs = {
    .abi = TL_ABI,
    .name = "destroyed-sem-hangs",
    .fault = "sem trywait spins for ever on the lock of a destroyed semaphore",
    .kills = "misuse.destroyed",
    .of = "nptl",
    .apply = apply_sem,
};
TL_MUTANT_OF(destroyed_sem_hangs);
