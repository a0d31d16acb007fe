/* cli.c - see cli.h. */
#include "cli.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef THREADLAB_VERSION
#define THREADLAB_VERSION "unknown"
#endif

const char *argp_program_version = "threadlab " THREADLAB_VERSION;

enum {
    OPT_IMPL = 0x100,
    OPT_BENCH,
    OPT_PLACE,
    OPT_EVENTS,
    OPT_ROUNDS,
    OPT_BUDGET,
    OPT_OPS,
    OPT_COUNTS,
    OPT_SEED,
    OPT_OUT,
    OPT_SET,
    OPT_PRESET,
    OPT_PLUGIN,
    OPT_RESUME,
    OPT_TOPOLOGY,
    OPT_DRY_RUN,
    OPT_NO_CHECKS,
    OPT_JSON,
    OPT_JUNIT,
    OPT_EXPECT,
    OPT_TORTURE,
    OPT_CLAIMS,
    OPT_MUTANT,
    OPT_DEADLINE,
    OPT_PROGRAM,
    OPT_PROGRAMS,
    OPT_JOBS
};

#define CALLGRIND_OPS 200 /* of a window under valgrind, where the user says nothing */

static const struct argp_option options[] = {
    {"impl", OPT_IMPL, "GLOB,...", 0, "implementations to measure (default: all)", 1},
    {"bench", OPT_BENCH, "GLOB,...", 0, "benchmarks to run (default: all)", 1},
    {"place", OPT_PLACE, "POLICY", 0,
     "placement policy, repeatable: same-pu, smt, shared-l2, shared-l3, cross-l3, cross-numa, "
     "cross-package, compact, spread, cpus=LIST (default: what each benchmark asks for; of checks, "
     "which take one: compact)",
     1},
    {"set", OPT_SET, "NAME=VALUE,...", 0,
     "values of an axis or of an implementation's parameter, repeatable", 1},
    {"events", OPT_EVENTS, "EVENT,...", 0, "events to count (see `threadlab list events`)", 1},
    {"preset", OPT_PRESET, "NAME", 0, "quick, standard (default) or full: axes, rounds, budget", 2},
    {"rounds", OPT_ROUNDS, "N", 0, "rounds of fresh processes, 1..1000", 2},
    {"budget", OPT_BUDGET, "TIME", 0, "wall time to aim at: 90s, 4m, 1h", 2},
    {"ops", OPT_OPS, "N", 0,
     "run: so many ops in a window, whatever they take; events are counted over N and over 2 N, "
     "and an op is the difference: counts that repeat",
     2},
    {"counts", OPT_COUNTS, "SOURCE", 0,
     "run: who counts: events (default), or callgrind: instructions in user mode, under valgrind, "
     "of machines without counters (with --ops, by default of 200)",
     2},
    {"seed", OPT_SEED, "N", 0, "seed of the order and of the benchmarks (default: random)", 2},
    {"out", OPT_OUT, "FILE", 0,
     "record file to create, or, with a / at its end, the folder where it is named by itself "
     "(default: run: results/, check: none)",
     3},
    {"resume", OPT_RESUME, "FILE", 0, "complete an interrupted run in its own record file", 3},
    {"plugin", OPT_PLUGIN, "FILE.so", 0, "load implementations and benchmarks from outside", 3},
    {"topology", OPT_TOPOLOGY, "TOPOLOGY", 0,
     "with --dry-run and list: plan for synthetic:DESCRIPTION or an hwloc XML file", 3},
    {"no-checks", OPT_NO_CHECKS, NULL, 0,
     "do not check first what the numbers rest on; they are recorded as unchecked", 3},
    {"dry-run", OPT_DRY_RUN, NULL, 0, "print the plan and run nothing", 3},
    {"junit", OPT_JUNIT, "FILE", 0, "check: write the verdicts as JUnit XML, too", 4},
    {"expect", OPT_EXPECT, "DIR", 0,
     "check: the verdicts that are expected, DIR/IMPL/conformance.expected", 4},
    {"jobs", OPT_JOBS, "N", 0, "check: so many at a time (default: two for each PU)", 4},
    {"deadline", OPT_DEADLINE, "TIME", 0, "check: of each one, instead of its own", 4},
    {"claims", OPT_CLAIMS, NULL, 0,
     "mutants: try each with the checks that it claims to be killed by, not with all of their "
     "groups",
     0},
    {"torture", OPT_TORTURE, "TIME", 0,
     "check: random programs of threads from --seed on, for so long; one that fails is made small",
     4},
    {"program", OPT_PROGRAM, "FILE", 0,
     "check: this program, made by `threadlab cc`, or its source; repeatable", 4},
    {"programs", OPT_PROGRAMS, "DIR", 0,
     "check: each source of a folder, compiled for each implementation; repeatable", 4},
    {"include", 'I', "DIR", 0, "check: where sources of --programs find headers; repeatable", 4},
    {"mutant", OPT_MUTANT, "NAME", 0, "check: put this fault in (see `threadlab list mutants`)", 4},
    {"json", OPT_JSON, NULL, 0, "print JSON for a script", 3},
    {0},
};

void cli_die(const char *format, ...)
{
    va_list args;
    fflush(stdout);
    fputs("threadlab: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(2);
}

const char *cli_preset_name(enum cli_preset preset)
{
    static const char *const names[] = {"quick", "standard", "full"};
    return names[preset];
}

static void append(struct cli_list *list, const char *option, char *item)
{
    if (*item == '\0')
        cli_die("--%s: an empty name; separate names with one comma", option);
    if (list->n == CLI_LIST)
        cli_die("--%s: more than %d names", option, CLI_LIST);
    list->items[list->n++] = item;
}

static void append_list(struct cli_list *list, const char *option, char *arg)
{
    char *rest = strdup(arg), *item;
    if (!rest)
        cli_die("out of memory");
    while ((item = strsep(&rest, ",")))
        append(list, option, item);
}

static uint64_t integer(const char *option, const char *arg, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(arg, &end, 10);
    if (!isdigit((unsigned char)*arg) || *end || errno || value < least || value > most)
        cli_die("--%s=%s: expected a whole number from %llu to %llu", option, arg,
                (unsigned long long)least, (unsigned long long)most);
    return value;
}

static uint64_t duration_ns(const char *option, const char *arg)
{
    char *end;
    errno = 0;
    double value = strtod(arg, &end);
    double unit = strcmp(end, "ms") == 0                             ? 1e6
                  : strcmp(end, "s") == 0 || *end == '\0'            ? 1e9
                  : strcmp(end, "m") == 0 || strcmp(end, "min") == 0 ? 60e9
                  : strcmp(end, "h") == 0                            ? 3600e9
                                                                     : 0;
    bool number = isdigit((unsigned char)*arg) && isfinite(value) && !errno;
    if (!number || unit == 0 || value * unit < 1e8 || value * unit > 7 * 86400e9)
        cli_die("--%s=%s: expected a time like 90s, 4m or 1h, from 100ms to 168h", option, arg);
    return (uint64_t)(value * unit);
}

static void set_option(struct request *r, char *arg)
{
    char *copy = strdup(arg), *equals = copy ? strchr(copy, '=') : NULL;
    if (!equals || equals == copy || equals[1] == '\0')
        cli_die("--set %s: expected NAME=VALUE[,VALUE...]", arg);
    *equals = '\0';
    for (size_t i = 0; i < r->nsets; i++)
        if (strcmp(r->sets[i].name, copy) == 0)
            cli_die("--set %s is given twice; list its values with commas", copy);
    if (r->nsets == CLI_LIST)
        cli_die("--set: more than %d", CLI_LIST);
    r->sets[r->nsets++] = (struct cli_set){copy, equals + 1};
}

static const char *option_name(int key)
{
    for (const struct argp_option *o = options; o->name; o++)
        if (o->key == key)
            return o->name;
    return "";
}

static void verb(struct request *r, const char *word)
{
    static const struct {
        const char *name;
        enum cli_verb verb;
    } verbs[] = {{"list", CLI_LIST_THINGS}, {"run", CLI_RUN},        {"check", CLI_CHECK},
                 {"mutants", CLI_MUTANTS},  {"serve", CLI_SERVE},    {"env", CLI_ENV},
                 {"doctor", CLI_DOCTOR},    {"threads", CLI_THREADS}};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, word) == 0) {
            r->verb = verbs[i].verb;
            return;
        }
    if (strcmp(word, "compare") == 0)
        cli_die("the verb compare comes first: threadlab compare [OPTION...] BASE [HEAD]");
    cli_die("no verb '%s'; verbs are list, run, compare, serve, check, mutants, threads, env and "
            "doctor "
            "(see threadlab --help)",
            word);
}

/* Verbs that an option belongs to; who is not listed here belongs to all. */
enum { OF_RUN = 1, OF_CHECK = 2, OF_MUTANTS = 4, OF_SERVE = 8 };
static const struct {
    int key, verbs;
} belongs[] = {
    {OPT_IMPL, OF_RUN | OF_CHECK | OF_SERVE},
    {OPT_SET, OF_RUN | OF_CHECK | OF_SERVE},
    {OPT_SEED, OF_RUN | OF_CHECK | OF_MUTANTS | OF_SERVE},
    {OPT_BENCH, OF_RUN | OF_SERVE},
    {OPT_PLACE, OF_RUN | OF_CHECK | OF_SERVE},
    {OPT_EVENTS, OF_RUN},
    {OPT_ROUNDS, OF_RUN | OF_SERVE},
    {OPT_BUDGET, OF_RUN},
    {OPT_OPS, OF_RUN},
    {OPT_COUNTS, OF_RUN},
    {OPT_OUT, OF_RUN | OF_CHECK},
    {OPT_PRESET, OF_RUN | OF_SERVE},
    {OPT_RESUME, OF_RUN},
    {OPT_DRY_RUN, OF_RUN},
    {OPT_NO_CHECKS, OF_RUN},
    {OPT_JUNIT, OF_CHECK},
    {OPT_EXPECT, OF_CHECK},
    {OPT_TORTURE, OF_CHECK},
    {OPT_CLAIMS, OF_MUTANTS},
    {OPT_PROGRAM, OF_CHECK},
    {OPT_PROGRAMS, OF_CHECK},
    {'I', OF_CHECK},
    {OPT_MUTANT, OF_CHECK},
    {OPT_DEADLINE, OF_CHECK},
    {OPT_JOBS, OF_CHECK | OF_MUTANTS},
};

#define BELONGS (sizeof belongs / sizeof *belongs)

struct parse {
    struct request *request;
    bool used[BELONGS];
};

/* Options may stand before the verb: looked at when all is read. */
static void check_belonging(const struct parse *p)
{
    static const struct {
        enum cli_verb verb;
        int bit;
        const char *name;
    } verbs[] = {{CLI_RUN, OF_RUN, "run"},
                 {CLI_CHECK, OF_CHECK, "check"},
                 {CLI_MUTANTS, OF_MUTANTS, "mutants"},
                 {CLI_SERVE, OF_SERVE, "serve"}};
    size_t n = sizeof verbs / sizeof *verbs;
    int own = 0;
    for (size_t i = 0; i < n; i++)
        own |= p->request->verb == verbs[i].verb ? verbs[i].bit : 0;
    for (size_t i = 0; i < BELONGS; i++) {
        char where[64] = "";
        if (!p->used[i] || (belongs[i].verbs & own))
            continue;
        for (size_t v = 0; v < n; v++)
            if (belongs[i].verbs & verbs[v].bit) {
                strcat(where, where[0] ? " or " : "");
                strcat(where, verbs[v].name);
            }
        cli_die("--%s belongs to the verb %s", option_name(belongs[i].key), where);
    }
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct parse *p = state->input;
    struct request *r = p->request;
    const char *name = option_name(key);
    for (size_t i = 0; i < BELONGS; i++)
        p->used[i] |= belongs[i].key == key;
    switch (key) {
    case OPT_IMPL:
        append_list(&r->impls, name, arg);
        return 0;
    case OPT_BENCH:
        append_list(&r->benches, name, arg);
        return 0;
    case OPT_PLACE: /* a CPU list contains commas */
        append(&r->places, name, arg);
        return 0;
    case OPT_EVENTS:
        append_list(&r->events, name, arg);
        return 0;
    case OPT_PLUGIN:
        append(&r->plugins, name, arg);
        return 0;
    case OPT_SET:
        set_option(r, arg);
        return 0;
    case OPT_ROUNDS:
        r->rounds = (int)integer(name, arg, 1, 1000);
        return 0;
    case OPT_BUDGET:
        r->budget_ns = duration_ns(name, arg);
        return 0;
    case OPT_OPS:
        r->ops = integer(name, arg, 1, UINT64_C(1) << 32);
        return 0;
    case OPT_COUNTS:
        r->callgrind = strcmp(arg, "callgrind") == 0;
        if (!r->callgrind && strcmp(arg, "events") != 0)
            cli_die("--counts=%s: expected events or callgrind", arg);
        return 0;
    case OPT_SEED:
        r->seed = integer(name, arg, 0, INT64_MAX);
        r->seed_given = true;
        return 0;
    case OPT_OUT:
        r->out = arg;
        return 0;
    case OPT_RESUME:
        r->resume = arg;
        return 0;
    case OPT_TOPOLOGY:
        r->topology = arg;
        return 0;
    case OPT_DRY_RUN:
        r->dry_run = true;
        return 0;
    case OPT_NO_CHECKS:
        r->no_checks = true;
        return 0;
    case OPT_JSON:
        r->json = true;
        return 0;
    case OPT_EXPECT:
        r->expect = arg;
        return 0;
    case OPT_JUNIT:
        r->junit = arg;
        return 0;
    case OPT_CLAIMS:
        r->claims = true;
        return 0;
    case OPT_TORTURE:
        r->torture_ns = duration_ns(name, arg);
        return 0;
    case OPT_PROGRAM:
    case OPT_PROGRAMS:
        append(&r->programs, name, arg);
        return 0;
    case 'I':
        append(&r->include, name, arg);
        return 0;
    case OPT_MUTANT:
        r->mutant = arg;
        return 0;
    case OPT_DEADLINE:
        r->deadline_ns = duration_ns(name, arg);
        return 0;
    case OPT_JOBS:
        r->jobs = (int)integer(name, arg, 1, 256);
        return 0;
    case OPT_PRESET:
        for (int i = PRESET_QUICK; i <= PRESET_FULL; i++)
            if (strcmp(arg, cli_preset_name((enum cli_preset)i)) == 0) {
                r->preset = (enum cli_preset)i;
                return 0;
            }
        cli_die("--preset=%s: expected quick, standard or full", arg);
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            verb(r, arg);
        else if (state->arg_num == 1 && r->verb == CLI_LIST_THINGS)
            r->what = arg;
        else if (r->verb == CLI_CHECK || r->verb == CLI_MUTANTS)
            append(&r->checks, "check", arg);
        else if (r->verb == CLI_THREADS)
            append(&r->pids, "threads", arg);
        else
            cli_die("unexpected argument '%s' (see threadlab --help)", arg);
        return 0;
    case ARGP_KEY_NO_ARGS:
        cli_die("a verb is missing: list, run, compare, serve, check, mutants, threads, env or "
                "doctor (see threadlab --help)");
    case ARGP_KEY_END:
        check_belonging(p);
        if (r->topology && r->verb == CLI_RUN && !r->dry_run)
            cli_die("--topology describes another machine: use it with --dry-run");
        if (r->callgrind && r->events.n)
            cli_die("--events: callgrind counts instructions in user mode, and no events");
        if (r->callgrind && !r->ops)
            r->ops = CALLGRIND_OPS;
        if (r->callgrind && !r->rounds)
            r->rounds = 1; /* the first alone is counted */
        if (r->resume && r->out)
            cli_die("--resume writes to the file that it resumes: leave --out away");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void cli_parse(int argc, char **argv, struct request *request)
{
    static const char doc[] =
        "Benchmark and conformance harness for thread implementations: which promises of threads "
        "does each keep, and what do they cost on this machine?\v"
        "Verbs:\n"
        "  list [impls|benches|checks|mutants|places|events|topology]   what there is\n"
        "  run                  measure, record, summarise\n"
        "  compare BASE [HEAD]  did a change make something slower? (its own --help)\n"
        "  serve                measures cells on request, for compare\n"
        "  check [PROPERTY...]  which promises are kept: TAP on standard output\n"
        "  mutants [MUTANT...]  can the checks fail? the kill matrix\n"
        "  threads [PID...]     what the threads of the cells do that run now\n"
        "  run --lab, check --lab, compare --lab   the same in an emulated arm64 machine, whose "
        "counts repeat (its options: scripts/lab --help)\n"
        "  env                  what a number depends on here\n"
        "  doctor               what spoils numbers here, what it costs them, what mends it\n"
        "\n"
        "Exit status: 0 done; 1 a cell failed or crashed, a promise is broken, the doctor warns; 2 "
        "bad input or the "
        "run could not be completed.\n"
        "Examples:\n"
        "  threadlab check --impl green 'join.*'\n"
        "  threadlab run --preset quick\n"
        "  threadlab run --impl green,nptl --bench 'switch.*' --place same-pu\n"
        "  threadlab run --bench create.join --set recycle=none,thread --rounds 20\n"
        "  threadlab run --dry-run --topology 'synthetic:pack:2 core:16 pu:2'\n";
    static const struct argp argp = {options, parse_option, "VERB [WHAT...]", doc, NULL,
                                     NULL,    NULL};
    struct parse parse = {.request = request};

    memset(request, 0, sizeof *request);
    request->preset = PRESET_STANDARD;
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--lab") == 0 || strncmp(argv[i], "--lab-", 6) == 0) {
            request->verb = CLI_LAB;
            request->rest = argv;
            return;
        }
    if (argc >= 2 && strcmp(argv[1], "compare") == 0) { /* all the rest is for scripts/compare */
        request->verb = CLI_COMPARE;
        request->rest = argv + 1;
        return;
    }
    if (argc == 3 && strcmp(argv[1], "--cell-process") == 0) { /* cell.c starts us again */
        request->verb = CLI_CELL_PROCESS;
        request->cell_fd = (int)integer("cell-process", argv[2], 0, 1 << 20);
        return;
    }
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &parse);
}
