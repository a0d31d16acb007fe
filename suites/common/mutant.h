/*
 * mutant.h - registration of a mutant in one statement.
 */
#ifndef SUITES_MUTANT_H
#define SUITES_MUTANT_H

#include "check.h"

#define MUTANT(symbol, title, what, victims, impls, function)   \
    static const struct tl_mutant symbol = {.abi = TL_ABI,      \
                                            .name = title,      \
                                            .fault = what,      \
                                            .kills = victims,   \
                                            .of = impls,        \
                                            .apply = function}; \
    TL_MUTANT_OF(symbol)

#endif
