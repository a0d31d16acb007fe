"""Counts of the lab's runs: do they repeat, and what differs between two builds?

A count of user instructions is of the code alone as long as the threads take the same turns. So
each build is counted in several interleavings (--lab-seeds): a cell whose count of a build is the
same in all of them is steady, and between two steady counts any difference is one of the code,
however small. What is not steady (threads that race for real, a timer that hits the window) is
shown with its range and claims nothing. Kernel instructions hold the ticks of the timer that fell
into the window, wherever a change has moved them to: they are shown beside, and decide nothing.
"""

import threadlab_records

USER, KERNEL = "instructions:u", "instructions:k"


def raw(run):
    """{(cell, event): ((value, ops), (value, ops) of the smaller pass)}, as they stand."""
    return {(s["key"], c["event"]): ((c["value"], c["ops"]),
                                     (c.get("base_value"), c.get("base_ops")))
            for s in run.samples for c in s["counters"] if c["value"] is not None}


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


def _text(low, high):
    number = f"{low:,.3f}".removesuffix(".000")
    return number if low == high else f"{number} .. {f'{high:,.3f}'.removesuffix('.000')}"


def compared(base, head):
    """(table, how many cells execute more). One line a cell that differs or is not steady."""
    user = ranges(base, USER), ranges(head, USER)
    kernel = ranges(base, KERNEL), ranges(head, KERNEL)
    same = more = fewer = unsteady = 0
    lines = []
    for key in [k for k in user[0] if k in user[1]]:
        old, new = user[0][key], user[1][key]
        steady = old[0] == old[1] and new[0] == new[1]
        delta = new[0] - old[0]
        if steady and delta == 0:
            same += 1
            continue
        verdict = "unsteady"
        if not steady:
            unsteady += 1
        elif delta > 0:
            more += 1
            verdict = f"MORE {delta:+,.3f}".removesuffix(".000")
        else:
            fewer += 1
            verdict = f"fewer {delta:+,.3f}".removesuffix(".000")
        lines.append(f"{verdict:14} user {_text(*old)} -> {_text(*new)}"
                     + (f"; kernel {_text(*kernel[0][key])} -> {_text(*kernel[1][key])}"
                        if key in kernel[0] and key in kernel[1] else "") + f"  {key}")
    only = len(set(user[0]) ^ set(user[1]))
    lines.append(f"user instructions per op: {same} cells the same, {more} more, {fewer} fewer, "
                 f"{unsteady} not steady over the interleavings"
                 + (f"; {only} in one build only" if only else ""))
    return "\n".join(lines), more
