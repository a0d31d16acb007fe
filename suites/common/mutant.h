/*
 * mutant.h - mutants in one statement each: what changes the table, and the registration.
 */
#ifndef SUITES_MUTANT_H
#define SUITES_MUTANT_H

#include "check.h"

#define EVERYWHERE "nptl clone green"

/* A function for .apply that puts `broken` in the place of a direct member (create, join ...), and
 * keeps the sound table in `sound`, a static struct tl_impl of the file. */
#define MUTANT_APPLY(function, member, broken) \
    static void function(struct tl_impl *impl) \
    {                                          \
        sound = *impl;                         \
        impl->member = broken;                 \
    }

#define MUTANT(symbol, title, what, victims, impls, function)   \
    static const struct tl_mutant symbol = {.abi = TL_ABI,      \
                                            .name = title,      \
                                            .fault = what,      \
                                            .kills = victims,   \
                                            .of = impls,        \
                                            .apply = function}; \
    TL_MUTANT_OF(symbol)

#endif
