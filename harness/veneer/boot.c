/*
 * boot.c - main of the program becomes the first thread of the implementation; the table of
 * threads.
 *
 * main returns: exit(its value), within run(). It ends by pthread_exit or is cancelled: run() waits
 * for the others, and the process ends with 0 (POSIX.1-2017 XSH pthread_exit).
 *
 * THREADLAB_PARAMS="tls=errno,policy=priority" in the environment sets the implementation's
 * parameters. tls=full is the default where there is such a thing: a program's _Thread_local
 * variables are to be the thread's; policy=priority, too: its SCHED_FIFO is to be honoured; and
 * preempt=cputime: a thread that never calls the library stops nobody. (preempt=timer would end
 * plain system calls of the program's libraries by EINTR.)
 */
#include "veneer.h"

#include "program_params.h"

#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INDEX_BITS 20
#define CHUNK 256

/* Who holds a lock of ours may have lost the PU and be less urgent than who waits for it: a yield
 * would never let it go on. */
#define LOCK_TRIES 100
#define LOCK_PAUSE_NS 50000

struct veneer veneer;
_Thread_local struct veneer_thread *veneer_own;

/* ---- the table ------------------------------------------------------------------------------- */

/* Invariant: a chunk is published by `used` (release) and never moves. */
static struct {
    struct veneer_thread *chunk[(1 << INDEX_BITS) / CHUNK];
    _Atomic uint64_t used;
    struct veneer_thread *free;
    _Atomic int lock;
} table;

/* Who takes a lock here is in no cancellation point. */
static void sleep_a_while(void)
{
    int old = veneer_cancel_off();

    veneer.impl->sleep(LOCK_PAUSE_NS);
    veneer_cancel_back(old);
}

void veneer_lock(_Atomic int *lock)
{
    for (unsigned tries = 1; atomic_exchange_explicit(lock, 1, memory_order_acquire); tries++)
        if (veneer.running && tries % LOCK_TRIES)
            veneer.impl->yield();
        else if (veneer.running && !veneer.blocks_alone)
            sleep_a_while();
}

void veneer_unlock(_Atomic int *lock)
{
    atomic_store_explicit(lock, 0, memory_order_release);
}

static struct veneer_thread *at(uint64_t index)
{
    return &table.chunk[index / CHUNK][index % CHUNK];
}

struct veneer_thread *veneer_find(pthread_t handle)
{
    uint64_t index = (handle & ((1u << INDEX_BITS) - 1)) - 1;
    struct veneer_thread *t;

    if (index >= atomic_load_explicit(&table.used, memory_order_acquire))
        return NULL;
    t = at(index);
    return atomic_load(&t->handle) == handle && atomic_load(&t->life) != VENEER_FREE ? t : NULL;
}

int veneer_missing(pthread_t handle)
{
    uint64_t index = (handle & ((1u << INDEX_BITS) - 1)) - 1;

    return index < atomic_load_explicit(&table.used, memory_order_acquire) &&
                   at(index)->detached_handle == handle
               ? EINVAL
               : ESRCH;
}

static struct veneer_thread *fresh(void)
{
    uint64_t index = atomic_load(&table.used);

    if (index + 1 >= 1u << INDEX_BITS)
        return NULL;
    if (!table.chunk[index / CHUNK])
        table.chunk[index / CHUNK] = calloc(CHUNK, sizeof(struct veneer_thread));
    if (!table.chunk[index / CHUNK])
        return NULL;
    atomic_store(&at(index)->handle, 1u << INDEX_BITS | (index + 1));
    atomic_store_explicit(&table.used, index + 1, memory_order_release);
    return at(index);
}

struct veneer_thread *veneer_take(void)
{
    struct veneer_thread *t;
    uint64_t handle;

    veneer_lock(&table.lock);
    t = table.free;
    if (t)
        table.free = t->next;
    else
        t = fresh();
    if (t) {
        uint64_t gone = t->detached_handle;

        handle = atomic_load(&t->handle);
        memset(t, 0, sizeof(*t));
        t->detached_handle = gone;
        atomic_store(&t->handle, handle);
        atomic_store(&t->life, VENEER_LIVE);
    }
    veneer_unlock(&table.lock);
    return t;
}

void veneer_identify(struct veneer_thread *t, pthread_t handle, struct tl_thread impl)
{
    veneer_lock(&table.lock);
    if (atomic_load(&t->handle) == handle) {
        t->impl = impl;
        t->known = true;
    }
    veneer_unlock(&table.lock);
}

void veneer_give(struct veneer_thread *t)
{
    veneer_lock(&table.lock);
    if (veneer_is_detached(t))
        t->detached_handle = atomic_load(&t->handle);
    atomic_store(&t->life, VENEER_FREE);
    atomic_fetch_add(&t->handle, 1u << INDEX_BITS);
    t->next = table.free;
    table.free = t;
    veneer_unlock(&table.lock);
}

void veneer_forget_others(struct veneer_thread *self)
{
    uint64_t used = atomic_load(&table.used);

    atomic_store(&veneer.live, 1);
    atomic_store(&table.lock, 0); /* whoever held it is not here */
    veneer_lent_forget();
    veneer_futex_forget();
    veneer.forks++;
    veneer.pid = getpid();
    if (veneer.main != self)
        veneer.main = NULL; /* the process ends with the last thread, by the implementation */
    table.free = NULL;
    for (uint64_t i = 0; i < used; i++)
        if (at(i) != self) {
            if (atomic_load(&at(i)->life) != VENEER_FREE)
                atomic_fetch_add(&at(i)->handle, 1u << INDEX_BITS);
            atomic_store(&at(i)->life, VENEER_FREE);
            at(i)->next = table.free;
            table.free = at(i);
        }
}

/* A handler may run in a new thread before anything of ours has. (In a kernel thread none does: see
 * pthread_create.) */
struct veneer_thread *veneer_here(void)
{
    uint64_t used = atomic_load_explicit(&table.used, memory_order_acquire), id;

    if (veneer_own || !veneer.running || veneer.impl->traits & TL_ONE_TO_ONE)
        return veneer_own;
    id = veneer.impl->self().id;
    for (uint64_t i = 0; i < used; i++)
        if (atomic_load(&at(i)->life) == VENEER_LIVE && at(i)->known && at(i)->impl.id == id)
            return at(i);
    return NULL;
}

struct veneer_thread *veneer_self(void)
{
    struct veneer_thread *self = veneer_here();

    if (self)
        return self;
    /* Before main, after it, or a thread of the C library's (SIGEV_THREAD). */
    if (!veneer.running && veneer.main)
        self = veneer.main;
    else
        self = veneer_take();
    if (!self)
        abort();
    if (!veneer.running)
        veneer.main = self;
    veneer_own = self;
    return self;
}

/* ---- parameters ------------------------------------------------------------------------------ */

static int no_pin(const struct tl_boot *boot, int slot)
{
    (void)boot;
    (void)slot;
    return 0;
}

/* From a list "a=b,c=d"; NULL: not in there. Kept for ever: the implementation may keep it. */
static const char *value_in(const char *list, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (!strncmp(at, name, n) && at[n] == '=')
            return strndup(at + n + 1, strcspn(at + n + 1, ","));
    }
    return NULL;
}

static const char *param(const struct tl_boot *boot, const char *name)
{
    const char *value = value_in(getenv("THREADLAB_PARAMS"), name);

    (void)boot;
    if (!value)
        value = value_in(PROGRAM_PARAMS, name);
    if (value)
        return value;
    for (const struct tl_param *p = veneer.impl->params; p && p->name; p++)
        if (!strcmp(p->name, name))
            return strndup(p->values, strcspn(p->values, ","));
    return "";
}

static bool preempts(const struct tl_boot *boot)
{
    for (const struct tl_param *p = veneer.impl->params; p && p->name; p++)
        if (!strcmp(p->name, "preempt"))
            return strcmp(param(boot, p->name), "off") != 0;
    return false;
}

/* ---- main ------------------------------------------------------------------------------------ */

static struct {
    int argc;
    char **argv, **envp;
    jmp_buf exit;
} program;

int __real_main(int argc, char **argv, char **envp);
/* What the program's constructors call, before there is a first thread, asks for the
 * implementation: this one of it, which waits by itself. Nobody is there to wake who waits. */
static struct tl_impl early;
static struct tl_cond_ops early_cond;

static int early_timedwait(struct tl_cond *c, struct tl_mutex *m, clockid_t clock, uint64_t end)
{
    uint64_t now;

    (void)c;
    (void)m;
    while ((now = veneer_now(clock)) < end)
        veneer_pause(end - now);
    return ETIMEDOUT;
}

static int early_wait(struct tl_cond *c, struct tl_mutex *m)
{
    return early_timedwait(c, m, CLOCK_MONOTONIC, UINT64_MAX);
}

static __attribute__((constructor(101))) void begin_early(void)
{
    struct tl_module module = tl_module_contents();

    early = **module.impls;
    early.io = NULL;
    if (early.cond) {
        early_cond = *early.cond;
        early_cond.wait = early_wait;
        early_cond.timedwait = early_timedwait;
        early.cond = &early_cond;
    }
    veneer.impl = &early;
    veneer.blocks_alone = veneer.impl->traits & TL_BLOCKS_ALONE;
}

int WRAP(main)(int argc, char **argv, char **envp);

static void run_main(void *unused)
{
    /* What main's frames hold stays as it is while run() waits for the others: they may use it. */
    volatile char gap[32768];

    (void)unused;
    gap[0] = 0;
    veneer.main->frames.first = __builtin_frame_address(0);
    errno = 0; /* booting may have left something */
    exit(__real_main(program.argc, program.argv, program.envp) + gap[0]);
}

/* Sleeps for ever, where an implementation that sees all of its threads wait for one another ends
 * the process: a handler may yet let one go. */
static struct tl_thread keeper;

static void *keep(void *arg)
{
    for (;;)
        veneer.impl->sleep(3600 * (uint64_t)1000000000);
    return arg;
}

static void end_keeping(void)
{
    if (keeper.id)
        veneer.impl->cancel->cancel(keeper);
    keeper.id = 0;
}

bool veneer_one_less(void)
{
    return atomic_fetch_sub(&veneer.live, 1) == 1 && !veneer.main;
}

/* It has all signals blocked, which it inherits: none is for it. */
void veneer_keep(void)
{
    const struct tl_signal_ops *ops = veneer.impl->signal;
    sigset_t all, mask;

    if (veneer.blocks_alone || !veneer.impl->sleep || !veneer.impl->cancel || !ops)
        return;
    sigfillset(&all);
    ops->mask(SIG_SETMASK, &all, &mask);
    if (veneer.impl->create(&keeper, NULL, keep, NULL))
        keeper.id = 0;
    ops->mask(SIG_SETMASK, &mask, NULL);
}

/* The implementation has acted on a request in one of its waits. */
static void finish_main(void *unused)
{
    (void)unused;
    veneer.main->value = PTHREAD_CANCELED;
    veneer_finish(veneer.main);
    if (atomic_load(&veneer.main->life) == VENEER_LIVE) /* not by veneer_exit */
        veneer_main_ended(PTHREAD_CANCELED);
    end_keeping();
}

void veneer_exit_main(void);

void veneer_exit_main(void)
{
    end_keeping();
    longjmp(program.exit, 1);
}

static void *entry(void *unused)
{
    struct veneer_thread *self = veneer_self();

    veneer.main = veneer_own = self;
    atomic_store(&veneer.live, 1);
    veneer.pid = getpid();
    veneer.running = true;
    self->impl = veneer.impl->self();
    self->known = true;
    self->tid = (int)syscall(SYS_gettid);
    self->frames.outermost = __builtin_frame_address(0);
    veneer_key_begin();
    veneer_unwind_init();
    veneer_cancel_init();
    veneer_keep();
    if (setjmp(program.exit))
        return unused;
    veneer.impl->protect(run_main, NULL, finish_main, NULL, false);
    return NULL;
}

int WRAP(main)(int argc, char **argv, char **envp)
{
    struct tl_module module = tl_module_contents();
    struct tl_boot boot = {.pin = no_pin, .param = param};
    char reason[256] = "";
    cpu_set_t set;
    int err;

    veneer.impl = *module.impls;
    veneer.preemptive = veneer.impl->traits & TL_PREEMPTIVE || preempts(&boot);
    boot.nslots = sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned)CPU_COUNT(&set);
    program.argc = argc;
    program.argv = argv;
    program.envp = envp;
    err = veneer.impl->probe ? veneer.impl->probe(reason, sizeof(reason)) : 0;
    if (!err)
        err = veneer.impl->run(&boot, entry, NULL, NULL);
    if (err) {
        fprintf(stderr, "threadlab: %s does not start here: %s%s%s\n", veneer.impl->name,
                strerror(err), *reason ? ": " : "", reason);
        return 125;
    }
    veneer.running = false;
    exit(EXIT_SUCCESS);
}
