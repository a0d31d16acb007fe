/*
 * symbol.h - which function an address is in, for a signal handler.
 *
 * Reads the symbol table of the program's own file: unlike dladdr(3) it knows static functions, and
 * it takes no lock.
 */
#ifndef HARNESS_SYMBOL_H
#define HARNESS_SYMBOL_H

#include <stddef.h>

/* Notes where the program and its libraries lie. Before symbol_name, not in a handler. */
void symbol_prepare(void);

/* "user_yield+0x41"; "libc.so.6+0x91e02" where only the file is known, else the address. "-" for
 * NULL. Async-signal-safe but for the first call, which maps the program's file: one at a time. */
void symbol_name(const void *pc, char *text, size_t size);

#endif
