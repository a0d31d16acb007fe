"""What a report of one run says: a list of blocks (report_render.py), from a run and its cells.

Two tables name benchmarks, because they answer questions that are asked of every run: what each
primitive costs (HEADLINE), and the speeds that the project promises (TARGETS). Everything else
follows from the record. Where a question cannot be answered, the table says why.
"""

import dataclasses
import pathlib
import re

import plots
import report_checks
import report_emulated
import report_trust
import summary
import threadlab_records
from report_render import (
    DAGGER, Bullets, Charts, Details, Facts, FileLink, Heading, Links, Sub, Table, Text,
)
from summary import duration, fact, integer, percent, quantity, significant

BASELINE = "nptl"  # what the platform gives: the others are shown in proportion to it
DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
UNSAFE = "!"  # the number rests on a promise that is not kept
OPEN_ROWS = 12  # a longer table is folded

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


@dataclasses.dataclass(frozen=True)
class Target:
    text: str
    over: Side
    under: Side
    limit: float
    at_most: bool


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
)
HARNESS_SHARE_LIMIT = 0.25


class Content:
    """Everything the blocks need, computed once."""

    def __init__(self, run):
        self.run = run
        self.cells = summary.cells(run)
        self.by_bench = {}
        for cell in self.cells:
            self.by_bench.setdefault(cell.bench, []).append(cell)
        impls = list(run.header["impls"])
        impls += sorted({c.impl for c in self.cells} - set(impls) - {"-"})
        # The baseline first: the eye looks for it there.
        self.impls = sorted(impls, key=lambda name: name != BASELINE)
        self.style = plots.Style(self.impls)

    def bench(self, name):
        """What the header tells about a benchmark (a plugin's or damaged record may not)."""
        empty = {"version": 0, "title": "", "op": "", "unit": "ns", "rests_on": [], "axes": {}}
        return self.run.header["benches"].get(name, empty)

    def unit(self, name):
        return self.bench(name)["unit"]


def _marked(cell, unit):
    return quantity(cell.value, unit) + (DAGGER if cell.untrusted else "") + (
        UNSAFE if cell.unsafe else "")


def _setting_words(setting):
    parts = []
    for name, value in setting.items():
        parts.append(value if name == "place" else f"{name} {integer(value)}")
    return ", ".join(parts)


def _plural(count, what):
    return f"{summary.count(count)} {what}" + ("" if count == 1 else "s")


# ---- head ----------------------------------------------------------------------------------------


def _head(content):
    run, header = content.run, content.run.header
    counts = {status: n for status, n in run.by_status().items() if n}
    untrusted = sum(s["trusted"] is False for s in run.samples)
    ok = counts.get("ok", 0)
    build = header["build"]
    revision = build["revision"] or "unknown"
    if build["dirty"]:
        revision += " (with local changes)"
    share = run.harness_share()
    mark = " (PARTIAL)" if run.partial else ""
    blocks = [Heading(1, f"threadlab: {run.host}, run {run.id}{mark}")]
    if run.partial:
        blocks.append(Text(f"PARTIAL: {run.partial}. What was measured stands below.", "warning"))
    blocks += [Text(warning, "warning") for warning in run.warnings]
    blocks.append(Facts([
        ("CPU", f"{fact(header, 'cpu', 'model', 'model_name', 'name')}; allowed PUs: "
                + _ranges(header["cpus"]["allowed"])),
        ("kernel", fact(header, "kernel", "release", "version")),
        ("when", header["started"] + (f", for {duration(run.end['wall_ns'])}" if run.end else "")),
        *_asked(content, counts, ok, untrusted, share),
        *([] if threadlab_records.no_times(header) else [_clock(header)]),
        ("build", ", ".join([build["version"] or "version unknown", f"revision {revision}",
                            build["compiler"] or "compiler unknown"])),
    ]))
    for resume in run.resumes:
        blocks.append(Text(f"Resumed at {resume['at']} after {resume['records_before']} records.",
                           "note"))
    return blocks


def _clock(header):
    clock = header["clock"]
    return ("clock", f"{clock['source']}: a reading costs {quantity(clock['cost_ns'])}, resolves "
                     f"{quantity(clock['resolution_ns'])}"
                     + (f" ({clock['reason']})" if clock["reason"] else ""))


def _asked(content, counts, ok, untrusted, share):
    """What was planned and what came of it."""
    run, header = content.run, content.run.header
    if header["preset"] is None:
        return [("plan", f"{_plural(len(run.checks), 'check')}, seed {header['seed']}")]
    found = [
        ("plan", f"preset {header['preset']}, {_plural(len(content.cells), 'cell')}, "
                 f"{_plural(header['rounds'], 'round')}, seed {header['seed']}"),
        ("records", f"{len(run.samples)}: "
                    + (", ".join(f"{n} {status}" for status, n in counts.items()) or "none")),
        ("trust", f"{untrusted} of {ok} ok records failed a self-check" if ok
         else "nothing to judge"),
        report_trust.fact(run, content.cells),
        ("promises", f"{len(run.checks)} checked before measuring" if run.checks
         else "not checked: no number is known to be safe"),
        ("harness share", percent(share) + " of the wall time outside timed windows"
         if share is not None else "not known: the run did not end"),
    ]
    of_times = ("trust", report_trust.fact(run, content.cells)[0], "harness share")
    return [row for row in found if row[0] not in of_times or not
            threadlab_records.no_times(header)]


def _ranges(numbers):
    """[0, 1, 2, 5] as 0-2,5."""
    found, start, last = [], None, None
    for number in sorted({int(n) for n in numbers}):
        if last is not None and number == last + 1:
            last = number
            continue
        if start is not None:
            found.append((start, last))
        start = last = number
    found.append((start, last))
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


# ---- the headline and the targets ----------------------------------------------------------------


def _preferred(cells, wanted):
    """Those cells whose axes have the wanted values, as far as any have."""
    for name, value in wanted.items():
        fitting = [c for c in cells if c.axes.get(name) == value]
        cells = fitting or cells
    near = [c for c in cells if c.relation == "same-pu"]
    return near or cells


def _best(cells):
    """The ok cell with the lowest value, or None. An unsafe one only where no other is ok."""
    return min((c for c in cells if c.ok), key=lambda c: (bool(c.unsafe), c.value), default=None)


def _headline(content):
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
        setting = _setting_words({"place": summary.place_name(group[0].place), **group[0].axes})
        base = _best([c for c in group if c.impl == BASELINE])
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
    best = _best(cells)
    if best is None:
        statuses = sorted({s["status"] for c in cells for s in c.samples})
        return Sub(DASH, ", ".join(statuses) or "not asked")
    small = []
    ratio = summary.ratio(best, base) if base is not None and best is not base else None
    if ratio is not None:
        small.append(_times(ratio.value) + (
            "" if ratio.low is None else f" ({_times(ratio.low)} to {_times(ratio.high)})"))
    # Only what this implementation has several of here.
    mine = [c for c in content.by_bench[best.bench] if c.impl == best.impl]
    small += [f"{name}={integer(value)}" for name, value in best.params.items()
              if len({c.params.get(name) for c in mine}) > 1]
    return Sub(_marked(best, content.unit(best.bench)), " ".join(small))


def _side(content, side):
    """(the cell, None), or (None, why there is none)."""
    name = f"{side.bench} of {plots.machine_name(side.impl)}"
    cells = [c for c in content.by_bench.get(side.bench, []) if c.impl == side.impl]
    if not cells:
        return None, f"{name} was not part of this run"
    cells = [c for c in cells if all(c.params.get(k) == v for k, v in side.params.items())]
    cells = _preferred(cells, side.axes)
    best = _best(cells)
    if best is None:
        reasons = [s["reason"] for c in cells for s in c.samples if s["reason"]]
        return None, f"{name}: {reasons[0] if reasons else 'no such cell'}"
    return best, None


def _ratio_text(ratio):
    if ratio.low is None:
        return "of the medians: no two rounds have both"
    return (f"{100 * ratio.level:.3g}% interval {_times(ratio.low)} to {_times(ratio.high)}, "
            f"n {ratio.n}")


def _targets(content):
    rows = []
    for target in TARGETS:
        over, missing = _side(content, target.over)
        under, also = _side(content, target.under)
        ratio = summary.ratio(over, under) if over and under else None
        wanted = f"at {'most' if target.at_most else 'least'} {_limit_text(target.limit)}"
        wanted = wanted.replace(" ", "\N{NO-BREAK SPACE}")
        if ratio is None:
            why = missing or also or "a value of 0 has no ratio"
            rows.append([target.text, wanted, DASH, Sub("not measured", why)])
            continue
        met = ratio.value <= target.limit if target.at_most else ratio.value >= target.limit
        low, high = ratio.low or ratio.value, ratio.high or ratio.value
        mark = DAGGER if over.untrusted or under.untrusted else ""
        verdict = "met" if met else "not met"
        if low < target.limit < high:
            verdict += ", not clearly"
        if over.unsafe or under.unsafe:
            met, verdict = False, "unsafe: " + ", ".join([*over.unsafe, *under.unsafe])
        values = (f"{quantity(over.value, content.unit(over.bench))} : "
                  f"{quantity(under.value, content.unit(under.bench))}")
        rows.append([
            Sub(target.text, f"{over.key} : {under.key}"), wanted,
            Sub(f"{_times(ratio.value)}{mark}", f"{values}; {_ratio_text(ratio)}"),
            Sub(verdict, "", "good" if met else "bad"),
        ])
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


def _times(value):
    """A ratio for people: 1/795 reads better than 0.00126."""
    if 0 < value < 0.0995:
        return f"1/{significant(1 / value)}"
    return f"{significant(value)}{TIMES}"


# ---- a benchmark ---------------------------------------------------------------------------------


def _section(content, name):
    cells, about = content.by_bench[name], content.bench(name)
    blocks = [Heading(2, f"{name}" + (f": {about['title']}" if about["title"] else ""), name)]
    if about["op"]:
        blocks.append(Text(f"One op: {about['op']}."))
    helps = [f"{axis}: {text}" for axis, text in about["axes"].items() if text]
    if helps:
        blocks.append(Text("Axes: " + "; ".join(helps) + ".", "note"))
    varied = plots.varying(cells)
    fixed = {key: value for cell in cells for key, value in cell.setting().items()
             if key not in varied and key not in cell.params}
    if fixed:
        blocks.append(Text(f"All cells: {_setting_words(fixed)}.", "note"))
    charts = plots.charts(name, cells, content.style, about["unit"], about["axes"])
    if charts:
        blocks.append(Charts([
            (file_stem(name) + (f"-{at}" if at > 1 else ""), chart)
            for at, chart in enumerate(charts, 1)
        ]))
        blocks += [Text(note, "note") for chart in charts for note in chart.notes]
    else:
        blocks.append(Text("No cell of this benchmark is ok: there is nothing to draw."))
    ok = [cell for cell in cells if cell.ok]
    blocks += _crossovers(ok)
    blocks += _percentiles(ok)
    blocks += _values(content, ok, about["unit"])
    blocks += _counters(ok)
    blocks += _unsafe(ok)
    blocks += _distrust(ok)
    blocks += _problems(cells)
    return blocks


def file_stem(name):
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip(".") or "bench"


def _folded(title, table):
    return Details(f"{title} ({_plural(len(table.rows), 'row')})", [table],
                   len(table.rows) <= OPEN_ROWS)


def _crossovers(cells):
    found = plots.crossover_panels(cells) if cells else None
    if found is None:
        return []
    x_name, panels = found
    rows = [[panel, plots.crossover_text(curves, x_name)] for panel, curves in panels.items()]
    return [_folded("Crossover of spinning and blocking",
                    Table(["implementation", f"crossover, by {x_name}"], rows, left=2))]


class _Keys:
    """The columns that tell cells apart: the settings that vary, then the implementation."""

    def __init__(self, cells):
        self.names = [n for n in plots.varying(cells) if not plots.is_param(cells, n)]
        self.params = [n for n in plots.varying(cells) if plots.is_param(cells, n)]
        self.columns = [*self.names, "implementation"]

    def row(self, cell):
        setting = cell.setting()
        return [*(integer(setting[n]) if n in setting else DASH for n in self.names),
                plots.series_name(cell, self.params)]


PERCENTILES = (50, 90, 99, 99.9)


def _percentiles(cells):
    rows, keys = [], _Keys(cells) if cells else None
    for cell in cells:
        for name, merged in summary.merged_histograms(cell).items():
            rows.append([
                *keys.row(cell), name, summary.count(merged.count),
                *(quantity(merged.percentile(p), merged.unit) for p in PERCENTILES),
                quantity(merged.max, merged.unit) + (DAGGER if cell.untrusted else ""),
            ])
    if not rows:
        return []
    return [_folded("Percentiles", Table(
        [*keys.columns, "of", "n", *(f"p{p:g}" for p in PERCENTILES), "max"], rows,
        left=len(keys.columns) + 1,
        caption="All rounds together, to a bucket's width (1/32), rounded up. "
                f"{DASH}: fewer than one value beyond it was recorded.",
    ))]


def _values(content, cells, unit):
    if not cells:
        return []
    keys = _Keys(cells)
    has_base = any(c.impl == BASELINE for c in cells) and any(
        c.impl not in (BASELINE, "-") for c in cells)
    metrics = sorted({name for c in cells for s in c.samples for name in s["metrics"]})
    base_of = {}
    for cell in cells:
        if cell.impl == BASELINE:
            base_of.setdefault(_where(cell), []).append(cell)
    rows = []
    for cell in cells:
        row = [*keys.row(cell), _marked(cell, unit),
               f"{quantity(cell.low, unit)} to {quantity(cell.high, unit)}",
               f"{len(cell.values)}" + (f" ({cell.untrusted}{DAGGER})" if cell.untrusted else "")]
        if has_base:
            base = _best(base_of.get(_where(cell), []))
            ratio = summary.ratio(cell, base) if base and base is not cell else None
            row.append("1" if base is cell else DASH if ratio is None else _ratio_cell(ratio))
        row += [_metric(cell, name) for name in metrics]
        rows.append(row)
    columns = [*keys.columns, "value", "range", "n", *([f"to {BASELINE}"] if has_base else []),
               *metrics]
    return [_folded("All values", Table(columns, rows, left=len(keys.columns)))]


def _where(cell):
    return (summary.place_name(cell.place), *sorted(cell.axes.items(), key=str))


def _ratio_cell(ratio):
    return Sub(_times(ratio.value), "of the medians" if ratio.low is None else
               f"{_times(ratio.low)} to {_times(ratio.high)}")


def _metric(cell, name):
    found = [s["metrics"][name] for s in cell.samples
             if s["status"] == "ok" and name in s["metrics"]]
    if not found:
        return DASH
    unit = found[0]["unit"]
    return quantity(_median([m["value"] for m in found]), unit)


def _median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def _counters(cells):
    """Events per op, of those that could be counted."""
    events, per_cell = {}, []
    for cell in cells:
        mine = {}
        for sample in cell.samples:
            for counter in sample["counters"] if sample["status"] == "ok" else []:
                if counter["value"] is not None and counter["ops"]:
                    mine.setdefault(counter["event"], []).append(_counted(counter))
                    events.setdefault(counter["event"])
        per_cell.append((cell, mine))
    if not events:
        return []
    keys = _Keys(cells)
    rows = []
    for cell, mine in per_cell:
        row = keys.row(cell)
        for event in events:
            found = mine.get(event, [])
            scaled = any(was_scaled for _, was_scaled in found)
            row.append(DASH if not found else significant(_median([v for v, _ in found]))
                       + ("~" if scaled else ""))
        rows.append(row)
    table = Table([*keys.columns, *events], rows, left=len(keys.columns),
                  caption=f"~: scaled, because the counter ran a part of the time. {DASH}: not "
                          "counted.")
    return [Details(f"Events per op ({_plural(len(rows), 'row')})", [table])]


def _counted(counter):
    """(events per op, scaled?)"""
    value, enabled, running = counter["value"], counter["enabled_ns"], counter["running_ns"]
    scaled = bool(enabled and running and running < enabled)
    if scaled:
        value *= enabled / running
    return value / counter["ops"], scaled


# ---- what went wrong -----------------------------------------------------------------------------


def _shape(text):
    """Reasons that differ only in their numbers are one reason."""
    return re.sub(r"\d+(\.\d+)?", "#", text)


def _reason_text(examples):
    different = len(set(examples)) > 1
    return examples[0] + (" (and the like, with other numbers)" if different else "")


def _distrust(cells):
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
        f"{_plural(len(reasons), 'record')} in {_plural(len(keys), 'cell')} "
        f"({', '.join(sorted(map(plots.machine_name, impls)))}): {_reason_text(reasons)}"
        for reasons, keys, impls in ordered
    ]
    return [Details(f"{DAGGER} Untrusted: {_plural(len(items), 'reason')}", [Bullets(items)],
                    len(items) <= 4)]


def _unsafe(cells):
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


def _problems(cells):
    items = [
        f"{_plural(len(keys), 'cell')} {status} "
        f"({', '.join(map(plots.machine_name, impls))}): {reason}"
        for status, reason, keys, impls, _, _ in _problem_groups(cells)
    ]
    return [Heading(3, "Not ok"), Bullets(items)] if items else []


def _all_problems(content):
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


# ---- the machine, the method ---------------------------------------------------------------------


def _machine(content):
    header = content.run.header
    blocks = [Heading(2, "Machine, build, request", "machine")]
    for group, facts in header["environment"].items():
        rows = []
        for key, value in facts.items():
            if value is None:
                value = "unknown: " + header["unknown"].get(f"{group}.{key}", "no reason given")
            elif isinstance(value, list):
                value = ", ".join(map(str, value))
            elif isinstance(value, bool):
                value = "yes" if value else "no"
            rows.append([key, str(value)])
        blocks.append(Details(f"{group} ({_plural(len(rows), 'fact')})",
                              [Table(["fact", "value"], rows, left=2)]))
    build = header["build"]
    blocks.append(Details("build", [Table(["fact", "value"], [
        [key, DASH if build[key] is None else str(build[key])]
        for key in ("version", "revision", "dirty", "sha256", "compiler", "cflags")
    ], left=2)]))
    request = [[key, ", ".join(map(str, value)) if isinstance(value, list) else
                "; ".join(f"{k}={','.join(v)}" for k, v in value.items())
                if isinstance(value, dict) else DASH if value is None else str(value)]
               for key, value in header["request"].items()]
    blocks.append(Details("request", [Table(["option", "value"], request, left=2)]))
    events = [[e["event"], "counted" if e["available"] else "not available", e["reason"] or ""]
              for e in header["events"]]
    if events:
        blocks.append(Details(f"events ({_plural(len(events), 'event')})",
                              [Table(["event", "status", "reason"], events, left=3)]))
    impls = [[name, about["model"], about["summary"], ", ".join(about["traits"])]
             for name, about in header["impls"].items()]
    if impls:
        blocks.append(Details(f"implementations ({len(impls)})", [
            Table(["name", "model", "what it is", "traits"], impls, left=4)]))
    digest = header["topology"].get("sha256")
    if digest:
        blocks.append(Text(f"The topology is in the record, sha256 {digest}.", "note"))
    return blocks


def _method(content, record, href):
    return [
        Heading(2, "How these numbers were made", "method"),
        Bullets([
            "Every cell of every round ran in a process of its own, in an order drawn from the "
            "seed.",
            "The value of a process is the smallest ns per op of its batches; the value of a cell "
            "is the median over the rounds. Nothing was subtracted, clamped or dropped: untrusted "
            f"values are shown and marked {DAGGER}.",
            "Values of different machines are not comparable; ratios within one run are.",
        ]),
        FileLink("All of it is in one file, the one to attach when sharing this run:", record,
                 href),
        Text("To make this report again:"),
        Text(f"scripts/report {record}", "code"),
        Text("To compute from the raw samples:"),
        Text("import sys; sys.path.insert(0, 'scripts')\n"
             "import summary, threadlab_records\n"
             f"for run in threadlab_records.read({record!r}):\n"
             "    for cell in summary.cells(run):\n"
             "        print(cell.key, cell.value, cell.values)", "code"),
    ]


def blocks(run, href=None):
    """The report of a run. href: where the record lies as seen from the report, if next to it."""
    content = Content(run)
    record = pathlib.PurePath(run.sources[0]).name
    names = [n for n in run.header["benches"] if n in content.by_bench]
    names += [n for n in content.by_bench if n not in names]
    found = _head(content)
    found += report_checks.blocks(run, content.impls)
    if not run.header["benches"] and run.checks:
        return found + _machine(content) + _method(content, record, href)
    if threadlab_records.no_times(run.header):
        return found + report_emulated.blocks(run) + _machine(content)
    found.append(Heading(2, "What each costs", "costs"))
    found += _headline(content)
    found.append(Heading(2, "Required speed", "required"))
    found += _targets(content)
    found.append(Heading(2, "Benchmarks", "benchmarks"))
    if names:
        found.append(Text(
            "Values are medians over the processes of a cell, n of them, one a round; ranges are "
            f"from the smallest to the largest. A ratio to {BASELINE} is taken within each round, "
            f"at the same setting and {BASELINE}'s fastest parameters. Below it stands its 95% "
            f"Hodges-Lehmann interval, or, with fewer than {summary.SMALLEST_N} rounds, which are "
            "too few for one, the smallest and the largest seen. "
            f"{DAGGER}: a self-check failed, with the reason at the end of the section. "
            f"{UNSAFE}: unsafe, likewise.", "note"))
        found.append(Links([*((n, n) for n in names), ("not-ok", "not measured"),
                            (report_trust.ANCHOR, "A/A"), ("machine", "machine"),
                            ("method", "method")]))
    else:
        found.append(Text("There is no record of any benchmark."))
    for name in names:
        found += _section(content, name)
    found += _all_problems(content)
    found += report_trust.blocks(run, content.cells)
    found += _machine(content)
    found += _method(content, record, href)
    return found
