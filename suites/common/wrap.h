/*
 * wrap.h - for mutants: put something around the entry of each thread, boot the implementation with
 * another value of a parameter than it was asked for, or err now and then.
 */
#ifndef SUITES_WRAP_H
#define SUITES_WRAP_H

#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Parts are used by one mutant each. */
#define WRAP_UNUSED __attribute__((unused))

/* True once in n calls or so, by no pattern that threads could follow who take turns. */
static WRAP_UNUSED bool wrap_once_in(unsigned n)
{
    static _Atomic uint64_t calls;
    uint64_t state = calls++;

    return tl_random(&state) % n == 0;
}

struct wrap_start {
    void *(*entry)(void *);
    void *arg;
};

static WRAP_UNUSED struct {
    int (*create)(struct tl_thread *t, const struct tl_attr *attr, void *(*entry)(void *),
                  void *arg);
    void *(*around)(void *(*entry)(void *), void *arg);
    int (*run)(const struct tl_boot *boot, void *(*entry)(void *), void *arg, void **value);
    const struct tl_boot *boot;
    const char *param, *value;
} wrap;

static WRAP_UNUSED void *wrap_entry(void *arg)
{
    struct wrap_start start = *(struct wrap_start *)arg;

    free(arg);
    return wrap.around(start.entry, start.arg);
}

static WRAP_UNUSED int wrap_create(struct tl_thread *t, const struct tl_attr *attr,
                                   void *(*entry)(void *), void *arg)
{
    struct wrap_start *start = malloc(sizeof(*start));
    int err;

    if (!start)
        return EAGAIN;
    *start = (struct wrap_start){entry, arg};
    err = wrap.create(t, attr, wrap_entry, start);
    if (err)
        free(start);
    return err;
}

/* From now on each new thread runs around(entry, arg), which is to call entry(arg). */
static WRAP_UNUSED void wrap_entries(struct tl_impl *impl,
                                     void *(*around)(void *(*entry)(void *), void *arg))
{
    wrap.create = impl->create;
    wrap.around = around;
    impl->create = wrap_create;
}

static WRAP_UNUSED const char *wrap_lie(const struct tl_boot *boot, const char *name)
{
    (void)boot;
    return strcmp(name, wrap.param) ? wrap.boot->param(wrap.boot, name) : wrap.value;
}

static WRAP_UNUSED int wrap_run(const struct tl_boot *boot, void *(*entry)(void *), void *arg,
                                void **value)
{
    struct tl_boot lying = *boot;

    wrap.boot = boot;
    lying.param = wrap_lie;
    return wrap.run(&lying, entry, arg, value);
}

/* The implementation boots as if param=value had been asked for. */
static WRAP_UNUSED void wrap_param(struct tl_impl *impl, const char *param, const char *value)
{
    wrap.run = impl->run;
    wrap.param = param;
    wrap.value = value;
    impl->run = wrap_run;
}

#endif
