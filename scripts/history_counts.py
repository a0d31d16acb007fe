"""The history of exact counts: what `compare --lab --out FILE` counted of head, run after run.

    <store>/counts.jsonl        a line for each run, appended and never rewritten

Counts need no reference build and no statistics: in the same machine, by the same compiler, any
difference between two steady counts is a change of the code, the smallest one instruction. A count
that depended on the interleaving (low and high differ) is kept, and claims nothing.
"""

import dataclasses
import json
import os

import history
import history_store

NAME = "counts.jsonl"
_BUILD = ("revision", "dirty", "sha256", "compiler", "cflags")


def read_comparison(path):
    """The comparison of counts in the file; None: the file is something else."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("{\n"):  # a record has a line for each object
        return None
    try:
        found = json.loads(text)
        if found["compared"] != "counts":
            return None
        return {"counts": 1, "machine": found["machine"], "started": found["started"],
                "boots": found["boots"], "head": {fact: found["head"][fact] for fact in _BUILD},
                "user": {pair["key"]: [float(n) for n in pair["head_user"]]
                         for pair in found["pairs"] if pair["head_user"]}}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise history_store.HistoryError(f"{path}: not what `compare --lab --out` writes "
                                         f"({type(error).__name__}: {error})") from None


def read(store, complain):
    """All runs, in order of time."""
    path, found = store.folder / NAME, []
    with store.locked(exclusive=False):
        lines = path.read_bytes().split(b"\n") if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            run = json.loads(line) if line else None
            if run and run["counts"] != 1:
                complain(f"{path}:{number}: version {run['counts']} of the history: use a newer "
                         "threadlab")
            elif run:
                found.append(run)
        except (ValueError, KeyError, TypeError):
            complain(f"{path}:{number}: damaged, and left out")
    return sorted(found, key=lambda run: run["started"])


def add(store, run):
    """False: it was added before."""
    line = json.dumps(run, sort_keys=True).encode() + b"\n"
    with store.locked(exclusive=True), open(store.folder / NAME, "a+b") as file:
        file.seek(0)
        data = file.read()
        if line in data.splitlines(keepends=True):
            return False
        # One that was cut off by a crash ends here, so that it spoils no other.
        file.write(line if not data or data.endswith(b"\n") else b"\n" + line)
        file.flush()
        os.fsync(file.fileno())
    return True


@dataclasses.dataclass
class Change:
    machine: str
    key: str
    before: dict  # runs
    after: dict
    old: float  # user instructions per op
    new: float
    last: bool  # of the machine's last run that has this key

    @property
    def delta(self):
        return self.new - self.old

    def fields(self):
        def side(run, value):
            return {"started": run["started"], "user": value,
                    **{fact: run["head"][fact] for fact in _BUILD[:3]}}

        return {"machine": self.machine, "key": self.key, "delta": self.delta,
                "before": side(self.before, self.old), "after": side(self.after, self.new)}


def changes(runs, bench=None, impl=None):
    """([Change], {"series", "unsteady", "other compiler": how many}) of runs in order of time."""
    latest, found, said = {}, [], {"series": 0, "unsteady": 0, "other compiler": 0}
    last = {(run["machine"], key): run for run in runs for key in run["user"]}
    for run in runs:
        for key, (low, high) in run["user"].items():
            name, (of, by) = (run["machine"], key), (key.split("/") + [""])[:2]
            if not (history.matches(of, bench) and history.matches(by, impl)):
                continue
            if low != high:
                said["unsteady"] += 1
                continue
            before = latest.get(name)
            latest[name] = run
            if before is None:
                said["series"] += 1
            elif any(before["head"][fact] != run["head"][fact] for fact in ("compiler", "cflags")):
                said["other compiler"] += 1
            elif before["user"][key][0] != low:
                found.append(Change(*name, before, run, before["user"][key][0], low,
                                    last[name] is run))
    return found, said


def build_name(run):
    return history.build_name(run["head"])
