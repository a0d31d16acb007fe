// unwound.cc - objects in the frames of a thread that calls pthread_exit or is cancelled are
// destroyed, in the order of the frames and of cleanup handlers, before those of the thread
// (Itanium C++ ABI 1.3)
#include "../verdict.h"

#include <condition_variable>
#include <mutex>
#include <pthread.h>
#include <semaphore.h>
#include <string>
#include <unistd.h>

static std::string order;
static pthread_key_t key;
static std::mutex m;
static std::condition_variable never;
static sem_t none, here;
static int ends[2];

struct object {
    char name;

    ~object()
    {
        order += name;
    }
};
static thread_local object of_thread = {'t'};

static void note(void *name)
{
    order += *(const char *)name;
}

static void exits()
{
    pthread_exit(&key);
}

static void sleeps()
{
    sem_post(&here);
    for (;;)
        sleep(100);
}

static void reads()
{
    char c;

    sem_post(&here);
    if (read(ends[0], &c, 1) >= 0)
        FAILED("there was nothing to read");
}

static void waits()
{
    std::unique_lock<std::mutex> lock(m);

    sem_post(&here);
    for (;;)
        never.wait(lock);
}

static void waits_for_post()
{
    sem_post(&here);
    sem_wait(&none);
}

static void tests()
{
    sem_post(&here);
    for (;;)
        pthread_testcancel(), sched_yield();
}

__attribute__((noinline)) static void inner(void (*way)())
{
    object d = {'d'}, e = {'e'};

    way();
    order += d.name; // it does not come back
}

static void *outer(void *way)
{
    static const char handler[] = "b";
    object a = {'a'};

    of_thread.name = 't';
    pthread_setspecific(key, "k");
    pthread_cleanup_push(note, (void *)handler);
    object c = {'c'};
    inner((void (*)())way);
    pthread_cleanup_pop(0);
    return NULL;
}

int main()
{
    static void (*const ways[])() = {exits, sleeps, reads, waits, waits_for_post, tests};
    pthread_t t;
    void *value;

    ANSWERS(pthread_key_create(&key, note), 0);
    WORKS(sem_init(&none, 0, 0));
    WORKS(sem_init(&here, 0, 0));
    WORKS(pipe(ends));
    for (auto way : ways) {
        order = "";
        ANSWERS(pthread_create(&t, NULL, outer, (void *)way), 0);
        if (way != exits) {
            WORKS(sem_wait(&here));
            usleep(10000);
            ANSWERS(pthread_cancel(t), 0);
        }
        ANSWERS(pthread_join(t, &value), 0);
        HOLDS(value == (way == exits ? &key : PTHREAD_CANCELED));
        if (order != "edcbatk")
            FAILED("the order was %s, right is edcbatk", order.c_str());
    }
    HOLDS(m.try_lock()); // waits() had it again, and its guard gave it up
    return PASS;
}
