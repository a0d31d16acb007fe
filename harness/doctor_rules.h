/*
 * doctor_rules.h - what the doctor_*.c files share; private to them. A rule begins as good without
 * a word, and calls what follows to say more.
 */
#ifndef HARNESS_DOCTOR_RULES_H
#define HARNESS_DOCTOR_RULES_H

#include "doctor.h"

struct doctor_rule {
    const char *name;
    void (*judge)(const struct doctor_input *in, struct doctor_finding *f);
};

/* Each ends with a rule without a name. */
extern const struct doctor_rule doctor_cpu_rules[], doctor_kernel_rules[], doctor_load_rules[];

/* Set the state and the text. */
void doctor_good(struct doctor_finding *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void doctor_warn(struct doctor_finding *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void doctor_unknown(struct doctor_finding *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Fill the other fields: say(f->cost, sizeof f->cost, ...). */
#define doctor_say(field, ...) snprintf(field, sizeof(field), __VA_ARGS__)

/* The known fact, or NULL: then the finding is unknown with the fact's reason. */
const struct env_fact *doctor_fact(const struct doctor_input *in, struct doctor_finding *f,
                                   const char *group, const char *key);
/* The same without a word about one that is not known. */
const struct env_fact *doctor_known(const struct doctor_input *in, const char *group,
                                    const char *key);
bool doctor_virtual(const struct doctor_input *in); /* a hypervisor is known to be there */

/* A rule for a number of the kernel that is best at one value. */
void doctor_switch(const struct doctor_input *in, struct doctor_finding *f, const char *group,
                   const char *key, const char *path, int good);

#endif
