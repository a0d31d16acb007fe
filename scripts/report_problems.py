"""What of a report's run is not ok, untrusted or unsafe, and why."""

import re

import plots
from report_base import UNSAFE, plural
from report_render import DAGGER, Bullets, Details, Heading, Table, Text


def _shape(text):
    """Reasons that differ only in their numbers are one reason."""
    return re.sub(r"\d+(\.\d+)?", "#", text)


def _reason_text(examples):
    different = len(set(examples)) > 1
    return examples[0] + (" (and the like, with other numbers)" if different else "")


def distrust(cells):
    groups = {}
    for cell in cells:
        for sample in cell.samples:
            for reason in sample["distrust"]:
                group = groups.setdefault(_shape(reason), ([], set(), set()))
                group[0].append(reason)
                group[1].add(cell.key)
                group[2].add(cell.impl)
    if not groups:
        return []
    ordered = sorted(groups.values(), key=lambda g: -len(g[0]))
    items = [
        f"{plural(len(reasons), 'record')} in {plural(len(keys), 'cell')} "
        f"({', '.join(sorted(map(plots.machine_name, impls)))}): {_reason_text(reasons)}"
        for reasons, keys, impls in ordered
    ]
    return [Details(f"{DAGGER} Untrusted: {plural(len(items), 'reason')}", [Bullets(items)],
                    len(items) <= 4)]


def unsafe(cells):
    groups = {}
    for cell in cells:
        if cell.unsafe:
            groups.setdefault(tuple(cell.unsafe), {}).setdefault(plots.series_name(cell, []))
    items = [f"{', '.join(names)}: rests on {', '.join(properties)}"
             for properties, names in groups.items()]
    if not items:
        return []
    return [Details(f"{UNSAFE} Unsafe: promises that are not kept", [Bullets(items)],
                    len(items) <= 4)]


def _problem_groups(cells):
    """[(status, reason, [keys], impls, benches, records)] of what is not ok, most cells first."""
    groups = {}
    for cell in cells:
        for sample in cell.samples:
            if sample["status"] == "ok":
                continue
            reason = sample["reason"] or "no reason given"
            if sample["signal"] and sample["signal"] not in reason:
                reason += f" ({sample['signal']})"
            group = groups.setdefault((sample["status"], _shape(reason)),
                                      ([], {}, set(), set(), []))
            group[0].append(reason)
            group[1][cell.key] = None
            group[2].add(cell.impl)
            group[3].add(cell.bench)
            group[4].append(sample)
    found = [
        (status, _reason_text(reasons), list(keys), sorted(impls), sorted(benches), len(samples))
        for (status, _), (reasons, keys, impls, benches, samples) in groups.items()
    ]
    return sorted(found, key=lambda g: (g[0], -len(g[2]), g[1]))


def of_cells(cells):
    items = [
        f"{plural(len(keys), 'cell')} {status} "
        f"({', '.join(map(plots.machine_name, impls))}): {reason}"
        for status, reason, keys, impls, _, _ in _problem_groups(cells)
    ]
    return [Heading(3, "Not ok"), Bullets(items)] if items else []


def of_run(content):
    rows = [
        [status, reason, ", ".join(map(plots.machine_name, impls)), ", ".join(benches),
         str(len(keys)), str(records)]
        for status, reason, keys, impls, benches, records in _problem_groups(content.cells)
    ]
    title = Heading(2, "What was not measured, and why", "not-ok")
    if not rows:
        nothing = "Every record is ok." if content.run.samples else "There is no record."
        return [title, Text(nothing)]
    columns = ["status", "reason", "implementations", "benchmarks", "cells", "records"]
    return [title, Table(columns, rows, left=4)]
