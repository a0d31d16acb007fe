"""The history of results on disk: an append-only store, one file for each machine.

    <store>/<machine>.jsonl.gz              entries (results/schema/history-1.schema.json)
    <store>/reference/<sha256, 12>/threadlab     a pinned reference build, with reference.json
    <store>/reference/current               the 12 digits of the one in use
    <store>/index.sqlite                    what history_index.py makes of the entries

A file is a row of gzip members, one for each run, so that a run is there as a whole or not at all.
Members are appended and never rewritten. One that was cut off by a crash, or damaged, is reported
and skipped; what was appended after it is found again by the next gzip header.

This is the one reader of what it writes.
"""

import contextlib
import fcntl
import functools
import gzip
import hashlib
import json
import math
import os
import pathlib
import shutil
import subprocess
import zlib

import files
import summary
import threadlab_records

VERSION = 1
SCHEMA_PATH = threadlab_records.SCHEMA_PATH.with_name("history-1.schema.json")
SUFFIX = ".jsonl.gz"
PIECE = 1 << 16
NO_TIMES = "the history is one of times, and holds those of real machines"
_MEMBER = b"\x1f\x8b\x08"  # a gzip header, with the only method there is

# What a machine is, besides its name: facts that neither kernel nor boot nor cpuset change.
_FACTS = [
    ("cpu", name) for name in ("model", "vendor", "family", "model_number", "stepping",
                               "count_online", "l1d_bytes", "l2_bytes", "l3_bytes", "hypervisor")
] + [("kernel", "machine"), ("host", "vendor"), ("host", "product")]


class HistoryError(Exception):
    """One line: what was wrong, and what would be right."""


# ---- from a comparison to entries ----------------------------------------------------------------


def machine_name(header):
    environment = header["environment"]
    facts = [header["host"], *(environment.get(group, {}).get(name) for group, name in _FACTS)]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return f"{files.folder_name(header['host'])}-{digest[:8]}"


def _build(run, which):
    build = run.header["build"]
    if build["sha256"] is None:
        why = run.header["unknown"].get("build.sha256", "no reason given")
        raise HistoryError(f"the hash of the {which} build is unknown ({why}): "
                           "a history needs to know what it measured")
    return {name: build[name] for name in ("sha256", "revision", "dirty")}


def _sides(run, runs):
    """(base, head) of a comparison that belongs into a history."""
    comparison = run.comparison
    if comparison["mode"] != "builds":
        raise HistoryError(f"a comparison of mode `{comparison['mode']}`: only one of a "
                           "reference build with the build of today has a place in the history")
    base = runs.get(comparison["base"])
    if base is None:
        raise HistoryError(f"the run of the reference, `{comparison['base']}`, is not in the file")
    for which, one in (("reference", base), ("head", run)):
        why = threadlab_records.no_times(one.header)
        if why:
            raise HistoryError(f"the {which}'s run was {why}: {NO_TIMES}")
        if one.end is None or (one.end["complete"] and one.partial):
            raise HistoryError(f"the {which}'s run is damaged ({one.partial}): compare again")
    if machine_name(base.header) != machine_name(run.header):
        raise HistoryError("reference and head ran on different machines")
    return base, run


def entries_of(head, runs):
    """(entries, notes) of a comparison; notes: a line on each pair that has no entry, and why.

    runs: {id: Run} of the same file. An entry is made from the samples, not from the verdicts.
    """
    base, head = _sides(head, runs)
    notes, entries = [], []
    partial = base.partial or head.partial
    if partial:
        notes.append(f"partial ({partial}): what was measured is added, and marked")
    common = {
        "history": VERSION, "machine": machine_name(head.header), "host": head.host,
        "cpu": head.header["environment"].get("cpu", {}).get("model"), "run": head.id,
        "started": head.comparison["started"], "base": _build(base, "reference"),
        "head": _build(head, "head"), "partial": partial,
    }
    cells = [{cell.key: cell for cell in summary.cells(run)} for run in (base, head)]
    for pair in head.comparison["pairs"]:
        versions = [run.header["benches"].get(pair["bench"], {}).get("version")
                    for run in (base, head)]
        old, new = cells[0].get(pair["base_key"]), cells[1].get(pair["key"])
        rounds = [] if old is None or new is None else _paired(old, new, pair)
        if pair["key"] != pair["base_key"]:
            notes.append(f"{pair['key']}: compared with another key, {pair['base_key']}")
        elif versions[0] != versions[1] or None in versions:
            notes.append(f"{pair['key']}: version {versions[1]} of the benchmark is not comparable "
                         f"with the reference's, {versions[0]}")
        elif len(rounds) < 2:
            notes.append(f"{pair['key']}: fewer than 2 rounds in which both were ok"
                         + (f" ({pair['reason']})" if pair["reason"] else ""))
        else:
            entries.append({**common, **_measured(pair, versions[0], rounds, old, new)})
    return entries, notes


def _paired(old, new, pair):
    """The rounds with a value of both, without the pilot, which finds how many ops to time."""
    first = pair["rounds"].get("screen_from", 1)
    return [r for r in new.by_round if r >= first and old.by_round.get(r) and new.by_round[r]]


def _measured(pair, version, rounds, old, new):
    base_ns, head_ns = ([cell.by_round[r] for r in rounds] for cell in (old, new))
    found = summary.hodges_lehmann([math.log(h / b) for h, b in zip(head_ns, base_ns)])
    ratio = {name: None if log is None else math.exp(log) for name, log in
             (("value", found.value), ("low", found.low), ("high", found.high))}
    samples = [s for cell in (old, new) for s in cell.samples if s["round"] in rounds]
    return {
        "key": pair["key"], "bench": pair["bench"], "impl": pair["impl"], "bench_version": version,
        "ratio": ratio, "n": len(rounds), "rounds": rounds, "base_ns": base_ns, "head_ns": head_ns,
        "trusted": sum(s["trusted"] is not False for s in samples) / len(samples),
        "verdict": pair["verdict"],
    }


def read_record(path):
    """(entries, notes) of all comparisons in a record."""
    runs = threadlab_records.read(path)
    compared = [run for run in runs if run.comparison]
    why = next(filter(None, (threadlab_records.no_times(run.header) for run in runs)), None)
    if not compared and why:
        raise HistoryError(f"{path}: a run that was {why}: {NO_TIMES}")
    if not compared:
        raise HistoryError(
            f"{path}: a record without a comparison: the history takes what `threadlab compare "
            "REFERENCE HEAD` wrote to its end, with the pinned reference build in the same run"
        )
    entries, notes = [], []
    for run in compared:
        try:
            found, said = entries_of(run, {r.id: r for r in runs})
        except HistoryError as error:
            raise HistoryError(f"{path}: run {run.id}: {error}") from None
        if not found:
            why = said[-1] if said else "it holds no pair"
            raise HistoryError(f"{path}: run {run.id}: nothing to add: {why}")
        for entry in found:
            _check(entry, path)
        entries += found
        notes += [f"{path}: run {run.id}: {note}" for note in said]
    return entries, notes


# ---- entries on disk -----------------------------------------------------------------------------

@functools.cache
def _schema():
    document = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    return threadlab_records.Schema(document)


def _check(entry, where):
    wrong = _schema().error(entry)
    if wrong is None and not len(entry["rounds"]) == len(entry["base_ns"]) \
            == len(entry["head_ns"]) == entry["n"]:
        wrong = "rounds, base_ns and head_ns differ in length"
    if wrong is not None:
        raise HistoryError(f"{where}: not an entry of a history: {wrong}")


def _decode(line, where, first):
    """An entry. Of each member the first is checked, which tells whether it is one of ours: all
    were checked before they were written, a member has a checksum, and it takes ten times as long.
    """
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        raise HistoryError(f"{where}: not an entry of a history: not JSON") from None
    version = entry.get("history") if isinstance(entry, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise HistoryError(f"{where}: version {version} of the history, this reader knows "
                           f"{VERSION}: use a newer threadlab")
    if first:
        _check(entry, where)
    elif not isinstance(entry, dict) or not all(isinstance(entry.get(name), str)
                                                for name in ("machine", "run", "key")):
        raise HistoryError(f"{where}: not an entry of a history")
    return entry


def _member(data, at):
    """(the bytes of the gzip member that begins at `at`, where it ends), or None if it is damaged.

    In pieces: zlib copies what it was given and did not use, which for the whole rest of the file
    would be quadratic.
    """
    stream, found = zlib.decompressobj(wbits=31), []
    while at < len(data) and not stream.eof:
        piece = data[at:at + PIECE]
        try:
            found.append(stream.decompress(piece))
        except zlib.error:
            return None
        at += len(piece) - len(stream.unused_data)
    return (b"".join(found), at) if stream.eof else None


def _members(data):
    """Yields (offset, bytes), or (offset, None) for what is cut off or damaged."""
    at = 0
    while at < len(data):
        found = _member(data, at)
        yield at, found and found[0]
        if found:
            at = found[1]
        else:
            # A header by chance, within the compressed bytes, is damaged in turn and passed over.
            at = data.find(_MEMBER, at + 1)
            at = len(data) if at < 0 else at


class Store:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.index = self.folder / "index.sqlite"

    @contextlib.contextmanager
    def locked(self, exclusive):
        """One writer, or any number of readers. A reader of a store it cannot write needs none."""
        if exclusive:
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            if exclusive:
                raise
            yield
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield
        finally:
            os.close(handle)

    def paths(self):
        return sorted(self.folder.glob("*" + SUFFIX))

    def read(self, path, complain):
        """The entries of one file, in the order in which they were added; the caller has a lock."""
        found, seen, damaged = [], set(), []
        data = path.read_bytes()
        if not _MEMBER.startswith(data[:3]):
            raise HistoryError(f"{path}: not a history: not compressed by gzip")
        for at, member in _members(data):
            if member is None:
                damaged.append(at)
                continue
            for number, line in enumerate(member.splitlines(), 1):
                where = f"{path}: line {number} of the member at byte {at}"
                entry = _decode(line, where, number == 1)
                if entry["machine"] != path.name.removesuffix(SUFFIX):
                    raise HistoryError(f"{path}: holds results of another machine, "
                                       f"{entry['machine']}: each has a file of its own")
                # Two stores joined by `cat` hold what both had twice.
                if (entry["run"], entry["key"]) not in seen:
                    seen.add((entry["run"], entry["key"]))
                    found.append(entry)
        if damaged:
            complain(f"{path}: a run was cut off or is damaged, at byte {damaged[0]}; left out: "
                     "add its record again")
        return found

    def add(self, entries, complain):
        """Adds what is not there. Returns ({run: entries added}, [runs that were there])."""
        added, known, by_machine = {}, [], {}
        for entry in entries:
            runs = by_machine.setdefault(entry["machine"], {})
            new = runs.setdefault(entry["run"], {})
            if new.setdefault(entry["key"], entry) != entry:
                raise HistoryError(f"two different results of `{entry['key']}` in run "
                                   f"`{entry['run']}`: two records have the same id")
        with self.locked(exclusive=True):
            members = []
            for machine, runs in by_machine.items():
                path = self.folder / (machine + SUFFIX)
                there = {}
                for entry in self.read(path, complain) if path.exists() else []:
                    there.setdefault(entry["run"], {})[entry["key"]] = entry
                for run, new in runs.items():
                    if run not in there:
                        members.append((path, run, new))
                    elif there[run] == new:
                        known.append(run)
                    else:
                        raise HistoryError(f"{path}: another run with the same id `{run}` is there")
            for path, run, new in members:
                added[run] = list(new.values())
                _append(path, added[run])
        return added, known


def _append(path, entries):
    text = "".join(json.dumps(entry, separators=(",", ":"), allow_nan=False) + "\n"
                   for entry in entries)
    data = gzip.compress(text.encode(), mtime=0)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        before = os.fstat(handle).st_size
        try:
            while data:
                data = data[os.write(handle, data):]
            os.fsync(handle)
        except OSError:  # a full disk: takes back its own half member
            os.ftruncate(handle, before)
            raise
    finally:
        os.close(handle)


# ---- the pinned reference build ------------------------------------------------------------------


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class References:
    def __init__(self, store):
        self.folder = store.folder / "reference"
        self.store = store

    def pin(self, binary):
        """Copies a driver into the store and makes it the current reference: (path, facts)."""
        binary = pathlib.Path(binary)
        sha256 = sha256_of(binary)
        facts = {"sha256": sha256, **self._built(binary)}
        folder = self.folder / sha256[:12]
        with self.store.locked(exclusive=True):
            folder.mkdir(parents=True, exist_ok=True)
            copy = folder / "threadlab"
            if not copy.exists() or sha256_of(copy) != sha256:
                files.write_whole(copy, binary.read_bytes())
                shutil.copymode(binary, copy)
            files.write_whole(folder / "reference.json", (json.dumps(facts) + "\n").encode())
            files.write_whole(self.folder / "current", f"{sha256[:12]}\n".encode())
        return copy, facts

    @staticmethod
    def _built(binary):
        try:
            done = subprocess.run([binary.resolve(), "env", "--json"], capture_output=True,
                                  timeout=60, check=True)
            build = json.loads(done.stdout)["environment"]["build"]
            return {"revision": build["revision"], "dirty": build["dirty"]}
        except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
            why = str(error).splitlines()[0]
            raise HistoryError(f"{binary}: not a driver of threadlab: `env --json` gave no "
                               f"revision ({why})") from None

    def current(self):
        """(path, facts) of the pinned reference, whose bytes are still those that were pinned."""
        try:
            name = (self.folder / "current").read_text().strip()
            facts = json.loads((self.folder / name / "reference.json").read_text())
            copy = self.folder / name / "threadlab"
            actual = sha256_of(copy)
        except FileNotFoundError:
            raise HistoryError("no reference build is pinned: `track pin PATH_OF_BINARY`, or "
                               "--reference PATH_OF_BINARY") from None
        except ValueError as error:
            raise HistoryError(f"{self.folder}: damaged ({error}): pin the reference "
                               "again") from None
        if not actual.startswith(name) or actual != facts.get("sha256"):
            raise HistoryError(f"{copy}: no longer the build that was pinned (sha256 "
                               f"{actual[:12]}, not {name}): pin the reference again")
        return copy, facts
