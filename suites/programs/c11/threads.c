/* threads.c - <threads.h>: create, join, mutex, condition, values, once (C11 7.26) */
#include "../verdict.h"

#include <threads.h>

static mtx_t m;
static cnd_t c;
static tss_t key;
static once_flag once = ONCE_FLAG_INIT;
static int turns, runs, destroyed;

static void first(void)
{
    runs++;
}

static void destroy(void *value)
{
    destroyed += value == &turns;
}

static int work(void *arg)
{
    call_once(&once, first);
    HOLDS(tss_set(key, &turns) == thrd_success && tss_get(key) == &turns);
    mtx_lock(&m);
    turns++;
    cnd_broadcast(&c);
    mtx_unlock(&m);
    if (arg)
        thrd_exit(17);
    return 18;
}

int main(void)
{
    struct timespec until;
    thrd_t t[2];
    int result[2];

    HOLDS(mtx_init(&m, mtx_plain | mtx_timed) == thrd_success);
    HOLDS(cnd_init(&c) == thrd_success && tss_create(&key, destroy) == thrd_success);
    mtx_lock(&m);
    HOLDS(thrd_create(&t[0], work, NULL) == thrd_success);
    HOLDS(thrd_create(&t[1], work, &m) == thrd_success);
    while (turns < 2)
        cnd_wait(&c, &m);
    until = after_ms(CLOCK_REALTIME, 20);
    while (!is_past(CLOCK_REALTIME, &until))
        HOLDS(cnd_timedwait(&c, &m, &until) != thrd_error);
    mtx_unlock(&m);
    for (int i = 0; i < 2; i++)
        HOLDS(thrd_join(t[i], &result[i]) == thrd_success);
    HOLDS(result[0] == 18 && result[1] == 17 && runs == 1 && destroyed == 2);
    return PASS;
}
