/*
 * fault-jump.c - threads that recover from faults by siglongjmp, at the same time: each one's fault
 * goes to its own handler, and is open again afterwards (XSH siglongjmp, sigaction)
 */
#include "../verdict.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define THREADS 4
#define ROUNDS 4000

static __thread sigjmp_buf before;
static __thread void *volatile address;
static char *page;

static void leave(int sig, siginfo_t *info, void *context)
{
    (void)context;
    address = info->si_addr;
    siglongjmp(before, sig);
}

static void *fault(void *arg)
{
    for (volatile int i = 0; i < ROUNDS; i++) {
        volatile int zero = 0;
        sigset_t mask;
        int sig = sigsetjmp(before, 1);

        if (!sig)
            *(volatile char *)(page + i % 4096) = 1;
        HOLDS(sig == SIGSEGV && address == page + i % 4096);
        ANSWERS(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
        HOLDS(!sigismember(&mask, SIGSEGV));
#ifdef __x86_64__
        sig = sigsetjmp(before, 1);
        if (!sig)
            zero = 7 / zero;
        HOLDS(sig == SIGFPE);
#endif
    }
    return arg;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO};
    pthread_t t[THREADS];

    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOLDS(page != MAP_FAILED);
    WORKS(sigaction(SIGSEGV, &action, NULL));
    WORKS(sigaction(SIGFPE, &action, NULL));
    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_create(&t[i], NULL, fault, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        ANSWERS(pthread_join(t[i], NULL), 0);
    return PASS;
}
