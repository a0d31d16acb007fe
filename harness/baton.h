/*
 * baton.h - cells of several builds that take turns, batch by batch.
 *
 * A machine's speed wanders within tens of milliseconds (a neighbour on the other hardware thread,
 * the turbo clock, the hypervisor). Two processes one after the other see two moods of it; two
 * that are alive together, and of which only one runs at a time, see the same: on a busy virtual
 * machine their ratio varies less than half as much. `compare` gives the cells of a round one
 * baton; each runs one batch when it has it, and sleeps otherwise.
 *
 * Whoever dies is noticed (its process is gone) and passed over, so the others never wait for ever.
 */
#ifndef HARNESS_BATON_H
#define HARNESS_BATON_H

#include <stdbool.h>
#include <stdint.h>

#define BATON_SEATS 4
#define BATON_BYTES 4096 /* of the file that all of them map; zeros mean that nobody has come */

/* What one seat knows in the end. */
struct baton_report {
    int seats;               /* 0: there was no baton */
    bool alone;              /* somebody never came, so not all of it was in turns */
    uint64_t wait_ns;        /* time in which others had the baton */
    uint64_t idle_cpu_ns;    /* CPU time that this process used while it waited: not 0 where threads
                              * of the benchmark spin between batches, which slows the others */
    uint64_t partner_cpu_ns; /* CPU time that the others used in their turns, while we were there */
};

/* Takes a seat at the baton in `path`, a file of BATON_BYTES. Returns 0 or an error number: EINVAL
 * for a seat that there is not, or that of open(2) and mmap(2). One baton a process. */
int baton_join(const char *path, int seat, int seats);
/* Sleeps until it is our turn. Nothing to do without baton_join. First thread only. */
void baton_take(void);
/* The next one's turn. */
void baton_pass(void);
/* No more turns are wanted; fills in *report. May be called without baton_join, and again. */
void baton_leave(struct baton_report *report);

#endif
