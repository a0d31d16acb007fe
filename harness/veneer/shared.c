/*
 * shared.c - waiting for a word in memory that processes share. Kernel threads sleep in futex(2),
 * for a slice of time, so that a request of cancellation or the death of another process is
 * noticed; where others run on the same kernel thread, it sleeps by the implementation's own means
 * and looks again.
 */
#include "veneer.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void veneer_shared_wait(_Atomic uint32_t *word, uint32_t value)
{
    struct timespec slice = veneer_timespec(VENEER_SLICE_NS);

    if (!veneer.blocks_alone) {
        veneer_pause(VENEER_POLL_NS);
        return;
    }
    syscall(SYS_futex, word, FUTEX_WAIT, value, &slice, NULL, 0);
    if (atomic_load(&veneer_self()->points))
        veneer_test();
}

void veneer_shared_wake(_Atomic uint32_t *word)
{
    int saved = errno;

    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    errno = saved;
}
