/*
 * input.c - a thread that waits in fgets, fread, getc or getline waits alone, gets what comes then,
 * and lets go of the file when it is cancelled there (XSH 2.9.5.2; stdio is a cancellation point
 * where it waits, as the C library has it)
 */
#include "../verdict.h"

#include <pthread.h>
#include <unistd.h>

static volatile int turns;
static volatile int step;

static void *reader(void *arg)
{
    FILE *f = arg;
    char text[32], *line = NULL;
    size_t size = 0;

    step = 1;
    HOLDS(fgets(text, sizeof(text), f) == text && !strcmp(text, "one\n"));
    step = 2;
    HOLDS(fread(text, 2, 3, f) == 3 && !memcmp(text, "two.2\n", 6));
    step = 3;
    HOLDS(getc(f) == 't' && fgetc(f) == '\n');
    step = 4;
    HOLDS(getline(&line, &size, f) == 5 && !strcmp(line, "four\n"));
    HOLDS(fgets(text, 3, f) == text && !strcmp(text, "fi"));
    HOLDS(ungetc('F', f) == 'F');
    HOLDS(getdelim(&line, &size, 'e', f) == 3 && !strcmp(line, "Fve"));
    HOLDS(fgets(text, sizeof(text), f) == text && !strcmp(text, "\n"));
    free(line);
    step = 5;
    fgets(text, sizeof(text), f);
    FAILED("fgets came back");
    return NULL;
}

static void *other(void *arg)
{
    while (step < 5) {
        turns++;
        usleep(1000);
    }
    return arg;
}

int main(void)
{
    static const char *const said[] = {"one\n", "two.2\n", "t\n", "four\nfive\n"};
    char rest[8];
    pthread_t t, u;
    void *value;
    FILE *f;
    int fd[2];

    WORKS(pipe(fd));
    f = fdopen(fd[0], "r");
    HOLDS(f);
    ANSWERS(pthread_create(&t, NULL, reader, f), 0);
    ANSWERS(pthread_create(&u, NULL, other, NULL), 0);
    for (int i = 0; i < 4; i++) {
        while (step <= i)
            usleep(1000);
        for (int seen = turns; turns < seen + 3;)
            usleep(1000);
        /* In two pieces: the first alone is not what is asked for. */
        WORKS(write(fd[1], said[i], 1));
        usleep(2000);
        WORKS(write(fd[1], said[i] + 1, strlen(said[i]) - 1));
    }
    ANSWERS(pthread_join(u, NULL), 0);
    usleep(20000);
    ANSWERS(pthread_cancel(t), 0);
    ANSWERS(pthread_join(t, &value), 0);
    HOLDS(value == PTHREAD_CANCELED);
    HOLDS(!ftrylockfile(f)); /* it was let go of */
    WORKS(write(fd[1], "end", 3));
    WORKS(close(fd[1]));
    HOLDS(fgets(rest, sizeof(rest), f) == rest && !strcmp(rest, "end"));
    HOLDS(!fgets(rest, sizeof(rest), f) && feof(f) && !ferror(f));
    return PASS;
}
