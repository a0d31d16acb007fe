/*
 * identity.c - self.equal, id.unique-alive, id.not-reused, id.stale, id.garbage, name.set-get,
 * tid.one-per-kernel-thread, pid.shared, tasks.count: who is who.
 */
#include "check.h"

#include "../common/mutant.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 20

static struct tl_ctx *ctx;
static struct tl_thread told[THREADS];
static _Atomic int go, running;

/* ---- self ------------------------------------------------------------------------------------ */

static void *compare_self(void *arg)
{
    struct tl_thread *me = arg;

    for (int i = 0; i < 5; i++) {
        TL_EXPECT(ctx, ctx->impl->self().id == me->id, "self is %#llx, create said %#llx",
                  (unsigned long long)ctx->impl->self().id, (unsigned long long)me->id);
        tl_delay(ctx, "between two calls of self");
        ctx->impl->yield();
    }
    return NULL;
}

static enum tl_status run_self(struct tl_ctx *c)
{
    struct tl_thread first = c->impl->self();
    int made = 0;

    ctx = c;
    while (made < THREADS && tl_start(c, (unsigned)made, &told[made], compare_self, &told[made]))
        made++;
    for (int i = 0; i < made; i++) {
        TL_EXPECT(c, c->impl->self().id == first.id, "the first thread's self changed");
        tl_finish(c, told[i]);
    }
    return tl_verdict(c);
}

static const struct tl_check self_equal = {
    .abi = TL_ABI,
    .name = "self.equal",
    .group = "Identity",
    .promise = "self is what create told the creator, before and after every switch",
    .source = "POSIX.1-2017 XSH pthread_self, pthread_equal",
    .method = "20 threads compare self with the id that create wrote, five times with yields",
    .meaning = "an id written late, or a self that follows the kernel thread and not the thread, "
               "differs in some comparison",
    .run = run_self,
};
TL_CHECK(self_equal);

/* ---- unique, not reused ---------------------------------------------------------------------- */

static void *until_told(void *arg)
{
    atomic_fetch_add(&running, 1);
    tl_await(ctx, &go, "the first thread to go on");
    return arg;
}

static void expect_all_different(int n)
{
    for (int i = 0; i < n; i++) {
        TL_EXPECT(ctx, told[i].id != ctx->impl->self().id, "a thread has the first one's id");
        for (int k = 0; k < i; k++)
            TL_EXPECT(ctx, told[i].id != told[k].id, "threads %d and %d have one id", k, i);
    }
}

static enum tl_status run_unique(struct tl_ctx *c)
{
    int made = 0;

    ctx = c;
    while (made < THREADS && tl_start(c, (unsigned)made, &told[made], until_told, NULL))
        made++;
    expect_all_different(made);
    atomic_store(&go, 1);
    while (made)
        tl_finish(c, told[--made]);
    return tl_verdict(c);
}

static const struct tl_check id_unique = {
    .abi = TL_ABI,
    .name = "id.unique-alive",
    .group = "Identity",
    .promise = "no two threads that are alive have one id",
    .source = "POSIX.1-2017 XSH 2.9.2 (thread IDs)",
    .method = "the ids of 20 threads that are held alive, and the first one's, are compared",
    .meaning = "they were alive together",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_unique,
};
TL_CHECK(id_unique);

static void *at_once(void *arg)
{
    return arg;
}

static enum tl_status run_not_reused(struct tl_ctx *c)
{
    int made = 0;

    ctx = c;
    for (; made < THREADS && tl_start(c, 0, &told[made], at_once, NULL); made++)
        for (int i = 0; i < 20; i++) /* it ends meanwhile */
            c->impl->yield();
    expect_all_different(made);
    while (made)
        tl_finish(c, told[--made]);
    return tl_verdict(c);
}

static const struct tl_check id_not_reused = {
    .abi = TL_ABI,
    .name = "id.not-reused",
    .group = "Identity",
    .promise = "the id of a thread that has ended is not given to another before it is joined",
    .source = "POSIX.1-2017 XSH 2.9.2 (lifetime of a thread ID)",
    .method = "20 threads are created and left to end, one after the other; then their ids are "
              "compared, and all are joined",
    .meaning = "an id taken from what the ended one has freed would come twice",
    .run = run_not_reused,
};
TL_CHECK(id_not_reused);

/* ---- stale, garbage -------------------------------------------------------------------------- */

/* In a child: who cannot tell may crash. arg: whether the ids are garbage. */
static void *use_ids(void *arg)
{
    const struct tl_impl *impl = ctx->impl;
    struct tl_thread t;

    for (int i = 0; i < 50 && tl_verdict(ctx) == TL_OK; i++) {
        uint64_t state = ctx->seed + (uint64_t)i;

        if (arg) {
            t.id = i % 2 ? tl_random(&state) : tl_random(&state) >> 40;
        } else {
            if (!tl_start(ctx, (unsigned)i, &t, at_once, NULL))
                break;
            tl_finish(ctx, t);
        }
        TL_ANSWERS(ctx, impl->join(t, NULL), ESRCH);
        TL_ANSWERS(ctx, impl->detach(t), ESRCH);
        if (impl->signal)
            TL_ANSWERS(ctx, impl->signal->kill(t, 0, NULL), ESRCH);
        if (impl->cancel)
            TL_ANSWERS(ctx, impl->cancel->cancel(t), ESRCH);
        if (impl->info && impl->info->set_name)
            TL_ANSWERS(ctx, impl->info->set_name(t, "nobody"), ESRCH);
    }
    return NULL;
}

static int boot_ids(struct tl_ctx *c, void *arg)
{
    return tl_boot(c, use_ids, arg, NULL);
}

static enum tl_status outside_ids(struct tl_ctx *c, void *garbage)
{
    struct tl_child end;

    ctx = c;
    TL_CALL(c, tl_child(c, boot_ids, garbage, 0, &end));
    TL_EXPECT(c, !end.signal && !end.hung,
              "an id that names no thread %s the process: it is taken for a pointer",
              end.hung ? "hangs" : "crashes");
    return tl_verdict(c);
}

static enum tl_status outside_stale(struct tl_ctx *c)
{
    return outside_ids(c, NULL);
}

static enum tl_status outside_garbage(struct tl_ctx *c)
{
    return outside_ids(c, &go);
}

static const struct tl_check id_stale = {
    .abi = TL_ABI,
    .name = "id.stale",
    .group = "Identity",
    .promise = "the id of a thread that was joined answers ESRCH to every call",
    .source = "POSIX.1-2008 XSH pthread_join, pthread_kill (ESRCH; undefined since Issue 7)",
    .method = "in a child process 50 threads are joined, and their ids used once more in join, "
              "detach, kill, cancel and set_name, where offered",
    .meaning = "an id that is a pointer into freed memory crashes, or names the next thread",
    .outside = outside_stale,
};
TL_CHECK(id_stale);

static const struct tl_check id_garbage = {
    .abi = TL_ABI,
    .name = "id.garbage",
    .group = "Identity",
    .promise = "an id that never was one answers ESRCH to every call",
    .source = "POSIX.1-2008 XSH pthread_join, pthread_kill (ESRCH; undefined since Issue 7)",
    .method = "in a child process 50 random numbers, half of them small, are used as ids in join, "
              "detach, kill, cancel and set_name, where offered",
    .meaning = "an id that is a pointer crashes",
    .outside = outside_garbage,
};
TL_CHECK(id_garbage);

/* ---- names ----------------------------------------------------------------------------------- */

static enum tl_status run_name(struct tl_ctx *c)
{
    const struct tl_info_ops *info = c->impl->info;
    struct tl_thread t;
    char name[32] = "";

    ctx = c;
    if (!tl_start(c, 1, &t, until_told, NULL))
        return tl_verdict(c);
    TL_CALL(c, info->set_name(c->impl->self(), "first"));
    TL_CALL(c, info->set_name(t, "a name of 15 ch"));
    TL_CALL(c, info->get_name(t, name, sizeof(name)));
    TL_EXPECT(c, strcmp(name, "a name of 15 ch") == 0, "the other thread's name is '%s'", name);
    TL_CALL(c, info->get_name(c->impl->self(), name, sizeof(name)));
    TL_EXPECT(c, strcmp(name, "first") == 0, "the first thread's name is '%s'", name);
    TL_ANSWERS(c, info->set_name(t, "a name of 16 chr"), ERANGE);
    TL_ANSWERS(c, info->get_name(t, name, 4), ERANGE);
    atomic_store(&go, 1);
    tl_finish(c, t);
    return tl_verdict(c);
}

static const struct tl_check name_set_get = {
    .abi = TL_ABI,
    .name = "name.set-get",
    .group = "Identity",
    .promise = "a thread's name can be set and asked for, by itself and by others",
    .source = "pthread_setname_np(3), Linux",
    .method =
        "two threads get names, one of the greatest length; both are asked; a longer one and a "
        "short buffer answer ERANGE",
    .meaning = "no race: what it answers once, it always does",
    .needs = "info.set_name info.get_name",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_name,
};
TL_CHECK(name_set_get);

/* ---- kernel threads -------------------------------------------------------------------------- */

static pid_t tids[THREADS], pids[THREADS];

static void *say_ids(void *arg)
{
    int i = (int)(intptr_t)arg;

    tids[i] = (pid_t)syscall(SYS_gettid);
    pids[i] = (pid_t)syscall(SYS_getpid);
    atomic_fetch_add(&running, 1);
    tl_await(ctx, &go, "the first thread to go on");
    return NULL;
}

static int count_tasks(void)
{
    DIR *dir = opendir("/proc/self/task");
    int n = 0;

    for (struct dirent *e; dir && (e = readdir(dir));)
        n += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

/* Runs THREADS that say who they are; *tasks: the process's kernel threads meanwhile. */
static void gather(struct tl_ctx *c, int *before, int *tasks)
{
    struct tl_thread t[THREADS];
    int made = 0;

    ctx = c;
    *before = count_tasks();
    while (made < THREADS && tl_start(c, (unsigned)made, &t[made], say_ids, (void *)(intptr_t)made))
        made++;
    while (atomic_load(&running) < made && tl_verdict(c) == TL_OK)
        c->impl->yield();
    *tasks = count_tasks();
    atomic_store(&go, 1);
    while (made)
        tl_finish(c, t[--made]);
}

static enum tl_status run_tid(struct tl_ctx *c)
{
    pid_t first = (pid_t)syscall(SYS_gettid);
    int before, tasks;

    gather(c, &before, &tasks);
    for (int i = 0; i < THREADS; i++) {
        TL_EXPECT(c, tids[i] != first, "a thread runs on the first one's kernel thread");
        for (int k = 0; k < i; k++)
            TL_EXPECT(c, tids[i] != tids[k], "two threads have the kernel thread id %d", tids[i]);
    }
    return tl_verdict(c);
}

static const struct tl_check tid_one = {
    .abi = TL_ABI,
    .name = "tid.one-per-kernel-thread",
    .group = "Identity",
    .promise = "in a one-to-one implementation each thread has a kernel thread id of its own",
    .source = "gettid(2); clone(2), CLONE_THREAD",
    .method = "20 threads that are held alive ask the kernel who they are",
    .meaning = "they were alive together",
    .traits = TL_ONE_TO_ONE,
    .flags = TL_CHECK_CONCURRENT,
    .run = run_tid,
};
TL_CHECK(tid_one);

static enum tl_status run_pid(struct tl_ctx *c)
{
    int before, tasks;

    gather(c, &before, &tasks);
    for (int i = 0; i < THREADS; i++)
        TL_EXPECT(c, pids[i] == getpid(), "a thread has process id %d, the first one %d", pids[i],
                  getpid());
    return tl_verdict(c);
}

static const struct tl_check pid_shared = {
    .abi = TL_ABI,
    .name = "pid.shared",
    .group = "Identity",
    .promise = "all threads have one process id",
    .source = "POSIX.1-2017 XSH getpid; clone(2), CLONE_THREAD",
    .method = "20 threads ask the kernel for the process id",
    .meaning = "threads made as processes, as before NPTL, differ",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_pid,
};
TL_CHECK(pid_shared);

static enum tl_status run_tasks(struct tl_ctx *c)
{
    bool kernel = c->impl->traits & TL_ONE_TO_ONE;
    int before, tasks;

    gather(c, &before, &tasks);
    if (kernel)
        TL_EXPECT(c, tasks == before + THREADS, "%d tasks became %d with %d threads more", before,
                  tasks, THREADS);
    else
        TL_EXPECT(c, tasks == before,
                  "%d tasks became %d: a user-level thread is none of the "
                  "kernel's",
                  before, tasks);
    return tl_verdict(c);
}

static const struct tl_check tasks_count = {
    .abi = TL_ABI,
    .name = "tasks.count",
    .group = "Identity",
    .promise =
        "the kernel knows as many tasks as the model says: one for each thread, or one for all",
    .source = "proc(5), /proc/pid/task; the model that the implementation states",
    .method = "the tasks of the process are counted with and without 20 threads alive",
    .meaning = "a model that is not what it says is seen; so is a helper thread",
    .flags = TL_CHECK_CONCURRENT,
    .run = run_tasks,
};
TL_CHECK(tasks_count);

/* ---- mutants --------------------------------------------------------------------------------- */

static struct tl_impl sound;

static struct tl_thread self_other(void)
{
    static unsigned calls;
    struct tl_thread t = sound.self();

    t.id += ++calls % 30 == 0;
    return t;
}

static int create_one_id(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                         void *arg)
{
    static struct tl_thread last;
    int err = sound.create(t, attr, entry, arg);
    struct tl_thread own = *t;

    if (!err && last.id)
        *t = last;
    last = own;
    return err;
}

static int join_forgiving(struct tl_thread t, void **value)
{
    int err = sound.join(t, value);

    return err == ESRCH ? 0 : err;
}

static int name_cut(struct tl_thread t, const char *name)
{
    char cut[9] = "";

    memcpy(cut, name, strlen(name) < 8 ? strlen(name) : 8);
    return sound.info->set_name(t, cut);
}

/* Runs the thread at once, on the creator's kernel thread. */
static int create_call(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                       void *arg)
{
    static uint64_t ids;

    (void)attr;
    t->id = ++ids;
    atomic_store(&go, 1);
    entry(arg);
    return 0;
}

static int join_nothing(struct tl_thread t, void **value)
{
    (void)t;
    (void)value;
    return 0;
}

static int create_process(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                          void *arg)
{
    static uint64_t ids;

    (void)attr;
    (void)entry;
    t->id = ++ids;
    pids[(intptr_t)arg] = vfork(); /* its memory is ours, its id is not */
    if (pids[(intptr_t)arg] == 0)
        _exit(0);
    atomic_fetch_add(&running, 1);
    return 0;
}

MUTANT_APPLY(apply_self, self, self_other)
MUTANT_APPLY(apply_one_id, create, create_one_id)
MUTANT_APPLY(apply_forgiving, join, join_forgiving)

static void apply_name(struct tl_impl *impl)
{
    sound = *impl;
    TL_MUTATE(impl, info)->set_name = name_cut;
}

static void apply_call(struct tl_impl *impl)
{
    impl->create = create_call;
    impl->join = join_nothing;
}

static void apply_process(struct tl_impl *impl)
{
    impl->create = create_process;
    impl->join = join_nothing;
}

MUTANT(self_wrong, "self-is-wrong", "one call of self in 30 gives another id", "self.equal",
       EVERYWHERE, apply_self);
MUTANT(one_id, "ids-lag-behind", "create tells the id of the thread before",
       "id.unique-alive "
       "id.not-reused self.equal",
       EVERYWHERE " hybrid", apply_one_id);
MUTANT(forgiving, "join-forgives-stale", "joining a thread that is gone answers 0",
       "id.stale id.garbage", "clone green hybrid", apply_forgiving);
MUTANT(names_cut, "name-is-cut", "names end after eight characters", "name.set-get", EVERYWHERE,
       apply_name);
MUTANT(calls, "threads-are-calls", "a thread is a call: no task of its own",
       "tid.one-per-kernel-thread tasks.count", "nptl clone", apply_call);
MUTANT(processes, "threads-have-pids", "each thread is a process with an id of its own",
       "pid.shared", EVERYWHERE, apply_process);
