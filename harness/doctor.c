/* doctor.c - see doctor.h: runs the rules and sorts what they found. */
#include "doctor_rules.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *doctor_state_name(enum doctor_state state)
{
    static const char *const names[] = {"warn", "unknown", "good"};

    return names[state];
}

static void set(struct doctor_finding *f, enum doctor_state state, const char *format, va_list args)
{
    f->state = state;
    vsnprintf(f->text, sizeof(f->text), format, args);
}

void doctor_good(struct doctor_finding *f, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set(f, DOCTOR_GOOD, format, args);
    va_end(args);
}

void doctor_warn(struct doctor_finding *f, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set(f, DOCTOR_WARN, format, args);
    va_end(args);
}

void doctor_unknown(struct doctor_finding *f, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set(f, DOCTOR_UNKNOWN, format, args);
    va_end(args);
}

const struct env_fact *doctor_known(const struct doctor_input *in, const char *group,
                                    const char *key)
{
    const struct env_fact *fact = env_find(in->env, group, key);

    return fact && fact->known ? fact : NULL;
}

const struct env_fact *doctor_fact(const struct doctor_input *in, struct doctor_finding *f,
                                   const char *group, const char *key)
{
    const struct env_fact *fact = env_find(in->env, group, key);

    if (fact && fact->known)
        return fact;
    doctor_unknown(f, "%s.%s: %s", group, key, fact ? fact->reason : "was not read");
    return NULL;
}

bool doctor_virtual(const struct doctor_input *in)
{
    const struct env_fact *fact = doctor_known(in, "cpu", "hypervisor");

    return fact && strcmp(fact->text, "none") != 0;
}

void doctor_switch(const struct doctor_input *in, struct doctor_finding *f, const char *group,
                   const char *key, const char *path, int good)
{
    const struct env_fact *fact = doctor_fact(in, f, group, key);

    if (!fact)
        return;
    if (fact->number == good) {
        doctor_good(f, "%s is %d", path, good);
        return;
    }
    doctor_warn(f, "%s is %lld", path, (long long)fact->number);
    doctor_say(f->command, "echo %d | sudo tee %s", good, path);
    doctor_say(f->undo, "echo %lld | sudo tee %s", (long long)fact->number, path);
}

int doctor_judge(const struct doctor_input *in, struct doctor_finding *findings)
{
    const struct doctor_rule *const tables[] = {doctor_load_rules, doctor_cpu_rules,
                                                doctor_kernel_rules};
    struct doctor_finding found[DOCTOR_MAX];
    int n = 0, sorted = 0;

    memset(found, 0, sizeof(found));
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
        for (const struct doctor_rule *rule = tables[t]; rule->name; rule++) {
            struct doctor_finding *f = &found[n++];

            assert(n <= DOCTOR_MAX);
            f->name = rule->name;
            /* A rule that says nothing is a defect, and never reads as good. */
            f->state = DOCTOR_UNKNOWN;
            rule->judge(in, f);
            if (f->state != DOCTOR_WARN)
                f->cost[0] = f->command[0] = f->undo[0] = '\0';
            if (f->state == DOCTOR_GOOD)
                f->remedy[0] = '\0';
        }
    for (enum doctor_state state = DOCTOR_WARN; state <= DOCTOR_GOOD; state++)
        for (int i = 0; i < n; i++)
            if (found[i].state == state)
                findings[sorted++] = found[i];
    return n;
}
