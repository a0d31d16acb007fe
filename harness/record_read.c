/* record_read.c - reads an interrupted record back, for --resume. See record.h. */
#include "record_json.h"
#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? strdup(text) : NULL;
}

static uint64_t u64_of(json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static void list_of(json_t *object, const char *key, struct cli_list *list)
{
    json_t *array = json_object_get(object, key);
    size_t n = json_array_size(array);
    for (list->n = 0; list->n < n && list->n < CLI_LIST; list->n++) {
        const char *text = json_string_value(json_array_get(array, list->n));
        list->items[list->n] = strdup(text ? text : "");
    }
}

static void sets_of(json_t *sets, struct request *q)
{
    const char *name;
    json_t *values;
    json_object_foreach (sets, name, values) {
        char joined[1024] = "";
        for (size_t i = 0; i < json_array_size(values); i++) {
            const char *value = json_string_value(json_array_get(values, i));
            size_t used = strlen(joined);
            snprintf(joined + used, sizeof joined - used, "%s%s", i ? "," : "", value ? value : "");
        }
        if (q->nsets < CLI_LIST)
            q->sets[q->nsets++] = (struct cli_set){strdup(name), strdup(joined)};
    }
}

static int read_header(json_t *o, struct request *q, struct record_run *run, int *rounds,
                       uint64_t *budget_ns, char *error, size_t size)
{
    json_t *schema = json_object_get(o, "schema"), *request = json_object_get(o, "request");
    const char *type = json_string_value(json_object_get(o, "type"));
    const char *name = json_string_value(json_object_get(schema, "name"));
    json_int_t major = json_integer_value(json_object_get(schema, "major"));
    if (!type || strcmp(type, "run") != 0 || !name || strcmp(name, RECORD_SCHEMA) != 0) {
        snprintf(error, size, "does not begin with the header of a threadlab record");
        return EINVAL;
    }
    if (major != RECORD_MAJOR) {
        snprintf(error, size, "is of schema version %lld; this driver knows %d", (long long)major,
                 RECORD_MAJOR);
        return EINVAL;
    }
    bool dry_run = q->dry_run, json = q->json;
    const char *resume = q->resume;
    memset(q, 0, sizeof *q);
    q->verb = CLI_RUN;
    q->dry_run = dry_run;
    q->json = json;
    q->resume = resume;
    const char *preset = json_string_value(json_object_get(o, "preset"));
    q->preset = PRESET_STANDARD;
    for (int i = PRESET_QUICK; preset && i <= PRESET_FULL; i++)
        if (strcmp(preset, cli_preset_name((enum cli_preset)i)) == 0)
            q->preset = (enum cli_preset)i;
    q->seed = u64_of(o, "seed");
    q->seed_given = true;
    q->ops = u64_of(o, "ops");
    const char *counts = json_string_value(json_object_get(o, "counts"));
    q->callgrind = counts && strcmp(counts, "callgrind") == 0;
    list_of(request, "impl", &q->impls);
    list_of(request, "bench", &q->benches);
    list_of(request, "place", &q->places);
    list_of(request, "events", &q->events);
    list_of(request, "plugins", &q->plugins);
    sets_of(json_object_get(request, "set"), q);

    char *id = text_of(o, "run"), *host = text_of(o, "host");
    snprintf(run->id, sizeof run->id, "%s", id ? id : "");
    snprintf(run->host, sizeof run->host, "%s", host ? host : "");
    free(id);
    free(host);
    run->started_unix_ns = u64_of(o, "started_unix_ns");
    *rounds = (int)u64_of(o, "rounds");
    *budget_ns = u64_of(o, "budget_ns");
    if (!run->id[0] || *rounds < 1 || *rounds > 1000) {
        snprintf(error, size, "has a header without run or rounds");
        return EINVAL;
    }
    json_t *events = json_object_get(o, "events");
    for (size_t i = 0; i < json_array_size(events) && i < PMU_MAX_EVENTS; i++) {
        json_t *e = json_array_get(events, i);
        char *event = text_of(e, "event"), *reason = text_of(e, "reason");
        snprintf(run->events[i].event, sizeof run->events[i].event, "%s", event ? event : "");
        snprintf(run->events[i].reason, sizeof run->events[i].reason, "%s", reason ? reason : "");
        free(event);
        free(reason);
        run->nevents++;
    }
    char sha256[65] = "";
    const char *old = json_string_value(json_object_get(json_object_get(o, "build"), "sha256"));
    if (env_sha256("/proc/self/exe", sha256) == 0 && old && strcmp(old, sha256) != 0) {
        snprintf(
            error, size,
            "was measured by another build (sha256 %.12s..., this one is %.12s...): numbers of "
            "two builds do not go into one run",
            old, sha256);
        return EINVAL;
    }
    return 0;
}

/* Reads whole lines; what stands behind the last newline was torn off and is cut. */
static int read_lines(struct record *r, struct request *q, struct record_run *run, int *rounds,
                      uint64_t *budget_ns, char *error, size_t size)
{
    FILE *f = fopen(r->path, "r");
    char *line = NULL;
    size_t capacity = 0, number = 0;
    ssize_t n;
    int e = 0;
    if (!f) {
        snprintf(error, size, "cannot be read: %s", strerror(errno));
        return errno;
    }
    r->past = json_array();
    while (!e && (n = getline(&line, &capacity, f)) > 0 && line[n - 1] == '\n') {
        number++;
        json_t *o = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        const char *type = json_string_value(json_object_get(o, "type"));
        if (!type) {
            snprintf(error, size, "is damaged: line %zu is not a record", number);
            e = EINVAL;
        } else if (number == 1) {
            e = read_header(o, q, run, rounds, budget_ns, error, size);
        } else if (strcmp(type, "end") == 0 && json_is_true(json_object_get(o, "complete"))) {
            snprintf(error, size, "is complete: there is nothing to resume");
            e = EEXIST;
        } else if (strcmp(type, "sample") == 0) {
            json_array_append(r->past, o);
        }
        json_decref(o);
        r->whole += n;
    }
    if (!e && number == 0) {
        snprintf(error, size, "is empty or holds no whole line");
        e = EINVAL;
    }
    free(line);
    fclose(f);
    return e;
}

struct record *record_reopen(const char *path, struct request *request, struct record_run *run,
                             int *rounds, uint64_t *budget_ns, char *error, size_t size)
{
    char why[400];
    struct record *r = calloc(1, sizeof *r);
    if (!r) {
        snprintf(error, size, "out of memory");
        return NULL;
    }
    snprintf(r->path, sizeof r->path, "%s", path);
    snprintf(r->final_path, sizeof r->final_path, "%s", path);
    size_t n = strlen(r->final_path);
    if (n > 4 && strcmp(r->final_path + n - 4, ".tmp") == 0)
        r->final_path[n - 4] = '\0';
    if (read_lines(r, request, run, rounds, budget_ns, why, sizeof why) != 0) {
        snprintf(error, size, "%s %s", path, why);
        goto fail;
    }
    r->fd = open(path, O_RDWR | O_CLOEXEC);
    if (r->fd < 0 || ftruncate(r->fd, r->whole) || lseek(r->fd, r->whole, SEEK_SET) < 0) {
        snprintf(error, size, "cannot append to %s: %s", path, strerror(errno));
        goto fail;
    }
    return r;
fail:
    json_decref(r->past);
    free(r);
    return NULL;
}

static long find_cell(const struct plan *plan, const char *key)
{
    size_t low = 0, high = plan->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(plan->cells[middle].key, key);
        if (order == 0)
            return (long)middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static enum tl_status status_of(json_t *sample)
{
    const char *name = json_string_value(json_object_get(sample, "status"));
    for (int s = TL_OK; name && s <= TL_TIMEOUT; s++)
        if (strcmp(name, cell_status_name((enum tl_status)s)) == 0)
            return (enum tl_status)s;
    return TL_FAILED;
}

int record_replay(struct record *r, struct tally *tally, char *error, size_t size)
{
    size_t i;
    json_t *o;
    json_array_foreach (r->past, i, o) {
        const char *key = json_string_value(json_object_get(o, "key"));
        const char *why = json_string_value(json_object_get(o, "reason"));
        json_int_t round = json_integer_value(json_object_get(o, "round"));
        long cell = key ? find_cell(tally->plan, key) : -1;
        if (cell < 0 || round < 0 || round >= tally->plan->rounds) {
            snprintf(error, size, "%s holds %s, which today's plan does not have", r->path,
                     key ? key : "a sample without a key");
            return EINVAL;
        }
        struct cell_batch batches[CELL_BATCHES];
        json_t *list = json_object_get(o, "batches");
        int n = 0;
        for (; n < (int)json_array_size(list) && n < CELL_BATCHES; n++) {
            json_t *b = json_array_get(list, (size_t)n);
            batches[n] = (struct cell_batch){u64_of(b, "ns"), u64_of(b, "ops")};
        }
        if (!tally_has(tally, (size_t)cell, (int)round))
            tally_add(tally, (size_t)cell, (int)round, status_of(o),
                      stats_process_value(batches, n), json_is_true(json_object_get(o, "trusted")),
                      why ? why : "");
    }
    json_decref(r->past);
    r->past = NULL;
    return 0;
}
