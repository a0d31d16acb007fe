"""Charts of one benchmark, chosen by the shape of its cells.

    for chart in plots.charts("switch.yield", cells, style):
        chart.svg(prefix), chart.png(), chart.caption, chart.notes

- pairs of PUs, machine only       -> core-to-core heat map, values printed
- an axis of lock kinds, a sweep   -> a line for each kind, the crossover marked
- histograms, nothing swept        -> ECDF on log x, percentiles marked
- an integer axis of 3 values up   -> scaling curve, log-log, range of the processes as a band
- anything else                    -> one row a cell: each process a dot, the median a marker

Times are on log axes; no bars (they would have to start somewhere), no boxes (they hide modes).
"""

import math

from matplotlib.lines import Line2D

import drawing
import summary

MAX_CHARTS = 12  # of one benchmark; the tables hold all cells in any case
MAX_ROWS = 30  # of one dot chart


# ---- what varies ---------------------------------------------------------------------------------


def varying(cells):
    """{name: [values]} of the settings (place, axes, parameters) with two values or more."""
    names = {}
    for cell in cells:
        for name in cell.setting():
            names.setdefault(name, None)
    found = {}
    for name in names:
        values = {cell.setting().get(name) for cell in cells if name in cell.setting()}
        if len(values) > 1:
            found[name] = sorted(values, key=summary.value_order)
    return found


def is_param(cells, name):
    """True if it is a parameter of implementations, not an axis of the benchmark."""
    return any(name in cell.params for cell in cells) and not any(name in c.axes for c in cells)


def setting_text(cell, names):
    """"cross-l3, threads 16" of those settings of a cell."""
    setting = cell.setting()
    return ", ".join(
        setting[name] if name == "place" else f"{name} {summary.integer(setting[name])}"
        for name in names if name in setting
    )


def series_name(cell, names):
    """"green tls=full": the implementation and its own parameters, of those names; "(unsafe)"."""
    parts = [f"{n}={summary.integer(v)}" for n, v in cell.params.items() if n in names]
    return " ".join([machine_name(cell.impl), *parts, *(["(unsafe)"] if cell.unsafe else [])])


def machine_name(impl):
    return "machine" if impl == "-" else impl


def _groups(cells, key):
    found = {}
    for cell in cells:
        found.setdefault(key(cell), []).append(cell)
    return found


def swept_axis(cells):
    """The integer axis to draw along: 3 values or more, the most of them; or None."""
    best, most = None, 2
    for name, values in varying(cells).items():
        if not all(isinstance(c.axes.get(name), int) for c in cells):
            continue
        if len(values) <= most:
            continue
        # A sweep is one line's worth of points, not values met in unrelated cells.
        others = [n for n in varying(cells) if n != name]
        lines = _groups(cells, lambda c, o=others: (c.impl, setting_text(c, o)))
        if max(len(line) for line in lines.values()) >= 3:
            best, most = name, len(values)
    return best


# ---- the charts ----------------------------------------------------------------------------------


def _range_of(cells):
    values = [v for cell in cells for v in cell.values if v > 0]
    return (min(values), max(values)) if values else (1, 10)


def _limited(groups, what):
    """The first MAX_CHARTS groups, and a note on the rest."""
    items = list(groups.items())
    if len(items) <= MAX_CHARTS:
        return items, []
    # Those with the most to show, in their own order.
    kept = sorted(range(len(items)), key=lambda at: (-len(items[at][1]), at))[:MAX_CHARTS]
    note = (f"{MAX_CHARTS} of {len(items)} {what} are drawn; the values of all are in the table.")
    return [items[at] for at in sorted(kept)], [note]


def _lines(bench, cells, style, unit, x_name, help_of, series_of, panel_names, what, after=None):
    """Scaling curves: a line for each series, a chart for each panel."""
    charts_found = []
    panels, notes = _limited(_groups(cells, what), "combinations")
    low, high = _range_of([cell for _, group in panels for cell in group])
    for panel, group in panels:
        title = f"{bench}" + (f" \N{MIDDLE DOT} {panel}" if panel else "")
        series = _groups(group, series_of)
        figure, axes = drawing.new_figure(3.4)
        handles, labels, dashes = [], [], {}
        for label, line in series.items():
            line.sort(key=lambda c: c.axes[x_name])
            impl = line[0].impl
            dash = dashes.setdefault(impl, [])
            dash.append(label)
            look = {
                "color": style.colour(impl), "marker": style.marker(impl), "markersize": 4.5,
                "linestyle": drawing.DASHES[(len(dash) - 1) % len(drawing.DASHES)],
                "linewidth": 1.3,
            }
            shown = [c for c in line if c.value > 0]
            xs = [c.axes[x_name] for c in shown]
            axes.plot(xs, [c.value for c in shown], **look)
            hollow = [c for c in shown if c.untrusted]
            if hollow:
                axes.plot([c.axes[x_name] for c in hollow], [c.value for c in hollow],
                          linestyle="none", marker=style.marker(impl), markersize=4.5,
                          markerfacecolor="white", markeredgecolor=style.colour(impl), zorder=4)
            if len(xs) > 1:
                axes.fill_between(xs, [max(c.low, low) for c in shown], [c.high for c in shown],
                                  color=style.colour(impl), alpha=0.18, linewidth=0)
            handles.append(Line2D([], [], **look))
            labels.append(label)
        drawing.sweep_axis(axes, sorted({c.axes[x_name] for c in group}), x_name, help_of)
        drawing.time_axis(axes.yaxis, low, high, unit)
        extra = after(axes, series, x_name) if after else []
        top = drawing.put_title(axes, title)
        bottom = drawing.legend(figure, handles, labels)
        figure.set_figheight(2.25 + top + bottom + 0.47)
        drawing.layout(figure, axes, 0.76, 0.15, bottom + 0.47, top)
        counts = {len(c.values) for c in group}
        caption = (
            f"{title}: time of one op over {x_name}. Line: median of the processes "
            f"(n {_span(counts)}); band: smallest to largest"
        )
        caption += "; hollow: untrusted." if any(c.untrusted for c in group) else "."
        charts_found.append(drawing.Chart(figure, caption, extra + notes))
        notes = []
    return charts_found


def _span(counts):
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


def _scaling(bench, cells, style, unit, x_name, help_of):
    names = [n for n in varying(cells) if n != x_name]
    params = [n for n in names if is_param(cells, n)]
    panels = [n for n in names if n not in params]
    return _lines(bench, cells, style, unit, x_name, help_of,
                  lambda c: series_name(c, params), panels, lambda c: setting_text(c, panels))


KIND = "kind"  # an axis of this name with these two values is a choice between waiting and spinning
SPIN, BLOCK = "spin", "block"


def find_crossovers(curves, x_name):
    """Where block begins to beat spin. curves: {kind: [cells in order of x]}. One sentence."""
    by_x = {kind: {c.axes[x_name]: c.value for c in cells if c.value} for kind, cells in
            curves.items()}
    xs = sorted(set(by_x.get(SPIN, {})) & set(by_x.get(BLOCK, {})))
    if len(xs) < 2:
        return None, []
    spin, block = [by_x[SPIN][x] for x in xs], [by_x[BLOCK][x] for x in xs]
    return xs, [
        (x, before, after, by_x[SPIN][after] > by_x[BLOCK][after])
        for x, before, after in summary.crossover(xs, spin, block)
    ]


def crossover_text(curves, x_name):
    """The crossover in words."""
    xs, found = find_crossovers(curves, x_name)
    unit = "ns" if x_name.endswith("_ns") else ""

    def show(x):
        return summary.quantity(x) if unit else summary.significant(x)

    if xs is None:
        return "no crossover can be told: spin and block do not share two points"
    if not found:
        last = xs[-1]
        value = {kind: next(c.value for c in curves[kind] if c.axes[x_name] == last)
                 for kind in (SPIN, BLOCK)}
        better = SPIN if value[SPIN] <= value[BLOCK] else BLOCK
        return f"no crossover within the sweep ({show(xs[0])} to {show(last)}): {better} is faster"
    if len(found) == 1:
        x, before, after, block_wins = found[0]
        who = "block beats spin" if block_wins else "spin beats block"
        return f"{who} from {x_name} {show(x)} on (between {show(before)} and {show(after)})"
    where = ", ".join(show(x) for x, *_ in found)
    return f"no single crossover: the order of spin and block changes at {x_name} {where}"


def crossover_panels(cells):
    """(x axis, {panel: {kind: [cells]}}) of a benchmark with lock kinds, or None."""
    kinds = {cell.axes.get(KIND) for cell in cells}
    if not {SPIN, BLOCK} <= kinds:
        return None
    one_kind = [c for c in cells if c.axes.get(KIND) == SPIN]
    sweeps = [n for n, v in varying(one_kind).items()
              if len(v) >= 3 and all(isinstance(c.axes.get(n), int) for c in cells)]
    # The length of the critical section where there is one of that name, else the longest sweep.
    sweeps.sort(key=lambda n: (not n.startswith("cs"), -len(varying(one_kind)[n])))
    if not sweeps:
        return None
    others = [n for n in varying(cells) if n not in (sweeps[0], KIND)]

    def panel(cell):
        text = setting_text(cell, others)
        return machine_name(cell.impl) + (f", {text}" if text else "")

    found = {}
    for name, group in _groups(cells, panel).items():
        curves = _groups(group, lambda c: str(c.axes.get(KIND)))
        for line in curves.values():
            line.sort(key=lambda c: c.axes[sweeps[0]])
        found[name] = curves
    return sweeps[0], found


def _crossover(bench, cells, style, unit, help_of):
    x_name, panels = crossover_panels(cells)
    panel_of = {id(c): name for name, curves in panels.items() for l in curves.values() for c in l}

    def mark(axes, curves, name):
        for x, *_ in find_crossovers(curves, name)[1]:
            axes.axvline(x, color=drawing.INK, linewidth=0.9, linestyle=(0, (1, 2)))
            label = summary.quantity(x) if name.endswith("_ns") else summary.significant(x)
            axes.annotate(label, (x, 0.02), xycoords=("data", "axes fraction"), fontsize=9,
                          xytext=(3, 0), textcoords="offset points", color=drawing.INK)
        return []

    return _lines(bench, cells, style, unit, x_name, help_of,
                  lambda c: str(c.axes.get(KIND)), [], lambda c: panel_of[id(c)], mark)


def _ecdf(bench, cells, style, help_of):
    names = varying(cells)
    params = [n for n in names if is_param(cells, n)]
    others = [n for n in names if n not in params]
    merged = [(cell, name, histogram) for cell in cells
              for name, histogram in summary.merged_histograms(cell).items()]
    panels = {}
    several = len({name for _, name, _ in merged}) > 1
    for cell, name, histogram in merged:
        text = setting_text(cell, others)
        if several:
            text = f"{name}, {text}" if text else name
        panels.setdefault(text, []).append((cell, name, histogram))
    panels, notes = _limited(panels, "combinations")
    every = [h for _, group in panels for _, _, h in group]
    low = max(min(h.min for h in every), 1)
    high = max(max(h.max for h in every), low * 2)
    found = []
    for panel, group in panels:
        title = bench + (f" \N{MIDDLE DOT} {panel}" if panel else "")
        figure, axes = drawing.new_figure(3.4)
        handles, labels, dashes = [], [], {}
        for cell, name, histogram in group:
            xs, fractions = histogram.ecdf()
            dash = dashes.setdefault(cell.impl, [])
            dash.append(cell)
            look = {"color": style.colour(cell.impl), "linewidth": 1.3,
                    "linestyle": drawing.DASHES[(len(dash) - 1) % len(drawing.DASHES)]}
            axes.step([max(histogram.min, 1), *xs], [0, *fractions], where="post", **look)
            for p, size in ((50, 5.5), (99, 4.5), (99.9, 3.5)):
                at = histogram.percentile(p)
                if at is not None:
                    axes.plot([max(at, 1)], [p / 100], marker=style.marker(cell.impl),
                              markersize=size, color=style.colour(cell.impl), zorder=4,
                              markerfacecolor="white" if cell.untrusted else None)
            handles.append(Line2D([], [], marker=style.marker(cell.impl), markersize=4.5, **look))
            labels.append(f"{series_name(cell, params)} (n {summary.count(histogram.count)})")
        drawing.time_axis(axes.xaxis, low, high, group[0][2].unit)
        axes.set_ylim(-0.02, 1.03)
        axes.set_ylabel("fraction not above")
        axes.grid(True, axis="y", color=drawing.FAINT, linewidth=0.5)
        axes.set_xlabel(group[0][1])
        top = drawing.put_title(axes, title)
        bottom = drawing.legend(figure, handles, labels)
        figure.set_figheight(2.25 + top + bottom + 0.47)
        drawing.layout(figure, axes, 0.6, 0.2, bottom + 0.47, top)
        caption = (f"{title}: empirical distribution of {group[0][1]}, all rounds together. "
                   "Marks: p50, p99, p99.9, where enough was recorded.")
        found.append(drawing.Chart(figure, caption, notes))
        notes = []
    return found


def _dots(bench, cells, style, unit):
    names = varying(cells)
    params = [n for n in names if is_param(cells, n)]
    others = [n for n in names if n not in params]
    groups = _groups(cells, lambda c: setting_text(c, others))
    charts_found, page, rows = [], {}, 0
    pages = []
    for name, group in groups.items():
        for start in range(0, len(group), MAX_ROWS):
            part = group[start:start + MAX_ROWS]
            if page and rows + len(part) > MAX_ROWS:
                pages.append(page)
                page, rows = {}, 0
            page[name] = part
            rows += len(part) + 1
    pages.append(page)
    notes = []
    if len(pages) > MAX_CHARTS:
        notes = [f"{MAX_CHARTS} of {len(pages)} charts are drawn; the values of all are in the "
                 "table."]
    low, high = _range_of(cells)
    for page in pages[:MAX_CHARTS]:
        headed = len(groups) > 1
        rows = sum(len(group) + headed for group in page.values())
        figure, axes = drawing.new_figure(1)
        at, labels, heads = 0, [], []
        for name, group in page.items():
            if headed:
                heads.append((at, name))
                at += 1
            for cell in group:
                labels.append((at, series_name(cell, params)))
                _dot_row(axes, cell, at, style, unit)
                at += 1
        axes.set_ylim(rows - 0.4, -0.6)
        axes.set_yticks([at for at, _ in labels], [text for _, text in labels])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        for at, name in heads:
            axes.text(0.0, at, name, transform=axes.get_yaxis_transform(), va="center",
                      fontweight="bold")
        left = min(0.2 + 0.076 * max(len(text) for _, text in labels), 2.1)
        drawing.time_axis(axes.xaxis, low, high, unit, 6 if left < 1 else 4)
        top = drawing.put_title(axes, bench)
        figure.set_figheight(0.22 * rows + 0.44 + top)
        drawing.layout(figure, axes, left, 0.95, 0.36, top)
        shown = [cell for group in page.values() for cell in group]
        counts = _span({len(c.values) for c in shown})
        caption = (f"{bench}: time of one op. Ticks: processes (n {counts}); marker and number: "
                   "their median; line: smallest to largest")
        caption += "; hollow and \N{DAGGER}: untrusted." if any(c.untrusted for c in shown) else "."
        charts_found.append(drawing.Chart(figure, caption, notes))
        notes = []
    return charts_found


def _dot_row(axes, cell, at, style, unit):
    colour = style.colour(cell.impl)
    if cell.value > 0:
        shown = [v for v in cell.values if v > 0]
        axes.plot([min(shown), max(shown)], [at, at], color=colour, linewidth=1.1)
        axes.plot(shown, [at] * len(shown), linestyle="none", marker="|", markersize=6,
                  color=colour, markeredgewidth=0.9)
        axes.plot([cell.value], [at], linestyle="none", marker=style.marker(cell.impl),
                  markersize=5.5, color=colour, zorder=4,
                  markerfacecolor="white" if cell.untrusted else colour)
    text = summary.quantity(cell.value, unit) + ("\N{DAGGER}" if cell.untrusted else "")
    axes.text(1.05, at, text, transform=axes.get_yaxis_transform(), va="center")


def _is_pairs(cells):
    """Pairs of PUs, measured for the machine's own sake."""
    return all(
        c.impl == "-" and len(c.place["cpus"]) == 2 and c.place["policy"].startswith("cpus=")
        for c in cells
    )


def _heat_maps(bench, cells, unit):
    others = [n for n in varying(cells) if n != "place"]
    panels, notes = _limited(_groups(cells, lambda c: setting_text(c, others)), "combinations")
    found = []
    for panel, group in panels:
        title = f"{bench}: core to core" + (f" \N{MIDDLE DOT} {panel}" if panel else "")
        pus = sorted({int(cpu) for c in group for cpu in c.place["cpus"]})
        where = {cpu: at for at, cpu in enumerate(pus)}
        divisor, name = summary.scale(min(c.value for c in group) or 1, unit)
        grid = [[math.nan] * len(pus) for _ in pus]
        marks = {}
        for cell in group:
            a, b = (where[int(cpu)] for cpu in cell.place["cpus"])
            # A pair is unordered, unless both orders were measured.
            for i, j in ((a, b), (b, a)):
                if (i, j) == (a, b) or math.isnan(grid[i][j]):
                    grid[i][j] = cell.value / divisor
                    marks[(i, j)] = "\N{DAGGER}" if cell.untrusted else ""
        side = min(max(0.42 * len(pus), 2.2), 12)
        size = max(min(8.5, 8.5 * side / (0.42 * len(pus))), 2.5)
        wide = side + 0.9 > drawing.WIDTH
        width = max(drawing.WIDTH, side + 0.9)
        figure, axes = drawing.new_figure(side + 0.9, width)
        mesh = axes.pcolormesh(grid, cmap="cividis", edgecolors=drawing.FAINT, linewidth=0.4)
        low, high = mesh.get_clim()
        for i, row in enumerate(grid):
            for j, value in enumerate(row):
                if not math.isnan(value):
                    bright = high > low and (value - low) / (high - low) > 0.5
                    axes.text(j + 0.5, i + 0.5, summary.significant(value) + marks[(i, j)],
                              ha="center", va="center", fontsize=size,
                              color="#101010" if bright else "#f4f4f4")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks([at + 0.5 for at in range(len(pus))], [str(cpu) for cpu in pus],
                           fontsize=size)
        axes.tick_params(length=0)
        axes.set_ylim(len(pus), 0)
        axes.set_xlabel("PU")
        axes.set_ylabel("PU")
        top = drawing.put_title(axes, f"{title}, {name}")
        drawing.layout(figure, axes, 0.5, width - 0.5 - side, 0.9 - top, top)
        caption = (f"{title}: time of one op between two PUs in {name}, median of "
                   f"{_span({len(c.values) for c in group})} processes. Empty: not measured.")
        found.append(drawing.Chart(figure, caption, notes, wide))
        notes = []
    return found


def charts(bench, cells, style, unit="ns", axes_help=None):
    """The charts of one benchmark; an empty list where no cell is ok."""
    cells = [cell for cell in cells if cell.ok]
    if not cells:
        return []
    help_of = {name: _axis_title(name, text) for name, text in (axes_help or {}).items()}
    if _is_pairs(cells):
        return _heat_maps(bench, cells, unit)
    if crossover_panels(cells) is not None:
        return _crossover(bench, cells, style, unit, help_of)
    x_name = swept_axis(cells)
    with_histograms = [cell for cell in cells if summary.merged_histograms(cell)]
    if with_histograms and x_name is None:
        return _ecdf(bench, with_histograms, style, help_of)
    if x_name is not None:
        return _scaling(bench, cells, style, unit, x_name, help_of)
    return _dots(bench, cells, style, unit)


def _axis_title(name, text):
    """The axis' name with its help, where that is short enough to stand under a chart."""
    return f"{name}: {text}" if text and len(text) <= 48 else name
