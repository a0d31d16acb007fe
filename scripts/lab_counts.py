"""Counts of the lab's runs: do they repeat, and what differs between two builds?

A count of user instructions is of the code alone as long as the threads take the same turns. So
each build is counted in several interleavings (--lab-seeds): a cell whose count of a build is the
same in all of them is steady, and between two steady counts any difference is one of the code,
however small. What is not steady (threads that race for real, a timer that hits the window) is
shown with its range and claims nothing. Kernel instructions hold the ticks of the timer that fell
into the window, wherever a change has moved them to: they are shown beside, and decide nothing.
"""

import dataclasses
import hashlib
import json

import threadlab_records

USER, KERNEL = "instructions:u", "instructions:k"


def raw(run):
    """{(cell, event): ((value, ops), (value, ops) of the smaller pass)}, as they stand."""
    return {(s["key"], c["event"]): ((c["value"], c["ops"]),
                                     (c.get("base_value"), c.get("base_ops")))
            for s in run.samples for c in s["counters"] if c["value"] is not None}


def digest(counts):
    """SHA-256 of all counts of a boot, short: the same where all are the same."""
    text = json.dumps(sorted(([*name], [*found]) for name, found in counts.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def repeated(runs):
    """(table, are all counts of all runs the same?)"""
    all_counts = [raw(run) for run in runs]
    names = sorted(set().union(*all_counts))
    lines, different = [], 0
    for name in names:
        found = {counts.get(name) for counts in all_counts}
        if len(found) > 1:
            different += 1
            lines.append(f"{name[1]} of {name[0]}: {sorted(map(str, found))}")
    lines += [f"boot {n}: {digest(counts)}" for n, counts in enumerate(all_counts, 1)]
    values = 2 * len(names)
    lines.append(f"{len(runs)} boots, {values} counts of {len({n[0] for n in names})} cells each: "
                 + (f"{different} events differ" if different else "the same to the last digit"))
    return "\n".join(lines), bool(names) and not different


def ranges(runs, event):
    """{cell: (least, most) per op over the runs}, of the cells that all of them counted."""
    found = {}
    for run in runs:
        for sample in run.samples:
            value = threadlab_records.per_op(sample, event) if sample["status"] == "ok" else None
            found.setdefault(sample["key"], []).append(value)
    return {key: (min(v), max(v)) for key, v in found.items()
            if len(v) == len(runs) and None not in v}


def statuses(runs):
    """{cell: the worst that became of it}: `ok`, `unsupported`, or why it was not counted."""
    found = {}
    for run in runs:
        for sample in run.samples:
            counted = threadlab_records.per_op(sample, USER) is not None
            now = sample["status"] if sample["status"] in ("ok", "unsupported") else \
                f"{sample['status']}: {sample['reason']}"
            if now == "ok" and not counted:
                now = "not counted"
            if found.get(sample["key"], "ok") in ("ok", "unsupported"):
                found[sample["key"]] = now
    return found


@dataclasses.dataclass
class Pair:
    key: str
    verdict: str  # same, MORE, fewer, unsteady, failed
    user: tuple = ()  # ((least, most) of base, of head)
    kernel: tuple = ()
    reason: str = ""

    @property
    def delta(self):
        return self.user[1][0] - self.user[0][0]


def pairs(base, head):
    """A Pair for each cell that both builds have. What base counts and head cannot is `failed`."""
    user = ranges(base, USER), ranges(head, USER)
    kernel = ranges(base, KERNEL), ranges(head, KERNEL)
    became = statuses(base), statuses(head)
    found = []
    for key in became[0]:
        if key not in became[1] or "unsupported" in (became[0][key], became[1][key]):
            continue
        if key not in user[0] or key not in user[1]:
            if key in user[0]:
                found.append(Pair(key, "failed", reason=became[1][key]))
            continue
        old, new = user[0][key], user[1][key]
        if old[0] != old[1] or new[0] != new[1]:
            verdict = "unsteady"
        else:
            verdict = "same" if new == old else "MORE" if new > old else "fewer"
        beside = tuple(k[key] for k in kernel) if key in kernel[0] and key in kernel[1] else ()
        found.append(Pair(key, verdict, (old, new), beside))
    return found


def exit_status(found):
    """As that of `threadlab compare`: 0: none executes more; 1: one does; 2: a cell that base
    counts could not be counted, or there is nothing to compare."""
    verdicts = {pair.verdict for pair in found}
    if "MORE" in verdicts:
        return 1
    return 2 if "failed" in verdicts or not found else 0


def number(low, high):
    """A count, or the range of it."""
    text = f"{low:,.3f}".removesuffix(".000")
    return text if low == high else f"{text} .. {f'{high:,.3f}'.removesuffix('.000')}"


def _line(pair):
    if pair.verdict == "failed":
        return f"{'FAILED':14} {pair.key}: {pair.reason}"
    verdict = pair.verdict
    if verdict != "unsteady":
        verdict += f" {pair.delta:+,.3f}"
    text = f"{verdict:14} user {number(*pair.user[0])} -> {number(*pair.user[1])}"
    if pair.kernel:
        text += f"; kernel {number(*pair.kernel[0])} -> {number(*pair.kernel[1])}"
    return f"{text}  {pair.key}"


def compared(base, head):
    """(table, exit status). One line a cell that differs, is not steady or could not be counted."""
    found = pairs(base, head)
    lines = [_line(pair) for pair in found if pair.verdict != "same"]
    sums = [f"{sum(p.verdict == verdict for p in found)} {text}" for verdict, text in
            (("same", "cells the same"), ("MORE", "more"), ("fewer", "fewer"),
             ("unsteady", "not steady over the interleavings"), ("failed", "not counted in head"))]
    only = len(set(statuses(base)) ^ set(statuses(head)))
    lines.append(f"user instructions per op: {', '.join(sums)}"
                 + (f"; {only} in one build only" if only else ""))
    return "\n".join(lines), exit_status(found)
