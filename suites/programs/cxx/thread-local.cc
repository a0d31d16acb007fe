// thread-local.cc - a thread_local object ends with its thread, however that ends, or with exit()
// in it (C++11 3.7.2, 18.5)
#include "../verdict.h"

#include <atomic>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static std::atomic<int> made, ended;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t key;
static std::atomic<int> ended_at_key;
static bool tells;

struct object {
    int value;

    object() : value(3)
    {
        made++;
    }
    ~object()
    {
        // What it calls works still.
        pthread_mutex_lock(&m);
        value = 0;
        ended++;
        pthread_mutex_unlock(&m);
        if (tells)
            _Exit(42);
    }
};
static thread_local object one, two;

static void touch()
{
    one.value += two.value;
    HOLDS(one.value == 6);
    pthread_setspecific(key, &key);
}

static void *returns(void *)
{
    touch();
    return NULL;
}

static void *exits(void *)
{
    touch();
    pthread_exit(NULL);
}

static void *sleeps(void *)
{
    touch();
    for (;;)
        usleep(1000);
}

static void *ends_all(void *)
{
    touch();
    tells = true;
    exit(0);
}

static void at_key(void *)
{
    ended_at_key = ended.load();
}

int main()
{
    void *(*const ways[])(void *) = {returns, exits, sleeps};
    pthread_t t;
    int status;

    ANSWERS(pthread_key_create(&key, at_key), 0);
    for (int i = 0; i < 3; i++) {
        ANSWERS(pthread_create(&t, NULL, ways[i], NULL), 0);
        if (ways[i] == sleeps) {
            while (made < 2 * (i + 1))
                usleep(1000);
            pthread_cancel(t);
        }
        ANSWERS(pthread_join(t, NULL), 0);
        HOLDS(made == 2 * (i + 1));
        HOLDS(ended == made);
        HOLDS(ended_at_key == made); // before the destructors of keys
    }
    pid_t child = fork();

    WORKS(child);
    if (!child) {
        ANSWERS(pthread_create(&t, NULL, ends_all, NULL), 0);
        pthread_join(t, NULL);
        _Exit(1);
    }
    WORKS(waitpid(child, &status, 0));
    HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    return PASS;
}
