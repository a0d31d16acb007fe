/*
 * progress.h - tells on stderr how far a run is: one live line on a terminal, a plain line every
 * ten per cent elsewhere. Written between cells only, never while one is timed.
 */
#ifndef HARNESS_PROGRESS_H
#define HARNESS_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

void progress_start(size_t total, size_t done);
void progress_step(size_t done, double seconds_left, const char *next);
void progress_end(void);

#endif
