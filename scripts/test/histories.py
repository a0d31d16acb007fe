"""A store of history for tests: the command, refusals, and runs that are added without it."""

import pathlib
import subprocess
import sys

import pytest
import synthetic
import synthetic_comparison as comparison

import history_index
import history_store

TRACK = pathlib.Path(__file__).resolve().parent.parent / "track"
YIELD = "switch.yield/green/same-pu/threads=2"
JOIN = "create.join/nptl/same-pu/threads=2"


def track(store, verb, *arguments, status=0, **options):
    done = subprocess.run(
        [sys.executable, TRACK, verb, "--store", store.folder, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, **options)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def refused(store, verb, *arguments, **options):
    """The one line."""
    done = track(store, verb, *arguments, status=2, **options)
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("track: ")
    return done.stderr


def entries_of(lines, path):
    return history_store.read_record(synthetic.write(path, lines))[0]


def fill(store, folder, numbers, **options):
    """Adds runs without the command; returns the file of their machine."""
    for number in numbers:
        factor = options.get("factor", 1.0)
        factor = factor(number) if callable(factor) else factor
        lines = comparison.lines(number, **{"rounds": 2, **options, "factor": factor})
        store.add(entries_of(lines, folder / "record.jsonl"), pytest.fail)
    return store.paths()[0]


def runs_of(store, complaints=None):
    found, said = history_index.rows(store)
    assert (said == []) if complaints is None else (len(said) == complaints)
    return sorted({row.run for row in found})
