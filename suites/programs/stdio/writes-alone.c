/*
 * writes-alone.c - who waits until a FILE takes more stops its thread only: another thread reads
 * what it writes, all of it and in order (XSH fprintf, fputs, fwrite, putc, fflush)
 */
#include "../verdict.h"

#include <pthread.h>
#include <unistd.h>

#define LINES 3000

static int ends[2];
static int mode;

static void line_of(char *to, size_t size, int i)
{
    snprintf(to, size, "%d:%0*d\n", i, 40 + i % 1500, i);
}

static void *writes(void *arg)
{
    static const int modes[] = {_IOFBF, _IOLBF, _IONBF};
    FILE *f = fdopen(ends[1], "w");
    char line[2048];

    HOLDS(f && !setvbuf(f, NULL, modes[mode], 4096));
    for (int i = 0; i < LINES; i++) {
        size_t n;

        line_of(line, sizeof line, i);
        n = strlen(line);
        switch (i % 4) {
        case 0:
            HOLDS(fprintf(f, "%d:%0*d\n", i, 40 + i % 1500, i) == (int)n);
            break;
        case 1:
            HOLDS(fputs(line, f) >= 0);
            break;
        case 2:
            HOLDS(fwrite(line, 1, n, f) == n);
            break;
        default:
            for (size_t j = 0; j < n; j++)
                HOLDS(putc(line[j], f) == line[j]);
        }
        if (i % 500 == 7)
            HOLDS(!fflush(f));
    }
    HOLDS(!fflush(f) && !ferror(f));
    fclose(f);
    return arg;
}

int main(void)
{
    char line[2048], got[2048];
    pthread_t t;
    FILE *f;

    for (mode = 0; mode < 3; mode++) {
        WORKS(pipe(ends));
        NEEDS(pthread_create(&t, NULL, writes, NULL));
        usleep(20000);
        f = fdopen(ends[0], "r");
        HOLDS(f);
        for (int i = 0; i < LINES; i++) {
            line_of(line, sizeof line, i);
            HOLDS(fgets(got, sizeof got, f) && !strcmp(got, line));
        }
        HOLDS(fgetc(f) == EOF && feof(f));
        ANSWERS(pthread_join(t, NULL), 0);
        fclose(f);
    }
    return PASS;
}
