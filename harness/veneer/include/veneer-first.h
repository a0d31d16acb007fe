/*
 * veneer-first.h - comes before all that a program includes, by `threadlab cc`. The checked
 * variants of the C library's functions (__read_chk) would go around the veneer.
 */
#ifndef TL_VENEER_nptl
#undef _FORTIFY_SOURCE
#endif
