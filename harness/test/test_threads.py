"""What is told of the threads of a cell: when asked, at its deadline, when a stack overflows."""

import os
import re
import time

import pytest

import driver
from driver import threadlab

PLUGIN = driver.PLUGINS / "threads.so"
ROW = re.compile(r"^(\d+) +(\S+) +(\S+) +(\S+) +(\S+)/(\S+) +(\S+)$", re.M)


def rows(text):
    """{name: (state, lwp, place)} of the rows of a table."""
    return {m[2]: (m[3], m[4], m[7]) for m in ROW.finditer(text)}


def stuck(impl, *more):
    return ("check", "--plugin", PLUGIN, "--impl", impl, "threads.stuck", *more)


def cell_of(process):
    """The PID of the driver's cell, once its threads are all there."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for pid in driver.children_of(process.pid):
            answer = threadlab("threads", pid)
            if "waiter" in answer.stdout and answer.stdout.count("locker") == 2:
                return pid
        time.sleep(0.05)
    raise AssertionError("the cell has not come to its wait")


@pytest.mark.parametrize("impl,waits,function",
                         [("green", ("mutex", "sem"), ("mutex_wait", "park")),
                          ("ucontext", ("mutex", "sem"), ""),
                          ("clone", ("sleeping", "sleeping"), "")])
def test_asked_while_it_runs(impl, waits, function):
    process = driver.start(*stuck(impl))
    try:
        pid = cell_of(process)
        result = threadlab("threads", pid)
        assert result.returncode == 0, result.stderr
        table = rows(result.stdout)
        assert table["locker-1"][0] == table["locker-2"][0] == waits[0]
        assert table["waiter"][0] == waits[1]
        assert table["locker-1"][2].startswith(function)
        lines = result.stdout.splitlines()
        assert lines[0] == f"{impl}, threads.stuck, pid {pid}"
        assert lines[1].startswith("in the check: waiting for ever; interrupted in ")
        assert lines[-1].startswith("4 threads: ")
        assert max(map(len, lines)) <= 80
        assert pid in [int(p) for p in re.findall(r"pid (\d+)$", threadlab("threads").stdout, re.M)]
        assert driver.alive(pid), "it goes on"
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_sum_at_the_deadline():
    result = threadlab(*stuck("green", "--deadline", "1s"))
    assert result.returncode == 1
    assert re.search(r"still in the check \(waiting for ever\) after 1.0 s; "
                     r"4 threads: [^\n]*2 mutex[^\n]*", result.stdout), result.stdout
    table = rows(re.sub(r"^[# ]+", "", result.stdout, flags=re.M))
    assert table["locker-2"][0] == "mutex" and table["waiter"][0] == "sem"


def test_no_table_no_delay():
    result = threadlab(*stuck("nptl", "--deadline", "1s"))
    assert "the C library keeps the list of its threads to itself" in result.stdout


@pytest.mark.parametrize("impl", ["green", "ucontext", "clone"])
def test_overflow_is_named(impl):
    result = threadlab("check", "--plugin", PLUGIN, "--impl", impl, "threads.overflow")
    assert result.returncode == 1
    assert re.search(rf"SIGSEGV in the check: threadlab: stack overflow in {impl} thread \d+ "
                     r"\\?\"diver\\?\": stack 0x[0-9a-f]+-0x[0-9a-f]+, \d+ bytes of guard below, "
                     r"fault at 0x[0-9a-f]+", result.stdout), result.stdout


@pytest.mark.parametrize("pid", [os.getpid(), 0, "x", 2**40, ""])
def test_only_cells_are_asked(pid):
    driver.one_clear_line(threadlab("threads", pid))
