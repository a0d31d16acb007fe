// thread.cc - std::thread, mutex, condition_variable, async and thread_local (C++11 30)
#include "../verdict.h"

#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

static std::mutex m;
static std::condition_variable c;
static int turns;
static thread_local int mine = 3;

static void work(int i)
{
    std::unique_lock<std::mutex> lock(m);

    HOLDS(mine == 3);
    mine = i;
    while (turns != i)
        c.wait(lock);
    turns++;
    c.notify_all();
}

int main()
{
    std::vector<std::thread> threads;
    std::once_flag once;
    int runs = 0;

    for (int i = 7; i >= 0; i--)
        threads.emplace_back(work, i);
    for (auto &t : threads)
        t.join();
    HOLDS(turns == 8);
    std::call_once(once, [&] { runs++; });
    std::call_once(once, [&] { runs++; });
    HOLDS(runs == 1);

    auto answer = std::async(std::launch::async, [] {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        return 42;
    });
    HOLDS(answer.get() == 42);

    std::unique_lock<std::mutex> lock(m);
    HOLDS(c.wait_for(lock, std::chrono::milliseconds(20)) == std::cv_status::timeout);
    return PASS;
}
