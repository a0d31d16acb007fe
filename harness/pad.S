/*
 * pad.S - TL_PAD bytes in front of all code and data: `make pads` links the same objects behind
 * several of them. A difference between two builds that comes and goes with it comes from where the
 * code lies, not from what it does (Mytkowicz et al. 2009, "Producing Wrong Data Without Doing
 * Anything Obviously Wrong!"). Nothing of it is ever run or read.
 */
#ifndef TL_PAD
#define TL_PAD 0
#endif
    .text
    .skip TL_PAD
    .data
    .skip TL_PAD
    .section .note.GNU-stack, "", %progbits
