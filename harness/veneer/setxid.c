/*
 * setxid.c - setuid and its like: POSIX has the IDs of a process, Linux those of a kernel thread
 * (nptl(7), "NPTL and process credential changes"). The C library tells the kernel threads that it
 * knows; here each one that the kernel knows makes the call in a handler of the signal that the C
 * library keeps for this purpose, and that nobody can block by its calls.
 */
#include "veneer.h"

#include <dirent.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SETXID_SIGNAL 33 /* SIGSETXID of glibc and musl */
#define THREADS_MAX 4096 /* kernel threads */

/* One change at a time. Written by who changes, before the signal is sent. */
static struct {
    _Atomic int lock;
    long number, a, b, c;
    _Atomic unsigned done; /* threads that have made the call */
    _Atomic int wrong;     /* of them, those that it failed for */
} change;

/* Runs anywhere, with any thread pointer: no errno, no TLS. */
static long plain_call(long number, long a, long b, long c)
{
#if defined(__x86_64__)
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
#else
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x8 __asm__("x8") = number;

    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x8) : "memory");
    return x0;
#endif
}

static void on_setxid(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    if (info->si_code != SI_TKILL || info->si_pid != plain_call(SYS_getpid, 0, 0, 0))
        return;
    if (plain_call(change.number, change.a, change.b, change.c))
        atomic_store(&change.wrong, 1);
    atomic_fetch_add(&change.done, 1);
}

/* The C library's sigaction refuses this number. */
struct kernel_action {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
#if defined(__x86_64__)
    void (*restorer)(void);
#endif
    uint64_t mask;
};

#if defined(__x86_64__)
#define SA_RESTORER 0x04000000
void veneer_setxid_return(void);
__asm__(".text\n"
        ".type veneer_setxid_return, %function\n"
        "veneer_setxid_return:\n"
        "    mov $15, %eax\n" /* rt_sigreturn */
        "    syscall\n"
        ".size veneer_setxid_return, . - veneer_setxid_return\n");
#endif

static long install(void)
{
    struct kernel_action action = {
        .handler = on_setxid,
        .flags = SA_SIGINFO | SA_RESTART,
#if defined(__x86_64__)
        .restorer = veneer_setxid_return,
#endif
        .mask = ~UINT64_C(0),
    };

#if defined(__x86_64__)
    action.flags |= SA_RESTORER;
#endif
    return syscall(SYS_rt_sigaction, SETXID_SIGNAL, &action, NULL, sizeof(action.mask));
}

/* Those that have been told; the caller made the call itself. */
static struct {
    pid_t id[THREADS_MAX];
    unsigned n;
} told;

static bool is_told(pid_t id)
{
    for (unsigned i = 0; i < told.n; i++)
        if (told.id[i] == id)
            return true;
    return false;
}

/* How many more were told. */
static unsigned tell_others(void)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;
    unsigned before = told.n;

    while (tasks && (entry = readdir(tasks))) {
        pid_t id = (pid_t)atoi(entry->d_name);

        if (id <= 0 || told.n == THREADS_MAX || is_told(id))
            continue;
        if (!syscall(SYS_tgkill, getpid(), id, SETXID_SIGNAL))
            told.id[told.n++] = id;
    }
    if (tasks)
        closedir(tasks);
    return told.n - before;
}

static unsigned count_gone(void)
{
    unsigned gone = 0;

    for (unsigned i = 1; i < told.n; i++)
        gone += syscall(SYS_tgkill, getpid(), told.id[i], 0) != 0;
    return gone;
}

/* As by the call with that number in all kernel threads: errno's convention. */
static int for_all(long number, long a, long b, long c)
{
    int err;

    veneer_lock(&change.lock);
    change.number = number;
    change.a = a;
    change.b = b;
    change.c = c;
    atomic_store(&change.done, 0);
    atomic_store(&change.wrong, 0);
    err = install() ? errno : (int)-plain_call(number, a, b, c);
    if (!err) {
        told.id[0] = (pid_t)syscall(SYS_gettid);
        told.n = 1;
        /* A thread that is made meanwhile by one that has not been told yet is looked for again. */
        while (tell_others())
            while (atomic_load(&change.done) + count_gone() < told.n - 1)
                sched_yield();
        if (atomic_load(&change.wrong))
            abort(); /* half of the process is another user's: no way on (as in the C library) */
    }
    veneer_unlock(&change.lock);
    return veneer_answer(err);
}

#define SETXID(name, parameters, ...) \
    int WRAP(name) parameters;        \
    int WRAP(name) parameters         \
    {                                 \
        return for_all(__VA_ARGS__);  \
    }

SETXID(setuid, (uid_t id), SYS_setuid, (long)id, 0, 0)
SETXID(setgid, (gid_t id), SYS_setgid, (long)id, 0, 0)
SETXID(seteuid, (uid_t id), SYS_setresuid, -1, (long)id, -1)
SETXID(setegid, (gid_t id), SYS_setresgid, -1, (long)id, -1)
SETXID(setreuid, (uid_t r, uid_t e), SYS_setreuid, (long)r, (long)e, 0)
SETXID(setregid, (gid_t r, gid_t e), SYS_setregid, (long)r, (long)e, 0)
SETXID(setresuid, (uid_t r, uid_t e, uid_t s), SYS_setresuid, (long)r, (long)e, (long)s)
SETXID(setresgid, (gid_t r, gid_t e, gid_t s), SYS_setresgid, (long)r, (long)e, (long)s)
SETXID(setgroups, (size_t n, const gid_t *list), SYS_setgroups, (long)n, (long)list, 0)

int WRAP(initgroups)(const char *user, gid_t group);
int WRAP(initgroups)(const char *user, gid_t group)
{
    int n = 0, result;
    gid_t *list;

    getgrouplist(user, group, NULL, &n); /* tells how many there are */
    list = malloc(((size_t)n + 1) * sizeof(*list));
    if (!list)
        return veneer_answer(ENOMEM);
    result = getgrouplist(user, group, list, &n) < 0 ? veneer_answer(EAGAIN)
                                                     : __wrap_setgroups((size_t)n, list);
    free(list);
    return result;
}
