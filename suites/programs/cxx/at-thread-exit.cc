// at-thread-exit.cc - notify_all_at_thread_exit and set_value_at_thread_exit act when the objects
// of the thread are destroyed, however it ends, of main, too (C++11 30.5, 30.6.5)
#include "../verdict.h"

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <pthread.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

static std::mutex m;
static std::condition_variable c;
static std::atomic<int> made, ended;
static bool tells;

struct object {
    object()
    {
        made++;
    }
    ~object()
    {
        usleep(1000); // those who are too early have time
        ended++;
    }
    void touch()
    {
    }
};
static thread_local object of_thread;

static void notifies(bool exits)
{
    std::unique_lock<std::mutex> lock(m);

    of_thread.touch();
    std::notify_all_at_thread_exit(c, std::move(lock));
    if (exits)
        pthread_exit(NULL);
}

static void promises(std::promise<int> &p)
{
    of_thread.touch();
    p.set_value_at_thread_exit(3);
}

struct teller {
    ~teller()
    {
        if (tells)
            _Exit(ended == 1 && m.try_lock() ? 42 : 1);
    }
};
static teller at_exit;

int main()
{
    int status, rounds = 0;
    pid_t child = fork();

    WORKS(child);
    if (!child) { // its first thread is main
        tells = true;
        notifies(false);
        return 1;
    }
    WORKS(waitpid(child, &status, 0));
    HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 42);

    for (bool exits : {false, true}) {
        std::unique_lock<std::mutex> lock(m);
        std::thread t(notifies, exits);

        rounds++;
        c.wait(lock, [&] { return made == rounds; });
        HOLDS(ended == rounds);
        lock.unlock();
        t.join();
    }
    std::promise<int> p;
    auto value = p.get_future();
    std::thread t(promises, std::ref(p));

    HOLDS(value.get() == 3);
    HOLDS(ended == rounds + 1);
    t.join();
    return PASS;
}
