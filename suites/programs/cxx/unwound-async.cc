// unwound-async.cc - objects in the frames around a computation that is cancelled asynchronously
// are destroyed (Itanium C++ ABI 1.3; XSH 2.9.5.1); needs preemption
#include "../verdict.h"

#include <atomic>
#include <pthread.h>
#include <unistd.h>

static std::atomic<bool> running;
static volatile unsigned long count;
static int ended;

struct object {
    ~object()
    {
        ended++;
    }
};

static void computes()
{
    for (;;)
        count = count + 1;
}

// Nobody but us knows that it throws nothing: then the compiler would not expect anything to pass.
static void (*volatile compute)() = computes;

__attribute__((noinline)) static void holds_one()
{
    object one;

    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    running = true;
    compute();
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
}

static void *work(void *)
{
    object other;

    holds_one();
    return NULL;
}

int main()
{
    pthread_t t;
    void *value;

    ANSWERS(pthread_create(&t, NULL, work, NULL), 0);
    while (!running)
        usleep(1000);
    ANSWERS(pthread_cancel(t), 0);
    ANSWERS(pthread_join(t, &value), 0);
    HOLDS(value == PTHREAD_CANCELED);
    HOLDS(ended == 2);
    return PASS;
}
