/*
 * baton.c - see baton.h. The baton is a page shared by processes that may come from different
 * builds, so its layout is part of protocol 1 of `serve`: fields are only ever added.
 */
#include "baton.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)
#define LOOK_AROUND_NS UINT64_C(50000000) /* then it is asked whether the others still live */
#define ARRIVAL_NS (5 * NS_PER_S)         /* who has not come until then is not waited for */

enum { NOT_YET = 0, LEFT = -1 };

/* Invariants: pid[s] goes from NOT_YET to the process and from there to LEFT, never back. Only who
 * sits at `turn` may move it on, or whoever finds that one gone. Every change of pid or turn is
 * followed by one of `change`, the word that waiters sleep on: they read it before they look. */
struct baton {
    _Atomic uint32_t change;
    _Atomic int32_t turn;
    _Atomic int32_t pid[BATON_SEATS];
    _Atomic uint64_t cpu_ns[BATON_SEATS]; /* used in turns */
};
_Static_assert(sizeof(struct baton) <= BATON_BYTES, "it fits into its file");

static struct baton *baton;
static int seat, seats;
static bool at_turn;
static uint64_t turn_cpu_ns, partners_before_ns;
static struct baton_report report;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void announce(void)
{
    atomic_fetch_add(&baton->change, 1);
    syscall(SYS_futex, &baton->change, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static bool all_came(void)
{
    for (int s = 0; s < seats; s++)
        if (atomic_load(&baton->pid[s]) == NOT_YET)
            return false;
    return true;
}

/* From `from` to the next seat that is taken; nobody left: it stays. */
static void move_on(int from)
{
    int next = from;
    for (int i = 1; i <= seats; i++) {
        next = (from + i) % seats;
        if (atomic_load(&baton->pid[next]) > 0)
            break;
    }
    int32_t expected = from;
    atomic_compare_exchange_strong(&baton->turn, &expected, next);
    announce();
}

static void pass_over_the_dead(void)
{
    for (int s = 0; s < seats; s++) {
        int32_t pid = atomic_load(&baton->pid[s]);
        if (pid > 0 && s != seat && kill(pid, 0) && errno == ESRCH) {
            atomic_store(&baton->pid[s], LEFT);
            announce();
        }
    }
    int turn = atomic_load(&baton->turn);
    if (atomic_load(&baton->pid[turn]) <= 0)
        move_on(turn);
}

static uint64_t partners_cpu_ns(void)
{
    uint64_t sum = 0;
    for (int s = 0; s < seats; s++)
        sum += s == seat ? 0 : atomic_load(&baton->cpu_ns[s]);
    return sum;
}

int baton_join(const char *path, int s, int n)
{
    if (s < 0 || s >= n || n > BATON_SEATS)
        return EINVAL;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno;
    void *page = mmap(NULL, BATON_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int e = page == MAP_FAILED ? errno : 0;
    close(fd);
    if (e)
        return e;
    baton = page;
    seat = s;
    seats = report.seats = n;
    atomic_store(&baton->pid[seat], getpid());
    announce();
    return 0;
}

void baton_take(void)
{
    if (!baton)
        return;
    uint64_t start = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (;;) {
        uint32_t seen = atomic_load(&baton->change);
        if ((all_came() || report.alone) && atomic_load(&baton->turn) == seat)
            break;
        struct timespec timeout = {0, LOOK_AROUND_NS};
        if (syscall(SYS_futex, &baton->change, FUTEX_WAIT, seen, &timeout, NULL, 0) &&
            errno == ETIMEDOUT) {
            report.alone |= !all_came() && clock_ns(CLOCK_MONOTONIC) - start > ARRIVAL_NS;
            if (all_came() || report.alone)
                pass_over_the_dead();
        }
    }
    turn_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    report.wait_ns += clock_ns(CLOCK_MONOTONIC) - start;
    report.idle_cpu_ns += turn_cpu_ns - cpu;
    if (partners_before_ns == 0)
        partners_before_ns = partners_cpu_ns() + 1; /* 0 means: not taken yet */
    at_turn = true;
}

void baton_pass(void)
{
    if (!baton || !at_turn)
        return;
    at_turn = false;
    atomic_fetch_add(&baton->cpu_ns[seat], clock_ns(CLOCK_PROCESS_CPUTIME_ID) - turn_cpu_ns);
    move_on(seat);
}

void baton_leave(struct baton_report *out)
{
    if (baton) {
        baton_pass();
        if (partners_before_ns)
            report.partner_cpu_ns = partners_cpu_ns() + 1 - partners_before_ns;
        atomic_store(&baton->pid[seat], LEFT);
        if (atomic_load(&baton->turn) == seat)
            move_on(seat);
        else
            announce();
        munmap(baton, BATON_BYTES);
        baton = NULL;
    }
    *out = report;
}
