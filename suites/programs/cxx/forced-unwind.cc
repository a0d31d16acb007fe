// forced-unwind.cc - the end of a thread passes catch (abi::__forced_unwind &) and catch (...),
// which have to throw it again, and calls std::terminate at noexcept (libstdc++, <cxxabi_forced.h>)
#include "../verdict.h"

#include <cxxabi.h>
#include <exception>
#include <initializer_list>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static int caught;

static void ends(bool cancelled)
{
    if (!cancelled)
        pthread_exit(NULL);
    pthread_cancel(pthread_self());
    pthread_testcancel();
}

static void *catches(void *cancelled)
{
    try {
        try {
            try {
                ends(cancelled);
            } catch (int) {
                FAILED("it is no int");
            }
        } catch (abi::__forced_unwind &) {
            caught |= 1;
            throw;
        }
    } catch (...) {
        caught |= 2;
        throw;
    }
    FAILED("it goes on");
    return NULL;
}

static void *keeps(void *cancelled)
{
    try {
        ends(cancelled);
    } catch (...) {
    }
    return NULL;
}

static void *is_noexcept(void *cancelled) noexcept
{
    ends(cancelled);
    return NULL;
}

static void *throws(void *)
{
    throw 3;
}

static void run(void *(*f)(void *), void *arg)
{
    pthread_t t;

    ANSWERS(pthread_create(&t, NULL, f, arg), 0);
    ANSWERS(pthread_join(t, NULL), 0);
}

// How the process ends that runs f.
static int status_of(void *(*f)(void *), void *arg)
{
    pid_t child = fork();
    int status;

    WORKS(child);
    if (!child) {
        std::set_terminate([] { _Exit(42); });
        if (!freopen("/dev/null", "w", stderr))
            _Exit(1);
        run(f, arg);
        _Exit(0);
    }
    WORKS(waitpid(child, &status, 0));
    return status;
}

int main()
{
    int yes, status;

    for (void *cancelled : {(void *)NULL, (void *)&yes}) {
        caught = 0;
        run(catches, cancelled);
        HOLDS(caught == 3);
        status = status_of(keeps, cancelled);
        HOLDS(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        status = status_of(is_noexcept, cancelled);
        HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    }
    status = status_of(throws, NULL);
    HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    return PASS;
}
