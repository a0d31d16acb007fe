/*
 * env.c - see env.h. The facts themselves are in env_cpu.c, env_kernel.c, env_limits.c and
 * env_build.c; here is how they are kept and read. SHA-256 is libmd's (FIPS 180-4).
 */
#include "env_read.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sha256.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A new fact without a value, or NULL when out of memory. */
static struct env_fact *add(struct env_reader *r, const char *group, const char *key)
{
    struct env *env = r->env;
    struct env_fact *fact;

    if (r->failed)
        return NULL;
    if (env->n == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 128;
        struct env_fact *grown = realloc(env->facts, capacity * sizeof(*grown));

        if (!grown)
            goto failed;
        env->facts = grown;
        r->capacity = capacity;
    }
    fact = &env->facts[env->n];
    memset(fact, 0, sizeof(*fact));
    fact->group = group;
    fact->key = strdup(key); /* a mitigation's key is a file's name */
    if (!fact->key)
        goto failed;
    env->n++;
    return fact;
failed:
    r->failed = true;
    return NULL;
}

void env_text(struct env_reader *r, const char *group, const char *key, const char *text)
{
    struct env_fact *fact = add(r, group, key);

    if (!fact)
        return;
    fact->type = ENV_TEXT;
    fact->text = strdup(text);
    fact->known = fact->text;
    r->failed = !fact->text;
    /* One line of plain ASCII: a JSON string must be valid UTF-8. */
    for (char *c = fact->text; c && *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
        else if ((unsigned char)*c > '~')
            *c = '?';
}

void env_number(struct env_reader *r, const char *group, const char *key, int64_t number)
{
    struct env_fact *fact = add(r, group, key);

    if (!fact)
        return;
    fact->type = ENV_NUMBER;
    fact->number = number;
    fact->known = true;
}

void env_flag(struct env_reader *r, const char *group, const char *key, bool flag)
{
    struct env_fact *fact = add(r, group, key);

    if (!fact)
        return;
    fact->type = ENV_FLAG;
    fact->number = flag;
    fact->known = true;
}

void env_unknown(struct env_reader *r, const char *group, const char *key, const char *format, ...)
{
    struct env_fact *fact = add(r, group, key);
    va_list args;

    if (!fact)
        return;
    va_start(args, format);
    vsnprintf(fact->reason, sizeof(fact->reason), format, args);
    va_end(args);
}

int env_slurp(const struct env_reader *r, const char *path, char *text, size_t size)
{
    char full[PATH_MAX];
    size_t used = 0;
    ssize_t n = 0;
    int fd, error;

    text[0] = '\0';
    if (snprintf(full, sizeof(full), "%s%s", r->root, path) >= (int)sizeof(full))
        return ENAMETOOLONG;
    fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    while (used < size - 1 && (n = read(fd, text + used, size - 1 - used)) > 0)
        used += (size_t)n;
    error = n < 0 ? errno : 0;
    close(fd);
    while (used > 0 && (text[used - 1] == '\n' || text[used - 1] == ' ' || !text[used - 1]))
        used--;
    text[used] = '\0';
    return error;
}

void env_file_text(struct env_reader *r, const char *group, const char *key, const char *path)
{
    char text[ENV_LINE];
    int error = env_slurp(r, path, text, sizeof(text));

    if (error)
        env_unknown(r, group, key, "%.80s: %s", path, strerror(error));
    else
        env_text(r, group, key, text);
}

void env_file_list(struct env_reader *r, const char *group, const char *key, const char *path)
{
    char text[ENV_LINE];
    int error = env_slurp(r, path, text, sizeof(text));
    const char *start = text + strspn(text, " ");

    if (error)
        env_unknown(r, group, key, "%.80s: %s", path, strerror(error));
    else
        env_text(r, group, key, *start && strcmp(start, "(null)") ? start : "none");
}

void env_file_number(struct env_reader *r, const char *group, const char *key, const char *path,
                     int64_t scale)
{
    char text[64], *end;
    int error = env_slurp(r, path, text, sizeof(text));
    long long value;

    if (error) {
        env_unknown(r, group, key, "%.80s: %s", path, strerror(error));
        return;
    }
    errno = 0;
    value = strtoll(text, &end, 10);
    if (end == text || errno || value > INT64_MAX / scale || value < INT64_MIN / scale)
        env_unknown(r, group, key, "%.60s: not a number: %.20s", path, text);
    else
        env_number(r, group, key, value * scale);
}

bool env_chosen(const char *text, char *word, size_t size)
{
    const char *open = strpbrk(text, "[("), *close = open ? strpbrk(open, ")]") : NULL;

    if (!close || (size_t)(close - open) > size)
        return false;
    snprintf(word, size, "%.*s", (int)(close - open - 1), open + 1);
    return true;
}

int env_collect_at(struct env *env, const char *root)
{
    struct env_reader r = {.env = env, .root = root};

    *env = (struct env){NULL, 0};
    env_cpu_facts(&r);
    env_kernel_facts(&r);
    env_limits_facts(&r);
    env_build_facts(&r);
    if (!r.failed)
        return 0;
    env_free(env);
    return ENOMEM;
}

int env_collect(struct env *env)
{
    return env_collect_at(env, "");
}

void env_free(struct env *env)
{
    for (size_t i = 0; i < env->n; i++) {
        free((char *)env->facts[i].key);
        free(env->facts[i].text);
    }
    free(env->facts);
    *env = (struct env){NULL, 0};
}

const struct env_fact *env_find(const struct env *env, const char *group, const char *key)
{
    for (size_t i = 0; i < env->n; i++)
        if (strcmp(env->facts[i].group, group) == 0 && strcmp(env->facts[i].key, key) == 0)
            return &env->facts[i];
    return NULL;
}

const char *env_emulated(void)
{
    const char *text = getenv("THREADLAB_EMULATED");

    return text && text[0] ? text : NULL;
}

int env_sha256(const char *path, char hex[65])
{
    unsigned char buffer[65536], digest[SHA256_DIGEST_LENGTH];
    SHA2_CTX context;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;

    hex[0] = '\0';
    if (fd < 0)
        return errno;
    SHA256Init(&context);
    while ((n = read(fd, buffer, sizeof(buffer))) > 0)
        SHA256Update(&context, buffer, (size_t)n);
    if (n < 0)
        error = errno;
    close(fd);
    if (error)
        return error;
    SHA256Final(digest, &context);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return 0;
}
