// static-object.cc - who meets a static object that another thread is making waits for it
// (C++11 6.7)
#include "../verdict.h"

#include <pthread.h>
#include <stdexcept>
#include <unistd.h>

#define THREADS 8

static int tries;

struct object {
    int value;

    // The first to come fails, while the others wait.
    object() : value(0)
    {
        usleep(5000);
        if (!tries++)
            throw std::runtime_error("not this time");
        usleep(5000);
        value = 42;
    }
};

static object &get()
{
    static object one;

    return one;
}

static void *use(void *)
{
    try {
        return (void *)(long)get().value;
    } catch (const std::runtime_error &) {
        return (void *)-1L;
    }
}

int main()
{
    pthread_t t[THREADS];
    int failed = 0;

    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_create(&t[i], NULL, use, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        void *value;

        ANSWERS(pthread_join(t[i], &value), 0);
        failed += value == (void *)-1L;
        HOLDS(value == (void *)-1L || value == (void *)42L);
    }
    HOLDS(failed == 1);
    HOLDS(tries == 2);
    HOLDS(get().value == 42);
    return PASS;
}
