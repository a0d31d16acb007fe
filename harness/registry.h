/*
 * registry.h - what is linked in and what plugins have brought: implementations, benchmarks, checks
 * and mutants.
 *
 * Filled once, by registry_init and registry_load, before anything else runs; then read-only.
 */
#ifndef HARNESS_REGISTRY_H
#define HARNESS_REGISTRY_H

#include "check.h"

/* Collects the linked-in tables, sorted by name. Returns 0, or EEXIST/EINVAL/ENOMEM with one line
 * in error (a name used twice, an implementation without a required function). */
int registry_init(char *error, size_t size);

/* Adds a shared object built against impl.h, bench.h and check.h. Returns 0; ENOENT, ENOEXEC (not
 * such an object), EPROTO (another TL_ABI), EEXIST, with one line in error. */
int registry_load(const char *path, char *error, size_t size);

size_t registry_impls(const struct tl_impl *const **impls);
size_t registry_benches(const struct tl_bench *const **benches);
size_t registry_checks(const struct tl_check *const **checks);
size_t registry_mutants(const struct tl_mutant *const **mutants);
const struct tl_impl *registry_impl(const char *name);   /* NULL: none such */
const struct tl_bench *registry_bench(const char *name); /* NULL: none such */

const struct tl_check *registry_check(const char *name);   /* NULL: none such */
const struct tl_mutant *registry_mutant(const char *name); /* NULL: none such */

/* The name among `names` that is nearest to `word` by edit distance (Levenshtein 1966), or NULL
 * when none is near. */
const char *registry_nearest(const char *word, const char *const *names, size_t n);

#endif
