"""Statistics of a run: from samples to cells, and what may be said about a cell. Pure.

The value of a process is the minimum over its batches of ns/ops (what disturbs a batch only ever
makes it longer). The value of a cell is the median over the rounds of those, shown with the range
and the number of processes. Values are compared within one run only, never across hosts.
"""

import dataclasses
import decimal
import functools
import math

import numpy as np

LEVEL = 0.95  # of every interval


def process_value(sample):
    """ns per op of one process, or None where it is not ok."""
    if sample["status"] != "ok":
        return None
    return min(batch["ns"] / batch["ops"] for batch in sample["batches"])


@dataclasses.dataclass
class Cell:
    """The samples of one key: the same question, asked once a round."""

    key: str
    bench: str
    impl: str  # "-": the machine
    params: dict
    axes: dict
    place: dict
    samples: list = dataclasses.field(default_factory=list)

    @functools.cached_property
    def by_round(self):
        """{round: value of the process}, of the ok ones."""
        return {s["round"]: process_value(s) for s in self.samples if s["status"] == "ok"}

    @property
    def values(self):
        return list(self.by_round.values())

    @property
    def ok(self):
        return bool(self.by_round)

    @functools.cached_property
    def value(self):
        return float(np.median(self.values)) if self.ok else None

    @property
    def low(self):
        return min(self.values)

    @property
    def high(self):
        return max(self.values)

    @property
    def relation(self):
        """What the CPUs were found to share; what was asked for where none was chosen."""
        return self.place["relation"] or self.place["policy"]

    @property
    def on_one_pu(self):
        return len(self.place["cpus"]) == 1

    @functools.cached_property
    def untrusted(self):
        """How many of the ok processes failed a self-check."""
        return sum(s["status"] == "ok" and s["trusted"] is False for s in self.samples)

    @functools.cached_property
    def unsafe(self):
        """Properties that the value rests on and that do not hold, in the order of the record."""
        return list(dict.fromkeys(p for s in self.samples for p in s.get("unsafe") or []))

    def setting(self):
        """Everything that the cell varies besides impl: {name: value}."""
        return {"place": place_name(self.place), **self.axes, **self.params}


def place_name(place):
    """How the placement is called in a chart: a listed pair by its CPUs, else by its relation."""
    if place["policy"].startswith("cpus="):
        return f"{place['policy']} ({place['relation'] or 'impossible'})"
    return place["relation"] or place["policy"]


# How near: the order in which placements are shown. What is not here comes after.
_NEAR = ("same-pu", "smt", "shared-l2", "shared-l3", "cross-l3", "cross-numa", "cross-package",
         "compact", "spread")


def _place_order(place):
    near = [_NEAR.index(name) for name in (place["relation"], place["policy"]) if name in _NEAR]
    return (near[0] if near else len(_NEAR), natural(place["policy"]))


def cells(run):
    """The cells of a run, ordered by benchmark, placement, axes, implementation, parameters."""
    impls = {name: at for at, name in enumerate(run.header["impls"])}

    def order(cell):
        return (
            cell.bench,
            _place_order(cell.place),
            [(name, value_order(value)) for name, value in cell.axes.items()],
            impls.get(cell.impl, len(impls)),
            natural(cell.key),
        )

    found = {}
    for sample in run.samples:
        cell = found.get(sample["key"])
        if cell is None:
            cell = found[sample["key"]] = Cell(
                sample["key"], sample["bench"], sample["impl"], sample["params"],
                sample["axes"], sample["place"],
            )
        cell.samples.append(sample)
    return sorted(found.values(), key=order)


def natural(text):
    """Sort key: numbers within a text by value; `01` and `1` by how they are written."""
    parts, digits, current = [], False, ""
    for char in str(text):
        is_digit = char in "0123456789"
        if is_digit != digits and current:
            parts.append(_part(current, digits))
            current = ""
        digits, current = is_digit, current + char
    if current:
        parts.append(_part(current, digits))
    return parts, str(text)


def _part(text, digits):
    return (0, int(text), "") if digits and len(text) < 300 else (1, 0, text)


def value_order(value):
    """Sort key of axis values: integers by value, before words."""
    return (0, value, "") if isinstance(value, (int, float)) else (1, 0, str(value))


# ---- intervals and ratios ------------------------------------------------------------------------


def signed_rank_counts(n):
    """Number of sign patterns of n observations that give each rank sum 0..n(n+1)/2."""
    counts = [1]
    for rank in range(1, n + 1):
        grown = counts + [0] * rank
        for at, count in enumerate(counts):
            grown[at + rank] += count
        counts = grown
    return counts


@dataclasses.dataclass
class Estimate:
    value: float
    low: float | None  # None: too few pairs for an interval of LEVEL
    high: float | None
    n: int
    exact: bool = True  # the interval's level is exact, not from the normal approximation


SMALLEST_N = 6  # below, even all signs alike has p > 1 - LEVEL: 2 / 2^5 = 6.25%


def hodges_lehmann(values, level=LEVEL):
    """Centre of symmetric values with its interval by inverting Wilcoxon's signed rank test.

    The estimate is the median of the Walsh averages; the interval's ends are order statistics of
    the same averages (Hollander and Wolfe 1999, "Nonparametric Statistical Methods", 3.2-3.3).
    """
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n == 0:
        raise ValueError("no values")
    i, j = np.triu_indices(n)
    walsh = np.sort((values[i] + values[j]) / 2)
    centre = float(np.median(walsh))
    if n < SMALLEST_N:
        return Estimate(centre, None, None, n)
    drop, exact = _walsh_to_drop(n, level)
    if drop == 0:
        return Estimate(centre, None, None, n)
    return Estimate(centre, float(walsh[drop - 1]), float(walsh[-drop]), n, exact)


@functools.lru_cache(maxsize=None)
def _walsh_to_drop(n, level):
    """(how many Walsh averages lie outside the interval at either end, is that exact?)."""
    tail = (1 - level) / 2
    if n > 60:  # the exact distribution costs n^3; beyond, the approximation is close
        mean, spread = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return max(int(math.floor(mean - _normal_quantile(1 - tail) * spread)), 0), False
    running = 0
    for drop, count in enumerate(signed_rank_counts(n)):
        running += count
        if running > tail * 2**n:
            break
    return drop, True


def _normal_quantile(p):
    import statistics

    return statistics.NormalDist().inv_cdf(p)


@dataclasses.dataclass
class Ratio:
    """a/b, from the ratios within each round; where no two rounds have both, of the two medians.

    With fewer than SMALLEST_N rounds no interval of LEVEL exists; then it spans all that was seen,
    and its level is what that is worth: 1 - 2^(1-n), 87.5% for four rounds.
    """

    value: float
    low: float | None  # the interval of `level`; None: fewer than two rounds have both
    high: float | None
    level: float | None
    n: int


def interval_level(n):
    """The level of a Ratio's interval from n rounds."""
    return LEVEL if n >= SMALLEST_N else 1 - 2.0 ** (1 - n)


def ratio(a, b):
    """How cell a compares with cell b of the same run, or None where one has no value."""
    if not a.ok or not b.ok or not a.value or not b.value:
        return None
    rounds = [r for r in a.by_round if b.by_round.get(r) and a.by_round[r]]
    if len(rounds) < 2:
        plain = a.value / b.value
        return Ratio(plain, None, None, None, len(rounds))
    logs = np.log([a.by_round[r] / b.by_round[r] for r in rounds])
    found = hodges_lehmann(logs)
    if found.low is None:
        low, high = logs.min(), logs.max()
    else:
        low, high = found.low, found.high
    return Ratio(math.exp(found.value), math.exp(low), math.exp(high), interval_level(found.n),
                 found.n)


@dataclasses.dataclass
class Twice:
    """The A/A result, with the names and units of the end record's `aa`."""

    pairs: int
    median: float | None  # per cent; None: no pairs
    p95: float | None
    max: float | None


def same_twice(some_cells):
    """How much these cells differ between two processes; as harness/tally.c computes it."""
    logs = sorted(
        abs(math.log(cell.by_round[r + 1] / value))
        for cell in some_cells for r, value in cell.by_round.items()
        if value > 0 and cell.by_round.get(r + 1, 0) > 0
    )
    n = len(logs)
    if n == 0:
        return Twice(0, None, None, None)
    chosen = (float(np.median(logs)), logs[-(-95 * n // 100) - 1], logs[-1])
    return Twice(n, *(100 * math.expm1(d) for d in chosen))


def crossover(xs, upper, lower):
    """Where two curves over ascending xs cross: a list of (x, before, after), before and after the
    neighbouring xs. x is interpolated in log-log. Points where they touch belong to what follows.
    """
    signs = [math.log(u / v) for u, v in zip(upper, lower)]
    found, previous = [], None
    for at, value in enumerate(signs):
        if value == 0:
            continue
        if previous is not None and (value > 0) != (signs[previous] > 0):
            x0, x1 = xs[previous], xs[at]
            part = signs[previous] / (signs[previous] - value)
            if x0 > 0:
                x = math.exp(math.log(x0) + part * (math.log(x1) - math.log(x0)))
            else:
                x = x0 + part * (x1 - x0)
            found.append((x, x0, x1))
        previous = at
    return found


# ---- histograms ----------------------------------------------------------------------------------


@dataclasses.dataclass
class Histogram:
    unit: str
    count: int
    min: int
    max: int
    sum: int
    buckets: list  # [low, high, count], ascending; low <= value < high

    @classmethod
    def merge(cls, parts):
        """One histogram of several with the same buckets, as the rounds of a cell have."""
        parts = [p for p in parts if p["count"] > 0]
        if not parts:
            return None
        merged = {}  # by the lower end: the last bucket of each part ends at the part's maximum
        for part in parts:
            for low, high, count in part["buckets"]:
                known = merged.get(low, (low, 0))
                merged[low] = (max(high, known[0]), known[1] + count)
        return cls(
            parts[0]["unit"], sum(p["count"] for p in parts), min(p["min"] for p in parts),
            max(p["max"] for p in parts), sum(p["sum"] for p in parts),
            [[low, high, count] for low, (high, count) in sorted(merged.items()) if count > 0],
        )

    def percentile(self, p):
        """The value that p of 100 do not exceed, to the bucket's width (rounded up), or None where
        so few were recorded that it would be the maximum by construction."""
        if self.count * (100 - p) < 100 - 1e-9:
            return None
        rank, seen = max(math.ceil(self.count * p / 100 - 1e-9), 1), 0
        for _, high, count in self.buckets:
            seen += count
            if seen >= rank:
                return min(high - 1, self.max)
        return self.max

    def ecdf(self):
        """(xs, fractions): the fraction that does not exceed each bucket's upper end."""
        xs, fractions, seen = [], [], 0
        total = sum(count for _, _, count in self.buckets) or 1
        for low, high, count in self.buckets:
            seen += count
            xs.append(max(min(high - 1, self.max), low, 1))
            fractions.append(seen / total)
        return xs, fractions


def merged_histograms(cell):
    """{name: Histogram} over the ok samples of a cell."""
    parts = {}
    for sample in cell.samples:
        if sample["status"] == "ok":
            for name, histogram in sample["hists"].items():
                parts.setdefault(name, []).append(histogram)
    merged = {name: Histogram.merge(found) for name, found in parts.items()}
    return {name: histogram for name, histogram in merged.items() if histogram is not None}


# ---- numbers for people --------------------------------------------------------------------------

_SCALES = {
    "ns": ((1, "ns"), (1e3, "us"), (1e6, "ms"), (1e9, "s")),
    "bytes": ((1, "bytes"), (2**20, "MiB"), (2**30, "GiB")),
}
_MINUS = "\N{MINUS SIGN}"


def significant(value, digits=3):
    """A number with that many significant digits, without exponent, thousands by thin spaces."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    if value == 0:
        return "0"
    # Rounded in decimal: exact, and one more digit before the point where 9.996 becomes 10.0.
    rounded = decimal.Decimal(f"{abs(value):.{digits - 1}e}")
    text = f"{rounded:,f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return (_MINUS if value < 0 else "") + text


def scale(value, unit="ns"):
    """(divisor, unit) in which value reads well: times and bytes are scaled."""
    scales = _SCALES.get(unit)
    if scales is None:
        return 1, unit
    # 999.6 has three digits only as 1000, so the step is taken a little early.
    fitting = [s for s in scales if abs(value) >= s[0] * 0.9995]
    divisor, name = fitting[-1] if fitting else scales[0]
    return divisor, "\N{MICRO SIGN}s" if name == "us" else name


def quantity(value, unit="ns"):
    """A number with its unit, for people: 3 significant digits."""
    if value is None:
        return "\N{EN DASH}"
    divisor, name = scale(value, unit)
    return f"{significant(value / divisor)}\N{NO-BREAK SPACE}{name}"


def percent(value):
    return "\N{EN DASH}" if value is None else f"{significant(100 * value)}\N{NO-BREAK SPACE}%"


def integer(value):
    """An axis value: 65536 as 64 Ki where it is one of the 1024-based round numbers."""
    if not isinstance(value, (int, float)):
        return str(value)
    value = int(value)
    for exponent, suffix in ((30, "Gi"), (20, "Mi"), (10, "Ki")):
        if value >= 1 << exponent and value % (1 << exponent) == 0:
            return f"{value >> exponent}\N{NO-BREAK SPACE}{suffix}"
    return count(value)


def count(value):
    """A number of things, in groups of three digits."""
    return f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def duration(ns):
    seconds = ns / 1e9
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{significant(seconds)} s"


def fact(header, group, *keys):
    """A fact of the environment, or why it is unknown."""
    facts = header["environment"].get(group, {})
    for key in keys:
        if facts.get(key) is not None:
            return str(facts[key])
    for key in keys:
        reason = header["unknown"].get(f"{group}.{key}")
        if reason:
            return f"unknown ({reason})"
    return "not recorded"
