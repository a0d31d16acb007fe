/* registry.c - see registry.h. */
#include "registry.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct tl_impl **all_impls;
static const struct tl_bench **all_benches;
static size_t nimpls, nbenches;

static int by_impl_name(const void *a, const void *b)
{
    const struct tl_impl *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int by_bench_name(const void *a, const void *b)
{
    const struct tl_bench *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int check_impl(const struct tl_impl *impl, char *error, size_t size)
{
    const char *missing = !impl->name      ? "name"
                          : !impl->model   ? "model"
                          : !impl->summary ? "summary"
                          : !impl->run     ? "run"
                          : !impl->create  ? "create"
                          : !impl->join    ? "join"
                          : !impl->detach  ? "detach"
                          : !impl->yield   ? "yield"
                          : !impl->self    ? "self"
                                           : NULL;
    if (impl->abi != TL_ABI) {
        snprintf(error, size, "implementation was built for contract %u, this driver speaks %u",
                 impl->abi, TL_ABI);
        return EPROTO;
    }
    if (missing) {
        snprintf(error, size, "implementation %s lacks .%s", impl->name ? impl->name : "(unnamed)",
                 missing);
        return EINVAL;
    }
    if (registry_impl(impl->name)) {
        snprintf(error, size, "two implementations are called %s", impl->name);
        return EEXIST;
    }
    return 0;
}

static int check_bench(const struct tl_bench *bench, char *error, size_t size)
{
    const char *missing = !bench->name      ? "name"
                          : !bench->title   ? "title"
                          : !bench->op      ? "op"
                          : !bench->run     ? "run"
                          : !bench->verify  ? "verify"
                          : !bench->version ? "version"
                                            : NULL;
    if (bench->abi != TL_ABI) {
        snprintf(error, size, "benchmark was built for contract %u, this driver speaks %u",
                 bench->abi, TL_ABI);
        return EPROTO;
    }
    if (missing) {
        snprintf(error, size, "benchmark %s lacks .%s", bench->name ? bench->name : "(unnamed)",
                 missing);
        return EINVAL;
    }
    if (registry_bench(bench->name)) {
        snprintf(error, size, "two benchmarks are called %s", bench->name);
        return EEXIST;
    }
    return 0;
}

static int add_module(const struct tl_module *module, char *error, size_t size)
{
    size_t ni = (size_t)(module->impls_end - module->impls);
    size_t nb = (size_t)(module->benches_end - module->benches);
    if (module->abi != TL_ABI) {
        snprintf(error, size, "built for contract %u, this driver speaks %u", module->abi, TL_ABI);
        return EPROTO;
    }
    const struct tl_impl **impls = realloc(all_impls, (nimpls + ni + 1) * sizeof *impls);
    if (impls)
        all_impls = impls;
    const struct tl_bench **benches = realloc(all_benches, (nbenches + nb + 1) * sizeof *benches);
    if (benches)
        all_benches = benches;
    if (!impls || !benches) {
        snprintf(error, size, "out of memory");
        return ENOMEM;
    }
    for (size_t i = 0; i < ni; i++) {
        int e = check_impl(module->impls[i], error, size);
        if (e)
            return e;
        all_impls[nimpls++] = module->impls[i];
    }
    for (size_t i = 0; i < nb; i++) {
        int e = check_bench(module->benches[i], error, size);
        if (e)
            return e;
        all_benches[nbenches++] = module->benches[i];
    }
    qsort(all_impls, nimpls, sizeof *all_impls, by_impl_name);
    qsort(all_benches, nbenches, sizeof *all_benches, by_bench_name);
    return 0;
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
        snprintf(
            error, size,
            "plugin %s registers nothing: it must include impl.h or bench.h and use TL_IMPL or "
            "TL_BENCH",
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

size_t registry_impls(const struct tl_impl *const **impls)
{
    *impls = all_impls;
    return nimpls;
}

size_t registry_benches(const struct tl_bench *const **benches)
{
    *benches = all_benches;
    return nbenches;
}

const struct tl_impl *registry_impl(const char *name)
{
    for (size_t i = 0; i < nimpls; i++)
        if (strcmp(all_impls[i]->name, name) == 0)
            return all_impls[i];
    return NULL;
}

const struct tl_bench *registry_bench(const char *name)
{
    for (size_t i = 0; i < nbenches; i++)
        if (strcmp(all_benches[i]->name, name) == 0)
            return all_benches[i];
    return NULL;
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
