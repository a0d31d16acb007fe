/*
 * threads.h - the process of a cell tells its threads when it is asked by SIGQUIT, as a Java VM
 * does: the implementation's own table, one line a thread, on its standard error.
 *
 * Who asks: `threadlab threads`, and the driver when a cell has come to its deadline (cell.h). Each
 * line begins with CELL_TABLE_MARK, the last one counts the threads by their states. Whoever blocks
 * or handles SIGQUIT itself is not asked.
 */
#ifndef HARNESS_THREADS_H
#define HARNESS_THREADS_H

#include "cell.h"

/* Installs the handler. result: where the process notes what it is at. impl: NULL, none. */
void threads_answer(const struct tl_impl *impl, const struct cell_order *order,
                    const struct cell_result *result);

#endif
