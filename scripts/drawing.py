"""What all charts of a report share: colours, axes, and how a figure becomes SVG or PNG.

Charts are drawn with a transparent ground, and their SVG takes text and line colours from the
page, so that they can be read in light and dark.
"""

import io
import itertools
import math
import re

import matplotlib

matplotlib.use("svg")
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator  # noqa: E402

import summary  # noqa: E402

INK = "#0d0e11"  # replaced by the page's text colour in SVG
FAINT = "#c9cbce"  # replaced by the page's rule colour in SVG
WIDTH = 4.7  # inches; a chart is one column on a phone and two or three on a desktop

matplotlib.rcParams.update({
    "svg.fonttype": "none",  # text stays text: searchable, and a tenth of the size
    "svg.hashsalt": "threadlab",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.labelsize": 9.5,
    "legend.fontsize": 9,
    "text.parse_math": False,  # a key may hold dollars
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "path.simplify": True,
})

# Okabe and Ito 2008, "Color Universal Design", without black and yellow, which vanish on a dark or
# a light page. The names are only preferences, so that reports look alike; any other
# implementation gets what is left.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C", "#A0522D"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "p"]
_PREFERRED = {"nptl": 0, "clone": 1, "green": 2, "ucontext": 3, "hybrid": 4, "null": 6}
DASHES = ["-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)), (0, (8, 2)), (0, (2, 2.5))]


class Style:
    """One colour and marker for each implementation, throughout a report."""

    def __init__(self, impls):
        self._slots = {name: _PREFERRED[name] for name in impls if name in _PREFERRED}
        free = itertools.chain(
            (slot for slot in range(len(COLOURS)) if slot not in self._slots.values()),
            itertools.cycle(range(len(COLOURS))),
        )
        for name in impls:
            if name not in self._slots and name != "-":
                self._slots[name] = next(free)

    def colour(self, impl):
        return INK if impl not in self._slots else COLOURS[self._slots[impl]]

    def marker(self, impl):
        return "o" if impl not in self._slots else MARKERS[self._slots[impl]]


class Chart:
    """A drawn figure. caption: plain text; notes: sentences to stand next to it."""

    def __init__(self, figure, caption, notes=(), wide=False):
        self.figure, self.caption, self.notes, self.wide = figure, caption, list(notes), wide

    def svg(self, prefix):
        """An <svg> element for a page; `prefix` keeps its ids apart from other charts'."""
        out = io.StringIO()
        FigureCanvasSVG(self.figure).print_svg(out, metadata={"Date": None, "Creator": None})
        text = out.getvalue()
        text = text[text.index("<svg"):]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
        text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
        text = re.sub(r'\bid="', f'id="{prefix}-', text)
        text = re.sub(r'(href=")#|(url\()#', rf"\1\2#{prefix}-", text)
        text = text.replace(INK, "var(--ink)").replace(FAINT, "var(--rule)")
        text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px sans-serif", text)
        text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
        text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
        # Three decimals of 1/72 inch are enough.
        text = re.sub(r"(\d+\.\d{2})\d+", r"\1", text)
        return re.sub(r"\s*\n\s*", "\n", text).strip()

    def png(self):
        out = io.BytesIO()
        FigureCanvasAgg(self.figure)
        self.figure.patch.set_alpha(1)
        self.figure.savefig(out, format="png", dpi=130, facecolor="white")
        self.figure.patch.set_alpha(0)
        return out.getvalue()


# ---- axes of a chart -----------------------------------------------------------------------------


def ticks(low, high, most=6):
    """Ticks for a log axis: 1-2-5 or decades, 3 of them to `most`, where that can be had."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [d * 10.0**e for e in decades for d in digits]
        ticks = [t for t in ticks if low <= t <= high]
        if len(ticks) <= most:
            break
    if len(ticks) < 3:
        ticks = [t for t in MaxNLocator(5).tick_values(low, high) if low <= t <= high]
    return ticks[:: 1 + (len(ticks) - 1) // most]


def time_axis(axis, low, high, unit, most=6):
    """A log axis of times (or another unit) that covers low..high with some air."""
    # At least a factor of 2 in all: what differs by noise should not look like a cliff.
    air = max(1.15, math.sqrt(2 * low / high))
    low, high = low / air, high * air
    (axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale)("log")
    (axis.axes.set_xlim if axis.axis_name == "x" else axis.axes.set_ylim)(low, high)
    axis.set_major_locator(FixedLocator(ticks(low, high, most)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda v, _: tick_text(v, unit)))
    axis.grid(True, color=FAINT, linewidth=0.5)
    axis.axes.set_axisbelow(True)


def tick_text(value, unit):
    divisor, name = summary.scale(value, unit)
    return f"{round(value / divisor, 9):g} {name}"


def sweep_axis(axes, values, name, names_units):
    """A log (from 0: symlog) x axis with the swept values as ticks."""
    positive = [v for v in values if v > 0]
    if len(positive) == len(values):
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=min(positive, default=1))
    ticks = list(values)
    while len(ticks) > 8:
        ticks = ticks[::2]
    unit = "ns" if name.endswith("_ns") else None
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(
        lambda v, _: tick_text(v, unit) if unit and v else summary.integer(round(v))
    ))
    axes.grid(True, axis="x", color=FAINT, linewidth=0.5)
    axes.set_xlabel(names_units.get(name) or name)


def new_figure(height, width=WIDTH):
    figure = Figure(figsize=(width, height))
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def layout(figure, axes, left, right, bottom, top):
    """Margins in inches: cheaper and steadier than tight_layout."""
    width, height = figure.get_size_inches()
    axes.set_position([
        left / width, bottom / height,
        (width - left - right) / width, (height - top - bottom) / height,
    ])


def legend(figure, handles, labels):
    """Below the axes, as many columns as fit; returns its height in inches."""
    widest = max(len(label) for label in labels)
    columns = max(1, min(len(labels), int((WIDTH - 0.2) / (0.5 + 0.076 * widest))))
    figure.legend(handles, labels, loc="lower center", ncol=columns, frameon=False,
                  handlelength=2.4, columnspacing=1.2, borderaxespad=0.1)
    return 0.1 + 0.2 * math.ceil(len(labels) / columns)


def put_title(axes, text):
    axes.set_title("\n".join(wrap(text, 50)), loc="left")
    return 0.15 + 0.175 * len(wrap(text, 50))


def wrap(text, width):
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + len(word) + 1 > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line]
