"""What a report of one run says: a list of blocks (report_render.py), from a run and its cells.

Everything follows from the record. Where a question cannot be answered, the table says why.
"""

import pathlib
import re

import plots
import report_checks
import report_emulated
import report_headline
import report_problems
import report_required
import report_trust
import summary
import threadlab_records
from report_base import (
    BASELINE, DASH, UNSAFE, Content, best, marked, plural, setting_words, times,
)
from report_render import (
    DAGGER, Bullets, Charts, Details, Facts, FileLink, Heading, Links, Sub, Table, Text,
)
from summary import duration, fact, integer, percent, quantity, significant

OPEN_ROWS = 12  # a longer table is folded


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
        return [("plan", f"{plural(len(run.checks), 'check')}, seed {header['seed']}")]
    found = [
        ("plan", f"preset {header['preset']}, {plural(len(content.cells), 'cell')}, "
                 f"{plural(header['rounds'], 'round')}, seed {header['seed']}"),
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
        blocks.append(Text(f"All cells: {setting_words(fixed)}.", "note"))
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
    blocks += report_problems.unsafe(ok)
    blocks += report_problems.distrust(ok)
    blocks += report_problems.of_cells(cells)
    return blocks


def file_stem(name):
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip(".") or "bench"


def _folded(title, table):
    return Details(f"{title} ({plural(len(table.rows), 'row')})", [table],
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
        row = [*keys.row(cell), marked(cell, unit),
               f"{quantity(cell.low, unit)} to {quantity(cell.high, unit)}",
               f"{len(cell.values)}" + (f" ({cell.untrusted}{DAGGER})" if cell.untrusted else "")]
        if has_base:
            base = best(base_of.get(_where(cell), []))
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
    return Sub(times(ratio.value), "of the medians" if ratio.low is None else
               f"{times(ratio.low)} to {times(ratio.high)}")


def _metric(cell, name):
    value, unit = report_required.metric(cell, name)
    return DASH if value is None else quantity(value, unit)


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
    return [Details(f"Events per op ({plural(len(rows), 'row')})", [table])]


def _counted(counter):
    """(events per op, scaled?)"""
    value, enabled, running = counter["value"], counter["enabled_ns"], counter["running_ns"]
    scaled = bool(enabled and running and running < enabled)
    if scaled:
        value *= enabled / running
    return value / counter["ops"], scaled


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
        blocks.append(Details(f"{group} ({plural(len(rows), 'fact')})",
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
        blocks.append(Details(f"events ({plural(len(events), 'event')})",
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
    found += report_headline.headline(content)
    found.append(Heading(2, "Required speed", "required"))
    found += report_required.targets(content)
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
    found += report_problems.of_run(content)
    found += report_trust.blocks(run, content.cells)
    found += _machine(content)
    found += _method(content, record, href)
    return found
