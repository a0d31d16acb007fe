/*
 * fork.threads - a child from a process with N live threads. fork1 copies one of them (POSIX), so
 * their number should not matter; what it does cost is in the kernel's tables and locks.
 */
#include <dirent.h>

#include "fork.h"

static enum tl_status setup(struct tl_ctx *ctx)
{
    return fork_setup(ctx, tl_axis(ctx, "how"), (unsigned)tl_axis_int(ctx, "threads"), 0);
}

static int tasks_here(void)
{
    DIR *dir = opendir("/proc/self/task");
    int n = 0;

    if (!dir)
        return -1;
    for (struct dirent *d = readdir(dir); d; d = readdir(dir))
        n += d->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* After the clock: one more fork, whose child counts the threads that it has. */
static enum tl_status verify(struct tl_ctx *ctx)
{
    enum tl_status status = fork_verify(ctx);
    pid_t pid;
    int how = 0;

    if (status != TL_OK)
        return status;
    int error = ctx->impl->fork->fork(&pid);
    if (error)
        return tl_failed(ctx, "fork: %s", strerror(error));
    if (pid == 0)
        _exit(tasks_here() & 0xff);
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
        ;
    int tasks = WIFEXITED(how) ? WEXITSTATUS(how) : 0;
    if (tasks == 0xff) /* no /proc: cannot be told */
        return TL_OK;
    if (tasks != 1)
        return tl_invalid(ctx, "the child of fork has %d kernel threads, not 1", tasks);
    return TL_OK;
}

static const struct tl_axis axes[] = {
    {"how", "fork,vfork,posix_spawn,clone-vm", NULL, FORK_HOWS, FORK_HOW_HELP},
    {"threads", "16", "1,16,256", "1,16,64,256", "threads alive, the caller's included"},
    {0},
};

static const char *const rests_on[] = {"fork.one-thread", "fork.caller-continues", "create.runs",
                                       NULL};

static const struct tl_bench fork_threads = {
    .abi = TL_ABI,
    .name = "fork.threads",
    .version = 1,
    .title = "Child process of a threaded one",
    .op = "one child started, run and reaped while N threads are alive",
    .needs = TL_NEED_FORK | TL_NEED_SEM,
    .workers = 1,
    .axes = axes,
    .rests_on = rests_on,
    .kernel_threads = "threads",
    .setup = setup,
    .run = fork_run,
    .verify = verify,
    .teardown = fork_teardown,
};
TL_BENCH(fork_threads);
