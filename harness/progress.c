/* progress.c - see progress.h. */
#include "progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static bool live;
static size_t total, last_tenth;
static time_t started;
static int columns;

void progress_start(size_t n, size_t done)
{
    struct winsize w;
    live = isatty(STDERR_FILENO);
    columns = live && ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
    total = n;
    last_tenth = n ? done * 10 / n : 0;
    started = time(NULL);
}

static void clock_text(double seconds, char *text, size_t size)
{
    long s = seconds > 0 ? (long)(seconds + 0.5) : 0;
    snprintf(text, size, "%ld:%02ld", s / 60, s % 60);
}

void progress_step(size_t done, double seconds_left, const char *next)
{
    char line[512], elapsed[24], left[24];
    size_t percent = total ? done * 100 / total : 100;
    clock_text(difftime(time(NULL), started), elapsed, sizeof elapsed);
    clock_text(seconds_left, left, sizeof left);
    int n = snprintf(line, sizeof line, "%3zu%% %zu/%zu  %s elapsed, about %s left", percent, done,
                     total, elapsed, left);
    if (live) {
        snprintf(line + n, sizeof line - (size_t)n, "  %s", next);
        fprintf(stderr, "\r\033[K%.*s", columns - 1, line);
        fflush(stderr);
    } else if (total && done * 10 / total > last_tenth) {
        last_tenth = done * 10 / total;
        fprintf(stderr, "%s\n", line);
    }
}

void progress_end(void)
{
    if (live)
        fputs("\r\033[K", stderr);
}
