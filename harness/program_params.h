/*
 * program_params.h - the values of parameters under which a program for <pthread.h> runs, where
 * they are other than an implementation's own: what POSIX says of threads holds with these.
 */
#ifndef HARNESS_PROGRAM_PARAMS_H
#define HARNESS_PROGRAM_PARAMS_H

/* In the form of THREADLAB_PARAMS. An implementation that lacks a name does without. */
#define PROGRAM_PARAMS "tls=full,policy=priority,preempt=cputime"

#endif
