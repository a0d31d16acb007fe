/*
 * clone-flags.c - clone.flags: what each flag of clone(2) shares, and which combinations are
 * refused. Asked of the kernel, once: the ground under every one-to-one implementation, and the
 * answer to "with all flags set it is a thread, with none it is fork": between the two lies more
 * than the sentence says, and all bits set is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/kcmp.h>

#include "check.h"

/* What a child may share with its parent: the columns of the table. */
enum shared { MEMORY, CWD, FILES, HANDLERS, PARENT, GROUP, SEMUNDO, IO, COLUMNS };
static const char *const columns[COLUMNS] = {"memory", "cwd",   "files",   "handlers",
                                             "parent", "group", "semundo", "io"};

/* refused: EINVAL; otherwise bit i of shares is column i. */
struct row {
    const char *name;
    unsigned long flags;
    bool refused;
    unsigned shares;
};

#define BIT(column) (1u << (column))
#define THREAD_FLAGS \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

/* clone(2), sections "The flags mask" and "ERRORS". */
static const struct row rows[] = {
    {"none (fork)", 0, false, 0},
    {"VM", CLONE_VM, false, BIT(MEMORY)},
    {"FS", CLONE_FS, false, BIT(CWD)},
    {"FILES", CLONE_FILES, false, BIT(FILES)},
    {"IO", CLONE_IO, false, BIT(IO)},
    {"SYSVSEM", CLONE_SYSVSEM, false, BIT(SEMUNDO)},
    {"PARENT", CLONE_PARENT, false, BIT(PARENT)},
    {"VM SIGHAND", CLONE_VM | CLONE_SIGHAND, false, BIT(MEMORY) | BIT(HANDLERS)},
    {"VM SIGHAND THREAD", CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, false,
     BIT(MEMORY) | BIT(HANDLERS) | BIT(GROUP) | BIT(PARENT)},
    {"VM FS FILES SIGHAND", CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND, false,
     BIT(MEMORY) | BIT(CWD) | BIT(FILES) | BIT(HANDLERS)},
    {"those of a thread", THREAD_FLAGS, false,
     BIT(MEMORY) | BIT(CWD) | BIT(FILES) | BIT(HANDLERS) | BIT(GROUP) | BIT(PARENT) | BIT(SEMUNDO)},
    {"SIGHAND", CLONE_SIGHAND, true, 0},
    {"THREAD", CLONE_THREAD, true, 0},
    {"VM THREAD", CLONE_VM | CLONE_THREAD, true, 0},
    {"SIGHAND THREAD", CLONE_SIGHAND | CLONE_THREAD, true, 0},
    {"FS NEWNS", CLONE_FS | CLONE_NEWNS, true, 0},
    {"THREAD group NEWPID", CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_NEWPID, true, 0},
    {"FS NEWUSER", CLONE_FS | CLONE_NEWUSER, true, 0},
    {"PIDFD DETACHED", CLONE_PIDFD | CLONE_DETACHED, true, 0},
    {"all bits", 0xffffff00ul, true, 0},
};

/* Between the two sides; in memory that both have, whatever is shared. The child says `acted`,
 * looks no further before the parent said `looked`. */
struct talk {
    _Atomic int acted, looked;
    int file; /* that the child closes */
    pid_t parent, group;
    _Atomic int private_word_address_holds;
};
static struct talk *talk;
static unsigned long ignored; /* by the mutant: flags that do not reach the kernel */
static _Atomic int word;      /* private memory: seen by the parent if memory is shared */

#define STACK (64 * 1024)

static int child(void *arg)
{
    struct sigaction action;

    (void)arg;
    atomic_store(&word, 1);
    if (chdir("/proc/self"))
        _exit(1);
    close(talk->file);
    memset(&action, 0, sizeof(action));
    action.sa_handler = SIG_IGN;
    sigaction(SIGUSR2, &action, NULL);
    /* By system call: the C library of a raw clone may believe what it believed before. */
    talk->parent = (pid_t)syscall(SYS_getppid);
    talk->group = (pid_t)syscall(SYS_getpid);
    atomic_store(&talk->acted, 1);
    while (!atomic_load(&talk->looked))
        syscall(SYS_sched_yield);
    syscall(SYS_exit, 0);
    return 0;
}

/* Is the resource the same in both tasks? -1: this kernel does not tell (kcmp(2)). */
static int same(pid_t other, int type)
{
    long got = syscall(SYS_kcmp, syscall(SYS_gettid), other, type, 0, 0);

    return got < 0 ? -1 : got == 0;
}

/* What the parent finds of what the child did. *unknown: columns that cannot be told here. */
static unsigned look(pid_t other, unsigned *unknown)
{
    char cwd[256] = "";
    struct sigaction action;
    unsigned found = 0;

    if (!getcwd(cwd, sizeof(cwd)))
        cwd[0] = '\0';
    sigaction(SIGUSR2, NULL, &action);
    found |= atomic_load(&word) ? BIT(MEMORY) : 0;
    found |= strcmp(cwd, "/") != 0 ? BIT(CWD) : 0;
    found |= fcntl(talk->file, F_GETFD) < 0 ? BIT(FILES) : 0;
    found |= action.sa_handler == SIG_IGN ? BIT(HANDLERS) : 0;
    found |= talk->parent == getppid() ? BIT(PARENT) : 0;
    found |= talk->group == getpid() ? BIT(GROUP) : 0;
    for (int i = 0; i < 2; i++) {
        int shared = same(other, i ? KCMP_IO : KCMP_SYSVSEM);

        if (shared < 0)
            *unknown |= BIT(i ? IO : SEMUNDO);
        else
            found |= shared ? BIT(i ? IO : SEMUNDO) : 0;
    }
    return found;
}

/* In a process of its own: the row changes what the caller has. Its exit status: 0, fine. */
static int try_row(struct tl_ctx *ctx, void *arg)
{
    const struct row *r = arg;
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned found, unknown = 0;
    char cells[128] = "";
    int pid;

    atomic_store(&word, 0);
    memset(talk, 0, sizeof(*talk));
    if (stack == MAP_FAILED || chdir("/") || (talk->file = dup(2)) < 0)
        return 1;
    /* An undo list and an I/O context have to exist to be shared. */
    struct sembuf undo = {0, 1, SEM_UNDO};
    int semid = semget(IPC_PRIVATE, 1, 0600);
    if (semid >= 0) {
        semop(semid, &undo, 1);
        semctl(semid, 0, IPC_RMID);
    }
    syscall(SYS_ioprio_set, 1, 0, (2 << 13) | 4);
    pid = clone(child, stack + STACK,
                (int)(r->flags & ~ignored) | (r->flags & CLONE_THREAD ? 0 : SIGCHLD), NULL);
    if (pid < 0) {
        tl_say(ctx, "%-26s %s", r->name, strerrorname_np(errno));
        TL_EXPECT(ctx, r->refused && errno == EINVAL, "clone(%s): %s", r->name,
                  strerrorname_np(errno));
        return 0;
    }
    while (!atomic_load(&talk->acted))
        sched_yield();
    found = look(pid, &unknown);
    atomic_store(&talk->looked, 1);
    if (!(r->flags & (CLONE_THREAD | CLONE_PARENT)))
        waitpid(pid, NULL, 0);
    for (unsigned c = 0; c < COLUMNS; c++)
        snprintf(cells + strlen(cells), sizeof(cells) - strlen(cells), " %*s",
                 (int)strlen(columns[c]),
                 unknown & BIT(c) ? "?"
                 : found & BIT(c) ? "x"
                                  : ".");
    tl_say(ctx, "%-26s%s", r->name, cells);
    TL_EXPECT(ctx, !r->refused, "clone(%s) is not refused", r->name);
    for (unsigned c = 0; c < COLUMNS; c++)
        TL_EXPECT(ctx, (unknown & BIT(c)) || ((found ^ r->shares) & BIT(c)) == 0,
                  "clone(%s): %s is %sshared", r->name, columns[c], found & BIT(c) ? "" : "not ");
    return 0;
}

static enum tl_status outside(struct tl_ctx *ctx)
{
    struct utsname kernel;
    char head[128] = "";

    uname(&kernel);
    talk = mmap(NULL, sizeof(*talk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (talk == MAP_FAILED)
        return tl_failed(ctx, "no memory");
    for (unsigned c = 0; c < COLUMNS; c++)
        snprintf(head + strlen(head), sizeof(head) - strlen(head), " %s", columns[c]);
    tl_say(ctx, "Linux %s: shared by a child of clone(2) (x), not (.), unknown (?)",
           kernel.release);
    tl_say(ctx, "%-26s%s", "flags (CLONE_...)", head);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct tl_child end;
        int err;

        tl_step(ctx, rows[i].name);
        err = tl_child(ctx, try_row, (void *)(uintptr_t)&rows[i], 0, &end);
        TL_EXPECT(ctx, !err && end.status == 0, "clone(%s): %s (status %d, signal %d)",
                  rows[i].name, end.hung ? "the child did not come back" : "could not be tried",
                  end.status, end.signal);
    }
    return tl_verdict(ctx);
}

static const struct tl_check clone_flags = {
    .abi = TL_ABI,
    .name = "clone.flags",
    .group = "Kernel",
    .promise = "each sharing flag of clone shares what it names and nothing else; THREAD needs "
               "SIGHAND, which needs VM; contradictory ones are refused with EINVAL",
    .source = "clone(2); kcmp(2)",
    .method = "for each set of flags a child changes memory, working directory, a file and a "
              "handler, and its parent looks what of it has reached it; undo list and I/O context "
              "are compared by kcmp",
    .meaning = "what the parent finds is what a thread of such an implementation would share; a ? "
               "stands where this kernel does not answer",
    .flags = TL_CHECK_KERNEL,
    .outside = outside,
};
TL_CHECK(clone_flags);

/* ---- mutant ---------------------------------------------------------------------------------- */

static void apply(struct tl_impl *impl)
{
    (void)impl;
    ignored = CLONE_FS;
}

static const struct tl_mutant kernel_ignores_flag = {
    .abi = TL_ABI,
    .name = "kernel-ignores-flag",
    .fault = "CLONE_FS is ignored: each child has a working directory of its own",
    .kills = "clone.flags",
    .of = "-",
    .apply = apply,
};
TL_MUTANT_OF(kernel_ignores_flag);
