"""The A/A result: in the report, and the same from the driver and from the samples."""

import os
import pathlib
import subprocess

import pytest
import synthetic

import report_content
import report_render
import summary
import threadlab_records

ROOT = pathlib.Path(__file__).resolve().parents[2]
DRIVER = pathlib.Path(os.environ.get("THREADLAB", ROOT / "build/release/threadlab")).resolve()


def driver(*args):
    if not DRIVER.exists():
        pytest.skip("the driver is not built")
    done = subprocess.run([DRIVER, "run", *map(str, args)], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(path):
    (run,) = threadlab_records.read(path)
    assert not run.warnings and not run.partial
    return run


def assert_agree(run):
    """What the end record states, and what summary.py makes of the samples."""
    cells = summary.cells(run)
    groups = {
        None: cells,
        "same_pu": [cell for cell in cells if cell.on_one_pu],
        "cross_pu": [cell for cell in cells if not cell.on_one_pu],
    }
    for name, some in groups.items():
        stated = run.end["aa"] if name is None else run.end["aa"][name]
        found = summary.same_twice(some)
        assert found.pairs == stated["pairs"]
        for field in ("median", "p95", "max"):
            assert getattr(found, field) == (
                stated[field] and pytest.approx(stated[field], rel=1e-8)), (name, field)
        assert (stated["reason"] is None) == (stated["pairs"] > 0)


def test_the_driver_and_the_samples_agree(tmp_path):
    out = driver("--impl", "null,nptl", "--bench", "create.join,floor.syscall,switch.sem",
                 "--preset", "quick", "--rounds", 3, "--budget", "2s", "--seed", 3, "--no-checks",
                 "--out", tmp_path / "a.jsonl")
    run = read(tmp_path / "a.jsonl")
    assert run.header["schema"]["minor"] >= 2  # the first with A/A results
    assert run.end["aa"]["pairs"] >= 4 and run.end["aa"]["same_pu"]["pairs"] >= 4
    assert_agree(run)
    assert "A/A: the same cell in two processes differed by " in out
    assert max(map(len, out[out.index("A/A"):].splitlines()[:2])) <= 80

    # Half of it from an interrupted record, half measured now.
    lines = (tmp_path / "a.jsonl").read_text().splitlines(keepends=True)
    cut = tmp_path / "b.jsonl.tmp"
    cut.write_text("".join(lines[:len(lines) // 2]))
    driver("--resume", cut)
    again = read(tmp_path / "b.jsonl")
    assert again.end["aa"]["pairs"] == run.end["aa"]["pairs"]
    assert_agree(again)


def test_one_round_has_no_pair(tmp_path):
    out = driver("--bench", "floor.syscall", "--rounds", 1, "--budget", "1s", "--no-checks",
                 "--out", tmp_path / "a.jsonl")
    run = read(tmp_path / "a.jsonl")
    assert_agree(run)
    for stated in (run.end["aa"], run.end["aa"]["same_pu"], run.end["aa"]["cross_pu"]):
        assert stated["pairs"] == 0 and stated["p95"] is None
        assert stated["reason"] == "there is one round only"
    assert "is not known:\n there is one round only\n" in out


def lines(values, **fields):
    return [synthetic.sample(ns_per_op=value, round_=at, **fields)
            for at, value in enumerate(values)]


def report(some, path):
    made = synthetic.finish([synthetic.header(rounds=max(s["round"] for s in some) + 1), *some])
    run, = threadlab_records.read(synthetic.write(path, made))
    assert "aa" not in run.end  # as an older driver left it
    return report_render.markdown(report_content.blocks(run)).replace("\N{NO-BREAK SPACE}", " ")


def test_the_report_of_an_older_record_says_it(tmp_path):
    text = report([*lines((100, 110)), *lines((100, 150), bench="demo.two", cpus=(0, 1)),
                   *lines((100, 120), bench="demo.three")], tmp_path / "a")
    assert ("the same cell in two processes differed by 20.0 % (median), 50.0 % (95th percentile)"
            in text)
    for row in ("| all cells | 3 | 20.0 % | 50.0 % | 50.0 % |",
                "| on one PU | 2 | 14.9 % | 20.0 % | 20.0 % |",  # sqrt(1.1 * 1.2)
                "| across PUs | 1 | 50.0 % | 50.0 % | 50.0 % |"):
        assert row in text
    assert "below the 95th percentile is noise" in text


def test_a_report_without_a_pair_says_why(tmp_path):
    assert "not known: there is one round only" in report(lines((100,)), tmp_path / "a")
    failed = synthetic.sample(status="failed", reason="x", round_=1)
    text = report([*lines((100,)), failed], tmp_path / "b")
    assert "not known: no cell was ok in two consecutive rounds" in text
    text = report(lines((100, 110)), tmp_path / "c")
    assert "| across PUs | 0 | \N{EN DASH} | \N{EN DASH} | \N{EN DASH} |" in text
