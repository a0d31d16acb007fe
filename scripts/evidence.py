"""What the records of a machine say for or against a claim: kinds of evidence. Pure.

Each kind has `of(records)`, which returns an Answer. A ratio is taken within one run only; the
first of the records that can answer does. Values are medians over processes, a ratio with its
interval as in a report (summary.py).
"""

import dataclasses

import report_checks
import report_required
import summary
from report_base import Content, times
from summary import quantity

CONTROL = "null"  # has to fail what needs concurrency: it says nothing about a claim
_BAD = ("failed", "crashed", "timeout", "invalid")


@dataclasses.dataclass(frozen=True)
class Answer:
    """holds: True, False, or None where the records do not answer; text: one line for people.
    partly: it does not hold, but for some implementations it does. decides: something could have
    spoken against the claim."""

    holds: bool | None
    text: str
    partly: bool = False
    decides: bool = True


class Records:
    """The runs of one machine: those with benchmarks, and the verdicts of those with checks."""

    def __init__(self, runs):
        # The largest first, of either kind: a run asks only what its benchmarks rest on.
        self.timed = sorted((Content(run) for run in runs if run.header["benches"]),
                            key=lambda content: -len(content.cells))
        self.matrices = [report_checks.Matrix(run, list(run.header["impls"]))
                         for run in runs if run.checks]
        self.matrices.sort(key=lambda matrix: -len(matrix.at))

    def verdicts(self, name):
        """{implementation: status} of a property, without the control; {} where nobody asked."""
        for matrix in self.matrices:
            found = {impl: matrix.worst(name, impl)["status"] for impl in matrix.impls
                     if impl != CONTROL and matrix.worst(name, impl)}
            found |= {"the kernel": check["status"] for check in matrix.kernel
                      if check["property"] == name}
            if found:
                return found
        return {}


@dataclasses.dataclass(frozen=True)
class Kept:
    """Properties that every implementation keeps which offers them; or those named in `by` do,
    whatever the others do."""

    properties: tuple
    by: tuple = ()

    def of(self, records):
        lines, holds, partly = [], [], False
        for name in self.properties:
            verdicts = records.verdicts(name)
            if not verdicts or not set(self.by) <= set(verdicts):
                missing = sorted(set(self.by) - set(verdicts)) if verdicts else []
                lines.append(f"{name}: not asked"
                             + (f" of {', '.join(missing)}" if missing else ""))
                holds.append(None)
                continue
            kept = [impl for impl, status in verdicts.items() if status == "ok"]
            broken = [impl for impl, status in verdicts.items() if status in _BAD]
            if self.by:
                holds.append(set(self.by) <= set(kept))
                partly |= bool(set(self.by) & set(kept))
            else:
                holds.append(bool(kept) and not broken)
                partly |= bool(kept)
            lines.append(f"{name}: " + ("kept by " + ", ".join(kept) if kept else "kept by none")
                         + (f"; NOT by {', '.join(broken)}" if broken else ""))
        text = "; ".join(lines)
        if False in holds:
            return Answer(False, text, partly)
        return Answer(None if None in holds else True, text)


def _bounded(kind, value, text, *cells):
    """Whether it is within the bounds of a Ratio or Measured; without bounds it decides nothing.
    Nor does what an implementation measured that breaks what the number rests on."""
    unsafe = list(dict.fromkeys(reason for cell in cells for reason in cell.unsafe))
    if unsafe:
        return Answer(None, f"{text}: unsafe, {', '.join(unsafe)}")
    return Answer((kind.least is None or value >= kind.least)
                  and (kind.most is None or value <= kind.most), text,
                  decides=kind.least is not None or kind.most is not None)


@dataclasses.dataclass(frozen=True)
class Ratio:
    """One cell's value in proportion to another's; `least` and `most` bound it for the claim to
    hold, None: no bound."""

    what: str
    over: report_required.Side
    under: report_required.Side
    least: float | None = None
    most: float | None = None

    def of(self, records):
        why = None
        for content in records.timed:
            over, missing = report_required.side(content, self.over)
            wanted = report_required.same_setting(self.under, over) if over else self.under
            under, also = report_required.side(content, wanted)
            ratio = summary.ratio(over, under) if over and under else None
            if ratio is None:
                why = why or missing or also or "no round has both"
                continue
            text = (f"{self.what}: {times(ratio.value)} "
                    f"({quantity(over.value, content.unit(over.bench))} : "
                    f"{quantity(under.value, content.unit(under.bench))})")
            if ratio.low is not None:
                text += f", {100 * ratio.level:.3g}% interval {times(ratio.low)} to " \
                        f"{times(ratio.high)}"
                if any(b is not None and ratio.low < b < ratio.high
                       for b in (self.least, self.most)):
                    text += ": not clearly"
            return _bounded(self, ratio.value, text, over, under)
        return Answer(None, f"{self.what}: {why or 'no run with benchmarks was given'}")


@dataclasses.dataclass(frozen=True)
class Measured:
    """A metric of one cell; bounds as for Ratio."""

    what: str
    side: report_required.Side
    metric: str
    least: float | None = None
    most: float | None = None

    def of(self, records):
        why = None
        for content in records.timed:
            cell, missing = report_required.side(content, self.side)
            value, unit = report_required.metric(cell, self.metric) if cell else (None, None)
            if value is None:
                why = why or missing or f"no {self.metric} of {cell.key}"
                continue
            return _bounded(self, value, f"{self.what}: {quantity(value, unit)}", cell)
        return Answer(None, f"{self.what}: {why or 'no run with benchmarks was given'}")
