"""The history of results: steps, the page, the pinned reference, and the command."""

import json
import os
import pathlib
import sys

import pytest
import synthetic
import synthetic_comparison as comparison
from histories import JOIN, YIELD, entries_of, fill, refused, track
from test_report import check_page

import history
import history_index
import history_page
import history_store
import threadlab_records


# ---- steps ---------------------------------------------------------------------------------------


def step_at(at, size, key=YIELD):
    return lambda number: {key: size if number >= at else 1.0}


def test_a_step_is_reported(store, tmp_path):
    fill(store, tmp_path, range(20), factor=step_at(12, 1.05), noise=0.003)
    done = track(store, "steps")
    assert f"{YIELD}\n    slower by " in done.stdout and "FAIL" not in done.stdout
    assert "2026-03-12T04:30:00Z  0011feedbe  run h0011" in done.stdout
    assert "2026-03-13T04:30:00Z  0012feedbe  run h0012" in done.stdout
    assert "1 steps (1 slower, 0 faster) in 4 series; 0 too short" in done.stdout
    (step,) = json.loads(track(store, "steps", "--json").stdout)["steps"]
    assert (step["before"]["run"], step["after"]["run"]) == ("h0011", "h0012")
    assert step["change"] == pytest.approx(1.05, rel=0.01) and step["slower"] is True
    assert step["before"]["ratio"]["low"] < 1 < step["before"]["ratio"]["high"]
    assert step["after"]["ratio"]["low"] < 1.05 < step["after"]["ratio"]["high"]
    assert step["before"]["runs"] == 12 and step["after"]["runs"] == 8 and step["p"] <= 0.005


def test_globs_choose_series(store, tmp_path):
    fill(store, tmp_path, range(12), factor=step_at(6, 1.2))
    for bench, impl, count in (("switch.*", "*", 2), ("lock.*,switch.*", "green", 1),
                               ("*", "nptl", 2), ("zebra", "*", 0)):
        done = track(store, "steps", "--bench", bench, "--impl", impl, "--json")
        assert json.loads(done.stdout)["series"] == count


@pytest.mark.parametrize("at, size, within, status", [
    (15, 1.05, 5, 1),   # seen for the first time in the newest run
    (11, 1.05, 5, 1),   # in the fifth run from the end
    (10, 1.05, 5, 0),   # in the one before
    (10, 1.05, 6, 1),
    (15, 0.95, 5, 0),   # faster
    (15, 1.0, 5, 0),
])
def test_fail_on_step(store, tmp_path, at, size, within, status):
    fill(store, tmp_path, range(20), factor=step_at(at, size), noise=0.001)
    done = track(store, "steps", "--fail-on-step", "--within", within, status=status)
    assert ("FAIL" in done.stdout) == bool(status)
    track(store, "steps", "--within", within)


def test_a_slowdown_that_was_mended_does_not_fail(store, tmp_path):
    fill(store, tmp_path, range(20), noise=0.001,
         factor=lambda n: {YIELD: 1.1 if 8 <= n < 15 else 1.0})
    done = track(store, "steps", "--fail-on-step")
    assert "2 steps (1 slower, 1 faster)" in done.stdout


def test_the_least_effect(store, tmp_path):
    fill(store, tmp_path, range(20), factor=step_at(10, 1.02), noise=0.001)
    assert "1 steps" in track(store, "steps").stdout
    assert "0 steps" in track(store, "steps", "--effect", "0.03").stdout


def test_another_reference_splits_the_series(store, tmp_path):
    """Its ratios are 8% lower, which is no step."""
    fill(store, tmp_path, range(10))
    fill(store, tmp_path, range(10, 20), reference="cd" * 32, factor=0.92)
    done = track(store, "steps")
    assert "the reference build changed, 4 series split" in done.stdout
    assert "h0009" in done.stdout and "h0010" in done.stdout and "0 steps" in done.stdout
    found = json.loads(track(store, "steps", "--json").stdout)
    assert len(found["splits"]) == 4 and found["splits"][0]["after"] == "h0010"
    fill(store, tmp_path, range(20, 30), factor=1.1)  # back to the first: its series goes on
    found = json.loads(track(store, "steps", "--json").stdout)
    assert {(s["before"]["run"], s["after"]["run"]) for s in found["steps"]} == {("h0009", "h0020")}
    assert len(found["steps"]) == 4


def test_another_version_splits_the_series(store, tmp_path):
    for number in range(4):
        lines = comparison.lines(number, rounds=2, impls=("green",))
        for line in lines:
            if line["type"] == "run" and number >= 2:
                line["benches"]["switch.yield"]["version"] = 2
        store.add(entries_of(lines, tmp_path / "record.jsonl"), pytest.fail)
    (split,) = json.loads(track(store, "steps", "--json").stdout)["splits"]
    assert split["reason"] == "the version of the benchmark changed" and split["key"] == YIELD


def test_order_is_that_of_time_not_of_adding(store, tmp_path):
    fill(store, tmp_path, reversed(range(20)), factor=step_at(12, 1.05))
    (step,) = json.loads(track(store, "steps", "--json").stdout)["steps"]
    assert step["after"]["run"] == "h0012"


def test_a_series_too_short_is_said_to_be(store, tmp_path):
    fill(store, tmp_path, range(9), factor=step_at(4, 2.0))
    assert "0 steps (0 slower, 0 faster) in 4 series; 4 too short (fewer than 10" \
        in track(store, "steps").stdout
    done = track(store, "steps", "--min-segment", "3", "--alpha", "0.05")
    assert "1 steps" in done.stdout and "; 0 too short" in done.stdout
    done = track(store, "steps", "--min-segment", "2", status=2)
    assert "2 runs cannot tell a step from a spike" in done.stderr


def test_nothing_there(store):
    assert "no results yet" in track(store, "list").stdout
    assert json.loads(track(store, "list", "--json").stdout) == []
    assert track(store, "steps").stdout.startswith("0 steps")
    assert not store.folder.exists()


# ---- the page ------------------------------------------------------------------------------------


def test_the_page(store, tmp_path):
    fill(store, tmp_path, range(16), factor=step_at(8, 1.2), noise=0.003, rounds=6)
    fill(store, tmp_path, range(16, 20), reference="cd" * 32)
    fill(store, tmp_path, range(3), host="<other>")
    out = tmp_path / "x" / "page.html"
    assert track(store, "history", "--out", out).stdout == f"{out}\n"
    text = out.read_text(encoding="utf-8")
    page = check_page(text)
    assert text.count("<svg") == 8 and "<other>" not in text and "-other-" in page.text
    for wanted in ("Example CPU <9000>", "new reference", "0008feedbe",
                   "0abcefefef, then 0abccdcdcd", "slower", "20, 2026-03-01 to 2026-03-20"):
        assert wanted in page.text
    first = page.text.index(YIELD)
    assert page.text.index("+20.") > first and page.text.index("after 0007feedbe") > first
    assert len(text) < 500000


def test_an_empty_page_says_so(store, tmp_path):
    out = tmp_path / "page.html"
    for _ in range(2):
        track(store, "history", "--bench", "zebra", "--out", out)
        assert "There is nothing to show" in check_page(out.read_text()).text
        fill(store, tmp_path, [0])
    track(store, "history")
    text = (store.folder / "history.html").read_text()
    assert "No step in 4 series; the longest has 1 runs, and 10 are needed" in check_page(text).text


def test_the_newest_step_comes_first(store, tmp_path):
    fill(store, tmp_path, range(30), noise=0.001, factor=lambda n: {
        YIELD: 1.1 if n >= 10 else 1.0, JOIN: 1.05 if n >= 20 else 1.3 if n >= 10 else 1.0})
    series = history.series_of(history_index.rows(store)[0])
    steps = [step for one in series for step in history.steps_of(one)]
    rows = history_page._step_table(steps, 1).rows
    assert [(row[0].main, row[1].small) for row in rows] == [
        (JOIN, "faster"), (JOIN, "slower"), (YIELD, "slower")]


# ---- the pinned reference and run ----------------------------------------------------------------

FAKE = """#!{python}
import json, os, shutil, sys
# {salt}
if sys.argv[1:] == ["env", "--json"]:
    print(json.dumps({{"environment": {{"build": {{"revision": "1234567", "dirty": False}}}}}}))
elif sys.argv[1] == "compare":
    with open(os.environ["FAKE_LOG"], "w") as log:
        json.dump(sys.argv[1:], log)
    out = sys.argv[sys.argv.index("--out") + 1]
    if os.path.exists(out):
        sys.exit(2)
    if os.environ["FAKE_RECORD"]:
        shutil.copy(os.environ["FAKE_RECORD"], out)
    sys.exit(int(os.environ["FAKE_STATUS"]))
"""


@pytest.fixture(name="fake")
def _fake(tmp_path, monkeypatch):
    """A driver whose `compare` hands out a record that was made before."""
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("FAKE_STATUS", "0")
    monkeypatch.setenv("FAKE_RECORD", str(comparison.write(tmp_path / "made.jsonl", 5)))

    def make(salt):
        path = tmp_path / salt / "threadlab"
        path.parent.mkdir()
        path.write_text(FAKE.format(python=sys.executable, salt=salt))
        path.chmod(0o755)
        return path

    return make


def test_pin_and_run(store, tmp_path, fake):
    old, new = fake("old"), fake("new")
    assert "the reference is now 1234567" in track(store, "pin", old).stdout
    sha256 = history_store.sha256_of(old)
    copy = store.folder / "reference" / sha256[:12] / "threadlab"
    assert copy.read_bytes() == old.read_bytes() and os.access(copy, os.X_OK)
    old.unlink()
    done = track(store, "run", "--head", new, "--", "--bench", "switch.*", "--rounds", "4")
    assert "added run h0005: 4 results" in done.stdout
    arguments = json.loads((tmp_path / "log").read_text())
    assert arguments[:3] == ["compare", str(copy), str(new)]
    assert arguments[-4:] == ["--bench", "switch.*", "--rounds", "4"]
    kept = pathlib.Path(arguments[arguments.index("--out") + 1])
    assert threadlab_records.read(kept)[1].comparison and kept.parent.parent == store.folder


def test_run_with_another_reference(store, tmp_path, fake):
    old, new = fake("old"), fake("new")
    track(store, "run", "--head", new, "--reference", old)
    assert json.loads((tmp_path / "log").read_text())[1] == str(old)


def test_a_regression_is_added_too(store, fake, monkeypatch):
    monkeypatch.setenv("FAKE_STATUS", "1")
    track(store, "pin", fake("old"))
    assert "added run" in track(store, "run", "--head", fake("new")).stdout


def test_a_comparison_that_failed_adds_nothing(store, tmp_path, fake, monkeypatch):
    track(store, "pin", fake("old"))
    monkeypatch.setenv("FAKE_STATUS", "3")
    new = fake("new")
    said = refused(store, "run", "--head", new)
    assert "`threadlab compare` failed (exit status 3): nothing added; what it wrote is in" in said
    monkeypatch.setenv("FAKE_RECORD", "")
    monkeypatch.setenv("FAKE_STATUS", "2")
    assert refused(store, "run", "--head", new).endswith("(exit status 2): nothing added\n")
    cut = synthetic.write(tmp_path / "cut", comparison.lines()[:9])
    monkeypatch.setenv("FAKE_RECORD", str(cut))
    assert "a record without a comparison" in refused(store, "run", "--head", new)
    assert store.paths() == []


def test_a_pair_that_could_not_be_measured_costs_no_other(store, fake, monkeypatch):
    track(store, "pin", fake("old"))
    monkeypatch.setenv("FAKE_STATUS", "2")
    done = track(store, "run", "--head", fake("new"), status=2)
    assert "added run h0005: 4 results" in done.stdout and "exit status 2" in done.stderr


def test_the_same_code_is_nothing_to_compare(store, fake, monkeypatch):
    track(store, "pin", fake("old"))
    monkeypatch.setenv("FAKE_RECORD", "")
    assert track(store, "run", "--head", fake("new")).stdout.startswith("nothing added: ")
    assert store.paths() == []


def test_no_reference(store, fake, tmp_path):
    new = fake("new")
    assert "no reference build is pinned" in refused(store, "run", "--head", new)
    none = tmp_path / "none"
    assert "no such build" in refused(store, "run", "--head", new, "--reference", none)
    assert "no such build" in refused(store, "run", "--head", none, "--reference", new)
    assert "No such file" in refused(store, "pin", none)
    plain_file = tmp_path / "plain"
    plain_file.write_text("#!/bin/sh\necho hello\n")
    plain_file.chmod(0o755)
    assert "not a driver of threadlab" in refused(store, "pin", plain_file)
    assert not (tmp_path / "log").exists()


def test_a_reference_that_changed_is_refused(store, tmp_path, fake):
    old, new = fake("old"), fake("new")
    track(store, "pin", old)
    copy = history_store.References(store).current()[0]
    copy.write_text(copy.read_text() + "# touched\n")
    assert "no longer the build that was pinned" in refused(store, "run", "--head", new)
    assert not (tmp_path / "log").exists()
    track(store, "pin", old)
    assert history_store.References(store).current()[0].read_bytes() == old.read_bytes()


def test_the_last_pin_counts(store, fake):
    track(store, "pin", fake("old"))
    new = fake("new")
    track(store, "pin", new)
    path, facts = history_store.References(store).current()
    assert path.read_bytes() == new.read_bytes() and facts["revision"] == "1234567"
    assert len(list((store.folder / "reference").iterdir())) == 3
