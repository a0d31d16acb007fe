"""The history of results: the store and its index."""

import fcntl
import gzip
import json
import os
import shutil
import subprocess
import sys

import comparisons
import pytest
import synthetic
import synthetic_comparison as comparison
from histories import JOIN, TRACK, YIELD, entries_of, fill, refused, runs_of, track

import history_index
import history_store
import summary


# ---- adding --------------------------------------------------------------------------------------


def test_add_and_list(store, tmp_path):
    record = comparison.write(tmp_path / "a.jsonl", 3)
    done = track(store, "add", record)
    assert done.stdout.startswith("added run h0003: 4 results, 0003feedbe against 0abcefefef on ")
    listed = track(store, "list").stdout
    assert "2026-03-04T04:30:00Z  0003feedbe " in listed and "Example CPU <9000>" in listed
    (one,) = json.loads(track(store, "list", "--json").stdout)
    assert one["results"] == 4 and one["run"] == "h0003" and one["partial"] is None
    assert one["reference"] == {"sha256": comparison.REFERENCE, "revision": "0abcefefef",
                                "dirty": False}


def test_an_entry_can_be_computed_again_from_its_values(tmp_path):
    lines = comparison.lines(1, {YIELD: 1.25})
    (entry,) = [e for e in entries_of(lines, tmp_path / "a") if e["key"] == YIELD]
    samples = {run: {line["round"]: summary.process_value(line) for line in lines
                     if line["type"] == "sample" and line["key"] == YIELD and line["run"] == run}
               for run in ("b0001", "h0001")}
    assert entry["rounds"] == list(range(1, 9)) and entry["n"] == 8
    assert entry["base_ns"] == [samples["b0001"][r] for r in entry["rounds"]]
    assert entry["head_ns"] == [samples["h0001"][r] for r in entry["rounds"]]
    logs = [summary.math.log(h / b) for h, b in zip(entry["head_ns"], entry["base_ns"])]
    wanted = summary.hodges_lehmann(logs)
    found = [entry["ratio"][name] for name in ("value", "low", "high")]
    assert found == pytest.approx([summary.math.exp(x) for x in
                                   (wanted.value, wanted.low, wanted.high)])
    assert found[1] < 1.25 < found[2] and found[0] == pytest.approx(1.25, rel=0.02)


def test_only_rounds_with_both_count(tmp_path):
    lines = comparison.lines(1)
    for line in lines:
        if line["type"] == "sample" and line["key"] == YIELD:
            broken = {"b0001": (2,), "h0001": (2, 5)}[line["run"]]
            if line["round"] in broken:
                line.update(status="failed", reason="no", batches=[], trusted=None)
            elif line["round"] == 6 and line["run"] == "h0001":
                line.update(trusted=False, distrust=["noisy"])
    (entry,) = [e for e in entries_of(lines, tmp_path / "a") if e["key"] == YIELD]
    assert entry["rounds"] == [1, 3, 4, 6, 7, 8] and entry["n"] == 6
    assert entry["trusted"] == pytest.approx(11 / 12)


def test_added_twice_changes_nothing(store, tmp_path):
    record = comparison.write(tmp_path / "a.jsonl", 3)
    track(store, "add", record)
    (path,) = store.paths()
    before = path.read_bytes()
    done = track(store, "add", record, record)
    assert done.stdout == "run h0003 was added before: nothing changed\n"
    assert path.read_bytes() == before


def test_the_same_twice_in_one_command(store, tmp_path):
    record = comparison.write(tmp_path / "a.jsonl", 3)
    track(store, "add", record, shutil.copy(record, tmp_path / "b.jsonl"))
    assert gzip.decompress(store.paths()[0].read_bytes()).count(b"\n") == 4
    other = [comparison.write(tmp_path / f"{factor}.jsonl", 4, factor) for factor in (1, 2)]
    assert "two records have the same id" in refused(store, "add", *other)


def test_another_run_with_the_same_id_is_refused(store, tmp_path):
    track(store, "add", comparison.write(tmp_path / "a.jsonl", 3))
    before = store.paths()[0].read_bytes()
    said = refused(store, "add", comparison.write(tmp_path / "b.jsonl", 3, 1.5))
    assert "another run with the same id `h0003`" in said
    assert store.paths()[0].read_bytes() == before


def test_members_are_only_appended(store, tmp_path):
    path = fill(store, tmp_path, [0])
    for number in (1, 2):
        before = path.read_bytes()
        fill(store, tmp_path, [number])
        assert path.read_bytes().startswith(before)
    assert len(gzip.decompress(path.read_bytes()).splitlines()) == 12  # as any tool reads it


def plain(lines):
    return [line for line in lines if line["type"] != "comparison"]


def without(kind, run):
    return lambda lines: [x for x in lines if not (x["type"] == kind and x["run"] == run)]


def compared(**changes):
    return lambda lines: [*lines[:-1], {**lines[-1], **changes}]


def header_of(run, group, **changes):
    def change(lines):
        for line in lines:
            if line["type"] == "run" and line["run"] == run:
                line[group].update(changes)
        return lines
    return change


def lost_sample(lines):
    del lines[5]
    return lines


def hashless(lines):
    header_of("b0001", "build", sha256=None)(lines)
    return header_of("b0001", "unknown", **{"build.sha256": "no /proc"})(lines)


@pytest.mark.parametrize("change, complaint", [
    (plain, "a record without a comparison"),
    (lambda lines: synthetic.full(impls={"nptl": synthetic.IMPLS["nptl"]}),
     "a record without a comparison"),
    (compared(mode="impls"), "a comparison of mode `impls`"),
    (compared(mode="aa"), "a comparison of mode `aa`"),
    (compared(base="zz"), "the run of the reference, `zz`, is not in the file"),
    (compared(pairs=[]), "nothing to add: it holds no pair"),
    (compared(pairs=None), "pairs: null is not of type array"),
    (without("end", "b0001"), "the reference's run is damaged"),
    (without("end", "h0001"), "the head's run is damaged"),
    (lost_sample, "the record lost lines"),
    (header_of("b0001", "environment", cpu={"model": "Other"}), "on different machines"),
    (hashless, "the hash of the reference build is unknown (no /proc)"),
])
def test_what_is_no_history_is_refused(store, tmp_path, change, complaint):
    good = comparison.write(tmp_path / "good.jsonl", 0)
    bad = synthetic.write(tmp_path / "bad.jsonl", change(comparison.lines(1)))
    said = refused(store, "add", good, bad)
    assert complaint in said and "bad.jsonl" in said
    assert store.paths() == []  # the good one neither: all or nothing


def test_a_run_out_of_budget_is_added_and_marked(store, tmp_path):
    lines = comparison.lines(1)
    for line in lines:
        if line["type"] == "end":
            line.update(complete=False, reason="the budget was used up")
        elif line["type"] == "run":
            line["planned"]["records"] += 8
    done = track(store, "add", synthetic.write(tmp_path / "a.jsonl", lines))
    assert "note: " in done.stderr and "partial (the budget was used up" in done.stderr
    assert "partial: the budget was used up" in track(store, "list").stdout


def test_pairs_without_a_ratio_are_noted(store, tmp_path):
    lines = comparison.lines(1, impls=("green",))
    for line in lines:
        if line["type"] == "run" and line["run"] == "h0001":
            line["benches"]["create.join"]["version"] = 2
        if line["type"] == "sample" and line["key"] == YIELD and line["run"] == "h0001":
            line.update(status="failed", reason="no", batches=[], trusted=None)
    lines[-1]["pairs"].append({**comparisons.pair(key=YIELD),
                               "base_key": JOIN})
    extra = comparison.lines(2, impls=("green",))
    path = synthetic.write(tmp_path / "a.jsonl", lines + extra)
    said = refused(store, "add", path)
    assert "nothing to add" in said
    for line in lines:  # one of its pairs is enough
        if line["type"] == "run":
            line["benches"]["create.join"]["version"] = 1
    done = track(store, "add", synthetic.write(tmp_path / "a.jsonl", lines + extra))
    assert "added run h0001: 1 results" in done.stdout
    assert "added run h0002: 2 results" in done.stdout
    assert f"{YIELD}: fewer than 2 rounds in which both were ok" in done.stderr
    assert f"{YIELD}: compared with another key" in done.stderr


def test_another_version_of_a_benchmark_is_noted(tmp_path):
    lines = comparison.lines(1, impls=("green",))
    header_of("h0001", "benches", **{"create.join": {**lines[1]["benches"]["create.join"],
                                                     "version": 2}})(lines)
    found, notes = history_store.read_record(synthetic.write(tmp_path / "a", lines))
    assert [entry["bench"] for entry in found] == ["switch.yield"]
    assert len(notes) == 1 and "version 2 of the benchmark is not comparable" in notes[0]


# ---- machines ------------------------------------------------------------------------------------


def test_two_machines_have_two_files(store, tmp_path):
    track(store, "add", comparison.write(tmp_path / "a.jsonl", 0),
          comparison.write(tmp_path / "b.jsonl", 0, host="other"))
    assert [path.name.rpartition("-")[0] for path in store.paths()] == ["other", "testhost"]
    assert len(history_index.rows(store)[0]) == 8


@pytest.mark.parametrize("group, name, value, same", [
    ("kernel", "release", "7.0", True),
    ("kernel", "cmdline", None, True),
    ("memory", "thp", "never", True),
    ("cpu", "microcode", "0x2", True),
    ("cpu", "model", "Other", False),
    ("cpu", "count_online", 4, False),
    ("kernel", "machine", "aarch64", False),
])
def test_what_a_machine_is(group, name, value, same):
    header = synthetic.header()
    before = history_store.machine_name(header)
    header["environment"].setdefault(group, {})[name] = value
    assert (history_store.machine_name(header) == before) == same


def test_a_host_cannot_name_a_file_elsewhere(store, tmp_path):
    fill(store, tmp_path, [0], host="../../x")
    assert [path.parent for path in store.paths()] == [store.folder]


# ---- damage --------------------------------------------------------------------------------------


def test_a_torn_last_member_is_reported_and_skipped(store, tmp_path):
    path = fill(store, tmp_path, [0, 1])
    whole = path.read_bytes()
    first = next(at for at, _ in list(history_store._members(whole))[1:])
    for cut in (first + 1, first + 10, (first + len(whole)) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert runs_of(store, complaints=1) == ["h0000"]
    done = track(store, "list")
    assert f"at byte {first}" in done.stderr and "h0000" in done.stdout


def test_after_a_crash_it_goes_on(store, tmp_path):
    path = fill(store, tmp_path, [0, 1])
    path.write_bytes(path.read_bytes()[:-20])
    torn = path.read_bytes()
    record = [comparison.write(tmp_path / f"{n}.jsonl", n, rounds=2) for n in (1, 2)]
    done = track(store, "add", *record)
    assert "warning: " in done.stderr and "added run h0001" in done.stdout
    assert path.read_bytes().startswith(torn)
    assert runs_of(store, complaints=1) == ["h0000", "h0001", "h0002"]


def test_the_very_first_member_torn(store, tmp_path):
    path = fill(store, tmp_path, [0])
    path.write_bytes(path.read_bytes()[:40])
    assert runs_of(store, complaints=1) == []
    assert "no results yet" in track(store, "list").stdout


def test_a_damaged_member_costs_one_run(store, tmp_path):
    path = fill(store, tmp_path, [0, 1, 2])
    data = bytearray(path.read_bytes())
    second = [at for at, _ in history_store._members(data)][1]
    for at in range(second + 40, second + 60):
        data[at] ^= 0x55
    path.write_bytes(data)
    assert runs_of(store, complaints=1) == ["h0000", "h0002"]


def test_a_full_disk_leaves_no_half_member(store, tmp_path, monkeypatch):
    path = fill(store, tmp_path, [0])
    before = path.read_bytes()
    write = os.write

    def half(handle, data):
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return write(handle, data[:len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        fill(store, tmp_path, [1])
    assert path.read_bytes() == before


def foreign_text(path):
    path.write_text("hello\n")


def foreign_record(path):
    path.write_bytes(gzip.compress(synthetic.text(comparison.lines(0)).encode()))


def foreign_number(path):
    path.write_bytes(gzip.compress(b"7\n"))


def newer(path):
    path.write_bytes(gzip.compress(b'{"history": 2}\n'))


def mixed(path, line=b'{"machine":"foreign","run":[],"key":1}'):
    (entry, *_) = gzip.decompress(next(path.parent.glob("testhost*.gz")).read_bytes()).splitlines()
    entry = entry.replace(b'"machine":"' + json.loads(entry)["machine"].encode(),
                          b'"machine":"foreign')
    path.write_bytes(gzip.compress(entry + b"\n" + line + b"\n"))


def hollow(path):
    mixed(path, b'{"machine":"foreign","run":"r","key":"k"}')


@pytest.mark.parametrize("make, complaint", [
    (mixed, "not an entry of a history"),
    (hollow, "holds a malformed entry (KeyError"),
    (foreign_text, "not compressed by gzip"),
    (foreign_record, "not an entry of a history: `history` is missing"),
    (foreign_number, "not an entry of a history"),
    (newer, "version 2 of the history, this reader knows 1"),
])
def test_a_foreign_file_is_named(store, tmp_path, make, complaint):
    fill(store, tmp_path, [0])
    make(store.folder / "foreign.jsonl.gz")
    for verb in ("list", "index", "steps", "history"):
        said = refused(store, verb)
        assert "foreign.jsonl.gz" in said and complaint in said


def test_a_file_of_another_machine_is_refused(store, tmp_path):
    path = fill(store, tmp_path, [0])
    shutil.copy(path, store.folder / "mine.jsonl.gz")
    assert "holds results of another machine" in refused(store, "list")


def test_stores_joined_by_cat_count_once(store, tmp_path):
    path = fill(store, tmp_path, [0, 1])
    path.write_bytes(path.read_bytes() * 2)
    assert len(history_index.rows(store)[0]) == 8


def test_one_writer_at_a_time(store, tmp_path, monkeypatch):
    append, held = history_store._append, []

    def asks(path, entries):
        with open(store.folder / ".lock", "rb") as other:
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        held.append(path)
        append(path, entries)

    monkeypatch.setattr(history_store, "_append", asks)
    fill(store, tmp_path, [0])
    assert held
    with open(store.folder / ".lock", "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it was let go


def test_adds_at_the_same_time(store, tmp_path):
    adds = [subprocess.Popen([sys.executable, TRACK, "add", "--store", store.folder,
                              comparison.write(tmp_path / f"{n}.jsonl", n % 3)],
                             stdout=subprocess.PIPE, text=True) for n in range(6)]
    said = [one.communicate(timeout=120)[0] for one in adds]
    assert sum(text.startswith("added") for text in said) == 3
    assert sum("nothing changed" in text for text in said) == 3
    assert runs_of(store) == ["h0000", "h0001", "h0002"]


# ---- the index -----------------------------------------------------------------------------------


def spoil_missing(path):
    path.unlink()


def spoil_text(path):
    path.write_text("no database")


def spoil_page(path):
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)


def spoil_layout(path):
    with history_index.sqlite3.connect(path) as index:
        index.execute("PRAGMA user_version = 77")
        index.execute("DELETE FROM entries")


@pytest.mark.parametrize("spoil", [spoil_missing, spoil_text, spoil_page, spoil_layout])
def test_the_index_is_made_again(store, tmp_path, spoil):
    fill(store, tmp_path, [0, 1])
    wanted = history_index.rows(store)
    assert len(wanted[0]) == 8
    spoil(store.index)
    assert history_index.rows(store) == wanted
    assert history_index._stored(store) == wanted


def test_the_index_answers_without_the_store(store, tmp_path, monkeypatch):
    fill(store, tmp_path, [0])
    wanted = history_index.rows(store)
    monkeypatch.setattr(store, "read", lambda *_: pytest.fail("the index was not used"))
    assert history_index.rows(store) == wanted


def test_a_stale_index_is_made_again(store, tmp_path):
    fill(store, tmp_path, [0])
    assert runs_of(store) == ["h0000"]
    stale = store.index.read_bytes()
    fill(store, tmp_path, [1])
    fill(store, tmp_path, [0], host="other")
    assert len(history_index.rows(store)[0]) == 12
    store.index.write_bytes(stale)
    assert len(history_index.rows(store)[0]) == 12
    store.paths()[0].unlink()
    assert len(history_index.rows(store)[0]) == 8


def test_a_store_of_somebody_else_is_read(store, tmp_path, monkeypatch):
    fill(store, tmp_path, [0])
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert len(history_index.rows(store)[0]) == 4
    assert not store.index.exists()


def test_index_verb(store, tmp_path):
    assert "no history to make an index of" in refused(store, "index")
    fill(store, tmp_path, [0, 1])
    assert track(store, "index").stdout.endswith("8 results of 2 runs\n")
