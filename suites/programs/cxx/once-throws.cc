// once-throws.cc - a routine that an exception leaves has not run: the next call_once runs it
// (C++11 30.4.4.2)
#include "../verdict.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

static std::once_flag once;
static std::atomic<int> tries, runs;

static void routine()
{
    if (tries++ < 3) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        throw 3;
    }
    runs++;
}

static void work()
{
    for (;;)
        try {
            std::call_once(once, routine);
            break;
        } catch (int) {
        }
    HOLDS(runs == 1);
}

int main()
{
    std::thread threads[4];

    for (auto &t : threads)
        t = std::thread(work);
    for (auto &t : threads)
        t.join();
    HOLDS(tries == 4);
    HOLDS(runs == 1);
    return PASS;
}
