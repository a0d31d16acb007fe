/*
 * env_read.h - how the env_*.c files read facts; private to them. Each env_*_facts() adds the facts
 * of its groups. A file that cannot be read becomes a fact with a reason; nothing here fails,
 * except for memory: then `failed` is set and later calls do nothing.
 */
#ifndef HARNESS_ENV_READ_H
#define HARNESS_ENV_READ_H

#include "env.h"

#define ENV_LINE 4096 /* longest text of one fact; longer ones are cut */

struct env_reader {
    struct env *env;
    size_t capacity;
    const char *root; /* "" or the directory that stands for "/" */
    bool failed;
};

void env_text(struct env_reader *r, const char *group, const char *key, const char *text);
void env_number(struct env_reader *r, const char *group, const char *key, int64_t number);
void env_flag(struct env_reader *r, const char *group, const char *key, bool flag);
void env_unknown(struct env_reader *r, const char *group, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The file as a string, cut at size - 1, without blanks and newlines at its end. Returns 0 or
 * errno. */
int env_slurp(const struct env_reader *r, const char *path, char *text, size_t size);

/* One fact from the whole of one file. */
void env_file_text(struct env_reader *r, const char *group, const char *key, const char *path);
void env_file_number(struct env_reader *r, const char *group, const char *key, const char *path,
                     int64_t scale);
/* The same, but empty or "(null)" means "none". */
void env_file_list(struct env_reader *r, const char *group, const char *key, const char *path);
/* "always [madvise] never": the word in brackets (or in parentheses). */
bool env_chosen(const char *text, char *word, size_t size);

void env_cpu_facts(struct env_reader *r);    /* cpu, frequency, mitigations */
void env_kernel_facts(struct env_reader *r); /* kernel, memory, isolation, process */
void env_limits_facts(struct env_reader *r); /* limits */
void env_build_facts(struct env_reader *r);  /* build, libc, libraries, scheduler, host */

#endif
