/*
 * shares-excludes.c - readers share, a writer excludes; the try variants say EBUSY (XSH
 * pthread_rwlock_rdlock)
 */
#include "../verdict.h"

#include <pthread.h>

static pthread_rwlock_t l = PTHREAD_RWLOCK_INITIALIZER;

static void *ask(void *arg)
{
    int *answers = arg;

    answers[0] = pthread_rwlock_tryrdlock(&l);
    if (!answers[0])
        pthread_rwlock_unlock(&l);
    answers[1] = pthread_rwlock_trywrlock(&l);
    if (!answers[1])
        pthread_rwlock_unlock(&l);
    return NULL;
}

static void expect(int reads, int writes)
{
    int answers[2];
    pthread_t t;

    ANSWERS(pthread_create(&t, NULL, ask, answers), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    ANSWERS(answers[0], reads);
    ANSWERS(answers[1], writes);
}

int main(void)
{
    expect(0, 0);
    ANSWERS(pthread_rwlock_rdlock(&l), 0);
    ANSWERS(pthread_rwlock_rdlock(&l), 0);
    expect(0, EBUSY);
    ANSWERS(pthread_rwlock_unlock(&l), 0);
    expect(0, EBUSY);
    ANSWERS(pthread_rwlock_unlock(&l), 0);
    ANSWERS(pthread_rwlock_wrlock(&l), 0);
    expect(EBUSY, EBUSY);
    ANSWERS(pthread_rwlock_unlock(&l), 0);
    expect(0, 0);
    ANSWERS(pthread_rwlock_destroy(&l), 0);
    return PASS;
}
