// unwound-main.cc - main's objects are destroyed when it calls pthread_exit, and the other threads
// go on (Itanium C++ ABI 1.3; XSH pthread_exit)
#include "../verdict.h"

#include <atomic>
#include <pthread.h>
#include <unistd.h>

static std::atomic<int> ended;

struct object {
    ~object()
    {
        ended++;
    }
};

static void *looks(void *)
{
    for (int i = 0; i < 1000 && ended < 2; i++)
        usleep(1000);
    exit(ended == 2 ? PASS : FAIL);
}

static void leaves()
{
    object inner;

    pthread_exit(NULL);
}

int main()
{
    object outer;
    pthread_t t;

    ANSWERS(pthread_create(&t, NULL, looks, NULL), 0);
    leaves();
}
