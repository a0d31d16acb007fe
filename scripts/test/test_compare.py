"""scripts/compare from end to end, with drivers that draw their times from a seed
(fake_serve.py)."""

import json
import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ET

import fake_serve
import pytest
from fake_serve import cell

import threadlab_records

COMPARE = pathlib.Path(__file__).resolve().parent.parent / "compare"


class Bench:
    """A folder with fake drivers, and what comparing them gave."""

    def __init__(self, folder):
        self.folder = folder

    def driver(self, name, cells, **config):
        return fake_serve.make(self.folder / name, {"run": f"run-{name}", "cells": cells, **config})

    def __call__(self, *argv, ambient=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")}
        env["THREADLAB"] = str(self.folder / "driver")
        if not (self.folder / "driver").exists():
            self.driver("driver", [cell("demo.x", 1)])
        done = subprocess.run(
            [sys.executable, str(COMPARE), *map(str, argv), "--seed=3"], cwd=self.folder,
            capture_output=True, text=True, env={**env, **(ambient or {})}, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def pairs(done):
    return {p["key"]: p for p in json.loads(done.stdout)["pairs"]}


FOUR = [("demo.a", 100), ("demo.b", 2000), ("demo.c", 5), ("demo.d", 30)]


def cells(*changes, **more):
    changes += (1,) * (len(FOUR) - len(changes))
    return [cell(name, ns * change, **more) for (name, ns), change in zip(FOUR, changes)]


def test_a_regression_is_status_1_and_an_improvement_0(bench):
    old = bench.driver("old", cells())
    new = bench.driver("new", cells(1.05, 0.9, 1, 1))
    done = bench(old, new, "--json")
    assert done.returncode == 1
    found = {key.split("/")[0]: p["verdict"] for key, p in pairs(done).items()}
    assert found == {"demo.a": "slower", "demo.b": "faster", "demo.c": "equivalent",
                     "demo.d": "equivalent"}
    back = bench(old, bench.driver("better", cells(1, 0.9, 1, 1)), "--json")
    assert back.returncode == 0


def test_the_mood_of_the_machine_is_no_change(bench):
    """fake_serve lets both builds share ten times the noise that they have of their own."""
    done = bench(bench.driver("old", cells(noise=0.02)), bench.driver("new", cells(noise=0.02)),
                 "--json")
    assert done.returncode == 0
    assert "slower" not in {p["verdict"] for p in pairs(done).values()}


def test_the_record_is_whole_and_says_what_was_found(bench):
    done = bench(bench.driver("old", cells()), bench.driver("new", cells(1.05)), "--json",
                 "--out=r.jsonl")
    assert list(bench.folder.glob("r.jsonl*")) == [bench.folder / "r.jsonl"]
    runs = threadlab_records.read(bench.folder / "r.jsonl")
    assert [run.warnings for run in runs] == [[], [], []]
    head = next(run for run in runs if run.comparison)
    assert head.comparison == json.loads(done.stdout)
    assert head.comparison["base"].startswith("run-old") and head.id.startswith("run-new")
    assert {run.id for run in runs} == {head.id, head.comparison["base"], head.comparison["twin"]}
    assert all(run.end["complete"] for run in runs)
    # What is claimed can be computed again from the samples.
    pair = next(p for p in head.comparison["pairs"] if p["verdict"] == "slower")
    base = next(run for run in runs if run.id == head.comparison["base"])
    values = [{s["round"]: s["batches"][0]["ns"] / s["batches"][0]["ops"] for s in run.samples
               if s["key"] == pair["key"]} for run in (base, head)]
    first = pair["rounds"]["confirm_from"]
    ratios = [values[1][r] / values[0][r] for r in values[1] if r >= first and r in values[0]]
    assert len(ratios) == pair["rounds"]["confirm"]
    assert min(ratios) < pair["ratio"]["value"] < max(ratios)
    assert head.comparison["aa"]["pairs"] == 4 and head.comparison["aa"]["claims"] == 0


def test_nothing_is_overwritten(bench):
    old, new = bench.driver("old", cells()), bench.driver("new", cells())
    new.write_text(new.read_text() + "# other\n")
    (bench.folder / "r.jsonl").write_text("mine")
    done = bench(old, new, "--out=r.jsonl")
    assert done.returncode == 2 and "never overwritten" in done.stderr
    assert (bench.folder / "r.jsonl").read_text() == "mine"


def test_the_same_binary_is_said_to_be_the_same(bench):
    old = bench.driver("old", cells())
    done = bench(old, old)
    assert done.returncode == 0 and "same code" in done.stdout
    assert not (bench.folder / "results").exists()
    again = bench(old, old, "--aa", "--json")
    assert again.returncode == 0 and json.loads(again.stdout)["mode"] == "aa"


def test_an_injected_slowdown_is_found_where_it_is(bench):
    old = bench.driver("old", cells())
    done = bench(old, old, "--aa", "--json", "--slowdown=5%:demo.c/*")
    found = {key.split("/")[0]: p["verdict"] for key, p in pairs(done).items()}
    assert found["demo.c"] == "slower" and list(found.values()).count("slower") == 1
    assert done.returncode == 1


@pytest.mark.parametrize("late, status", [({"status": "failed", "reason": "no futex"}, 2),
                                          ({"fail_from": 5}, 2)])
def test_what_fails_in_head_is_an_error_not_a_regression(bench, late, status):
    broken = cells()
    broken[1].update(late)
    done = bench(bench.driver("old", cells()), bench.driver("new", broken), "--json")
    assert done.returncode == status
    failed = [p for p in pairs(done).values() if p["verdict"] == "failed"]
    assert len(failed) == 1 and failed[0]["reason"].startswith("head: ")


def test_a_regression_beside_a_failure_is_still_one(bench):
    broken = cells(1, 1, 1, 1.2)
    broken[1]["status"] = "crashed"
    done = bench(bench.driver("old", cells()), bench.driver("new", broken), "--json")
    assert done.returncode == 1


def test_what_one_build_does_not_have_is_listed(bench):
    done = bench(bench.driver("old", cells()[:3]), bench.driver("new", cells()[1:]), "--json")
    found = json.loads(done.stdout)
    assert len(found["pairs"]) == 2
    assert [k.split("/")[0] for k in found["missing"]["base"]] == ["demo.d"]
    assert [k.split("/")[0] for k in found["missing"]["head"]] == ["demo.a"]


def test_unsupported_in_base_is_no_failure(bench):
    nothing = cells()
    nothing[0].update(status="unsupported", reason="one CPU")
    done = bench(bench.driver("old", nothing), bench.driver("new", [*nothing[:1], *cells()[1:]]),
                 "--aa", "--json")
    assert done.returncode == 0 and len(pairs(done)) == 3


def test_cells_take_turns_unless_they_compute_while_they_wait(bench):
    some = cells()
    some[2]["spins"] = True
    done = bench(bench.driver("old", some), bench.driver("new", some), "--aa", "--json",
                 "--out=r.jsonl")
    assert {p["bench"]: p["turns"] for p in pairs(done).values()} == {
        "demo.a": True, "demo.b": True, "demo.c": False, "demo.d": True}
    for run in threadlab_records.read(bench.folder / "r.jsonl"):
        for s in run.samples:
            assert ("baton" in s) == (s["round"] == 1 or s["round"] > 1 and s["bench"] != "demo.c")


def test_a_build_that_knows_no_baton_is_measured_one_after_the_other(bench):
    done = bench(bench.driver("old", cells(), seats=0), bench.driver("new", cells(1.05)), "--json")
    assert {p["turns"] for p in pairs(done).values()} == {False} and done.returncode == 1


def test_another_version_of_a_benchmark_is_not_compared(bench):
    newer = cells()
    newer[2]["version"] = 2
    done = bench(bench.driver("old", cells()), bench.driver("new", newer), "--json")
    reason = next(p for p in pairs(done).values() if p["bench"] == "demo.c")["reason"]
    assert done.returncode == 2 and "version 1" in reason and "2 in head" in reason


def test_first_values_of_the_axes_unless_all_are_asked_for(bench):
    more = cells() + [cell("demo.a", 700, axes={"threads": 64}, away=["threads"])]
    old, new = bench.driver("old", more), bench.driver("new", more)
    assert len(pairs(bench(old, new, "--aa", "--json", "--out=1.jsonl"))) == 4
    assert len(pairs(bench(old, new, "--aa", "--json", "--cells=all", "--out=2.jsonl"))) == 5
    only = bench(old, new, "--aa", "--json", "--cell=demo.b/*", "--cell=*/demo.c*", "--out=3.jsonl")
    assert list(pairs(only)) == ["demo.b/nptl/same-pu"]


def test_a_driver_that_dies_is_an_error(bench):
    done = bench(bench.driver("old", cells()), bench.driver("new", cells(), die_after=30))
    assert done.returncode == 2
    assert done.stderr.strip().endswith("out of luck")
    assert not list((bench.folder / "results").rglob("*.jsonl"))  # what is there says .tmp


def test_a_driver_without_serve_and_one_of_another_protocol(bench):
    old = bench.driver("old", cells())
    ancient = bench.folder / "ancient"
    ancient.write_text("#!/bin/sh\necho \"threadlab: no verb 'serve'; verbs are\" >&2\nexit 2\n")
    ancient.chmod(0o755)
    done = bench(ancient, old)
    assert done.returncode == 2 and "too old" in done.stderr
    done = bench(old, bench.driver("new", cells(), protocol=9))
    assert done.returncode == 2 and "protocol 9" in done.stderr


@pytest.mark.parametrize("argv, says", [
    ([], "expected BASE"), (["nowhere"], "no such file"), (["old", "old", "old"], "expected BASE"),
    (["old", "--budget=0"], "60s"), (["old", "--delta=5"], "2%"), (["old", "--bugdet=5"], "bugdet"),
    (["--impl-a=nptl"], "belong together"), (["old", "--seed=-1"], "seed"),
    (["old", "--thresholds=none.toml", "--aa"], "none.toml"),
    (["old", "--aa", "--cell=nothing*"], "nothing is left"),
])
def test_bad_input_is_one_line_and_status_2(bench, argv, says):
    bench.driver("old", cells())
    done = bench(*argv)
    assert done.returncode == 2 and done.stdout == ""
    assert says in done.stderr and len(done.stderr.strip().split("\n")) == 1


def test_thresholds_by_benchmark(bench):
    (bench.folder / ".threadlab.toml").write_text(
        '[[threshold]]\nmatch = "demo.a/*"\ndelta = "20%"\n'
        '[[threshold]]\nmatch = "demo.b/*"\nignore = true\nwhy = "known"\n'
        '[[threshold]]\nmatch = "gone.*"\ndelta = "3%"\n')
    old, new = bench.driver("old", cells()), bench.driver("new", cells(1.1, 1.1, 1, 1))
    done = bench(old, new, "--json")
    found = {p["bench"]: p for p in pairs(done).values()}
    assert done.returncode == 0 and "gone.*" in done.stderr
    assert found["demo.a"]["verdict"] == "equivalent" and found["demo.a"]["delta"] == 0.2
    assert found["demo.b"]["verdict"] == "slower" and found["demo.b"]["ignored"] == "known"


def test_layout_needs_sources_and_user_time(bench):
    new = cells(1.1, 1.1, 1, 1)
    old = cells()
    old[1]["system"] = True
    done = bench(bench.driver("old", old), bench.driver("new", new), "--json")
    found = {p["bench"]: p["layout"] for p in pairs(done).values()}
    assert "binaries" in found["demo.a"]["reason"] and found["demo.a"]["moves"] is None
    assert "kernel" in found["demo.b"]["reason"]
    assert found["demo.c"] is None


def test_implementations_of_one_build(bench):
    both = [cell("demo.a", 100, "nptl"), cell("demo.a", 20, "green", params={"tls": "errno"}),
            cell("demo.a", 30, "green", params={"tls": "full"}, away=["tls"]),
            cell("demo.b", 50, "green")]
    build = bench.driver("build", both)
    done = bench(build, "--impl-a=nptl", "--impl-b=green", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["mode"] == "impls"
    (pair,) = found["pairs"]
    assert pair["verdict"] == "faster" and pair["base_key"] == "demo.a/nptl/same-pu"
    assert pair["ratio"]["low"] < 0.2 * 1.02 and pair["ratio"]["high"] > 0.2 * 0.98
    slow = bench(build, "--impl-a=green", "--impl-b=nptl", "--json", "--out=2.jsonl")
    assert slow.returncode == 0  # an answer, not a regression
    assert list(pairs(slow).values())[0]["verdict"] == "slower"
    assert "no such implementation" in bench(build, "--impl-a=x", "--impl-b=nptl",
                                             "--out=3.jsonl").stderr


def test_all_forms_are_written(bench):
    summary = bench.folder / "summary.md"
    done = bench(bench.driver("old", cells()), bench.driver("new", cells(1.05)), "--junit=ci/j.xml",
                 "--markdown=m.md", "--gitlab=g.txt",
                 ambient={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)})
    assert done.returncode == 1
    suite = ET.parse(bench.folder / "ci" / "j.xml").getroot()
    assert suite.get("failures") == "1" and suite.get("tests") == "4"
    assert (bench.folder / "m.md").read_text() == summary.read_text()
    assert "threadlab_ratio" in (bench.folder / "g.txt").read_text()
    assert "::error" in done.stdout and "exit status 1" in done.stdout
    assert max(map(len, done.stdout.split("::error")[0].split("\n"))) <= 80


def test_same_seed_same_order(bench):
    old, new = bench.driver("old", cells()), bench.driver("new", cells(1.05))
    bench(old, new, "--out=1.jsonl")
    bench(old, new, "--out=2.jsonl")
    a, b = ([(s["key"], s["round"], s["position"]) for run in threadlab_records.read(
        bench.folder / f"{n}.jsonl") for s in run.samples] for n in (1, 2))
    assert a == b
