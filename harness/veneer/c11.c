/*
 * c11.c - <threads.h> of C11, section 7.26, over the functions of the other parts. Its types have
 * the sizes of the POSIX ones in the C library, and answers of its own.
 */
#include "veneer.h"

#include <sched.h>
#include <threads.h>
#include <time.h>

_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t), "overlays it");
_Static_assert(sizeof(cnd_t) == sizeof(pthread_cond_t), "overlays it");
_Static_assert(sizeof(thrd_t) == sizeof(pthread_t), "is one");
_Static_assert(sizeof(tss_t) == sizeof(pthread_key_t), "is one");
_Static_assert(sizeof(once_flag) == sizeof(pthread_once_t), "overlays it");

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg);
int __wrap_pthread_join(pthread_t t, void **value);
int __wrap_pthread_detach(pthread_t t);
pthread_t __wrap_pthread_self(void);
int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *m);
int __wrap_pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *until);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr);
int __wrap_pthread_cond_destroy(pthread_cond_t *c);
int __wrap_pthread_cond_signal(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m,
                                  const struct timespec *until);
int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
int __wrap_pthread_key_delete(pthread_key_t key);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);
void *__wrap_pthread_getspecific(pthread_key_t key);
int __wrap_pthread_once(pthread_once_t *once, void (*routine)(void));
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_sched_yield(void);

static int answer(int err)
{
    switch (err) {
    case 0:
        return thrd_success;
    case ENOMEM:
        return thrd_nomem;
    case ETIMEDOUT:
        return thrd_timedout;
    case EBUSY:
        return thrd_busy;
    default:
        return thrd_error;
    }
}

/* ---- threads --------------------------------------------------------------------------------- */

struct start {
    thrd_start_t f;
    void *arg;
};

static void *start(void *arg)
{
    struct start s = *(struct start *)arg;

    free(arg);
    return (void *)(intptr_t)s.f(s.arg);
}

int WRAP(thrd_create)(thrd_t *t, thrd_start_t f, void *arg);
int WRAP(thrd_create)(thrd_t *t, thrd_start_t f, void *arg)
{
    struct start *s = malloc(sizeof(*s));
    int err;

    if (!s)
        return thrd_nomem;
    *s = (struct start){f, arg};
    err = __wrap_pthread_create(t, NULL, start, s);
    if (err)
        free(s);
    return err == EAGAIN ? thrd_nomem : answer(err);
}

int WRAP(thrd_join)(thrd_t t, int *result);
int WRAP(thrd_join)(thrd_t t, int *result)
{
    void *value;
    int err = __wrap_pthread_join(t, &value);

    if (!err && result)
        *result = (int)(intptr_t)value;
    return answer(err);
}

void WRAP(thrd_exit)(int result) __attribute__((noreturn));
void WRAP(thrd_exit)(int result)
{
    veneer_exit((void *)(intptr_t)result);
}

int WRAP(thrd_detach)(thrd_t t);
int WRAP(thrd_detach)(thrd_t t)
{
    return answer(__wrap_pthread_detach(t));
}

thrd_t WRAP(thrd_current)(void);
thrd_t WRAP(thrd_current)(void)
{
    return __wrap_pthread_self();
}

void WRAP(thrd_yield)(void);
void WRAP(thrd_yield)(void)
{
    __wrap_sched_yield();
}

int WRAP(thrd_sleep)(const struct timespec *time, struct timespec *left);
int WRAP(thrd_sleep)(const struct timespec *time, struct timespec *left)
{
    int saved = errno, result = 0;

    if (__wrap_nanosleep(time, left))
        result = errno == EINTR ? -1 : -2;
    errno = saved;
    return result;
}

/* ---- mutex, condition ------------------------------------------------------------------------ */

int WRAP(mtx_init)(mtx_t *m, int type);
int WRAP(mtx_init)(mtx_t *m, int type)
{
    pthread_mutexattr_t attr;
    int err;

    if (type & ~(mtx_recursive | mtx_timed))
        return thrd_error;
    pthread_mutexattr_init(&attr);
    if (type & mtx_recursive)
        pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    err = __wrap_pthread_mutex_init((pthread_mutex_t *)m, &attr);
    pthread_mutexattr_destroy(&attr);
    return answer(err);
}

void WRAP(mtx_destroy)(mtx_t *m);
void WRAP(mtx_destroy)(mtx_t *m)
{
    __wrap_pthread_mutex_destroy((pthread_mutex_t *)m);
}

int WRAP(mtx_lock)(mtx_t *m);
int WRAP(mtx_lock)(mtx_t *m)
{
    return answer(__wrap_pthread_mutex_lock((pthread_mutex_t *)m));
}

int WRAP(mtx_trylock)(mtx_t *m);
int WRAP(mtx_trylock)(mtx_t *m)
{
    return answer(__wrap_pthread_mutex_trylock((pthread_mutex_t *)m));
}

int WRAP(mtx_timedlock)(mtx_t *m, const struct timespec *until);
int WRAP(mtx_timedlock)(mtx_t *m, const struct timespec *until)
{
    return answer(__wrap_pthread_mutex_timedlock((pthread_mutex_t *)m, until));
}

int WRAP(mtx_unlock)(mtx_t *m);
int WRAP(mtx_unlock)(mtx_t *m)
{
    return answer(__wrap_pthread_mutex_unlock((pthread_mutex_t *)m));
}

int WRAP(cnd_init)(cnd_t *c);
int WRAP(cnd_init)(cnd_t *c)
{
    return answer(__wrap_pthread_cond_init((pthread_cond_t *)c, NULL));
}

void WRAP(cnd_destroy)(cnd_t *c);
void WRAP(cnd_destroy)(cnd_t *c)
{
    __wrap_pthread_cond_destroy((pthread_cond_t *)c);
}

int WRAP(cnd_signal)(cnd_t *c);
int WRAP(cnd_signal)(cnd_t *c)
{
    return answer(__wrap_pthread_cond_signal((pthread_cond_t *)c));
}

int WRAP(cnd_broadcast)(cnd_t *c);
int WRAP(cnd_broadcast)(cnd_t *c)
{
    return answer(__wrap_pthread_cond_broadcast((pthread_cond_t *)c));
}

int WRAP(cnd_wait)(cnd_t *c, mtx_t *m);
int WRAP(cnd_wait)(cnd_t *c, mtx_t *m)
{
    return answer(__wrap_pthread_cond_wait((pthread_cond_t *)c, (pthread_mutex_t *)m));
}

int WRAP(cnd_timedwait)(cnd_t *c, mtx_t *m, const struct timespec *until);
int WRAP(cnd_timedwait)(cnd_t *c, mtx_t *m, const struct timespec *until)
{
    return answer(__wrap_pthread_cond_timedwait((pthread_cond_t *)c, (pthread_mutex_t *)m, until));
}

/* ---- values, once ---------------------------------------------------------------------------- */

int WRAP(tss_create)(tss_t *key, tss_dtor_t destructor);
int WRAP(tss_create)(tss_t *key, tss_dtor_t destructor)
{
    return answer(__wrap_pthread_key_create(key, destructor));
}

void WRAP(tss_delete)(tss_t key);
void WRAP(tss_delete)(tss_t key)
{
    __wrap_pthread_key_delete(key);
}

int WRAP(tss_set)(tss_t key, void *value);
int WRAP(tss_set)(tss_t key, void *value)
{
    return answer(__wrap_pthread_setspecific(key, value));
}

void *WRAP(tss_get)(tss_t key);
void *WRAP(tss_get)(tss_t key)
{
    return __wrap_pthread_getspecific(key);
}

void WRAP(call_once)(once_flag *once, void (*routine)(void));
void WRAP(call_once)(once_flag *once, void (*routine)(void))
{
    __wrap_pthread_once((pthread_once_t *)once, routine);
}
