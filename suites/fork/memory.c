/*
 * fork.memory - a child of a process with much resident memory. Copy-on-write spares the pages, not
 * the page tables: one entry in 4 KiB. What shares memory (vfork, posix_spawn, CLONE_VM) is spared
 * both.
 */
#include "fork.h"

static enum tl_status setup(struct tl_ctx *ctx)
{
    return fork_setup(ctx, tl_axis(ctx, "how"), 1, (size_t)tl_axis_int(ctx, "rss"));
}

static const struct tl_axis axes[] = {
    {"how", "fork,vfork", "fork,vfork,posix_spawn,clone-vm", FORK_HOWS, FORK_HOW_HELP},
    {"rss", "1M,64M", "1M,64M", "1M,16M,64M,256M,1G", "resident private memory, bytes"},
    {0},
};

static const char *const rests_on[] = {"fork.caller-continues", NULL};

static const struct tl_bench fork_memory = {
    .abi = TL_ABI,
    .name = "fork.memory",
    .version = 1,
    .title = "Child process against resident memory",
    .op = "one child started, run and reaped by a process of that resident size",
    .needs = TL_NEED_FORK,
    .workers = 1,
    .axes = axes,
    .rests_on = rests_on,
    .setup = setup,
    .run = fork_run,
    .verify = fork_verify,
    .teardown = fork_teardown,
};
TL_BENCH(fork_memory);
