/* record_json.h - what the record*.c files share: the schema's version, small JSON builders. */
#ifndef HARNESS_RECORD_JSON_H
#define HARNESS_RECORD_JSON_H

#include "record.h"

#include <jansson.h>
#include <sys/types.h>

#define RECORD_SCHEMA "threadlab"
#define RECORD_MAJOR 1 /* a reader refuses another */
#define RECORD_MINOR 4 /* fields were added: a reader ignores what it does not know */

/* Invariant: the file holds whole lines in [0, whole) and nothing behind. (Standard output: fd 1,
 * which nothing is cut back in.) */
struct record {
    int fd;
    off_t whole;
    char path[4096], final_path[4096]; /* as it is called now, and in the end */
    json_t *past; /* of a reopened record: array of its samples, until replayed */
};

/* Each returns a new reference. Empty or NULL text, and a number that is not finite, give null. */
json_t *json_strings(char *const *items, size_t n);
json_t *json_text(const char *text);
json_t *json_u64(uint64_t value);
json_t *json_number(double value);
json_t *json_ints(const int *values, int n);
json_t *json_values(const struct cell_value *values, int n);
json_t *json_time(uint64_t unix_ns);
json_t *json_cell(const struct cell_spec *cell); /* as planned */
json_t *json_env(const struct env *env, json_t *unknown);
json_t *json_bench(const struct tl_bench *bench);
json_t *json_impl(const struct tl_impl *impl);
json_t *json_check(const struct tl_check *check);
json_t *json_checks(const struct check_plan *plan);   /* those of the plan, by name */
json_t *json_verdicts(const struct check_plan *plan); /* how many of each status */
json_t *json_by_status(const struct tally *tally);
json_t *json_aa(const struct tally *tally); /* both: NULL where only checks were made */

/* Writes one line and takes the reference to it. Returns 0 or the error of write(2). */
int record_write(struct record *record, json_t *line);

#endif
