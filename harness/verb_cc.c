/*
 * verb_cc.c - `threadlab cc --impl NAME [ARGUMENT...]` and `threadlab c++`: a compiler for programs
 * that are to run on one of our implementations, as mpicc is one for MPI. It becomes the real one,
 * with what harness/veneer needs in front of and behind the arguments.
 *
 *     TL_IMPL     the implementation, where --impl is not given
 *     TL_CC, TL_CXX    the compilers; default: cc (gcc where there is none), c++ (g++)
 *
 * --show prints the command instead.
 */
#include "cli.h"
#include "program_run.h"
#include "verbs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The folder with NAME.o. */
static void find_folder(const char *impl, char folder[PATH_MAX + 32])
{
    if (program_veneer(impl, folder, PATH_MAX + 32))
        cli_die("no veneer for the implementation '%s' beside the driver: make veneer", impl);
    *strrchr(folder, '/') = '\0';
}

/* What is known of the arguments. */
struct use {
    bool ends_early, inputs; /* in no program; there is something to link */
};

/* Its next words, of a response file: white space divides, quotes and backslashes keep. */
static bool next_word(FILE *f, char *word, size_t size)
{
    size_t n = 0;
    int c, quote = 0;

    while ((c = getc(f)) != EOF && strchr(" \t\r\n", c))
        ;
    for (; c != EOF && (quote || !strchr(" \t\r\n", c)); c = getc(f)) {
        if (c == quote || (!quote && (c == '\'' || c == '"'))) {
            quote = quote ? 0 : c;
            continue;
        }
        if (c == '\\' && (c = getc(f)) == EOF)
            break;
        if (n + 1 < size)
            word[n++] = (char)c;
    }
    word[n] = '\0';
    return n > 0;
}

/* depth: response files may name others, but not for ever. True: the next one is its value. */
static bool look_at(const char *arg, struct use *use, int depth)
{
    static const char *const others[] = {"-c",
                                         "-S",
                                         "-E",
                                         "-M",
                                         "-MM",
                                         "-shared",
                                         "-r",
                                         "-fsyntax-only",
                                         "--shared",
                                         "--compile",
                                         "--assemble",
                                         "--preprocess",
                                         "--dependencies",
                                         "--user-dependencies"};
    char word[PATH_MAX];
    FILE *f = arg[0] == '@' && depth < 10 ? fopen(arg + 1, "r") : NULL;
    bool value = false;

    if (f) {
        while (next_word(f, word, sizeof word))
            value = !value && look_at(word, use, depth + 1);
        fclose(f);
        return value;
    }
    for (size_t o = 0; o < sizeof others / sizeof *others; o++)
        use->ends_early |= !strcmp(arg, others[o]);
    if (!strcmp(arg, "-o") || !strcmp(arg, "-include") || !strcmp(arg, "-x"))
        return true;
    use->inputs |= arg[0] != '-' || !arg[1]; /* "-": from standard input */
    return false;
}

/* The arguments end in a program: nothing says that they do not, and there is something to link. */
static bool links(char **args, int n)
{
    struct use use = {0};
    bool value = false;

    for (int i = 0; i < n; i++)
        value = !value && look_at(args[i], &use, 0);
    return use.inputs && !use.ends_early;
}

static const char *compiler(bool cxx)
{
    const char *given = getenv(cxx ? "TL_CXX" : "TL_CC");

    return given && *given ? given : cxx ? "c++" : "cc";
}

int verb_cc(int argc, char **argv)
{
    bool cxx = !strcmp(argv[1], "c++"), show = false;
    const char *impl = getenv("TL_IMPL");
    char folder[PATH_MAX + 32], include[PATH_MAX + 128], first[PATH_MAX + 128],
        object[PATH_MAX + 128], wrap[PATH_MAX + 128], define[64];
    char **args = calloc((size_t)argc + 16, sizeof *args);
    int n = 0, from = 2;

    if (!args)
        cli_die("out of memory");
    for (; from < argc; from++) {
        if (!strcmp(argv[from], "--impl") && from + 1 < argc)
            impl = argv[++from];
        else if (!strncmp(argv[from], "--impl=", 7))
            impl = argv[from] + 7;
        else if (!strcmp(argv[from], "--show"))
            show = true;
        else
            break;
    }
    if (!impl)
        cli_die("%s: which implementation? --impl NAME, or TL_IMPL in the environment", argv[1]);
    find_folder(impl, folder);
    snprintf(first, sizeof first, "%s/include/veneer-first.h", folder);
    snprintf(include, sizeof include, "%s/include", folder);
    snprintf(define, sizeof define, "-DTL_VENEER_%s", impl);
    snprintf(object, sizeof object, "%s/%s.o", folder, impl);
    snprintf(wrap, sizeof wrap, "-Wl,@%s/%s.wrap", folder, impl);

    args[n++] = (char *)compiler(cxx);
    args[n++] = define;
    args[n++] = "-include";
    args[n++] = first;
    args[n++] = "-isystem";
    args[n++] = include;
    for (int i = from; i < argc; i++)
        args[n++] = argv[i];
    if (links(argv + from, argc - from)) {
        args[n++] = "-x";
        args[n++] = "none";
        args[n++] = object;
        args[n++] = wrap;
        args[n++] = "-lm"; /* fesetenv of impls/user */
    }
    if (show) {
        for (int i = 0; i < n; i++)
            printf("%s%c", args[i], i + 1 < n ? ' ' : '\n');
        return 0;
    }
    execvp(args[0], args);
    cli_die("cannot run %s: %s", args[0], strerror(errno));
}
