/*
 * deleted.c - a key that was deleted: EINVAL, NULL, and no destructor runs (XSH
 * pthread_key_delete)
 */
#include "../verdict.h"

#include <pthread.h>

static pthread_key_t key;
static int ran;

static void never(void *value)
{
    (void)value;
    ran = 1;
}

static void *work(void *arg)
{
    ANSWERS(pthread_setspecific(key, &ran), 0);
    ANSWERS(pthread_key_delete(key), 0);
    return arg;
}

int main(void)
{
    pthread_t t;

    ANSWERS(pthread_key_create(&key, never), 0);
    ANSWERS(pthread_create(&t, NULL, work, NULL), 0);
    ANSWERS(pthread_join(t, NULL), 0);
    HOLDS(!ran);
    ANSWERS(pthread_setspecific(key, &ran), EINVAL);
    ANSWERS(pthread_key_delete(key), EINVAL);
    return PASS;
}
