/* verbs.h - one function per verb; each returns the exit status of the process. */
#ifndef HARNESS_VERBS_H
#define HARNESS_VERBS_H

#include "cli.h"

int verb_list(const struct request *request);
int verb_run(struct request *request);
int verb_serve(struct request *request);
int verb_script(const struct request *request); /* compare; run and check --lab */
int verb_check(struct request *request);
int verb_torture(struct request *request); /* check --torture */
int verb_mutants(struct request *request);
int verb_cc(int argc, char **argv); /* cc, c++: argv[1] is the verb */
int verb_env(const struct request *request);
int verb_doctor(const struct request *request);
int verb_threads(const struct request *request);

#endif
