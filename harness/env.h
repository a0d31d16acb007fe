/*
 * env.h - what a number depends on besides the code: machine, kernel, mitigations, frequency
 * policy, limits, compiler, revision.
 *
 * Each fact is a key and a value; what could not be read has no value but a reason, which names
 * the file or call. The keys are the names in the record (results/schema).
 */
#ifndef HARNESS_ENV_H
#define HARNESS_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum env_type { ENV_TEXT, ENV_NUMBER, ENV_FLAG };

struct env_fact {
    const char *group; /* "cpu", "kernel", "memory", "limits", "build", "scheduler", ... */
    const char *key;   /* "model", "microcode", ...; unique within the group */
    enum env_type type;
    char *text;     /* ENV_TEXT */
    int64_t number; /* ENV_NUMBER (unit in the key: _bytes, _ns, _hz) and ENV_FLAG (0, 1) */
    bool known;     /* false: reason says why there is no value */
    char reason[120];
};

struct env {
    struct env_fact *facts;
    size_t n;
};

/* Reads everything; a missing file is a fact without a value. Returns 0 or ENOMEM. */
int env_collect(struct env *env);
/* The same with the files below the directory `root` instead of "/"; for tests. */
int env_collect_at(struct env *env, const char *root);
void env_free(struct env *env);

/* The fact, or NULL. */
const struct env_fact *env_find(const struct env *env, const char *group, const char *key);

/* The emulator that this runs in, as scripts/lab describes it, or NULL: then times mean nothing,
 * and counts of instructions repeat. */
const char *env_emulated(void);

/* "0-3,8", as the kernel writes CPUs: puts the first `max` into cpus and returns how many there
 * are; "none" and "" have none; -1 if it is no list. */
int env_list_cpus(const char *list, int *cpus, int max);

/* SHA-256 of a file as 64 hex digits (libmd). Returns 0 or the error number of reading it. */
int env_sha256(const char *path, char hex[65]);

#endif
