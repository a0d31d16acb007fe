"""Runs whose times are those of no machine (of an emulator, under valgrind) stand beside no others:
not in a comparison, not in a history, and in a report as counts."""

import pathlib
import subprocess
import sys

import fake_serve
import pytest
import synthetic
import synthetic_comparison as comparison

import report_content
import report_emulated
import report_render
import threadlab_records

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent
MARKS = [{"emulated": "QEMU 7.2"}, {"counts": "callgrind"}]


def refused(script, *arguments, **options):
    """The one line of a script that exits with status 2."""
    done = subprocess.run([sys.executable, SCRIPTS / script, *map(str, arguments)],
                          capture_output=True, text=True, check=False, **options)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_real_times_are_times():
    assert threadlab_records.no_times(synthetic.header()) is None
    assert threadlab_records.no_times({**synthetic.header(), "emulated": None,
                                       "counts": "events"}) is None


@pytest.mark.parametrize("mark", MARKS)
def test_compare_refuses(tmp_path, monkeypatch, mark):
    driver = fake_serve.make(tmp_path / "driver", {
        "run": "r", "cells": [fake_serve.cell("demo.x", 1)], "header": mark})
    monkeypatch.setenv("THREADLAB", str(driver))
    said = refused("compare", driver, "--aa", cwd=tmp_path)
    assert "its times compare with none" in said and not list(tmp_path.glob("results/**/*.jsonl"))


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("side", [0, 1])
def test_the_history_and_a_report_refuse_a_comparison(tmp_path, mark, side):
    lines = comparison.lines(0, rounds=2)
    lines[side].update(mark)
    path = synthetic.write(tmp_path / "r.jsonl", lines)
    said = refused("track", "add", "--store", tmp_path / "history", path)
    assert "holds those of real machines" in said
    assert "its times are compared with none" in refused("report", path, "--out", tmp_path / "o")


@pytest.mark.parametrize("mark", MARKS)
def test_the_history_says_why_it_takes_no_run_of_counts(tmp_path, mark):
    lines = synthetic.finish([{**synthetic.header(), **mark}, synthetic.sample()])
    said = refused("track", "add", "--store", tmp_path / "history",
                   synthetic.write(tmp_path / "r.jsonl", lines))
    assert "holds those of real machines" in said


def counted(value, constant=100):
    sample = synthetic.sample(impl="green")
    value = value and value + constant
    sample["counters"] = [{
        "event": "instructions:u", "value": value, "reason": None if value else "no window",
        "enabled_ns": 0 if value else None, "running_ns": 0 if value else None, "ops": 400,
        **({"base_value": value - 200 * 61, "base_ops": 200} if value else {})}]
    return sample


def test_a_report_of_callgrind_shows_instructions_and_no_time(tmp_path):
    header = {**synthetic.header(benches=["demo.one"]), "counts": "callgrind"}
    other = counted(None)
    other["key"] += "/x"
    racing = counted(400 * 61, 5000)
    racing["key"] += "/y"
    lines = synthetic.finish([header, counted(400 * 61), other, racing])
    (run,) = threadlab_records.read([synthetic.write(tmp_path / "r.jsonl", lines)])
    assert report_emulated.rows(run) == [
        ["demo.one", "green/same-pu", "61", ""],
        ["demo.one", "green/same-pu/x", "\N{EN DASH}", "no window"],
        ["demo.one", "green/same-pu/y", "61", "the threads raced: 86 an op in the smaller window, "
                                              "73.500 in the larger"]]
    text = report_render.markdown(report_content.blocks(run))
    assert "Counted by callgrind" in text and "What each costs" not in text and " ns" not in text
