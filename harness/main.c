/* main.c - the driver `threadlab`: picks the verb. Each lives in its own verb_<name>.c. */
#include "cell.h"
#include "registry.h"
#include "verbs.h"

#include <string.h>

int main(int argc, char **argv)
{
    struct request request;
    char error[512];
    if (argc > 1 && (!strcmp(argv[1], "cc") || !strcmp(argv[1], "c++")))
        return verb_cc(argc, argv); /* the arguments are the compiler's */
    cli_parse(argc, argv, &request);
    if (request.verb == CLI_CELL_PROCESS)
        return run_cell(request.cell_fd);
    if (request.verb == CLI_COMPARE || request.verb == CLI_LAB)
        return verb_script(&request);

    if (registry_init(error, sizeof error))
        cli_die("%s", error);
    for (size_t i = 0; i < request.plugins.n; i++)
        if (registry_load(request.plugins.items[i], error, sizeof error))
            cli_die("%s", error);
    switch (request.verb) {
    case CLI_LIST_THINGS:
        return verb_list(&request);
    case CLI_ENV:
        return verb_env(&request);
    case CLI_DOCTOR:
        return verb_doctor(&request);
    case CLI_THREADS:
        return verb_threads(&request);
    case CLI_CHECK:
        return request.torture_ns ? verb_torture(&request) : verb_check(&request);
    case CLI_MUTANTS:
        return verb_mutants(&request);
    case CLI_SERVE:
        return verb_serve(&request);
    default:
        return verb_run(&request);
    }
}
