/*
 * callgrind.h - instructions in user mode, counted by valgrind's callgrind where a machine has no
 * counters: `run --counts callgrind`. Valgrind executes the process of a cell by itself, one thread
 * at a time, so that the count is of the code and of the turns that the threads take there. What
 * the kernel does is not in it, nor what children of the process do.
 *
 * The window is told to callgrind by two functions that it looks for by name (--zero-before and
 * --dump-before: "Callgrind Command-line Options" in Valgrind's manual).
 */
#ifndef HARNESS_CALLGRIND_H
#define HARNESS_CALLGRIND_H

#include <stddef.h>
#include <stdint.h>

#define CALLGRIND_ARGS 8   /* of an argv, before the program's own */
#define CALLGRIND_PATH 128 /* of the folder */
#define CALLGRIND_EVENT "instructions:u"

/* Finds valgrind and makes the folder for what it writes. Returns 0, or an error number with one
 * line in error. */
int callgrind_open(char folder[CALLGRIND_PATH], char *error, size_t size);
void callgrind_close(const char *folder);

/* Fills argv[0..CALLGRIND_ARGS-1] with the command that the program's own argv is to follow;
 * returns its first word. Valid until the next call. */
const char *callgrind_argv(const char *folder, const char **argv);

/* What was counted in the window of the process that ran last, and removes its files. Returns 0, or
 * ENODATA: no window was seen. */
int callgrind_count(const char *folder, uint64_t *instructions);

/* In the process of the cell: the window. */
void callgrind_begins(void);
void callgrind_ends(void);

#endif
