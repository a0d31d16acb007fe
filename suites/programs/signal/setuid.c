/*
 * setuid.c - setuid and seteuid work in a program of threads, and hold for all of them: those that
 * are there, and a new one (XSH setuid: the IDs are the process's). Who is not the superuser can
 * but ask for what is so already.
 */
#include "../verdict.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

enum { THREADS = 4 };

static sem_t go, seen;
static uid_t found[THREADS];

static void *looks_twice(void *arg)
{
    uid_t *place = arg;

    for (int i = 0; i < 2; i++) {
        while (sem_wait(&go))
            ;
        *place = geteuid();
        sem_post(&seen);
        while (sem_wait(&go)) /* until all have looked, so that each looks once */
            ;
        sem_post(&seen);
    }
    return NULL;
}

static void all(void)
{
    for (int step = 0; step < 2; step++) {
        for (int i = 0; i < THREADS; i++)
            sem_post(&go);
        for (int i = 0; i < THREADS; i++)
            while (sem_wait(&seen))
                ;
    }
}

static void *looks(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)geteuid();
}

int main(void)
{
    uid_t before = geteuid();
    pthread_t t[THREADS], late;
    void *value;

    if (before) {
        WORKS(setuid(before));
        return PASS;
    }
    WORKS(sem_init(&go, 0, 0));
    WORKS(sem_init(&seen, 0, 0));
    for (int i = 0; i < THREADS; i++)
        NEEDS(pthread_create(&t[i], NULL, looks_twice, &found[i]));
    WORKS(seteuid(1));
    all();
    NEEDS(pthread_create(&late, NULL, looks, NULL));
    ANSWERS(pthread_join(late, &value), 0);
    HOLDS((uid_t)(intptr_t)value == 1);
    WORKS(seteuid(before));
    WORKS(setuid(1));
    all();
    for (int i = 0; i < THREADS; i++) {
        ANSWERS(pthread_join(t[i], NULL), 0);
        HOLDS(found[i] == 1);
    }
    HOLDS(geteuid() == 1 && getuid() == 1);
    FAILS(kill(1, 0), EPERM);
    return PASS;
}
