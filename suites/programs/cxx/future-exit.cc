// future-exit.cc - a future whose function ends its thread has a broken promise, and what the
// thread was given is destroyed (libstdc++, std::async, std::packaged_task)
#include "../verdict.h"

#include <future>
#include <memory>
#include <pthread.h>
#include <thread>

static void is_broken(std::future<void> f)
{
    try {
        f.get();
        FAILED("it has a value");
    } catch (const std::future_error &e) {
        HOLDS(e.code() == std::future_errc::broken_promise);
    }
}

int main()
{
    auto given = std::make_shared<int>(3);
    auto exits = [given] { pthread_exit(NULL); };
    std::packaged_task<void()> task(exits);
    auto of_task = task.get_future();

    is_broken(std::async(std::launch::async, exits));
    std::thread t(std::move(task));
    is_broken(std::move(of_task));
    t.join();
    HOLDS(given.use_count() == 2); // ours, and that in exits
    return PASS;
}
