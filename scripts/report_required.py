"""The table of a report that holds the speeds and sizes that are promised against this run.

Each is a ratio of two cells of one run, or an amount that one cell measured. Where one cannot be
answered, the table says why.
"""

import dataclasses
import statistics

import plots
import summary
from report_base import BASELINE, DASH, TIMES, best, preferred, times
from report_render import DAGGER, Sub, Table
from summary import percent, quantity

@dataclasses.dataclass(frozen=True)
class Side:
    bench: str
    impl: str
    axes: dict
    params: dict = dataclasses.field(default_factory=dict)  # these must hold
    parallel: bool = False  # on several CPUs: those of the cell that is asked about


@dataclasses.dataclass(frozen=True)
class Target:
    text: str
    over: Side
    under: Side
    limit: float
    at_most: bool


@dataclasses.dataclass(frozen=True)
class Amount:
    """A limit for a metric of one cell, times as many as the cell has of `each` (an axis)."""

    text: str
    side: Side
    metric: str
    each: str
    limit: float
    unit: str


@dataclasses.dataclass(frozen=True)
class Everywhere:
    """A limit for each setting of a benchmark: the worst ratio of one implementation's cell to the
    fastest of some others at the same setting, `kind` aside."""

    text: str
    bench: str
    over: tuple  # (implementation, kind)
    under: tuple  # of such
    limit: float


_ONE_THREAD = {"stack": 65536, "guard": "on"}
_FIB = {"n": (25, 20, 15)}  # the largest in preset full only
_LEAVES = {"leaves": (1000000, 100000)}  # the first in preset full only
TARGETS = (
    Target("green: yield between 2 threads, to a bare stack switch",
           Side("switch.yield", "green", {"threads": 2}), Side("floor.switch", "-", {}), 3, True),
    Target("green: warm create + join, to nptl's",
           Side("create.join", "green", _ONE_THREAD), Side("create.join", BASELINE, _ONE_THREAD),
           1 / 200, True),
    Target("nptl: create + join on one CPU, to clone's with recycle=thread",
           Side("create.join", BASELINE, _ONE_THREAD),
           Side("create.join", "clone", _ONE_THREAD, {"recycle": "thread"}), 2.5, False),
    Target("hybrid: hand-over by yield on one CPU, to green's",
           Side("switch.yield", "hybrid", {"threads": 2}),
           Side("switch.yield", "green", {"threads": 2}), 1.3, True),
    Target("hybrid: hand-over by semaphore on one CPU, to green's",
           Side("switch.sem", "hybrid", {}), Side("switch.sem", "green", {}), 1.3, True),
    Target("hybrid: hand-over by condition variable on one CPU, to green's",
           Side("switch.cond", "hybrid", {}), Side("switch.cond", "green", {}), 1.3, True),
    Target("hybrid: Fibonacci numbers by threads on one LWP, to two LWPs",
           Side("tree.fib", "hybrid", _FIB, {"lwps": "1"}, True),
           Side("tree.fib", "hybrid", _FIB, {"lwps": "2"}, True), 1.5, False),
    Target("hybrid: skynet on one LWP, to two LWPs",
           Side("tree.skynet", "hybrid", _LEAVES, {"lwps": "1"}, True),
           Side("tree.skynet", "hybrid", _LEAVES, {"lwps": "2"}, True), 1.5, False),
)
EVERYWHERE = (
    Everywhere("hybrid: adaptive mutex, to nptl's default", "lock.sweep", ("hybrid", "adaptive"),
               ((BASELINE, "block"),), 1),
    Everywhere("hybrid: adaptive mutex, to the better of its spin and block", "lock.sweep",
               ("hybrid", "adaptive"), (("hybrid", "spin"), ("hybrid", "block")), 1.2),
)
AMOUNTS = (
    Amount("hybrid: memory of 1,000,000 parked threads",
           Side("create.parked", "hybrid", {"threads": 1000000}), "resident", "threads",
           5 * 2**30, "bytes"),
)
HARNESS_SHARE_LIMIT = 0.25


def side(content, asked):
    """(the cell that a Side asks for, None), or (None, why there is none)."""
    name = f"{asked.bench} of {plots.machine_name(asked.impl)}"
    cells = [c for c in content.by_bench.get(asked.bench, []) if c.impl == asked.impl]
    if not cells:
        return None, f"{name} was not part of this run"
    cells = [c for c in cells if all(str(c.params.get(k)) == str(v)
                                     for k, v in asked.params.items())
             and (not asked.parallel or not c.on_one_pu)]
    cells = preferred(cells, asked.axes)
    cells = [c for c in cells if all(_among(c.axes.get(name), wanted)
                                     for name, wanted in asked.axes.items() if name in c.axes)]
    fastest = best(cells)
    if fastest is None:
        reasons = [s["reason"] for c in cells for s in c.samples if s["reason"]]
        return None, f"{name}: {reasons[0] if reasons else 'no such cell'}"
    return fastest, None


def _among(value, wanted):
    return value in wanted if isinstance(wanted, tuple) else value == wanted


def same_setting(side, other):
    """The side with the values of the other's cell for the axes that both name."""
    return dataclasses.replace(side, axes={
        name: other.axes.get(name, wanted) if isinstance(wanted, tuple) else wanted
        for name, wanted in side.axes.items()})


def _ratio_text(ratio):
    if ratio.low is None:
        return "of the medians: no two rounds have both"
    return (f"{100 * ratio.level:.3g}% interval {times(ratio.low)} to {times(ratio.high)}, "
            f"n {ratio.n}")


def _verdict(ratio, limit, at_most, over, under):
    """How the last column says it, of the two cells."""
    met = ratio.value <= limit if at_most else ratio.value >= limit
    low, high = ratio.low or ratio.value, ratio.high or ratio.value
    verdict = "met" if met else "not met"
    if low < limit < high:
        verdict += ", not clearly"
    if over.unsafe or under.unsafe:
        met, verdict = False, "unsafe: " + ", ".join([*over.unsafe, *under.unsafe])
    return Sub(verdict, "", "good" if met else "bad")


def _measured(content, ratio, over, under):
    mark = DAGGER if over.untrusted or under.untrusted else ""
    return Sub(f"{times(ratio.value)}{mark}",
               f"{quantity(over.value, content.unit(over.bench))} : "
               f"{quantity(under.value, content.unit(under.bench))}; {_ratio_text(ratio)}")


def _wanted(limit, at_most):
    return f"at {'most' if at_most else 'least'} {_limit_text(limit)}".replace(
        " ", "\N{NO-BREAK SPACE}")


def _pairs(content, target):
    """[(the cell asked about, the fastest of those that it is held against)], one a setting."""
    def cells(impl, kind):
        return [c for c in content.by_bench.get(target.bench, [])
                if c.ok and c.impl == impl and c.axes.get("kind") == kind]

    def setting(cell):
        axes = {name: value for name, value in cell.axes.items() if name != "kind"}
        return (summary.place_name(cell.place), *axes.items())

    others = {}
    for kind in target.under:
        for cell in cells(*kind):
            others.setdefault(setting(cell), []).append(cell)
    return [(cell, best(others[setting(cell)])) for cell in cells(*target.over)
            if setting(cell) in others]


def _everywhere(content, target):
    wanted = _wanted(target.limit, True)
    ratios = [(summary.ratio(*pair), *pair) for pair in _pairs(content, target)]
    ratios = [found for found in ratios if found[0] is not None]
    if not ratios:
        why = f"{target.bench} of {' and '.join(sorted({name for name, _ in target.under}))} " \
              f"and of {target.over[0]} was not part of this run"
        return [target.text, wanted, DASH, Sub("not measured", why)]
    ratio, over, under = max(ratios, key=lambda found: found[0].value)
    within = sum(found[0].value <= target.limit for found in ratios)
    return [
        Sub(target.text, f"{within} of {len(ratios)} settings are within; the worst: "
                         f"{over.key} : {under.key}"),
        wanted, _measured(content, ratio, over, under),
        _verdict(ratio, target.limit, True, over, under),
    ]


def metric(cell, name):
    """(the median over the cell's processes, its unit), or (None, None)."""
    found = [s["metrics"][name] for s in cell.samples
             if s["status"] == "ok" and name in s["metrics"]]
    if not found:
        return None, None
    return statistics.median(m["value"] for m in found), found[0]["unit"]


def _amount(content, target):
    limit = f"under\N{NO-BREAK SPACE}{quantity(target.limit, target.unit)}"
    cell, missing = side(content, target.side)
    values = [] if cell is None else [
        s["metrics"][target.metric]["value"] for s in cell.samples
        if s["status"] == "ok" and target.metric in s["metrics"]]
    if not values:
        return [target.text, limit, DASH,
                Sub("not measured", missing or f"no {target.metric} of {cell.key}")]
    each = cell.axes[target.each]
    value = statistics.median(values) * each
    met = value < target.limit and not cell.unsafe
    verdict = "met" if met else "not met"
    if cell.unsafe:
        verdict = "unsafe: " + ", ".join(cell.unsafe)
    low, high = (quantity(end(values) * each, target.unit) for end in (min, max))
    return [
        Sub(target.text, cell.key), limit,
        Sub(quantity(value, target.unit),
            f"{quantity(value / each, target.unit)} each; {low} to {high}, n {len(values)}"),
        Sub(verdict, "", "good" if met else "bad"),
    ]


def targets(content):
    rows = []
    for target in TARGETS:
        over, missing = side(content, target.over)
        under, also = side(content, same_setting(target.under, over) if over else target.under)
        ratio = summary.ratio(over, under) if over and under else None
        wanted = _wanted(target.limit, target.at_most)
        if ratio is None:
            why = missing or also or "a value of 0 has no ratio"
            rows.append([target.text, wanted, DASH, Sub("not measured", why)])
            continue
        rows.append([
            Sub(target.text, f"{over.key} : {under.key}"), wanted,
            _measured(content, ratio, over, under),
            _verdict(ratio, target.limit, target.at_most, over, under),
        ])
    rows += [_everywhere(content, target) for target in EVERYWHERE]
    rows += [_amount(content, target) for target in AMOUNTS]
    share = content.run.harness_share()
    wanted = f"under\N{NO-BREAK SPACE}{percent(HARNESS_SHARE_LIMIT)}"
    what = "harness: share of the wall time outside timed windows"
    preset = content.run.header["preset"]
    note = "" if preset == "standard" else f"asked of preset standard; this is {preset}"
    if share is None:
        rows.append([what, wanted, DASH, Sub("not measured", "the run did not end")])
    else:
        met = share < HARNESS_SHARE_LIMIT
        rows.append([what, wanted, percent(share),
                     Sub("met" if met else "not met", note, "good" if met else "bad")])
    return [Table(["required", "limit", "measured", "verdict"], rows, left=4,
                  caption="Ratios of two cells of this run, or what one cell measured.")]


def _limit_text(limit):
    return f"1/{round(1 / limit)}" if limit < 0.1 else f"{limit:g}{TIMES}"
