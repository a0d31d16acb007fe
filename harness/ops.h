/* ops.h - the members of struct tl_impl by name: what an implementation offers. */
#ifndef HARNESS_OPS_H
#define HARNESS_OPS_H

#include "impl.h"

/* Looks up the words of `needs` ("mutex cond.timedwait exit", NULL: none). Returns 0: all are
 * offered; ENOTSUP: the first that is not is copied to missing; EINVAL: there is no such member. */
int ops_missing(const struct tl_impl *impl, const char *needs, char *missing, size_t size);

/* The trait's name in reasons and records: "blocks-alone". Static; NULL after the last. */
const char *ops_trait_name(unsigned bit);

/* Writes why a member, or trait, is not offered: the implementation's own words, or a plain line.
 */
void ops_why_not(const struct tl_impl *impl, const char *what, char *why, size_t size);

#endif
