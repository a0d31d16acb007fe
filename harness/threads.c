/*
 * threads.c - see threads.h.
 *
 * All of it runs in a handler, which may have interrupted anything: no lock, no allocation. glibc's
 * snprintf takes none and makes none for the conversions used here.
 */
#include "threads.h"
#include "symbol.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#define ROWS 100  /* that are printed; the others are only counted */
#define STATES 16 /* different words */
#define COLUMNS 80

/* Set before the handler is installed. */
static const struct tl_impl *impl;
static const struct cell_order *order;
static const struct cell_result *result;

struct table {
    unsigned rows, bound;
    struct {
        const char *word;
        unsigned n;
    } states[STATES];
};

static void say(const char *line)
{
    char text[COLUMNS + 2];
    int n = snprintf(text, sizeof text, CELL_TABLE_MARK "%s", line);
    n = n < COLUMNS ? n : COLUMNS;
    text[n++] = '\n';
    for (int done = 0; done < n;) {
        ssize_t written = write(STDERR_FILENO, text + done, (size_t)(n - done));
        if (written < 0 && errno != EINTR)
            return;
        done += written > 0 ? (int)written : 0;
    }
}

/* "812", "64K", "8.0M": at most 5 characters. */
static void size_text(size_t bytes, char *text, size_t size)
{
    static const char units[] = "KMGTPE";
    double n = (double)bytes;
    int unit = -1;
    while (n >= 999.5) {
        n /= 1024;
        unit++;
    }
    if (unit < 0)
        snprintf(text, size, "%zu", bytes);
    else
        snprintf(text, size, n < 9.95 ? "%.1f%c" : "%.0f%c", n, units[unit]);
}

static void print_row(const struct tl_thread_row *r)
{
    char line[160], used[12] = "-", size[12] = "-", lwp[16] = "-", pc[64];
    if (r->low)
        size_text(r->stack_size, size, sizeof size);
    if (r->stack_used)
        size_text(r->stack_used, used, sizeof used);
    if (r->lwp >= 0)
        snprintf(lwp, sizeof lwp, "%d%s", r->lwp, r->bound ? "*" : "");
    symbol_name(r->pc, pc, sizeof pc);
    snprintf(line, sizeof line, "%-10ju %-15.15s %-8s %7s %5s/%-5s %s", (uintmax_t)r->thread.id,
             *r->name ? r->name : "-", r->state, lwp, used, size, pc);
    say(line);
}

static void take_row(const struct tl_thread_row *r, void *arg)
{
    struct table *t = arg;
    size_t i = 0;
    if (t->rows++ < ROWS)
        print_row(r);
    t->bound += r->bound;
    while (i < STATES && t->states[i].word && strcmp(t->states[i].word, r->state) != 0)
        i++;
    if (i < STATES) {
        t->states[i].word = r->state;
        t->states[i].n++;
    }
}

static void say_end(const struct table *t)
{
    char line[256];
    size_t used;
    if (t->rows > ROWS) {
        snprintf(line, sizeof line, "... and %u more", t->rows - ROWS);
        say(line);
    }
    snprintf(line, sizeof line, "%u thread%s", t->rows, t->rows == 1 ? "" : "s");
    for (size_t i = 0; i < STATES && t->states[i].word; i++) {
        used = strlen(line);
        snprintf(line + used, sizeof line - used, "%s %u %s", i ? "," : ":", t->states[i].n,
                 t->states[i].word);
    }
    say(line);
}

static const void *interrupted_at(const void *context)
{
    const ucontext_t *uc = context;
#if defined(__x86_64__)
    return (const void *)uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (const void *)uc->uc_mcontext.pc;
#else
    (void)uc;
    return NULL;
#endif
}

static void tell(const void *context)
{
    char line[256], pc[64];
    const char *why = impl && impl->why_not ? impl->why_not("inspect.threads") : NULL;
    struct table table = {0};
    symbol_name(interrupted_at(context), pc, sizeof pc);
    snprintf(line, sizeof line, "%s, %s, pid %d", order->spec.impl, order->spec.bench, getpid());
    say(line);
    snprintf(line, sizeof line, "in %s%s%s; interrupted in %s",
             cell_stage_name((enum cell_stage)atomic_load(&result->stage)),
             result->step[0] ? ": " : "", result->step, pc);
    say(line);
    if (!impl || !impl->inspect || !impl->inspect->threads) {
        snprintf(line, sizeof line, "no threads told: %s", why ? why : "it has no thread table");
        say(line);
        return;
    }
    say("ID         NAME            STATE        LWP  USED/SIZE  GOES ON IN");
    int e = impl->inspect->threads(take_row, &table);
    if (table.bound)
        say("* bound: a kernel thread of its own");
    if (e) {
        snprintf(line, sizeof line, "no threads told: error %d", e);
        say(line);
    } else {
        say_end(&table);
    }
}

static void handler(int signal_number, siginfo_t *info, void *context)
{
    static atomic_flag busy = ATOMIC_FLAG_INIT;
    int saved = errno;
    (void)signal_number;
    if (!atomic_flag_test_and_set(&busy)) {
        tell(context);
        atomic_flag_clear(&busy);
    }
    if (info->si_code == SI_QUEUE && info->si_pid == order->driver &&
        info->si_value.sival_int == CELL_LAST_QUESTION)
        _exit(1);
    errno = saved;
}

void threads_answer(const struct tl_impl *of, const struct cell_order *orders,
                    const struct cell_result *results)
{
    struct sigaction action;
    impl = of;
    order = orders;
    result = results;
    symbol_prepare();
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigaction(SIGQUIT, &action, NULL);
}
