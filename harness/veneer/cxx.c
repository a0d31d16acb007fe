/*
 * cxx.c - what libstdc++ keeps in its shared library of std::thread, std::condition_variable,
 * std::future and of static and thread_local objects, under the names that the C++ ABI of Itanium
 * gives it: what is in its headers calls pthread_... from the program itself, and comes to us as it
 * is.
 *
 * A program's own definition goes before the shared library's. All are weak: a program of C has
 * nothing of it, and one that links libstdc++ statically keeps its copy, which calls the C
 * library's threads.
 */
#include "veneer.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <time.h>

#define CXX(name) __attribute__((weak)) name

void _ZSt20__throw_system_errori(int err) __attribute__((weak, noreturn));

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg);
int __wrap_pthread_join(pthread_t t, void **value);
int __wrap_pthread_detach(pthread_t t);
int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr);
int __wrap_pthread_cond_destroy(pthread_cond_t *c);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_signal(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);

static void check(int err)
{
    if (!err)
        return;
    if (_ZSt20__throw_system_errori)
        _ZSt20__throw_system_errori(err);
    abort();
}

/* ---- std::thread ----------------------------------------------------------------------------- */

/* std::thread::_State: a pointer to its virtual functions, which are the two destructors (the
 * second frees) and _M_run. */
struct state {
    void (*const *functions)(struct state *self);
};
enum { STATE_DELETE = 1, STATE_RUN = 2 };

static void forget(void *arg)
{
    struct state *state = arg;

    state->functions[STATE_DELETE](state);
}

static void *run(void *arg)
{
    struct state *state = arg;
    struct veneer_cleanup c;

    veneer_cleanup_push(&c, forget, state); /* it may end the thread */
    state->functions[STATE_RUN](state);
    veneer_cleanup_pop(&c, 1);
    return NULL;
}

/* std::thread::_M_start_thread(unique_ptr<_State>, void (*)()): the unique_ptr comes by reference,
 * the function only keeps libpthread linked. */
void CXX(_ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE)(
    pthread_t *self, struct state **state, void (*depend)(void));
void CXX(_ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE)(
    pthread_t *self, struct state **state, void (*depend)(void))
{
    (void)depend;
    check(__wrap_pthread_create(self, NULL, run, *state));
    *state = NULL;
}

void CXX(_ZNSt6thread4joinEv)(pthread_t *self);
void CXX(_ZNSt6thread4joinEv)(pthread_t *self)
{
    check(*self ? __wrap_pthread_join(*self, NULL) : EINVAL);
    *self = 0;
}

void CXX(_ZNSt6thread6detachEv)(pthread_t *self);
void CXX(_ZNSt6thread6detachEv)(pthread_t *self)
{
    check(*self ? __wrap_pthread_detach(*self) : EINVAL);
    *self = 0;
}

/* ---- std::condition_variable ----------------------------------------------------------------- */

/* std::unique_lock<std::mutex>. */
struct unique_lock {
    pthread_mutex_t *mutex;
    bool owns;
};

#define CONSTRUCTOR(name)                     \
    void CXX(name)(pthread_cond_t * self);    \
    void CXX(name)(pthread_cond_t * self)     \
    {                                         \
        __wrap_pthread_cond_init(self, NULL); \
    }
CONSTRUCTOR(_ZNSt18condition_variableC1Ev)
CONSTRUCTOR(_ZNSt18condition_variableC2Ev)

#define DESTRUCTOR(name)                   \
    void CXX(name)(pthread_cond_t * self); \
    void CXX(name)(pthread_cond_t * self)  \
    {                                      \
        __wrap_pthread_cond_destroy(self); \
    }
DESTRUCTOR(_ZNSt18condition_variableD1Ev)
DESTRUCTOR(_ZNSt18condition_variableD2Ev)

void CXX(_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE)(pthread_cond_t *self,
                                                                    struct unique_lock *lock);
void CXX(_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE)(pthread_cond_t *self,
                                                                    struct unique_lock *lock)
{
    __wrap_pthread_cond_wait(self, lock->mutex);
}

void CXX(_ZNSt18condition_variable10notify_oneEv)(pthread_cond_t *self);
void CXX(_ZNSt18condition_variable10notify_oneEv)(pthread_cond_t *self)
{
    __wrap_pthread_cond_signal(self);
}

void CXX(_ZNSt18condition_variable10notify_allEv)(pthread_cond_t *self);
void CXX(_ZNSt18condition_variable10notify_allEv)(pthread_cond_t *self)
{
    __wrap_pthread_cond_broadcast(self);
}

/* ---- std::future ----------------------------------------------------------------------------- */

/* std::__atomic_futex_unsigned_base: whether *word changed before the end of the clock. */
static bool wait_word(_Atomic uint32_t *word, uint32_t value, bool limited, clockid_t clock, long s,
                      long ns)
{
    struct timespec time = {s, ns};
    uint64_t end = limited ? veneer_ns(&time) : UINT64_MAX;

    while (atomic_load(word) == value) {
        if (limited && veneer_now(clock) >= end)
            return false;
        veneer_word_wait(word, value, clock, end);
    }
    return true;
}

#define WAIT_UNTIL(name, clock)                                                              \
    bool CXX(name)(void *self, _Atomic uint32_t *word, uint32_t value, bool limited, long s, \
                   long ns);                                                                 \
    bool CXX(name)(void *self, _Atomic uint32_t *word, uint32_t value, bool limited, long s, \
                   long ns)                                                                  \
    {                                                                                        \
        (void)self;                                                                          \
        return wait_word(word, value, limited, (clock), s, ns);                              \
    }
/* (unsigned *, unsigned, bool, chrono::seconds, chrono::nanoseconds) */
#define ARGUMENTS EPjjbNSt6chrono8durationIlSt5ratioILl1ELl1EEEENS2_IlS3_ILl1ELl1000000000EEEE
#define PASTE(a, b) a##b
#define JOIN(a, b) PASTE(a, b)
WAIT_UNTIL(JOIN(_ZNSt28__atomic_futex_unsigned_base19_M_futex_wait_until, ARGUMENTS),
           CLOCK_REALTIME)
WAIT_UNTIL(JOIN(_ZNSt28__atomic_futex_unsigned_base26_M_futex_wait_until_steady, ARGUMENTS),
           CLOCK_MONOTONIC)

void CXX(_ZNSt28__atomic_futex_unsigned_base19_M_futex_notify_allEPj)(_Atomic uint32_t *word);
void CXX(_ZNSt28__atomic_futex_unsigned_base19_M_futex_notify_allEPj)(_Atomic uint32_t *word)
{
    veneer_word_wake(word);
}

/* ---- static objects of functions ------------------------------------------------------------- */

/* The guard of a static object (Itanium C++ ABI, 3.3.2): its first byte is not 0 once the object is
 * there, which the compiler looks at; the rest is ours. libstdc++ waits in the kernel for who makes
 * the object, and that thread may be one that shares the kernel thread. */
enum { GUARD_DONE = 1, GUARD_MADE = 1 << 8, GUARD_AWAITED = 1 << 16 };

int CXX(__cxa_guard_acquire)(_Atomic uint32_t *guard);
int CXX(__cxa_guard_acquire)(_Atomic uint32_t *guard)
{
    for (;;) {
        uint32_t was = 0;

        if (atomic_compare_exchange_strong(guard, &was, GUARD_MADE))
            return 1;
        if (was & GUARD_DONE)
            return 0;
        if (was & GUARD_AWAITED || atomic_compare_exchange_strong(guard, &was, was | GUARD_AWAITED))
            veneer_word_wait(guard, was | GUARD_AWAITED, CLOCK_MONOTONIC, UINT64_MAX);
    }
}

static void guard_becomes(_Atomic uint32_t *guard, uint32_t value)
{
    if (atomic_exchange(guard, value) & GUARD_AWAITED)
        veneer_word_wake(guard);
}

void CXX(__cxa_guard_release)(_Atomic uint32_t *guard);
void CXX(__cxa_guard_release)(_Atomic uint32_t *guard)
{
    guard_becomes(guard, GUARD_DONE);
}

void CXX(__cxa_guard_abort)(_Atomic uint32_t *guard);
void CXX(__cxa_guard_abort)(_Atomic uint32_t *guard)
{
    guard_becomes(guard, 0);
}

/* ---- thread_local objects -------------------------------------------------------------------- */

/* One object of a thread's that is there, in the thread's list. */
struct veneer_last {
    void (*destructor)(void *object);
    void *object;
    struct veneer_last *next;
};

/* std::__at_thread_exit_elt: what a promise or notify_all_at_thread_exit has to do when the objects
 * are gone. */
struct veneer_after {
    struct veneer_after *next;
    void (*run)(void *self);
};

static void end_objects(struct veneer_thread *t)
{
    struct veneer_last *l;

    while ((l = t->last)) {
        void (*destructor)(void *object) = l->destructor;
        void *object = l->object;

        t->last = l->next; /* it may make others */
        free(l);
        destructor(object);
    }
}

void veneer_thread_local_end(struct veneer_thread *t)
{
    struct veneer_after *a;

    end_objects(t);
    while ((a = t->after)) {
        t->after = a->next;
        a->run(a);
        end_objects(t);
    }
}

static void end_main(void)
{
    if (veneer.main && veneer_here() == veneer.main)
        veneer_thread_local_end(veneer.main);
}

/* std::__at_thread_exit(__at_thread_exit_elt *) */
static void at_thread_exit(struct veneer_after *a)
{
    static bool registered;
    struct veneer_thread *self = veneer_self();

    if (self == veneer.main && !registered) /* in exit(), its objects are gone */
        registered = !atexit(end_main);
    a->next = self->after;
    self->after = a;
}

/* __future_base::_State_baseV2::_Make_ready::_M_set(): what it runs is seen by nobody outside of
 * libstdc++. So its own _M_set() is called once, which writes that down and puts the element into
 * the list of a key of the C library, from where it is taken out again. */
#define MAKE_READY_SET _ZNSt13__future_base13_State_baseV211_Make_ready6_M_setEv
#define TEXT(name) TEXT_OF(name)
#define TEXT_OF(name) #name

static void (*learn(struct veneer_after *a))(void *)
{
    void (*set)(struct veneer_after *) = NULL;

    *(void **)&set = dlsym(RTLD_NEXT, TEXT(MAKE_READY_SET));
    if (!set)
        abort();
    set(a);
    for (pthread_key_t key = 0; key < PTHREAD_KEYS_MAX; key++)
        if (pthread_getspecific(key) == a)
            pthread_setspecific(key, a->next);
    return a->run;
}

void CXX(MAKE_READY_SET)(struct veneer_after *a);
void CXX(MAKE_READY_SET)(struct veneer_after *a)
{
    static void (*_Atomic ready)(void *);

    if (!atomic_load(&ready))
        atomic_store(&ready, learn(a));
    a->run = atomic_load(&ready);
    at_thread_exit(a);
}

struct notifier {
    struct veneer_after after; /* first */
    pthread_cond_t *cond;
    pthread_mutex_t *mutex;
};

static void notify(void *self)
{
    struct notifier n = *(struct notifier *)self;

    free(self);
    __wrap_pthread_mutex_unlock(n.mutex);
    __wrap_pthread_cond_broadcast(n.cond);
}

/* std::notify_all_at_thread_exit(condition_variable &, unique_lock<mutex>): the lock comes by
 * reference, and is given up by who calls unless we do. */
void CXX(_ZSt25notify_all_at_thread_exitRSt18condition_variableSt11unique_lockISt5mutexE)(
    pthread_cond_t *cond, struct unique_lock *lock);
void CXX(_ZSt25notify_all_at_thread_exitRSt18condition_variableSt11unique_lockISt5mutexE)(
    pthread_cond_t *cond, struct unique_lock *lock)
{
    struct notifier *n = malloc(sizeof(*n));

    if (!n)
        abort();
    *n = (struct notifier){{NULL, notify}, cond, lock->mutex};
    *lock = (struct unique_lock){NULL, false};
    at_thread_exit(&n->after);
}

extern int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *dso);

/* The C library would call it when the kernel thread ends. It has the first thread's, which end in
 * exit(). */
int CXX(__cxa_thread_atexit)(void (*destructor)(void *), void *object, void *dso);
int CXX(__cxa_thread_atexit)(void (*destructor)(void *), void *object, void *dso)
{
    struct veneer_thread *here = veneer.running ? veneer_here() : NULL;
    struct veneer_last *l;

    if (!here || here == veneer.main)
        return __cxa_thread_atexit_impl(destructor, object, dso);
    l = malloc(sizeof(*l));
    if (!l)
        return -1;
    *l = (struct veneer_last){destructor, object, here->last};
    here->last = l;
    return 0;
}

/* Of the thread that calls it, they end before those of the process. */
void WRAP(exit)(int status) __attribute__((noreturn));
void WRAP(exit)(int status)
{
    if (veneer.running && veneer_here() && veneer_here() != veneer.main)
        veneer_thread_local_end(veneer_here());
    exit(status);
}
