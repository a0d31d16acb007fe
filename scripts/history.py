"""The history of results as series, and the steps in them. Pure.

A series is what one machine measured of one key, as ratios to the same reference build. Ratios to
another reference, or of another version of the benchmark, are another series: a part of its own.
"""

import dataclasses
import fnmatch
import math

import changepoints
import summary

EFFECT = 0.01  # of a step; smaller ones are left out


@dataclasses.dataclass
class Part:
    """Rows in order of time that can be compared with each other."""

    reference: str  # sha256
    version: int  # of the benchmark
    rows: list
    at: list  # their places in the whole series


@dataclasses.dataclass
class Series:
    machine: str
    key: str
    bench: str
    impl: str
    parts: list

    @property
    def rows(self):
        """All of them, in order of time."""
        found = sorted((at, row) for part in self.parts for at, row in zip(part.at, part.rows))
        return [row for _, row in found]

    @property
    def splits(self):
        """[(row before, row after, why)]: where a part begins."""
        rows, found = self.rows, []
        for before, after in zip(rows, rows[1:]):
            if before.base_sha256 != after.base_sha256:
                found.append((before, after, "the reference build changed"))
            elif before.bench_version != after.bench_version:
                found.append((before, after, "the version of the benchmark changed"))
        return found


@dataclasses.dataclass
class Step:
    series: Series
    part: Part
    at: int  # the first run of the new level, within the part
    p: float
    before: summary.Estimate  # of the ratio, over the runs of the level
    after: summary.Estimate

    @property
    def change(self):
        """after/before: 1.05 is 5% slower."""
        return self.after.value / self.before.value

    @property
    def slower(self):
        return self.change > 1

    @property
    def rows(self):
        """(the last run of the old level, the first of the new one)."""
        return self.part.rows[self.at - 1], self.part.rows[self.at]

    @property
    def runs_since(self):
        """How many runs the part has of the new level, and whatever came after it."""
        return len(self.part.rows) - self.at


def head_of(row):
    return {"revision": row.head_revision, "sha256": row.head_sha256,
            "dirty": None if row.head_dirty is None else bool(row.head_dirty)}


def base_of(row):
    return {"revision": row.base_revision, "sha256": row.base_sha256,
            "dirty": None if row.base_dirty is None else bool(row.base_dirty)}


def build_name(build):
    """Short, for people: "0123abc", "0123abc+" with changes, "build ab12cd3" where unknown."""
    if build["revision"] is None:
        return f"build {build['sha256'][:7]}"
    return build["revision"][:10] + ("+" if build["dirty"] else "")


def ratio_text(estimate):
    """"1.012 [1.008, 1.015] (n 12)"; without an interval where there is none."""
    if estimate.low is None:
        return f"{estimate.value:.3f} (n {estimate.n}: too few for an interval)"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}] (n {estimate.n})"


def step_text(step):
    return (f"{'slower' if step.slower else 'faster'} by {summary.percent(abs(step.change - 1))}: "
            f"{ratio_text(step.before)} to {ratio_text(step.after)}, p {step.p:.3f}")


def row_text(row):
    return f"{row.started}  {build_name(head_of(row))}  run {row.run}"


def step_fields(step):
    """A step as plain data."""
    def side(row, estimate):
        return {"run": row.run, "started": row.started, **head_of(row), "runs": estimate.n,
                "ratio": {"value": estimate.value, "low": estimate.low, "high": estimate.high}}

    before, after = step.rows
    return {
        "machine": step.series.machine, "key": step.series.key, "bench": step.series.bench,
        "impl": step.series.impl, "reference": step.part.reference, "change": step.change,
        "slower": step.slower, "p": step.p, "before": side(before, step.before),
        "after": side(after, step.after), "runs_since": step.runs_since,
    }


def matches(name, globs):
    """globs: "switch.*,lock.*" or None for all, as the driver takes them."""
    return globs is None or any(fnmatch.fnmatchcase(name, glob) for glob in globs.split(","))


def series_of(rows, bench=None, impl=None):
    """rows: of history_index, in order of machine, key and time."""
    groups = {}
    for row in rows:
        if matches(row.bench, bench) and matches(row.impl, impl):
            groups.setdefault((row.machine, row.key), []).append(row)
    found = []
    for (machine, key), group in groups.items():
        parts = {}
        for at, row in enumerate(group):
            name = (row.base_sha256, row.bench_version)
            part = parts.setdefault(name, Part(*name, [], []))
            part.rows.append(row)
            part.at.append(at)
        found.append(Series(machine, key, group[0].bench, group[0].impl, list(parts.values())))
    return sorted(found, key=lambda s: (s.machine, summary.natural(s.key)))


def level(rows):
    """The ratio over some runs, with its interval."""
    found = summary.hodges_lehmann([math.log(row.ratio) for row in rows])
    return dataclasses.replace(found, value=math.exp(found.value),
                               low=None if found.low is None else math.exp(found.low),
                               high=None if found.high is None else math.exp(found.high))


def levels(part, steps):
    """[(first, end, Estimate)] of the segments between the steps of a part."""
    edges = [0, *(step.at for step in steps if step.part is part), len(part.rows)]
    return [(a, b, level(part.rows[a:b])) for a, b in zip(edges, edges[1:])]


def steps_of(series, least=changepoints.MIN_SEGMENT, effect=EFFECT,
             significance=changepoints.LEVEL):
    """The steps of all parts, in order of time within each."""
    found = []
    for part in series.parts:
        logs = [math.log(row.ratio) for row in part.rows]
        points = changepoints.of_size(
            logs, changepoints.e_divisive(logs, least, significance), math.log1p(effect),
            lambda values: summary.hodges_lehmann(values).value,
        )
        edges = [0, *(point.at for point in points), len(logs)]
        estimates = [level(part.rows[a:b]) for a, b in zip(edges, edges[1:])]
        found += [Step(series, part, point.at, point.p, *pair)
                  for point, pair in zip(points, zip(estimates, estimates[1:]))]
    return found


def new_slowdown(series, steps, within, least):
    """The newest step of a series where that is a slowdown that could be seen for the first time
    in the last `within` runs with the reference in use (a step shows with its `least`-th run)."""
    newest = max(series.parts, key=lambda part: part.at[-1])
    last = [step for step in steps if step.part is newest][-1:]
    return [s for s in last if s.slower and s.runs_since - (least - 1) <= within]
