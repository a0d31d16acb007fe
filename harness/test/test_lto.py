"""errno and _Thread_local across a switch, compiled at -O3 -flto together with the library.

A compiler may remember where a thread-local variable lies: the C library even declares the function
that finds errno `const`. In one unit with the library, link-time optimised, nothing hides a switch
from it. The program below is the library and a check in one; a broken one of it, whose lwp_self()
is declared const as well, must fail.
"""

import os
import re
import shlex
import subprocess

import pytest

import driver
from driver import threadlab

CC = shlex.split(os.environ.get("CC", "gcc"))
FLAGS = ["-std=gnu11", "-O3", "-flto", "-shared", "-fPIC", "-D_GNU_SOURCE=", "-g"]

LIBRARY = r"""
#define USER_NAME "%(name)s"
#define USER_MODEL "M:%(model)s"
#define USER_SUMMARY "the library, in one unit with the check"
#define USER_UCONTEXT 0
#define USER_MN %(mn)d
#define USER_LIKELY(x) __builtin_expect(!!(x), 1)
#define USER_UNLIKELY(x) __builtin_expect(!!(x), 0)
#include "impl.h"
#include "inject.h"
#ifdef CACHED
#define lwp_self lwp_self_asked
#include "../impls/user/types.h"
#undef lwp_self
static __attribute__((const, noinline)) struct lwp *lwp_self(void)
{
    return lwp_self_asked();
}
#endif
#include "../impls/user/user.h"
USER_IMPL(lto_impl);
#define YIELD() user_yield()
"""

CHECK = r"""
#include "check.h"
#include <errno.h>
#include <stdatomic.h>

#ifndef YIELD
#define YIELD() ctx->impl->yield()
#endif
#define THREADS 6
#define TURNS 20000

static struct tl_ctx *ctx;
static _Thread_local unsigned long own, other;
static _Atomic unsigned born;
static _Atomic int all;

/* All in one function: the compiler may keep each address in a register over the switch. */
static void *turn(void *arg)
{
    unsigned long me = (unsigned long)(uintptr_t)arg;

    if (atomic_fetch_add(&born, 1) == THREADS - 1)
        atomic_store(&all, 1);
    if (!tl_await(ctx, &all, "all threads"))
        return arg;
#ifdef PRIVATE
    own = me;
    other = ~me;
#endif
    for (unsigned i = 0; i < TURNS; i++) {
        if (i % 16 == 0)
            tl_spin_ns(20000); /* who waits meanwhile is stolen */
        errno = (int)(me * TURNS + i);
        YIELD();
        if (errno != (int)(me * TURNS + i)) {
            int is = errno;
            TL_EXPECT(ctx, false, "thread %lu, turn %u: errno is %d", me, i, is);
            return arg;
        }
#ifdef PRIVATE
        own += i;
        YIELD();
        own -= i;
        if (own != me || other != ~me) {
            TL_EXPECT(ctx, false, "thread %lu, turn %u: its variables are %lu, %lu", me, i, own,
                      ~other);
            return arg;
        }
#endif
    }
    return arg;
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t[THREADS];
    unsigned made = 0;

    ctx = c;
    /* Not where a worker belongs: they may go from one kernel thread to another. */
    while (made < THREADS &&
           TL_CALL(c, c->impl->create(&t[made], NULL, turn, (void *)(uintptr_t)(made + 1))))
        made++;
    while (made)
        tl_finish(c, t[--made]);
    return tl_verdict(c);
}

static const struct tl_check lto = {
    .abi = TL_ABI,
    .name = "lto.private",
    .group = "Private",
    .promise = "what is a thread's own stays so, whatever the compiler remembers",
    .source = "C11 6.2.4, 7.5",
    .method = "six threads take turns in one function",
    .meaning = "nothing is hidden from the compiler",
    .deadline_s = 60,
    .run = run,
};
TL_CHECK(lto);
"""


def build(folder, *defines, library=None):
    """The plugin; skips where the compiler cannot."""
    source, plugin = folder / "lto.c", folder / "lto.so"
    source.write_text((LIBRARY % library if library else "") + CHECK)
    result = subprocess.run([*CC, *FLAGS, *defines, f"-I{driver.ROOT / 'harness'}", "-o", plugin,
                             source], capture_output=True, text=True)
    if result.returncode and re.search(r"lto.*(not|un)supported|plugin needed", result.stderr):
        pytest.skip("this compiler has no link-time optimisation")
    assert result.returncode == 0, result.stderr
    return plugin


def check(plugin, impl, *more):
    result = threadlab("check", "--plugin", plugin, "--impl", impl, "lto.private", *more)
    return result.returncode, result.stdout


GREEN = {"name": "green-lto", "model": "1", "mn": 0}
HYBRID = {"name": "hybrid-lto", "model": "N", "mn": 1}


@pytest.mark.parametrize("impl, defines, sets", [
    ("nptl", ["-DPRIVATE"], []),
    ("clone", ["-DPRIVATE"], []),
    ("green", [], ["tls=errno"]),
    ("green", ["-DPRIVATE"], ["tls=full"]),
    ("hybrid", [], ["tls=errno", "lwps=1"]),
    ("hybrid", ["-DPRIVATE"], ["tls=full", "lwps=2"]),
])
def test_check_alone(tmp_path, impl, defines, sets):
    plugin = build(tmp_path, *defines)
    status, text = check(plugin, impl, *(word for s in sets for word in ("--set", s)))
    assert status == 0, text


@pytest.mark.parametrize("library, defines, sets", [
    (GREEN, [], ["tls=errno"]),
    (GREEN, ["-DPRIVATE"], ["tls=full"]),
    (HYBRID, [], ["tls=errno", "lwps=1"]),
    (HYBRID, ["-DPRIVATE"], ["tls=full", "lwps=2"]),
    (HYBRID, ["-DPRIVATE"], ["tls=full", "lwps=4"]),
])
def test_in_one_unit_with_the_library(tmp_path, library, defines, sets):
    plugin = build(tmp_path, *defines, library=library)
    status, text = check(plugin, library["name"], *(w for s in sets for w in ("--set", s)))
    assert status == 0, text


def caught(plugin, impl, *more):
    """Whether one of some runs fails: in which a thread goes to another LWP at the wrong moment."""
    return any(check(plugin, impl, *more, "--set", "lwps=2", "--deadline", "5s", "--seed", seed)[0]
               for seed in range(20))


def test_a_remembered_lwp_is_caught(tmp_path):
    """The mutant: the compiler may take the LWP of before a switch for the one behind it."""
    plugin = build(tmp_path, "-DPRIVATE", "-DCACHED", library=HYBRID)
    assert caught(plugin, HYBRID["name"], "--set", "tls=full")


def test_a_remembered_errno_is_caught(tmp_path):
    """With tls=errno the C library's errno is the LWP's, and where it lies is remembered: that is
    what tls=full is for."""
    assert caught(build(tmp_path), "hybrid", "--set", "tls=errno")
