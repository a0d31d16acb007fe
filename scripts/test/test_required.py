"""The table of required speeds: what is held against what, and how the verdict comes about."""

import pytest
import report_base
import report_required
import synthetic
import threadlab_records

IMPLS = {"nptl": ("1:1", "C library"), "hybrid": ("M:N", "several kernel threads")}
TWO_PUS = {"policy": "shared-l3", "relation": "shared-l3", "cpus": (0, 1)}


def rows_of(samples, path):
    benches = sorted({s["bench"] for s in samples})
    lines = synthetic.finish([synthetic.header(benches=benches, impls=IMPLS), *samples])
    run, = threadlab_records.read(synthetic.write(path / "r.jsonl", lines))
    table, = report_required.targets(report_base.Content(run))
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


def test_both_sides_have_the_same_size(tmp_path):
    """A million leaves where both have them; a size that one side alone has proves nothing."""
    samples = []
    for lwps, values in (("1", {100000: 100.0, 1000000: 300.0}), ("2", {100000: 90.0})):
        for leaves, value in values.items():
            samples += rounds("tree.skynet", "hybrid", [value] * 6, axes={"leaves": leaves},
                              params={"lwps": lwps}, **TWO_PUS)
    name = "hybrid: skynet on one LWP, to two LWPs"
    row = rows_of(samples, tmp_path)[name]
    assert row[3].main == "not measured"
    samples += rounds("tree.skynet", "hybrid", [150.0] * 6, axes={"leaves": 1000000},
                      params={"lwps": "2"}, **TWO_PUS)
    row = rows_of(samples, tmp_path)[name]
    assert row[3].main == "met" and "leaves=1000000" in row[0].small


@pytest.mark.parametrize("each, verdict", [(4096.0, "met"), (6000.0, "not met")])
def test_memory_of_parked_threads(tmp_path, each, verdict):
    samples = rounds("create.parked", "hybrid", [100.0] * 6, axes={"threads": 1000000},
                     metrics={"resident": {"value": each, "unit": "bytes"}})
    row = rows_of(samples, tmp_path)["hybrid: memory of 1,000,000 parked threads"]
    assert row[3].main == verdict and f"{each * 1e6 / 2**30:.3g}" in row[2].main
    fewer = rounds("create.parked", "hybrid", [100.0] * 6, axes={"threads": 1000},
                   metrics={"resident": {"value": each, "unit": "bytes"}})
    row = rows_of(fewer, tmp_path)["hybrid: memory of 1,000,000 parked threads"]
    assert row[3].main == "not measured"


def test_a_record_has_numbers_of_parameters_as_numbers(tmp_path):
    """Records write lwps=2 as 2, `--set` and the table as text."""
    samples = []
    for lwps, value in ((1, 100.0), (2, 60.0)):
        samples += rounds("tree.fib", "hybrid", [value] * 6, axes={"n": 25},
                          params={"lwps": lwps}, **TWO_PUS)
    row = rows_of(samples, tmp_path)["hybrid: Fibonacci numbers by threads on one LWP, to two LWPs"]
    assert row[3].main == "met"
