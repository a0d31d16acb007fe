/* names.h - globs and comma lists: what a request selects. Pure. */
#ifndef HARNESS_NAMES_H
#define HARNESS_NAMES_H

#include "cli.h"

/* One of the globs matches, or there are none. */
bool names_selected(const struct cli_list *globs, const char *name);

/* Each glob has to match one of the n names. Returns 0; EINVAL with one line in error that says
 * what there is: `what` is the kind ("benchmark"), `list` what lists them ("benches"). */
int names_check(const char *what, const char *list, const struct cli_list *globs,
                const char *const *names, size_t n, char *error, size_t size);

/* The word is one of the comma list. */
bool names_in_list(const char *list, const char *word);

#endif
