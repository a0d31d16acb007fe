"""Charts of a comparison: the forest plot of all pairs, and two charts of one pair.

    for chart in plots_compare.forest(rows, level): ...
    plots_compare.distributions(title, unit, {"base main": values, "head mine": values})
    plots_compare.ratios(title, rounds, pair)

Changes are drawn on the scale of ln(head / base), so that twice as slow is as far from 0 as twice
as fast, and are named in per cent. An axis that one extreme pair would stretch until nothing else
can be seen is cut: what lies beyond is an arrow at the edge, with its number.
"""

import math
import statistics

from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

import compare_forms
import drawing
from drawing import FAINT, INK, Chart

ROWS = 40  # pairs of one forest plot
LABEL = 52  # characters of a key that fit above its row
# A limit of the axis lies at most so many times beyond what is typical of the pairs.
STRETCH = 6
# Shape and colour (Okabe and Ito) both tell the verdict; hollow: nothing is claimed.
LOOKS = {
    "slower": ("^", drawing.COLOURS[1], True), "failed": ("X", drawing.COLOURS[3], True),
    "inconclusive": ("D", drawing.COLOURS[4], False), "faster": ("v", drawing.COLOURS[0], True),
    "equivalent": ("o", drawing.COLOURS[6], True),
}
BASE, HEAD = drawing.COLOURS[0], drawing.COLOURS[1]
_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 3, 9, 99, 999)


def look(verdict, size=6):
    marker, colour, filled = LOOKS[verdict]
    return {"marker": marker, "color": colour, "markersize": size, "markeredgewidth": 1.2,
            "markerfacecolor": colour if filled else "none", "linestyle": "none"}


def _log(ratio):
    """ln, where a ratio of 0 is as far below as can be."""
    return math.log(ratio) if ratio > 0 else -math.inf


def limit(extents, delta):
    """Half the width of a symmetric axis for these distances from 0 (ln)."""
    finite = [e for e in extents if math.isfinite(e)]
    least = 2.5 * math.log1p(delta) or 0.01
    if not finite:
        return least
    typical = max(statistics.median(finite), least)
    return max(least, 1.12 * max((e for e in finite if e <= STRETCH * typical), default=least))


def _change_axis(axis, half):
    """Ticks at round per cents, the same ones on both sides as far as they fit."""
    axis.set_minor_locator(NullLocator())
    fitting = [s for s in _STEPS if math.log1p(s) < half] or [half]
    # The greatest one and one about half of it.
    chosen = [fitting[-1]]
    chosen += [s for s in reversed(fitting) if math.log1p(s) <= 0.55 * math.log1p(chosen[0])][:1]
    ticks = [math.log1p(s) for s in chosen]
    # Halves and more are named by what they undo: +300% has -75% opposite.
    ticks += [t for t in (math.log1p(-s) if s < 0.5 else -math.log1p(s) for s in chosen)
              if t > -half]
    axis.set_major_locator(FixedLocator(sorted([0, *ticks])))
    axis.set_major_formatter(FuncFormatter(lambda v, _: compare_forms.change(math.exp(v))
                                           if abs(v) > 1e-9 else "0"))
    axis.grid(True, color=FAINT, linewidth=0.5)
    axis.axes.set_axisbelow(True)


# ---- all pairs -----------------------------------------------------------------------------------


def forest(pairs, level):
    """A chart for each ROWS pairs, in the order given; all have the same axis."""
    extents = [max(abs(_log(r[n])) for n in ("value", "low", "high") if r[n] is not None)
               for r in (p["ratio"] for p in pairs) if r is not None]
    half = limit(extents, max((p["delta"] for p in pairs), default=0))
    parts = [pairs[at:at + ROWS] for at in range(0, len(pairs), ROWS)]
    return [_forest(part, half, level, f"{at * ROWS + 1} to {at * ROWS + len(part)} of "
                    f"{len(pairs)}" if len(parts) > 1 else "") for at, part in enumerate(parts)]


def _forest(pairs, half, level, which):
    figure, axes = drawing.new_figure(1)
    clipped = False
    for at, pair in enumerate(pairs):
        clipped |= _forest_row(axes, at, pair, half)
    axes.set_xlim(-half, half)
    axes.set_ylim(len(pairs) - 0.35, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    _change_axis(axes.xaxis, half)
    axes.set_xlabel("change of the time of one op (head against base)")
    seen = [v for v in LOOKS if any(p["verdict"] == v for p in pairs)]
    handles = [Line2D([], [], **look(v)) for v in seen]
    handles.append(Patch(color=INK, alpha=0.12, linewidth=0))
    part = f", {which}" if which else ""
    top = drawing.put_title(axes, f"Change of each pair, worst first{part}")
    bottom = drawing.legend(figure, handles, [*seen, "\N{PLUS-MINUS SIGN}delta: no change"]) + 0.5
    figure.set_figheight(0.37 * len(pairs) + top + bottom)
    drawing.layout(figure, axes, 0.2, 0.25, bottom, top)
    caption = (f"Forest plot of the change of each pair{part}: estimate "
               f"and {100 * level:g}% interval; right of 0 is slower. Grey band: changes within "
               "delta count as none. Shape and colour: the verdict")
    caption += "; arrows: beyond the axis, with the number." if clipped else "."
    return Chart(figure, caption)


def _forest_row(axes, at, pair, half):
    """Above the key and the change in words, below the interval. True if something was cut off."""
    bound, ratio = math.log1p(pair["delta"]), pair["ratio"]
    # Only below the words, which would be hard to read on it.
    lane = [at - 0.03, at + 0.37]
    axes.fill_betweenx(lane, -bound, bound, color=INK, alpha=0.12, linewidth=0)
    axes.plot([0, 0], lane, color=INK, linewidth=0.9, zorder=1)
    words = axes.get_yaxis_transform()
    style = look(pair["verdict"])
    axes.plot([0.012], [at - 0.2], transform=words, clip_on=False, **{**style, "markersize": 4.5})
    key = compare_forms.shorten(compare_forms.plain(compare_forms.pair_name(pair)), LABEL)
    axes.text(0.035, at - 0.2, key, transform=words, va="center", fontsize=8)
    if ratio is None:
        axes.text(1, at - 0.2, "no ratio", transform=words, va="center", ha="right", fontsize=8)
        return False
    said = compare_forms.change(ratio["value"])
    axes.text(1, at - 0.2, said, transform=words, va="center", ha="right", fontsize=8,
              fontweight="bold")
    y, value, cut = at + 0.17, _log(ratio["value"]), False
    line = {"color": style["color"], "linewidth": 1.6}
    if ratio["low"] is not None and ratio["high"] is not None:
        low, high = _log(ratio["low"]), _log(ratio["high"])
        axes.plot([max(min(low, half), -half), min(max(high, -half), half)], [y, y], **line)
        for end, inner in ((low, ratio["low"]), (high, ratio["high"])):
            if abs(end) > half and abs(value) <= half:
                cut = True
                _arrow(axes, math.copysign(half, end), y, style["color"],
                       compare_forms.change(inner))
    if abs(value) > half:
        cut = True
        _arrow(axes, math.copysign(half, value), y, style["color"], said)
    else:
        axes.plot([value], [y], zorder=4, **style)
    return cut


def _arrow(axes, x, y, colour, said):
    right = x > 0
    axes.plot([x], [y], marker=">" if right else "<", color=colour, markersize=6, clip_on=False)
    # Below the line, which may be that of an interval.
    axes.annotate(said, (x, y), xytext=(-7 if right else 7, -6), textcoords="offset points",
                  ha="right" if right else "left", va="center", fontsize=7)


# ---- one pair ------------------------------------------------------------------------------------


def distributions(title, unit, sides):
    """ECDF of the values of the processes of both sides, or None where there is nothing to draw.
    sides: [(name, values)], base first."""
    sides = [(name, sorted(v for v in values if v > 0)) for name, values in sides]
    every = [v for _, values in sides for v in values]
    if not every:
        return None
    figure, axes = drawing.new_figure(3.2)
    handles, labels = [], []
    for (name, values), colour, dash in zip(sides, (BASE, HEAD), ("-", (0, (4, 1.5)))):
        style = {"color": colour, "linewidth": 1.5, "linestyle": dash}
        if values:
            fractions = [n / len(values) for n in range(len(values) + 1)]
            axes.step([values[0], *values], fractions, where="post", **style)
            axes.plot([statistics.median(values)], [0.5], marker="o" if dash == "-" else "s",
                      markersize=5, color=colour, zorder=4)
        handles.append(Line2D([], [], **style))
        labels.append(f"{compare_forms.shorten(compare_forms.plain(name), 40)} (n {len(values)})")
    _value_axis(axes.xaxis, min(every), max(every), unit)
    axes.set_ylim(-0.02, 1.03)
    axes.set_ylabel("fraction not above")
    axes.grid(True, axis="y", color=FAINT, linewidth=0.5)
    top = drawing.put_title(axes, _heading(title))
    bottom = drawing.legend(figure, handles, labels) + 0.35
    figure.set_figheight(2.2 + top + bottom)
    drawing.layout(figure, axes, 0.6, 0.25, bottom, top)
    return Chart(figure, f"{title}: empirical distribution of the value of each process (the "
                         "smallest of its batches). Marks: medians.")


def _heading(title):
    """One line."""
    return compare_forms.shorten(compare_forms.plain(title), LABEL)


def _value_axis(axis, low, high, unit):
    """A log axis; in contrast to that of a run it is as narrow as the values, since a difference of
    1% is what this is about."""
    room = max((high / low) ** 0.06, 1.002)
    low, high = low / room, high * room
    axis.axes.set_xscale("log")
    axis.axes.set_xlim(low, high)
    axis.set_major_locator(FixedLocator(drawing.ticks(low, high, 4)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda v, _: drawing.tick_text(v, unit)))
    axis.grid(True, color=FAINT, linewidth=0.5)
    axis.axes.set_axisbelow(True)


def ratios(title, series, pair):
    """head / base of each round over the rounds, or None. series: {round: ratio}, all above 0."""
    if not series:
        return None
    bound = math.log1p(pair["delta"])
    logs = {at: math.log(ratio) for at, ratio in sorted(series.items())}
    half = limit([abs(v) for v in logs.values()], pair["delta"])
    start = pair["rounds"].get("confirm_from")
    verdict_colour = LOOKS[pair["verdict"]][1]
    figure, axes = drawing.new_figure(3.2)
    axes.axhspan(-bound, bound, color=INK, alpha=0.12, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.9)
    ratio, handles, labels = pair["ratio"], [], []
    if ratio is not None and abs(_log(ratio["value"])) <= half:
        style = {"color": verdict_colour, "linewidth": 1.3, "linestyle": (0, (4, 1.5))}
        axes.axhline(_log(ratio["value"]), **style)
        handles.append(Line2D([], [], **style))
        labels.append("estimate")
    dots = {"linestyle": "none", "marker": "o", "markersize": 3.6, "color": INK}
    stages = [("round", [r for r in logs if start is None or r >= start], INK)]
    if start is not None:
        stages = [("screening", [r for r in logs if r < start], "none"),
                  ("confirmation", stages[0][1], INK)]
        axes.axvline(start - 0.5, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
    beyond = 0
    for name, rounds, face in stages:
        inside = [r for r in rounds if abs(logs[r]) <= half]
        axes.plot(inside, [logs[r] for r in inside], **dots, markerfacecolor=face)
        for r in rounds:
            if abs(logs[r]) > half:
                beyond += 1
                axes.plot([r], [math.copysign(half, logs[r])], clip_on=False, color=INK,
                          marker="^" if logs[r] > 0 else "v", markersize=5, markerfacecolor=face)
        handles.append(Line2D([], [], **dots, markerfacecolor=face))
        labels.append(f"{name} (n {len(rounds)})")
    axes.set_ylim(-half, half)
    axes.set_xlim(min(logs) - 1, max(logs) + 1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    _change_axis(axes.yaxis, half)
    axes.set_xlabel("round")
    top = drawing.put_title(axes, _heading(title))
    bottom = drawing.legend(figure, handles, labels) + 0.47
    figure.set_figheight(2.1 + top + bottom)
    drawing.layout(figure, axes, 0.6, 0.25, bottom, top)
    caption = f"{title}: change in each round, in the order of time; grey band: delta"
    if beyond:
        most = max(logs.values(), key=abs)
        caption += (f"; arrows: {beyond} beyond the axis, the farthest at "
                    f"{compare_forms.change(math.exp(most))}")
    return Chart(figure, caption + ".")
