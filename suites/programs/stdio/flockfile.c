/*
 * flockfile.c - who holds a FILE by flockfile keeps the stdio calls of others out of it, and may
 * use it and lock it again (XSH flockfile)
 */
#include "../verdict.h"

#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

static FILE *file;
static volatile int others;

static void *writes(void *arg)
{
    switch ((intptr_t)arg) {
    case 0:
        fprintf(file, "o");
        break;
    case 1:
        fputc('o', file);
        break;
    case 2:
        fputs("o", file);
        break;
    default:
        fwrite("o", 1, 1, file);
        break;
    }
    others++;
    return arg;
}

int main(void)
{
    char text[32] = "";
    pthread_t t;

    file = tmpfile();
    HOLDS(file);
    for (intptr_t how = 0; how < 4; how++) {
        others = 0;
        flockfile(file);
        fputc('m', file);
        flockfile(file);
        NEEDS(pthread_create(&t, NULL, writes, (void *)how));
        usleep(50000);
        HOLDS(!others);
        fputc('m', file);
        funlockfile(file);
        usleep(20000);
        HOLDS(!others);
        fputc('m', file);
        funlockfile(file);
        ANSWERS(pthread_join(t, NULL), 0);
    }
    rewind(file);
    HOLDS(fgets(text, sizeof(text), file));
    HOLDS(!strcmp(text, "mmmommmommmommmo"));
    return PASS;
}
