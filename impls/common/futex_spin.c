/*
 * futex_spin.c - sleeping on a futex, and whether to spin before: see futex_sync.h, futex_mutex.h.
 * Spinning for as long as a sleep costs is at most twice as bad as knowing beforehand (A. Karlin et
 * al., "Empirical Studies of Competitive Spinning for a Shared-Memory Multiprocessor", 1991).
 */
#include "cancel_sys.h"
#include "futex_mutex.h"

#include <limits.h>
#include <time.h>

/* The longest spin. A futex wake of another CPU takes 12 to 25 us on the machine where this was
 * found (2 vCPUs, Zen 4): spinning longer than a sleep costs never pays (Karlin et al. 1991). */
#ifndef FUTEX_SPIN_NS
#define FUTEX_SPIN_NS 20000
#endif

unsigned futex_spin_rounds = 1;

void futex_sync_init(void)
{
    struct timespec from, to;
    long ns, best = LONG_MAX;

    for (int i = 0; i < 5; i++) {
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (int j = 0; j < 64; j++)
            futex_pause();
        clock_gettime(CLOCK_MONOTONIC, &to);
        ns = (to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec;
        if (ns < best)
            best = ns;
    }
    futex_spin_rounds = (unsigned)(64L * FUTEX_SPIN_NS / (best > 64 ? best : 64)) + 1;
}

_Atomic uint8_t futex_sleeping[FUTEX_SLEEPERS];

void futex_sleeps(bool now)
{
    atomic_store_explicit(&futex_sleeping[futex_own_slot()], now, memory_order_relaxed);
}

static const struct timespec *timespec_of(const struct futex_deadline *deadline,
                                          struct timespec *room)
{
    if (!deadline)
        return NULL;
    *room =
        (struct timespec){(time_t)(deadline->ns / 1000000000u), (long)(deadline->ns % 1000000000u)};
    return room;
}

int futex_sleep(const _Atomic uint32_t *word, uint32_t expected, enum futex_scope scope,
                const struct futex_deadline *deadline)
{
    struct timespec room;
    int op = FUTEX_WAIT_BITSET | (scope == FUTEX_SHARED ? 0 : FUTEX_PRIVATE_FLAG);
    long answer;

    if (deadline && deadline->clock == CLOCK_REALTIME)
        op |= FUTEX_CLOCK_REALTIME;
    futex_sleeps(true);
    if (scope == FUTEX_CANCELLABLE)
        answer = CANCEL_SYS_CALL(SYS_futex, word, op, expected, timespec_of(deadline, &room), 0,
                                 FUTEX_BITSET_MATCH_ANY);
    else
        answer = SYS_CALL(SYS_futex, word, op, expected, timespec_of(deadline, &room), 0,
                          FUTEX_BITSET_MATCH_ANY);
    futex_sleeps(false);
    return (int)-answer;
}

void futex_hint_signal(struct futex_hint *hint)
{
    uint32_t cpu = (uint32_t)(tls_cpu() + 1);

    if (atomic_load_explicit(&hint->cpu, memory_order_relaxed) != cpu)
        atomic_store_explicit(&hint->cpu, cpu, memory_order_relaxed);
}

unsigned futex_hint_rounds(const struct futex_hint *hint)
{
    uint32_t cpu = atomic_load_explicit(&hint->cpu, memory_order_relaxed);
    uint32_t budget = atomic_load_explicit(&hint->budget, memory_order_relaxed);

    if (!cpu || (int)cpu == tls_cpu() + 1)
        return 0;
    return (unsigned)((uint64_t)futex_spin_rounds * (budget ? budget : 256) / 256);
}

/* A spin that did not pay halves the next one, down to 1/16, which still finds out when that
 * changes; one that paid doubles it. */
void futex_hint_learn(struct futex_hint *hint, bool won)
{
    uint32_t budget = atomic_load_explicit(&hint->budget, memory_order_relaxed);

    if (!budget)
        budget = 256;
    if (won ? budget == 256 : budget == 16)
        return;
    atomic_store_explicit(&hint->budget, won ? budget * 2 : budget / 2, memory_order_relaxed);
}
