"""The history of results as one HTML page: its steps first, then a chart of each series.

Charts share the look of those of a report (drawing.py); the page is made by report_render.py.
"""

import math

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

import drawing
import history
import summary
from report_render import Charts, Details, Facts, Heading, Links, Sub, Table, Text

MAX_CHARTS = 6  # of one benchmark on one machine; all levels are in a table
MAX_STEPS = 100  # rows of the table of steps
LEAST_SPAN = 0.03  # of the ratio axis: noise of a percent should not look like a cliff
DATES = 5  # ticks along the runs
LEFT, RIGHT = 0.62, 0.12  # inches beside the axes
LETTER = 0.075  # inches
HOLLOW = 0.5  # drawn hollow where less than this share of the processes passed its self-checks


def _signed(ratio):
    """"+5.12 %": a ratio as a change."""
    return f"{100 * (ratio - 1):+.2f}\N{NO-BREAK SPACE}%".replace("-", "\N{MINUS SIGN}")


def _tick(ratio):
    change = round(100 * (ratio - 1), 6)
    return f"{change:+.3g} %".replace("-", "\N{MINUS SIGN}") if change else "0 %"


def _short(key):
    """A key without its benchmark, which the heading names."""
    return key.partition("/")[2] or key


def _day(row):
    return row.started[:10]


# ---- a chart -------------------------------------------------------------------------------------


def _range_of(rows):
    """All ratios, and most of their intervals; a wide one is cut off."""
    low, high = [row.ratio for row in rows], [row.ratio for row in rows]
    ends = [(row.low, row.high) for row in rows if row.low is not None]
    if ends:
        low.append(np.quantile([end for end, _ in ends], 0.1))
        high.append(np.quantile([end for _, end in ends], 0.9))
    low, high = min(low), max(high)
    air = max(0.06 * (high - low), (LEAST_SPAN - (high - low)) / 2)
    return low - air, high + air


def _points(axes, part, colour):
    low = [row.ratio if row.low is None else row.low for row in part.rows]
    high = [row.ratio if row.high is None else row.high for row in part.rows]
    axes.vlines(part.at, low, high, color=colour, linewidth=0.8, alpha=0.45)
    for hollow in (False, True):
        shown = [(x, row.ratio) for x, row in zip(part.at, part.rows)
                 if (row.trusted < HOLLOW) == hollow]
        if shown:
            axes.plot(*zip(*shown), linestyle="none", marker="o", markersize=2.8, color=colour,
                      markeredgewidth=0.7, markerfacecolor="white" if hollow else colour)


def _levels(axes, part, steps, colour):
    for first, end, level in history.levels(part, steps):
        left, right = part.at[first] - 0.5, part.at[end - 1] + 0.5
        axes.hlines(level.value, left, right, color=colour, linewidth=1.8)
        if level.low is not None:
            axes.fill_between([left, right], level.low, level.high, color=colour, alpha=0.2,
                              linewidth=0)


def _marks(axes, marks, count):
    """Vertical lines with words above the axes: [(x, text, dashes)]. Returns the rows of words.

    Words stand to the right of their line, or to the left where there is no room; where they would
    lie on those of a line before, one row higher.
    """
    width = count * LETTER / (drawing.WIDTH - LEFT - RIGHT)  # of a letter, in runs
    taken = []  # up to which x each row is
    for x, text, dashes in sorted(marks, key=lambda mark: mark[0]):
        axes.axvline(x, color=drawing.INK, linewidth=0.8, linestyle=dashes)
        long = width * (len(text) + 1)
        right = x + long < count
        first = x if right else x - long
        row = next((at for at, end in enumerate(taken) if end < first), len(taken))
        taken[row:row + 1] = [first + long]
        axes.annotate(text, (x, 1), xycoords=("data", "axes fraction"), fontsize=8.5,
                      xytext=(2 if right else -2, 2 + 11 * row), textcoords="offset points",
                      va="bottom", ha="left" if right else "right", color=drawing.INK)
    return len(taken)


def _marks_of(series, steps):
    places = {row.run: at for at, row in enumerate(series.rows)}
    for step in steps:
        first = step.rows[1]
        yield places[first.run] - 0.5, history.build_name(history.head_of(first)), "--"
    for _, after, why in series.splits:
        words = "new reference" if "reference" in why else "new version"
        yield places[after.run] - 0.5, words, (0, (1, 2))


def chart(series, steps, style, title):
    rows, colour = series.rows, style.colour(series.impl)
    figure, axes = drawing.new_figure(1)
    axes.axhline(1, color=drawing.FAINT, linewidth=1.2)
    for part in series.parts:
        _points(axes, part, colour)
        _levels(axes, part, steps, colour)
    axes.set_xlim(-0.8, len(rows) - 0.2)
    axes.set_ylim(*_range_of(rows))
    # Dates are labels of runs, not a scale: runs stand at equal distances.
    each = max(1, math.ceil(len(rows) / DATES))
    axes.xaxis.set_major_locator(FixedLocator(range(0, len(rows), each)))
    axes.xaxis.set_major_formatter(FuncFormatter(
        lambda x, _: _day(rows[round(x)]) if 0 <= round(x) < len(rows) else ""))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: _tick(y)))
    axes.grid(True, axis="y", color=drawing.FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    words = 0.16 * _marks(axes, list(_marks_of(series, steps)), len(rows))
    top = drawing.put_title(axes, title) + words
    axes.set_title(axes.get_title(loc="left"), loc="left", pad=6 + 72 * words)
    figure.set_figheight(1.65 + top + 0.35)
    drawing.layout(figure, axes, LEFT, RIGHT, 0.35, top)
    return drawing.Chart(figure, _caption(series, steps, title))


def _caption(series, steps, title):
    rows = series.rows
    counts = sorted({row.n for row in rows})
    rounds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    text = (f"{title}: head against the reference, {summary.count(len(rows))} runs of {rounds} "
            "rounds. Dot: ratio of a run, with its interval; line and band: level")
    for step in steps[-1:]:
        text += (f". Last step: {_signed(step.change)} from "
                 f"{history.build_name(history.head_of(step.rows[1]))} on")
    if any(row.trusted < HOLLOW for row in rows):
        text += "; hollow: less than half of the processes passed their self-checks"
    return text + "."


# ---- the page ------------------------------------------------------------------------------------


def _step_table(steps, machines):
    # The newest first; of those of one run the greatest slowdown.
    steps = sorted(steps, key=lambda step: -step.change)
    steps.sort(key=lambda step: step.rows[1].started, reverse=True)
    rows = []
    for step in steps[:MAX_STEPS]:
        before, after = step.rows
        kind, word = ("bad", "slower") if step.slower else ("good", "faster")
        rows.append([
            Sub(step.series.key, step.series.machine if machines > 1 else ""),
            Sub(_signed(step.change), word, kind), _level(step.before), _level(step.after),
            Sub(history.build_name(history.head_of(after)),
                f"{_day(after)}, after {history.build_name(history.head_of(before))}"),
            f"{step.p:.3f}",
        ])
    caption = ("The newest first. Levels: head against the reference, with 95% intervals over the "
               "runs of the level; none below 6 runs.")
    if len(steps) > MAX_STEPS:
        caption += f" The newest {MAX_STEPS} of {len(steps)}."
    return Table(["key", "change", "before", "after", "since", "p"], rows, 1, caption)


def _level(estimate):
    runs = f"{estimate.n} runs"
    if estimate.low is not None:
        runs = f"{_signed(estimate.low)} to {_signed(estimate.high)}, {runs}"
    return Sub(_signed(estimate.value), runs)


def _level_table(series, found):
    rows = []
    for one in series:
        part = max(one.parts, key=lambda p: p.at[-1])
        first, end, level = history.levels(part, found[id(one)])[-1]
        last = part.rows[-1]
        rows.append([one.key, _level(level), _signed(last.ratio),
                     summary.quantity(last.base_ns), summary.quantity(last.head_ns)])
    return Table(["key", "level now", "last run", "reference, ns of that run", "head"], rows, 1)


def _machine(name, series, found, style, anchor):
    """(links, blocks) of one machine."""
    rows = {row.run: row for one in series for row in one.rows}
    ordered = sorted(rows.values(), key=lambda row: (row.started, row.run))
    references = dict.fromkeys(history.build_name(history.base_of(row)) for row in ordered)
    partial = sum(row.partial is not None for row in ordered)
    blocks = [Heading(2, name, anchor), Facts([
        ("CPU", ordered[0].cpu or "unknown"),
        ("Runs", f"{summary.count(len(ordered))}, {_day(ordered[0])} to {_day(ordered[-1])}"),
        ("Reference", ", then ".join(references)),
        *([("Partial", f"{partial} of these runs")] if partial else []),
    ])]
    benches, links = {}, []
    for one in series:
        benches.setdefault(one.bench, []).append(one)
    for number, (bench, group) in enumerate(benches.items()):
        here = f"{anchor}-{number}"
        links.append((here, bench))
        blocks.append(Heading(3, bench, here))
        # Those with steps, the newest first; then those that are farthest from the reference.
        group = sorted(group, key=lambda one: -abs(math.log(one.rows[-1].ratio)))
        group.sort(key=lambda one: max((s.rows[1].started for s in found[id(one)]), default=""),
                   reverse=True)
        drawn = [(f"{here}-{at}", chart(one, found[id(one)], style, _short(one.key)))
                 for at, one in enumerate(group[:MAX_CHARTS])]
        blocks.append(Charts(drawn))
        if len(group) > MAX_CHARTS:
            blocks.append(Text(f"{MAX_CHARTS} of {len(group)} series are drawn, those with steps "
                               "first; the levels of all are in the table below.", "note"))
    blocks.append(Details(f"Levels of all {len(series)} series", [_level_table(series, found)]))
    return links, blocks


def page(series, found, least, effect):
    """found: {id(series): [Step]}. One self-contained HTML document."""
    from report_render import page as render

    blocks = [Heading(1, "threadlab: history of results")]
    if not series:
        blocks.append(Text("There is nothing to show: no results, or none that the globs of "
                           "--bench and --impl choose. `track run` or `track add` adds some.",
                           "warning"))
        return render("threadlab: history", blocks)
    machines = {}
    for one in series:
        machines.setdefault(one.machine, []).append(one)
    steps = [step for one in series for step in found[id(one)]]
    blocks.append(Text(
        "Each run interleaves the build of that day (head) with a pinned reference build; what is "
        "drawn is head/reference, so that drift of the machine cancels. +5 % is 5 % slower than "
        f"the reference. A step lasts for {least} runs at least and is {100 * effect:g} % or "
        "more (E-divisive means, with a permutation test). Compare within a machine only."))
    blocks.append(Heading(2, "Steps"))
    if steps:
        blocks.append(_step_table(steps, len(machines)))
    else:
        most = max(len(part.rows) for one in series for part in one.parts)
        blocks.append(Text(f"No step in {len(series)} series; the longest has {most} runs, and "
                           f"{2 * least} are needed to see one."))
    style = drawing.Style(list(dict.fromkeys(one.impl for one in series)))
    body = []
    for number, (name, group) in enumerate(machines.items()):
        links, inner = _machine(name, group, found, style, f"m{number}")
        blocks.append(Links([(f"m{number}", name), *links]))
        body += inner
    return render("threadlab: history", blocks + body)
