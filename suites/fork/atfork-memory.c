/*
 * atfork-memory.c - fork.atfork-no-memory: a registration that fails says so, and the others hold.
 */
#include "../common/address-space.h"
#include "forked.h"

#define MORE ((size_t)8 << 20) /* bytes that the process may map besides what it has */
#define MANY 4000000           /* registrations that fit in no such memory */

static struct tl_ctx *ctx;
static uint64_t prepared, continued, arrived; /* calls; one thread forks */

static void on_prepare(void)
{
    prepared++;
}

static void on_parent(void)
{
    continued++;
}

static void on_child(void)
{
    arrived++;
}

static void in_child(struct tl_ctx *c, void *arg)
{
    uint64_t made = *(uint64_t *)arg;

    TL_EXPECT(c, prepared == made && arrived == made,
              "child: of %llu handlers %llu prepared and %llu ran in it", (unsigned long long)made,
              (unsigned long long)prepared, (unsigned long long)arrived);
}

static void *fill(void *arg)
{
    const struct tl_fork_ops *ops = ctx->impl->fork;
    struct rlimit before;
    uint64_t made = 0;
    int err = 0;

    if (!TL_CALL(ctx, space_limit(MORE, &before)))
        return arg;
    while (made < MANY && (err = ops->atfork(on_prepare, on_parent, on_child)) == 0)
        made++;
    if (err)
        TL_ANSWERS(ctx, err, ENOMEM);
    err = ops->atfork(on_prepare, on_parent, on_child); /* there may be a place again, or none */
    made += err == 0;
    setrlimit(RLIMIT_AS, &before);
    TL_EXPECT(ctx, made < MANY, "%d handlers took no memory", MANY);
    TL_CALL(ctx, ops->atfork(on_prepare, on_parent, on_child));
    made++;
    forked(ctx, in_child, &made);
    TL_EXPECT(ctx, prepared == made && continued == made,
              "parent: of %llu handlers %llu prepared and %llu ran in it", (unsigned long long)made,
              (unsigned long long)prepared, (unsigned long long)continued);
    return arg;
}

static int in_process(struct tl_ctx *c, void *arg)
{
    return tl_boot(c, fill, arg, NULL);
}

static enum tl_status outside(struct tl_ctx *c)
{
    struct tl_child end;

    ctx = c;
    if (TL_CALL(c, tl_child(c, in_process, NULL, 0, &end)))
        TL_EXPECT(c, !end.signal && !end.hung && end.status == 0,
                  "without memory the process %s: %s",
                  end.hung     ? "hangs"
                  : end.signal ? "crashes"
                               : "fails",
                  end.words);
    return tl_verdict(c);
}

static const struct tl_check atfork_no_memory = {
    .abi = TL_ABI,
    .name = "fork.atfork-no-memory",
    .group = "Fork",
    .promise = "where there is no memory to register handlers atfork answers ENOMEM, and exactly "
               "those run that were registered",
    .source = "POSIX.1-2017 XSH pthread_atfork (ENOMEM)",
    .method =
        "a child process that may map 8 MiB more registers handlers until one is refused, and "
        "another one when it may again; one fork; the calls are counted on both sides",
    .meaning = "a registration that is lost, kept in part or counted twice is seen",
    .needs = "fork.fork fork.atfork",
    .flags = TL_CHECK_ALONE,
    .outside = outside,
};
TL_CHECK(atfork_no_memory);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_fork_ops *sound;

static int hide_refusal(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    static bool hidden;
    int err = sound->atfork(prepare, parent, child);

    if (err == ENOMEM && !hidden) {
        hidden = true;
        return 0;
    }
    return err;
}

static void apply_hide(struct tl_impl *impl)
{
    sound = impl->fork;
    TL_MUTATE(impl, fork)->atfork = hide_refusal;
}

static const struct tl_mutant atfork_hides_refusal = {
    .abi = TL_ABI,
    .name = "atfork-hides-refusal",
    .fault = "handlers that there was no memory for count as registered",
    .kills = "fork.atfork-no-memory",
    .of = "clone green hybrid",
    .apply = apply_hide,
};
TL_MUTANT_OF(atfork_hides_refusal);
