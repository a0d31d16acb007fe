"""The history of exact counts: `track add` of what compare --lab wrote, and `track counts`."""

import json

import pytest
from histories import refused, track
from test_lab_forms import runs, sample

import history_counts
import lab_forms

KEY = "switch.yield/green/same-pu/threads=2"


def counted(path, day, user, *, high=None, compiler="gcc 12"):
    """What `compare --lab --out` writes of a head that executes so many."""
    data = lab_forms.comparison(runs(sample(61, KEY)), runs(sample(user, KEY)), ["main", "head"])
    data["started"] = f"2026-01-{day:02}T00:00:00Z"
    data["head"] |= {"revision": f"{day:010}", "compiler": compiler}
    if high:
        data["pairs"][0]["head_user"][1] = high
    path.write_text(lab_forms.as_json(data), encoding="utf-8")
    return path


def add(store, *files):
    for file in files:
        assert history_counts.add(store, history_counts.read_comparison(file))


def test_one_instruction_is_a_change(store, tmp_path):
    files = [counted(tmp_path / f"{day}.json", day, user)
             for day, user in ((1, 61), (3, 62), (2, 61), (4, 62))]  # in any order
    assert track(store, "add", *files).stdout.splitlines()[1] == "added 1 counts of 0000000003"
    text = track(store, "counts").stdout
    assert text.startswith(f"MORE +1.000  {KEY}: 61.000 to 62.000 user instructions per op\n"
                           "    between 2026-01-02T00:00:00Z  0000000002\n"
                           "        and 2026-01-03T00:00:00Z  0000000003\n")
    assert "1 changes (1 more, 0 fewer) in 1 series of 4 runs; 0 counts" in text
    found = json.loads(track(store, "counts", "--json").stdout)
    assert found["changes"][0]["delta"] == 1 and found["failing"] == []
    assert json.loads(track(store, "counts", "--json", "--bench", "lock.*").stdout)["series"] == 0


def test_what_the_last_run_has_more_fails(store, tmp_path):
    for day, user, status in ((1, 61, 0), (2, 61.005, 1), (3, 61.005, 0), (4, 60, 0)):
        add(store, counted(tmp_path / f"{day}.json", day, user))
        track(store, "counts", "--fail-on-more", status=status)


def test_what_claims_nothing(store, tmp_path):
    add(store, counted(tmp_path / "1", 1, 61), counted(tmp_path / "2", 2, 61, high=63),
        counted(tmp_path / "3", 3, 61), counted(tmp_path / "4", 4, 70, compiler="gcc 13"),
        counted(tmp_path / "5", 5, 70, compiler="gcc 13"))
    found, said = history_counts.changes(history_counts.read(store, pytest.fail))
    assert found == [] and said == {"series": 1, "unsteady": 1, "other compiler": 1}


def test_a_run_is_added_once(store, tmp_path):
    file = counted(tmp_path / "1", 1, 61)
    add(store, file)
    assert "added before: nothing changed" in track(store, "add", file).stdout
    assert len(history_counts.read(store, pytest.fail)) == 1


def test_damage_is_told_and_spoils_no_other(store, tmp_path):
    add(store, counted(tmp_path / "1", 1, 61))
    with open(store.folder / history_counts.NAME, "ab") as file:
        file.write(b'{"counts": 1, "mach')
    add(store, counted(tmp_path / "2", 2, 62))
    done = track(store, "counts")
    assert "1 changes" in done.stdout and "counts.jsonl:2: damaged, and left out" in done.stderr


def test_what_is_none(store, tmp_path):
    bad = tmp_path / "bad"
    bad.write_text('{\n "compared": "counts"\n}')
    assert "not what `compare --lab --out` writes" in refused(store, "add", bad)
    other = counted(tmp_path / "1", 1, 61)
    other.write_text(other.read_text().replace('"compared": "counts"', '"compared": "x"'))
    assert refused(store, "add", other)
    assert track(store, "counts").stdout.startswith("0 changes")
