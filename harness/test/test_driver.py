"""End to end: the driver's promises about statuses, plans, records and bad input.

Nothing here looks at how long anything took: a busy neighbour changes no result.
"""

import collections
import gzip
import json
import os
import pathlib
import resource

import jsonschema
import pytest
from driver import (BROKEN, EXAMPLE, MISBEHAVE, ROOT, SHORT, lines, one_clear_line, samples,
                    threadlab)

POLICIES = ["same-pu", "smt", "shared-l2", "shared-l3", "cross-l3", "cross-numa", "cross-package",
            "compact", "spread"]


def run(tmp_path, *args, name="run.jsonl", **options):
    """Runs into tmp_path/name; returns the process and the path."""
    path = tmp_path / name
    return threadlab("run", "--out", path, *args, **options), path


# ---- statuses -----------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def misbehaved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("misbehave")
    result, path = run(folder, "--plugin", MISBEHAVE, "--bench", "test.misbehave", *SHORT)
    assert result.returncode == 1, result.stderr
    return {s["axes"]["how"]: s for s in samples(path)}


@pytest.mark.parametrize("how, status, words", [
    ("ok", "ok", None),
    ("segv", "crashed", "SIGSEGV"),
    ("abort", "crashed", "SIGABRT"),
    ("exit", "failed", "status 3"),
    ("hang", "timeout", "still in warm-up"),
    ("fail", "failed", "pretended error"),
    ("unsupported", "unsupported", "pretended lack"),
    ("silent", "failed", "said no reason"),
    ("no-window", "failed", "without tl_begin"),
    ("invalid", "invalid", "0 of 10 hand-overs"),
])
def test_every_way_to_end_has_its_status(misbehaved, how, status, words):
    sample = misbehaved[how]
    assert sample["status"] == status
    assert (sample["reason"] is None) == (status == "ok")
    if words:
        assert words in sample["reason"]
    assert sample["signal"] == {"segv": "SIGSEGV", "abort": "SIGABRT"}.get(how, sample["signal"])


def test_a_window_that_does_not_grow_is_not_trusted(misbehaved):
    sample = misbehaved["constant"]
    assert sample["status"] == "ok" and sample["trusted"] is False
    assert any("not linear" in reason for reason in sample["distrust"])


def test_a_declared_switch_that_did_not_happen_is_not_trusted(misbehaved):
    sample = misbehaved["lie"]
    assert sample["trusted"] is False
    assert any("context switches per op" in reason for reason in sample["distrust"])
    assert sample["expect"]["switches_per_op"]["min"] == 1


def test_a_thread_that_left_its_pu_is_not_trusted(misbehaved):
    sample = misbehaved["wander"]
    if sample["status"] == "unsupported":
        pytest.skip(sample["reason"])
    assert sample["status"] == "ok", sample["reason"]
    if sample["noise"]["migrations"] is None:
        pytest.skip(sample["noise"]["unknown"]["migrations"])
    assert sample["noise"]["migrations"] >= len(sample["batches"])
    assert any("migrations between PUs" in reason for reason in sample["distrust"])
    assert misbehaved["ok"]["noise"]["migrations"] == 0


def test_a_child_left_behind_does_not_survive_its_cell(tmp_path):
    mark = f"THREADLAB_TEST_MARK={tmp_path}"
    name, value = mark.split("=", 1)
    result, path = run(tmp_path, "--plugin", MISBEHAVE, "--bench", "test.misbehave", "--set",
                       "how=orphan", *SHORT, env={**os.environ, name: value})
    assert result.returncode in (0, 1), result.stderr
    left = []
    for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in environ.read_bytes():
                left.append(environ)
        except OSError:
            pass
    assert not left


# ---- the plan -----------------------------------------------------------------------------------

def test_one_record_for_each_cell_and_round(tmp_path):
    result, path = run(tmp_path, "--impl", "null", "--bench", "floor.*", "--bench", "create.join",
                       "--preset", "quick", "--rounds", "3", "--budget", "2s", "--seed", "3")
    assert result.returncode == 0, result.stderr
    record = lines(path)
    header, end = record[0], record[-1]
    seen = collections.Counter((s["key"], s["round"]) for s in samples(path))
    assert set(seen.values()) == {1}
    assert len(seen) == header["planned"]["records"] == end["records"]
    assert end["complete"] is True
    orders = [[s["key"] for s in samples(path) if s["round"] == r] for r in range(3)]
    assert sorted(orders[0]) == sorted(orders[1]) and orders[0] != orders[1]
    again, path2 = run(tmp_path, "--impl", "null", "--bench", "floor.*", "--bench", "create.join",
                       "--preset", "quick", "--rounds", "1", "--budget", "1s", "--seed", "3",
                       name="again.jsonl")
    assert again.returncode == 0
    assert [s["key"] for s in samples(path2)] == orders[0], "the same seed gives the same order"


def test_64_pus_plan_every_policy():
    args = [a for p in POLICIES for a in ("--place", p)]
    result = threadlab("run", "--dry-run", "--json", "--topology",
                       "synthetic:pack:2 numa:2 l3:2 l2:4 core:1 pu:2", "--bench", "switch.sem",
                       "--impl", "nptl", *args)
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert {c["policy"] for c in plan["cells"]} == set(POLICIES)
    possible = {c["policy"] for c in plan["cells"] if c["unsupported"] is None}
    assert {"same-pu", "smt", "shared-l3", "cross-l3", "cross-numa", "cross-package"} <= possible
    for cell in plan["cells"]:
        assert (cell["cpus"] == []) == (cell["unsupported"] is not None)


def test_an_impossible_policy_is_unsupported_with_the_reason(tmp_path):
    result, path = run(tmp_path, "--impl", "nptl", "--bench", "switch.sem", "--place",
                       "cross-package", "--place", "cpus=9999", *SHORT)
    assert result.returncode == 0, result.stderr
    found = samples(path)
    assert len(found) == 2
    for sample in found:
        assert sample["status"] == "unsupported" and sample["reason"]


def test_too_many_kernel_threads_are_refused_without_trying(tmp_path):
    result, path = run(tmp_path, "--impl", "nptl", "--bench", "switch.yield", "--set",
                       "threads=10000000", "--place", "same-pu", *SHORT)
    assert result.returncode == 0, result.stderr
    (sample,) = samples(path)
    assert sample["status"] == "unsupported" and "kernel thread" in sample["reason"]


def test_null_is_invalid_where_threads_must_alternate(tmp_path):
    result, path = run(tmp_path, "--impl", "null", "--bench", "switch.yield", "--bench",
                       "switch.sem", "--set", "threads=2", "--place", "same-pu", *SHORT)
    assert result.returncode == 0, result.stderr
    assert [s["status"] for s in samples(path)] == ["invalid", "invalid"]


# ---- plugins ------------------------------------------------------------------------------------

def test_a_plugin_brings_an_implementation_and_a_benchmark(tmp_path):
    result, path = run(tmp_path, "--plugin", EXAMPLE, "--impl", "example", "--bench",
                       "example.self", "--bench", "create.join", "--preset", "quick", "--set",
                       "guard=on", *SHORT)
    assert result.returncode == 0, result.stderr
    statuses = {s["bench"]: s["status"] for s in samples(path)}
    assert statuses == {"example.self": "ok", "create.join": "ok"}


# ---- a broken promise is seen by the verify of what rests on it --------------------------------

@pytest.mark.parametrize("fault, bench, words", [
    ("create", "create.join", "threads ran"),
    ("create", "create.batch", "ran"),
    ("join", "create.join", "joins brought"),
    ("create", "tree.fib", "trees brought"),
    ("join", "tree.skynet", "threads ran of"),
    ("bound", "create.bound", "its creator's kernel thread"),
    ("yield", "switch.yield", "without a switch"),
    ("mutex", "lock.uncontended", "trylock"),
    ("sem", "switch.sem", ""),
    ("sem", "switch.bound", ""),
    ("sem", "idle.wake", ""),
    ("signal", "preempt.direct", "not handled"),
    ("signal", "signal.self", "not handled"),
    ("payload", "signal.queued", "out of order"),
    ("mask", "signal.process", "blocked"),
    ("fork", "fork.threads", "ended well"),
    ("atfork", "fork.atfork", "calls of handlers"),
])
def test_a_broken_promise_is_invalid(tmp_path, fault, bench, words):
    args = ["--plugin", BROKEN, "--impl", "broken", "--bench", bench, "--place", "same-pu",
            "--preset", "quick", "--no-checks", *SHORT]
    narrow = {"switch.yield": ["--set", "threads=2"], "fork.threads": ["--set", "how=fork"],
              "fork.atfork": ["--set", "handlers=16"], "signal.queued": ["--set", "depth=64"],
              "lock.uncontended": ["--set", "kind=block"], "create.bound": ["--set", "scope=bound"],
              "switch.bound": ["--set", "pair=unbound-unbound"],
              "idle.wake": ["--set", "gap_ns=10000"],
              "preempt.direct": ["--set", "by=signal-blocked"]}.get(bench, [])
    result, path = run(tmp_path, *args, *narrow, "--set", f"fault=none,{fault}")
    assert result.returncode in (0, 1), result.stderr
    by_fault = {s["params"]["fault"]: s for s in samples(path)}
    assert by_fault["none"]["status"] == "ok", by_fault["none"]["reason"]
    assert by_fault[fault]["status"] == "invalid", by_fault[fault]
    assert words in by_fault[fault]["reason"]


# ---- bad input ----------------------------------------------------------------------------------

@pytest.mark.parametrize("args, words", [
    (["run", "--impl", "grean"], "did you mean green"),
    (["run", "--bench", "create.jion"], "did you mean create.join"),
    (["run", "--place", "same-cpu"], "same-pu"),
    (["run", "--place", "cpus=0-"], "cpus="),
    (["run", "--events", "cycels:u"], "cycles"),
    (["run", "--set", "colour=red"], "no selected benchmark has such an axis"),
    (["run", "--set", "threads"], "NAME=VALUE"),
    (["run", "--set", "threads=-2"], "whole numbers"),
    (["run", "--set", "threads=99999999999999999999"], "whole numbers"),
    (["run", "--set", "recycle=never"], "no selected implementation has that value"),
    (["run", "--rounds", "0"], "from 1 to 1000"),
    (["run", "--rounds", "-3"], "from 1 to 1000"),
    (["run", "--rounds", "1e9"], "from 1 to 1000"),
    (["run", "--budget", "-1s"], "expected a time"),
    (["run", "--budget", "soon"], "expected a time"),
    (["run", "--budget", "9999h"], "expected a time"),
    (["run", "--seed", "x"], "whole number"),
    (["run", "--preset", "fast"], "quick, standard or full"),
    (["run", "--topology", "synthetic:pack:2"], "--dry-run"),
    (["run", "--dry-run", "--topology", "synthetic:nonsense"], "synthetic"),
    (["run", "--dry-run", "--topology", "/no/such.xml"], "/no/such.xml"),
    (["run", "--plugin", "/no/such.so"], "cannot load plugin"),
    (["run", "--resume", "/no/such.jsonl"], "cannot be read"),
    (["run", "extra"], "unexpected argument"),
    (["list", "colours"], "expected impls"),
    (["list", "--rounds", "3"], "belongs to the verb run"),
    (["bake"], "no verb 'bake'"),
    ([], "a verb is missing"),
])
def test_bad_input_is_one_clear_line(args, words, tmp_path):
    line = one_clear_line(threadlab(*args, cwd=tmp_path))
    assert words in line
    assert list(tmp_path.iterdir()) == [], "nothing is written"


def test_a_plugin_that_registers_nothing(tmp_path):
    bad = tmp_path / "bad.so"
    bad.write_text("not a shared object")
    one_clear_line(threadlab("run", "--plugin", bad))


@pytest.mark.parametrize("content, words", [
    ("", "no whole line"),
    ("hello\n", "not a record"),
    ('{"type":"run","schema":{"name":"other","major":1}}\n', "header of a threadlab record"),
    ('{"type":"run","schema":{"name":"threadlab","major":9}}\n', "schema version 9"),
    ('{"type":"run","sch', "no whole line"),
])
def test_resume_refuses_what_is_no_record(tmp_path, content, words):
    path = tmp_path / "bad.jsonl.tmp"
    path.write_text(content)
    assert words in one_clear_line(threadlab("run", "--resume", path))
    assert path.read_text() == content, "the file is left as it was"


def test_nothing_is_overwritten(tmp_path):
    for name in ("run.jsonl", "run.jsonl.tmp"):
        (tmp_path / name).write_text("precious")
        result, _ = run(tmp_path, "--bench", "floor.syscall", *SHORT)
        assert "exists" in one_clear_line(result)
        assert (tmp_path / name).read_text() == "precious"
        (tmp_path / name).unlink()


# ---- the record ---------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = tmp_path_factory.mktemp("record")
    result, path = run(folder, "--plugin", MISBEHAVE, "--bench", "test.misbehave", "--bench",
                       "create.join", "--bench", "signal.self", "--bench", "floor.syscall",
                       "--preset", "quick", *SHORT)
    assert result.returncode == 1, result.stderr
    assert str(path) in result.stdout, "the run ends by naming the file to attach"
    return path


def test_real_output_is_valid_against_the_schema(record):
    schema = json.loads((ROOT / "results/schema/threadlab-1.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    for number, line in enumerate(lines(record)):
        errors = [f"{e.json_path}: {e.message}" for e in validator.iter_errors(line)]
        assert not errors, (number, errors[:3])


def test_what_was_not_counted_is_null_with_a_reason(record):
    for sample in samples(record):
        for counter in sample["counters"]:
            assert (counter["value"] is None) == (counter["reason"] is not None), counter
    header = lines(record)[0]
    for event in header["events"]:
        assert event["available"] == (event["reason"] is None)
    for name, reason in header["unknown"].items():
        group, key = name.split(".", 1)
        assert header["environment"][group][key] is None and reason


def test_noise_that_is_unknown_has_a_reason(record):
    measured = [s["noise"] for s in samples(record) if s["noise"] is not None]
    assert measured
    for noise in measured:
        assert "migrations" in noise
        for name, value in noise.items():
            assert (value is None) == (name in noise["unknown"]), name


def test_environment_names_what_numbers_depend_on(record):
    header = lines(record)[0]
    assert header["build"]["sha256"] and len(header["build"]["sha256"]) == 64
    assert header["topology"]["xml"].startswith("<?xml")
    assert header["clock"]["cost_ns"] > 0
    assert {"cpu", "kernel", "memory", "limits"} <= set(header["environment"])


def test_reader_compresses_and_reads_it_back(record, tmp_path):
    copy = tmp_path / "copy.jsonl.gz"
    copy.write_bytes(gzip.compress(record.read_bytes()))
    assert len(gzip.decompress(copy.read_bytes())) == record.stat().st_size


# ---- limits and other faults ---------------------------------------------------------------------

def test_little_address_space_is_an_error_not_a_crash(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
    result, path = run(tmp_path, "--impl", "green,nptl,clone", "--bench", "create.batch", "--set",
                       "threads=10000", *SHORT, preexec_fn=limit)
    assert result.returncode in (0, 1), result.stderr
    for sample in samples(path):
        assert sample["status"] in ("ok", "failed", "unsupported"), sample["reason"]
        if sample["status"] == "failed":
            assert "create" in sample["reason"]
    assert any(s["status"] == "failed" for s in samples(path))
