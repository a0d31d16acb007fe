"""scripts/validate_detector with a driver that draws its times from a seed."""

import gzip
import json
import pathlib
import subprocess
import sys

import fake_serve

VALIDATE = pathlib.Path(__file__).resolve().parent.parent / "validate_detector"
SINGLE = [("switch.yield", "green"), ("switch.yield", "nptl"), ("switch.sem", "green"),
          ("switch.sem", "nptl"), ("switch.cond", "clone"), ("create.join", "green"),
          ("create.join", "nptl"), ("lock.uncontended", "nptl"), ("signal.self", "nptl")]
CROSS = [("switch.sem", "nptl"), ("switch.cond", "nptl"), ("switch.sem", "clone")]
SETTINGS = {"switch.yield": {"threads": 2}, "lock.uncontended": {"kind": "block"}}
PARAMS = {("create.join", "green"): {"recycle": "stack", "tls": "errno"},
          ("create.join", "nptl"): {"cache": "on"}}


def driver(path, noise):
    def cell(bench, impl, **place):
        return fake_serve.cell(bench, 100, impl, noise=noise, axes=SETTINGS.get(bench, {}),
                               params=PARAMS.get((bench, impl), {}), **place)
    cells = [cell(*row) for row in SINGLE]
    cells += [cell(*row, policy="shared-l3", cpus=(0, 1)) for row in CROSS]
    return fake_serve.make(path, {"run": "v", "cells": cells})


def validate(folder, *argv):
    done = subprocess.run([sys.executable, str(VALIDATE), "--driver", str(folder / "driver"),
                           "--out", str(folder / "out"), *argv], capture_output=True, text=True,
                          check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_what_is_there_is_found_and_counted(tmp_path):
    driver(tmp_path / "driver", 0.01)
    done = validate(tmp_path, "--live", "2", "--found", "1", "--resampled", "12")
    assert done.returncode == 0, done.stdout
    found = json.loads((tmp_path / "out/detector.json").read_text())
    rows = {(r["kind"], r["slowdown"], r["limit"]): r for r in found["rows"]}
    quiet = rows["quiet", 0.0, "<= 1%"]
    assert quiet["live"] == {"suites": 2, "hits": 0, "of": 2}
    assert quiet["resampled"]["suites"] == 10 and quiet["met"]
    assert rows["quiet", 0.05, ">= 95%"]["live"]["of"] == 9
    assert rows["quiet", 0.05, ">= 70%"]["live"]["of"] == 3
    assert rows["quiet", 0.05, ">= 95%"]["share"] == 1
    never = rows["neighbour", 0.0, "<= 1%"]
    assert never["share"] is None and never["met"] is None
    assert "not measured" in (tmp_path / "out/detector.md").read_text()
    lines = gzip.open(tmp_path / "out/detector.jsonl.gz", "rt").read().splitlines()
    assert len(lines) == 4

    again = validate(tmp_path, "--live", "2", "--found", "1", "--resampled", "12")
    assert again.returncode == 0  # nothing was left to be measured; the same is said
    assert len(gzip.open(tmp_path / "out/detector.jsonl.gz", "rt").readlines()) == 4
    assert json.loads((tmp_path / "out/detector.json").read_text()) == found


def test_a_missed_goal_is_status_1(tmp_path):
    driver(tmp_path / "driver", 0.4)  # nothing can be found in that
    done = validate(tmp_path, "--live", "1", "--found", "1", "--resampled", "0")
    assert done.returncode == 1
    assert "**0.00%**" in done.stdout


def test_a_driver_without_the_suite(tmp_path):
    fake_serve.make(tmp_path / "driver", {"run": "v", "cells": [fake_serve.cell("demo.x", 1)]})
    done = validate(tmp_path, "--live", "1", "--found", "0")
    assert done.returncode == 2 and "switch.yield/green" in done.stderr
