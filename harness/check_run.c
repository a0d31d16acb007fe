/*
 * check_run.c - the child's side of a check: what check.h promises to checks, and how one is run.
 *
 * One process runs one check of one implementation once, so all state here is per process. The
 * reason of a failure goes into the shared page, also from children that the check forks.
 */
#include "check_run.h"

#include "check.h"
#include "inject.h"
#include "registry.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A check that waits in vain says so itself before the driver kills it. */
#define PATIENCE(deadline_ns) ((deadline_ns) / 10 * 8)

static struct {
    const struct tl_check *check;
    const struct tl_boot *boot;
    const struct cell_order *order;
    struct cell_result *result;
    uint64_t started_ns;
    struct tl_impl mutated; /* the implementation with its fault */
    enum tl_status status;
} now;

/* ---- verdicts -------------------------------------------------------------------------------- */

static const char *error_name(int error)
{
    const char *name = error ? strerrorname_np(error) : "0";
    return name ? name : error == TL_BARRIER_SERIAL ? "TL_BARRIER_SERIAL" : "no error number";
}

bool tl_call(struct tl_ctx *ctx, const char *what, int got, int wanted)
{
    const char *right = error_name(wanted); /* static strings: both may be used at once */
    return TL_EXPECT(ctx, got == wanted, "%s answered %s (%d), right is %s", what, error_name(got),
                     got, right);
}

enum tl_status tl_verdict(struct tl_ctx *ctx)
{
    (void)ctx;
    return atomic_load(&now.result->reason_taken) ? TL_FAILED : TL_OK;
}

void tl_say(struct tl_ctx *ctx, const char *format, ...)
{
    va_list args;
    size_t used = strlen(now.result->notes), room = sizeof now.result->notes - used;
    (void)ctx;
    va_start(args, format);
    int n = vsnprintf(now.result->notes + used, room, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n + 1 < room)
        memcpy(now.result->notes + used + n, "\n", 2);
    else
        now.result->notes[used] = '\0';
}

void tl_step(struct tl_ctx *ctx, const char *text)
{
    (void)ctx;
    snprintf(now.result->step, sizeof now.result->step, "%s", text);
}

/* ---- delays ---------------------------------------------------------------------------------- */

/* FNV-1a (Fowler, Noll, Vo 1991). */
static uint64_t hash(const char *text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return h;
}

/* The draw of this call: by seed, point, and how many draws there were before. */
static uint64_t draw(const char *point)
{
    static _Atomic uint64_t calls;
    uint64_t state = now.order->seed ^ hash(point);
    state += atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) * UINT64_C(0x100000001b3);
    return tl_random(&state);
}

static uint64_t spin_of(uint64_t r)
{
    return r % 8 == 0 ? (r >> 8) % 20000 : (r >> 8) % 1000;
}

void tl_delay(struct tl_ctx *ctx, const char *point)
{
    uint64_t r = draw(point);
    switch (r >> 62) {
    case 0:
    case 1:
        ctx->impl->yield();
        break;
    case 2:
        tl_spin_ns(spin_of(r));
        break;
    default:
        break;
    }
}

#ifdef TL_INJECT
void tl_point(const char *name)
{
    if (!now.order) /* a benchmark */
        return;
    uint64_t r = draw(name);
    if (r >> 62 == 0)
        tl_spin_ns(spin_of(r));
    else if (r >> 60 == 4)
        syscall(SYS_sched_yield); /* cannot fail: errno stays */
}

bool tl_mutant_chosen(const char *name)
{
    return now.order && strcmp(now.order->mutant, name) == 0;
}
#endif

/* ---- programs -------------------------------------------------------------------------------- */

static const uint64_t *left_out; /* NULL: nothing */

bool tl_without(const struct tl_ctx *ctx, unsigned part)
{
    (void)ctx;
    return left_out && part < CELL_PARTS && (left_out[part / 64] >> part % 64 & 1);
}

unsigned check_parts(const struct tl_check *check, const struct tl_impl *impl, uint64_t seed)
{
    struct tl_ctx ctx = {.impl = impl, .seed = seed};
    unsigned n;
    left_out = NULL;
    n = check->parts ? check->parts(&ctx) : 0;
    return n < CELL_PARTS ? n : CELL_PARTS;
}

void check_print_program(const struct tl_check *check, const struct tl_impl *impl, uint64_t seed,
                         const uint64_t *without, void (*line)(const char *text, void *arg),
                         void *arg)
{
    struct tl_ctx ctx = {.impl = impl, .seed = seed};
    left_out = without;
    if (check->print)
        check->print(&ctx, line, arg);
    left_out = NULL;
}

/* ---- threads --------------------------------------------------------------------------------- */

bool tl_start(struct tl_ctx *ctx, unsigned i, struct tl_thread *t, void *(*entry)(void *),
              void *arg)
{
    struct tl_attr attr = tl_worker_attr(ctx, i);
    return TL_CALL(ctx, ctx->impl->create(t, &attr, entry, arg));
}

void *tl_finish(struct tl_ctx *ctx, struct tl_thread t)
{
    void *value = NULL;
    return TL_CALL(ctx, ctx->impl->join(t, &value)) ? value : NULL;
}

bool tl_await(struct tl_ctx *ctx, const _Atomic int *flag, const char *what)
{
    uint64_t until = now.started_ns + PATIENCE(now.order->deadline_ns);
    unsigned turns = 0;
    while (!atomic_load_explicit(flag, memory_order_acquire)) {
        if (atomic_load(&now.result->reason_taken))
            return false;
        if (++turns % 64 == 0 && tl_now_ns() > until)
            return TL_EXPECT(ctx, false, "waited in vain for %s", what);
        ctx->impl->yield();
        /* Who runs nobody else meanwhile has waited long enough. */
        if (turns == 100000 && !(ctx->impl->traits & TL_CONCURRENT))
            return TL_EXPECT(ctx, false, "waited in vain for %s: no other thread runs", what);
    }
    return true;
}

/* ---- children -------------------------------------------------------------------------------- */

int tl_boot(struct tl_ctx *ctx, void *(*entry)(void *), void *arg, void **value)
{
    return ctx->impl->run(now.boot, entry, arg, value);
}

/* Until the child has ended or the time is over; true: it has ended. */
static bool wait_until(pid_t pid, uint64_t deadline_ns, int *wait_status)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    while (waitpid(pid, wait_status, WNOHANG) == 0) {
        uint64_t at = tl_now_ns();
        if (at >= deadline_ns) {
            if (fd >= 0)
                close(fd);
            return false;
        }
        struct pollfd ended = {.fd = fd, .events = POLLIN};
        uint64_t left_ms = (deadline_ns - at) / 1000000 + 1;
        if (fd < 0) /* no pidfd: look again every millisecond */
            left_ms = 1;
        poll(&ended, fd >= 0, left_ms > 60000 ? 60000 : (int)left_ms);
    }
    if (fd >= 0)
        close(fd);
    return true;
}

int tl_child(struct tl_ctx *ctx, int (*body)(struct tl_ctx *ctx, void *arg), void *arg,
             uint64_t deadline_ms, struct tl_child *end)
{
    uint64_t deadline = now.started_ns + PATIENCE(now.order->deadline_ns);
    int words = memfd_create("threadlab-words", MFD_CLOEXEC), wait_status = 0;
    if (deadline_ms && tl_now_ns() + deadline_ms * 1000000 < deadline)
        deadline = tl_now_ns() + deadline_ms * 1000000;
    memset(end, 0, sizeof *end);
    end->status = -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        int e = errno;
        close(words);
        return e;
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (words >= 0)
            dup2(words, 2);
        exit(body(ctx, arg));
    }
    if (!wait_until(pid, deadline, &wait_status)) {
        end->hung = true;
        kill(pid, SIGKILL);
        waitpid(pid, &wait_status, 0);
    } else if (WIFSIGNALED(wait_status)) {
        end->signal = WTERMSIG(wait_status);
    } else {
        end->status = WEXITSTATUS(wait_status);
    }
    if (words >= 0) {
        off_t size = lseek(words, 0, SEEK_END), room = (off_t)sizeof end->words - 1;
        ssize_t n = pread(words, end->words, (size_t)room, size > room ? size - room : 0);
        end->words[n > 0 ? n : 0] = '\0';
        close(words);
    }
    return 0;
}

/* ---- the check ------------------------------------------------------------------------------- */

static struct tl_ctx *the_ctx;

static void *first_thread(void *arg)
{
    (void)arg;
    now.status = now.check->run(the_ctx);
    return NULL;
}

static enum tl_status run_inside(struct tl_ctx *ctx)
{
    the_ctx = ctx;
    now.status = TL_FAILED;
    int e = ctx->impl->run(now.boot, first_thread, NULL, NULL);
    if (e == ENOTSUP)
        return tl_unsupported(ctx, "%s does not boot with these parameters in this build",
                              ctx->impl->name);
    if (e)
        return tl_failed(ctx, "%s does not boot: %s", ctx->impl->name, strerror(e));
    return now.status;
}

/* Puts the fault in. False: there is no such mutant. */
static bool put_in(struct tl_ctx *ctx, const char *name)
{
    const struct tl_mutant *mutant = registry_mutant(name);
    if (!mutant)
        return false;
    if (ctx->impl) { /* not the kernel */
        now.mutated = *ctx->impl;
        ctx->impl = &now.mutated;
    }
    if (mutant->apply)
        mutant->apply(ctx->impl ? &now.mutated : NULL);
    return true;
}

enum tl_status check_run(struct tl_ctx *ctx, const struct tl_boot *boot,
                         const struct cell_order *order, struct cell_result *result)
{
    char why[256] = "";
    now.check = registry_check(order->spec.bench);
    now.boot = boot;
    now.order = order;
    now.result = result;
    now.started_ns = tl_now_ns();
    left_out = order->without;
    if (!now.check)
        return tl_failed(ctx, "the check %s is gone", order->spec.bench);
    if (ctx->impl && ctx->impl->probe && ctx->impl->probe(why, sizeof why) != 0)
        return tl_unsupported(ctx, "%s", why);
    if (order->mutant[0] && !put_in(ctx, order->mutant))
        return tl_failed(ctx, "the mutant %s is gone", order->mutant);
    atomic_store(&result->stage, CELL_CHECKING);
    enum tl_status status = now.check->outside ? now.check->outside(ctx) : run_inside(ctx);
    if (status == TL_OK && now.check->after)
        status = now.check->after(ctx);
    if (status == TL_OK)
        status = tl_verdict(ctx); /* a thread that nobody asked has noted something */
    else if (!atomic_load(&result->reason_taken))
        tl_failed(ctx, "%s said no reason", now.check->name);
    return status;
}
