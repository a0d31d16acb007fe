"""The first tables of a report: what each primitive costs, and the speeds that are promised.

Both name benchmarks, because they answer questions that are asked of every run. Where one cannot be
answered, the table says why.
"""

import dataclasses

import plots
import summary
from report_base import BASELINE, DASH, TIMES, UNSAFE, best, marked, setting_words, times
from report_render import DAGGER, Sub, Table, Text
from summary import integer, percent, quantity

# (what, benchmark, the axes' values to show where it has them)
HEADLINE = (
    ("create + join", "create.join", {"stack": 65536, "guard": "on"}),
    ("yield hand-over", "switch.yield", {"threads": 2}),
    ("semaphore hand-over", "switch.sem", {}),
    ("uncontended mutex", "lock.uncontended", {"kind": "block"}),
    ("signal to itself", "signal.self", {}),
    ("signal to a blocked thread", "signal.thread", {"state": "blocked"}),
    ("fork, 16 threads alive", "fork.threads", {"threads": 16, "how": "fork"}),
)


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
class Everywhere:
    """A limit for each setting of a benchmark: the worst ratio of one implementation's cell to the
    fastest of some others at the same setting, `kind` aside."""

    text: str
    bench: str
    over: tuple  # (implementation, kind)
    under: tuple  # of such
    limit: float


_ONE_THREAD = {"stack": 65536, "guard": "on"}
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
    Target("hybrid: Fibonacci numbers by threads on one LWP, to two LWPs",
           Side("tree.fib", "hybrid", {"n": 25}, {"lwps": "1"}, True),
           Side("tree.fib", "hybrid", {"n": 25}, {"lwps": "2"}, True), 1.5, False),
    Target("hybrid: skynet on one LWP, to two LWPs",
           Side("tree.skynet", "hybrid", {"leaves": 100000}, {"lwps": "1"}, True),
           Side("tree.skynet", "hybrid", {"leaves": 100000}, {"lwps": "2"}, True), 1.5, False),
)
EVERYWHERE = (
    Everywhere("hybrid: adaptive mutex, to nptl's default", "lock.sweep", ("hybrid", "adaptive"),
               ((BASELINE, "block"),), 1),
    Everywhere("hybrid: adaptive mutex, to the better of its spin and block", "lock.sweep",
               ("hybrid", "adaptive"), (("hybrid", "spin"), ("hybrid", "block")), 1.2),
)
HARNESS_SHARE_LIMIT = 0.25


def _preferred(cells, wanted):
    """Those cells whose axes have the wanted values, as far as any have."""
    for name, value in wanted.items():
        fitting = [c for c in cells if c.axes.get(name) == value]
        cells = fitting or cells
    near = [c for c in cells if c.relation == "same-pu"]
    return near or cells


def headline(content):
    impls = [name for name in content.impls if any(c.impl == name for c in content.cells)]
    rows = []
    for what, bench, wanted in HEADLINE:
        cells = [c for c in content.by_bench.get(bench, []) if c.impl != "-"]
        if not cells:
            continue
        groups = {}
        for cell in _preferred(cells, wanted):
            where = (summary.place_name(cell.place), *cell.axes.items())
            groups.setdefault(where, []).append(cell)
        # The setting that most implementations can answer; ties by the order of the cells.
        group = max(groups.values(), key=lambda g: len({c.impl for c in g if c.ok}))
        setting = setting_words({"place": summary.place_name(group[0].place), **group[0].axes})
        base = best([c for c in group if c.impl == BASELINE])
        row = [Sub(what, f"{bench}: {setting}")]
        for impl in impls:
            row.append(_headline_cell(content, [c for c in group if c.impl == impl], base))
        rows.append(row)
    if not rows or not impls:
        return [Text("None of the benchmarks of the headline table was part of this run.", "note")]
    has_base = BASELINE in impls
    return [Table(
        ["", *impls], rows,
        caption="One op of each, the median of the processes"
                + (f", and below it the ratio to {BASELINE} in this run with its "
                   f"{100 * summary.interval_level(content.run.header['rounds']):.3g}% interval"
                   if has_base else "")
                + ". Where an implementation has parameters, those of the fastest cell are shown."
                + f" {DAGGER}: untrusted, see the benchmark. {UNSAFE}: unsafe, the implementation "
                  "does not keep a promise that the number rests on, and is left out of "
                  "\"fastest\" where there is another.",
    )]


def _headline_cell(content, cells, base):
    fastest = best(cells)
    if fastest is None:
        statuses = sorted({s["status"] for c in cells for s in c.samples})
        return Sub(DASH, ", ".join(statuses) or "not asked")
    small = []
    ratio = summary.ratio(fastest, base) if base is not None and fastest is not base else None
    if ratio is not None:
        small.append(times(ratio.value) + (
            "" if ratio.low is None else f" ({times(ratio.low)} to {times(ratio.high)})"))
    # Only what this implementation has several of here.
    mine = [c for c in content.by_bench[fastest.bench] if c.impl == fastest.impl]
    small += [f"{name}={integer(value)}" for name, value in fastest.params.items()
              if len({c.params.get(name) for c in mine}) > 1]
    return Sub(marked(fastest, content.unit(fastest.bench)), " ".join(small))


def _side(content, side):
    """(the cell, None), or (None, why there is none)."""
    name = f"{side.bench} of {plots.machine_name(side.impl)}"
    cells = [c for c in content.by_bench.get(side.bench, []) if c.impl == side.impl]
    if not cells:
        return None, f"{name} was not part of this run"
    cells = [c for c in cells if all(c.params.get(k) == v for k, v in side.params.items())
             and (not side.parallel or not c.on_one_pu)]
    cells = _preferred(cells, side.axes)
    fastest = best(cells)
    if fastest is None:
        reasons = [s["reason"] for c in cells for s in c.samples if s["reason"]]
        return None, f"{name}: {reasons[0] if reasons else 'no such cell'}"
    return fastest, None


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


def targets(content):
    rows = []
    for target in TARGETS:
        over, missing = _side(content, target.over)
        under, also = _side(content, target.under)
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
                  caption="Ratios of two cells of this run.")]


def _limit_text(limit):
    return f"1/{round(1 / limit)}" if limit < 0.1 else f"{limit:g}{TIMES}"
