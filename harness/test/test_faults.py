"""End to end: what the driver does when the machine does not co-operate, and when it is killed."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import time

import pytest
from driver import (BINARY, CLONE_THREAD, MISBEHAVE, SHORT, alive, children_of, deny, interrupt,
                    lines, one_clear_line, samples, start, threadlab)

LONG = ("--preset", "quick", "--bench", "floor.syscall,floor.clock", "--rounds", "60", "--budget",
        "10s", "--seed", "1")


def wait_for_records(path, n):
    """Polls until the record has n lines: the only clock here is a generous deadline."""
    for _ in range(3000):
        try:
            if path.read_bytes().count(b"\n") >= n:
                return
        except OSError:
            pass
        time.sleep(0.01)
    raise AssertionError(f"{path} never had {n} lines")


def all_gone(pids):
    for _ in range(1000):
        if not any(alive(p) for p in pids):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_is_readable_and_resumes(tmp_path, number):
    path = tmp_path / "run.jsonl"
    tmp = tmp_path / "run.jsonl.tmp"
    driver = start("run", "--out", path, *LONG)
    wait_for_records(tmp, 5)
    _, stderr = interrupt(driver, number)
    assert driver.returncode == 128 + number
    assert f"--resume {tmp}" in stderr
    record = lines(tmp)
    assert record[-1]["type"] == "end" and record[-1]["complete"] is False
    assert number.name in record[-1]["reason"]
    before = [s for s in record if s["type"] == "sample"]
    result = threadlab("run", "--resume", tmp, timeout=300)
    assert result.returncode == 0, result.stderr
    assert not tmp.exists()
    assert samples(path)[:len(before)] == before, "what was measured stays as it was"
    keys = [(s["key"], s["round"]) for s in samples(path)]
    assert len(keys) == len(set(keys)) == lines(path)[0]["planned"]["records"]
    assert "complete" in one_clear_line(threadlab("run", "--resume", path))


def test_killed_driver_leaves_no_child_and_a_readable_record(tmp_path):
    path = tmp_path / "run.jsonl"
    tmp = tmp_path / "run.jsonl.tmp"
    driver = start("run", "--out", path, "--plugin", MISBEHAVE, "--bench", "test.misbehave",
                   "--set", "how=ok,hang,orphan", "--rounds", "50", "--budget", "60s", "--seed",
                   "5")
    wait_for_records(tmp, 2)
    for _ in range(2000):  # until a cell is under way
        family = children_of(driver.pid)
        cells = [g for c in family for g in [c, *children_of(c)]]
        if len(cells) >= 2:
            break
        time.sleep(0.005)
    driver.kill()
    driver.wait()
    assert all_gone(cells), cells
    torn = tmp.read_bytes() + b'{"type":"sample","torn'
    tmp.write_bytes(torn)
    assert len([line for line in torn.split(b"\n")[:-1] if line]) >= 2
    again = start("run", "--resume", tmp)
    wait_for_records(tmp, torn.count(b"\n") + 3)
    interrupt(again)
    assert all(line["type"] in ("run", "sample", "resume", "end") for line in lines(tmp))


def test_full_disk_keeps_whole_lines(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk]).returncode:
        pytest.skip("cannot mount a small tmpfs here (needs root)")
    try:
        result = threadlab("run", "--out", disk / "run.jsonl", *LONG, timeout=300)
        line = result.stderr.splitlines()[-1]
        assert result.returncode == 2 and "No space left" in line and "--resume" in line
        tmp = disk / "run.jsonl.tmp"
        assert lines(tmp)[0]["type"] == "run" and len(samples(tmp)) > 3
        moved = tmp_path / "run.jsonl.tmp"
        shutil.copy(tmp, moved)
        assert threadlab("run", "--resume", moved, timeout=300).returncode == 0
        assert lines(tmp_path / "run.jsonl")[-1]["complete"] is True
    finally:
        subprocess.run(["umount", disk], check=True)


def test_limits_of_the_process_are_errors_with_their_name(tmp_path):
    def files(n):
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))
    result = threadlab("run", "--out", tmp_path / "a.jsonl", *LONG,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                             (200_000, 200_000)), timeout=300)
    line = result.stderr.splitlines()[-1]
    assert result.returncode == 2 and "File too large" in line and "--resume" in line
    assert len(samples(tmp_path / "a.jsonl.tmp")) > 3
    result = threadlab("run", "--out", tmp_path / "b.jsonl", *LONG, preexec_fn=files(5))
    assert result.returncode == 2 and "Too many open files" in result.stderr


def test_results_that_cannot_be_written(tmp_path):
    result = threadlab("run", "--bench", "floor.syscall", "--out", "/proc/nowhere/run.jsonl",
                       *SHORT)
    assert "cannot write" in one_clear_line(result)
    readonly = tmp_path / "readonly"
    readonly.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", readonly]).returncode:
        pytest.skip("cannot mount a read-only tmpfs here (needs root)")
    try:
        result = threadlab("run", "--bench", "floor.syscall", *SHORT, cwd=readonly)
        assert "Read-only" in one_clear_line(result)
    finally:
        subprocess.run(["umount", readonly], check=True)


def test_perf_forbidden_is_a_reason_not_a_zero(tmp_path):
    path = tmp_path / "run.jsonl"
    result = threadlab("run", "--out", path, "--bench", "floor.syscall", *SHORT,
                       preexec_fn=deny(("perf_event_open", errno.EACCES)))
    assert result.returncode == 0, result.stderr
    header = lines(path)[0]
    assert all(not e["available"] and e["reason"] for e in header["events"])
    for sample in samples(path):
        assert sample["status"] == "ok"
        assert all(c["value"] is None and c["reason"] for c in sample["counters"])


@pytest.mark.parametrize("impl", ["nptl", "clone"])
def test_no_more_kernel_threads_is_an_error_with_its_name(tmp_path, impl):
    path = tmp_path / "run.jsonl"
    result = threadlab("run", "--out", path, "--impl", impl, "--bench", "create.join", "--preset",
                       "quick", *SHORT,
                       preexec_fn=deny(("clone3", errno.ENOSYS),
                                       ("clone", errno.EAGAIN, CLONE_THREAD)))
    assert result.returncode == 1, result.stderr
    for sample in samples(path):
        assert sample["status"] == "failed"
        assert "create" in sample["reason"] and os.strerror(errno.EAGAIN) in sample["reason"]


def test_one_allowed_cpu(tmp_path):
    path = tmp_path / "run.jsonl"
    cpu = min(os.sched_getaffinity(0))
    result = threadlab("run", "--out", path, "--impl", "nptl", "--bench", "switch.sem", "--place",
                       "same-pu", "--place", "shared-l3", "--place", "spread", *SHORT,
                       preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
    assert result.returncode == 0, result.stderr
    assert lines(path)[0]["cpus"]["allowed"] == [cpu]
    status = {s["place"]["policy"]: s["status"] for s in samples(path)}
    assert status["same-pu"] == "ok"
    assert status["shared-l3"] == status["spread"] == "unsupported"


def test_without_proc(tmp_path):
    script = f"mount -t tmpfs none /proc && exec {BINARY} run --out {tmp_path}/run.jsonl " \
             f"--impl null --bench create.join,floor.syscall --preset quick {' '.join(SHORT)}"
    result = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
    if "unshare failed" in result.stderr or "mount" in result.stderr:
        pytest.skip("cannot make a mount namespace here (needs root)")
    assert result.returncode == 0, result.stderr
    assert all(s["status"] == "ok" for s in samples(tmp_path / "run.jsonl"))
    assert lines(tmp_path / "run.jsonl")[0]["unknown"], "what /proc would have said has a reason"
