"""The table of required speeds: what is held against what, and how the verdict comes about."""

import pytest
import report_base
import report_headline
import synthetic
import threadlab_records

IMPLS = {"nptl": ("1:1", "C library"), "hybrid": ("M:N", "several kernel threads")}
TWO_PUS = {"policy": "shared-l3", "relation": "shared-l3", "cpus": (0, 1)}


def rows_of(samples, path):
    benches = sorted({s["bench"] for s in samples})
    lines = synthetic.finish([synthetic.header(benches=benches, impls=IMPLS), *samples])
    run, = threadlab_records.read(synthetic.write(path / "r.jsonl", lines))
    table, = report_headline.targets(report_base.Content(run))
    return {getattr(row[0], "main", row[0]): row for row in table.rows}


def rounds(bench, impl, values, **options):
    return [synthetic.sample(bench=bench, impl=impl, ns_per_op=value, round_=round_, **options)
            for round_, value in enumerate(values)]


def lock(impl, kind, section, value):
    return rounds("lock.sweep", impl, [value] * 6, axes={"kind": kind, "section_ns": section})


@pytest.mark.parametrize("two, verdict", [(50.0, "met"), (80.0, "not met")])
def test_two_lwps_are_held_against_one(tmp_path, two, verdict):
    samples = []
    for place, factor in ((TWO_PUS, 1), ({}, 100)):  # on one CPU two LWPs gain nothing
        samples += rounds("tree.fib", "hybrid", [100.0 * factor] * 6, axes={"n": 25},
                          params={"lwps": "1"}, **place)
        samples += rounds("tree.fib", "hybrid", [two * factor] * 6, axes={"n": 25},
                          params={"lwps": "2"}, **place)
    row = rows_of(samples, tmp_path)["hybrid: Fibonacci numbers by threads on one LWP, to two LWPs"]
    assert row[3].main == verdict
    assert row[2].small.startswith(f"100\N{NO-BREAK SPACE}ns : {two}\N{NO-BREAK SPACE}ns")


def test_the_worst_setting_counts(tmp_path):
    samples = [*lock("hybrid", "adaptive", 0, 10.0), *lock("nptl", "block", 0, 20.0),
               *lock("hybrid", "adaptive", 100, 33.0), *lock("nptl", "block", 100, 30.0),
               *lock("hybrid", "adaptive", 1000, 1.0),  # nothing to hold it against
               *lock("hybrid", "spin", 100, 30.0), *lock("hybrid", "block", 100, 300.0)]
    rows = rows_of(samples, tmp_path)
    row = rows["hybrid: adaptive mutex, to nptl's default"]
    assert row[3].main == "not met" and row[0].small.startswith("1 of 2 settings are within")
    assert "section_ns=100 " in row[0].small
    row = rows["hybrid: adaptive mutex, to the better of its spin and block"]
    assert row[3].main == "met" and row[0].small.startswith("1 of 1 settings are within")


def test_what_was_not_part_of_the_run_is_not_measured(tmp_path):
    rows = rows_of(lock("nptl", "block", 0, 20.0), tmp_path)
    assert rows["hybrid: adaptive mutex, to nptl's default"][3].main == "not measured"
    assert rows["hybrid: skynet on one LWP, to two LWPs"][3].main == "not measured"
