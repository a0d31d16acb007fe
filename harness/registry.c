/* registry.c - see registry.h. */
#include "registry.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One table: `items` point to the structs, all of which begin with the same two members. */
struct table {
    const void **items;
    size_t n;
};
struct entry {
    unsigned abi;
    const char *name;
};
_Static_assert(offsetof(struct tl_impl, name) == offsetof(struct entry, name), "a common head");
_Static_assert(offsetof(struct tl_bench, name) == offsetof(struct entry, name), "a common head");
_Static_assert(offsetof(struct tl_check, name) == offsetof(struct entry, name), "a common head");
_Static_assert(offsetof(struct tl_mutant, name) == offsetof(struct entry, name), "a common head");

static struct table impls, benches, checks, mutants;

static int by_name(const void *a, const void *b)
{
    const struct entry *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static const void *find(const struct table *table, const char *name)
{
    for (size_t i = 0; i < table->n; i++)
        if (strcmp(((const struct entry *)table->items[i])->name, name) == 0)
            return table->items[i];
    return NULL;
}

/* Each returns the name of the first required member that is absent, or NULL. */
static const char *impl_lacks(const void *item)
{
    const struct tl_impl *impl = item;
    return !impl->model     ? "model"
           : !impl->summary ? "summary"
           : !impl->run     ? "run"
           : !impl->create  ? "create"
           : !impl->join    ? "join"
           : !impl->detach  ? "detach"
           : !impl->yield   ? "yield"
           : !impl->self    ? "self"
                            : NULL;
}

static const char *bench_lacks(const void *item)
{
    const struct tl_bench *bench = item;
    return !bench->title     ? "title"
           : !bench->op      ? "op"
           : !bench->run     ? "run"
           : !bench->verify  ? "verify"
           : !bench->version ? "version"
                             : NULL;
}

static const char *check_lacks(const void *item)
{
    const struct tl_check *check = item;
    return !check->group                    ? "group"
           : !check->promise                ? "promise"
           : !check->source                 ? "source"
           : !check->method                 ? "method"
           : !check->meaning                ? "meaning"
           : !check->run && !check->outside ? "run"
                                            : NULL;
}

static const char *mutant_lacks(const void *item)
{
    const struct tl_mutant *mutant = item;
    return !mutant->fault ? "fault" : !mutant->kills ? "kills" : NULL;
}

struct kind {
    const char *singular, *plural;
    struct table *table;
    const char *(*lacks)(const void *item);
};

static int add(const struct kind *kind, const void *item, char *error, size_t size)
{
    const struct entry *entry = item;
    if (entry->abi != TL_ABI) {
        snprintf(error, size, "%s was built for contract %u, this driver speaks %u", kind->singular,
                 entry->abi, TL_ABI);
        return EPROTO;
    }
    const char *missing = entry->name ? kind->lacks(item) : "name";
    if (missing) {
        snprintf(error, size, "%s %s lacks .%s", kind->singular,
                 entry->name ? entry->name : "(unnamed)", missing);
        return EINVAL;
    }
    if (find(kind->table, entry->name)) {
        snprintf(error, size, "two %s are called %s", kind->plural, entry->name);
        return EEXIST;
    }
    kind->table->items[kind->table->n++] = item;
    return 0;
}

static int add_all(const struct kind *kind, const void *const *begin, const void *const *end,
                   char *error, size_t size)
{
    struct table *table = kind->table;
    size_t n = (size_t)(end - begin);
    const void **grown = realloc(table->items, (table->n + n + 1) * sizeof *grown);
    if (!grown) {
        snprintf(error, size, "out of memory");
        return ENOMEM;
    }
    table->items = grown;
    for (size_t i = 0; i < n; i++) {
        int e = add(kind, begin[i], error, size);
        if (e)
            return e;
    }
    qsort(table->items, table->n, sizeof *table->items, by_name);
    return 0;
}

static int add_module(const struct tl_module *m, char *error, size_t size)
{
    static const struct kind impl = {"implementation", "implementations", &impls, impl_lacks};
    static const struct kind bench = {"benchmark", "benchmarks", &benches, bench_lacks};
    static const struct kind check = {"check", "checks", &checks, check_lacks};
    static const struct kind mutant = {"mutant", "mutants", &mutants, mutant_lacks};
    if (m->abi != TL_ABI) {
        snprintf(error, size, "built for contract %u, this driver speaks %u", m->abi, TL_ABI);
        return EPROTO;
    }
#define ADD(kind, list) \
    add_all(&(kind), (const void *const *)m->list, (const void *const *)m->list##_end, error, size)
    int e = ADD(impl, impls);
    e = e ? e : ADD(bench, benches);
    e = e ? e : ADD(check, checks);
    return e ? e : ADD(mutant, mutants);
#undef ADD
}

int registry_init(char *error, size_t size)
{
    struct tl_module own = tl_module_contents();
    return add_module(&own, error, size);
}

int registry_load(const char *path, char *error, size_t size)
{
    /* A name without a slash would be searched in the library path: a plugin is a file. */
    char with_slash[4096];
    snprintf(with_slash, sizeof with_slash, "%s%s", strchr(path, '/') ? "" : "./", path);
    void *handle = dlopen(with_slash, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        snprintf(error, size, "cannot load plugin: %s", dlerror());
        return ENOENT;
    }
    struct tl_module (*contents)(void);
    *(void **)&contents = dlsym(handle, "tl_module_contents");
    Dl_info where;
    if (!contents || !dladdr(*(void **)&contents, &where) || !where.dli_fname ||
        strcmp(where.dli_fname, with_slash) != 0) {
        snprintf(error, size,
                 "plugin %s registers nothing: it must include impl.h, bench.h or check.h and use "
                 "TL_IMPL, TL_BENCH or TL_CHECK",
                 path);
        return ENOEXEC;
    }
    struct tl_module module = contents();
    char why[256];
    int e = add_module(&module, why, sizeof why);
    if (e)
        snprintf(error, size, "plugin %s: %s", path, why);
    return e;
}

size_t registry_impls(const struct tl_impl *const **list)
{
    *list = (const struct tl_impl *const *)impls.items;
    return impls.n;
}

const struct tl_impl *registry_impl(const char *name)
{
    return find(&impls, name);
}

size_t registry_benches(const struct tl_bench *const **list)
{
    *list = (const struct tl_bench *const *)benches.items;
    return benches.n;
}

const struct tl_bench *registry_bench(const char *name)
{
    return find(&benches, name);
}

size_t registry_checks(const struct tl_check *const **list)
{
    *list = (const struct tl_check *const *)checks.items;
    return checks.n;
}

const struct tl_check *registry_check(const char *name)
{
    return find(&checks, name);
}

size_t registry_mutants(const struct tl_mutant *const **list)
{
    *list = (const struct tl_mutant *const *)mutants.items;
    return mutants.n;
}

const struct tl_mutant *registry_mutant(const char *name)
{
    return find(&mutants, name);
}

static unsigned edit_distance(const char *a, const char *b)
{
    unsigned row[64];
    size_t m = strlen(b);
    if (m >= 64 || strlen(a) >= 64)
        return 64;
    for (unsigned j = 0; j <= m; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1]; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= m; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            unsigned least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < least ? change : least;
        }
    }
    return row[m];
}

const char *registry_nearest(const char *word, const char *const *names, size_t n)
{
    unsigned best = (unsigned)strlen(word) / 2 + 1;
    const char *nearest = NULL;
    for (size_t i = 0; i < n; i++) {
        unsigned d = edit_distance(word, names[i]);
        if (d <= best && (!nearest || d < best)) {
            best = d;
            nearest = names[i];
        }
    }
    return nearest;
}
