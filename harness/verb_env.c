/* verb_env.c - `threadlab env`: what a number depends on here, and what could not be read. */
#include "env.h"
#include "record.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

int verb_env(const struct request *request)
{
    struct env env;
    const char *group = "";
    if (env_collect(&env))
        cli_die("out of memory");
    if (request->json) {
        record_print_env(&env);
        env_free(&env);
        return 0;
    }
    for (size_t i = 0; i < env.n; i++) {
        const struct env_fact *f = &env.facts[i];
        if (strcmp(group, f->group) != 0)
            printf("%s%s\n", i ? "\n" : "", f->group);
        group = f->group;
        printf("  %-26s ", f->key);
        if (!f->known)
            printf("unknown: %s\n", f->reason);
        else if (f->type == ENV_TEXT)
            printf("%s\n", f->text);
        else if (f->type == ENV_FLAG)
            puts(f->number ? "yes" : "no");
        else
            printf("%lld\n", (long long)f->number);
    }
    env_free(&env);
    return 0;
}
