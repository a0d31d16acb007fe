/*
 * reads-alone.c - who waits for more of a FILE stops its thread only: another thread writes what it
 * waits for, a piece at a time (XSH 2.9, fgets, fread, getdelim, fscanf)
 */
#include "../verdict.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <unistd.h>

static int ends[2];
static FILE *from;
static sem_t asks;

static const char *const pieces[][3] = {{"x"},
                                        {"on", "e li", "ne\nrest"},
                                        {"lo", "ng", "er\n"},
                                        {"ab", "cd", "efgh"},
                                        {"42 "},
                                        {"4", "3 4", "4x"},
                                        {"", ""}};

static void *writes(void *arg)
{
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        HOLDS(!sem_wait(&asks));
        for (size_t j = 0; j < 3 && pieces[i][j]; j++) {
            usleep(10000);
            WORKS(write(ends[1], pieces[i][j], strlen(pieces[i][j])));
        }
    }
    close(ends[1]);
    return arg;
}

static void ask(void)
{
    WORKS(sem_post(&asks));
}

int main(void)
{
    char text[64] = "", *line = NULL;
    size_t size = 0;
    int number = 0, other = 0;
    pthread_t t;

    WORKS(pipe(ends));
    from = fdopen(ends[0], "r");
    HOLDS(from);
    WORKS(sem_init(&asks, 0, 0));
    NEEDS(pthread_create(&t, NULL, writes, NULL));
    ask();
    HOLDS(fgetc(from) == 'x');
    ask();
    HOLDS(fgets(text, sizeof text, from) && !strcmp(text, "one line\n"));
    HOLDS(fgets(text, 5, from) && !strcmp(text, "rest"));
    ask();
    HOLDS(getline(&line, &size, from) == 7 && !strcmp(line, "longer\n"));
    ask();
    HOLDS(fread(text, 2, 4, from) == 4 && !memcmp(text, "abcdefgh", 8));
    ask();
    HOLDS(fscanf(from, "%d", &number) == 1 && number == 42);
    HOLDS(fgetc(from) == ' ');
    ask();
    HOLDS(fscanf(from, "%d%d", &number, &other) == 2 && number == 43 && other == 44);
    HOLDS(fgetc(from) == 'x');
    ask();
    HOLDS(fread(text, 1, 1, from) == 0 && feof(from) && !ferror(from));
    HOLDS(getline(&line, &size, from) == -1 && fgetc(from) == EOF);
    ANSWERS(pthread_join(t, NULL), 0);
    free(line);
    fclose(from);
    return PASS;
}
