"""What the parts of a report share: the run and what follows from it, how a value is written."""

import drawing
import summary
from report_render import DAGGER
from summary import integer, quantity, significant

BASELINE = "nptl"  # what the platform gives: the others are shown in proportion to it
DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
UNSAFE = "!"  # the number rests on a promise that is not kept


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
        self.style = drawing.Style(self.impls)

    def bench(self, name):
        """What the header tells about a benchmark (a plugin's or damaged record may not)."""
        empty = {"version": 0, "title": "", "op": "", "unit": "ns", "rests_on": [], "axes": {}}
        return self.run.header["benches"].get(name, empty)

    def unit(self, name):
        return self.bench(name)["unit"]


def marked(cell, unit):
    return quantity(cell.value, unit) + (DAGGER if cell.untrusted else "") + (
        UNSAFE if cell.unsafe else "")


def setting_words(setting):
    parts = []
    for name, value in setting.items():
        parts.append(value if name == "place" else f"{name} {integer(value)}")
    return ", ".join(parts)


def plural(count, what):
    return f"{summary.count(count)} {what}" + ("" if count == 1 else "s")


def best(cells):
    """The ok cell with the lowest value, or None. An unsafe one only where no other is ok."""
    return min((c for c in cells if c.ok), key=lambda c: (bool(c.unsafe), c.value), default=None)


def times(value):
    """A ratio for people: 1/795 reads better than 0.00126."""
    if 0 < value < 0.0995:
        return f"1/{significant(1 / value)}"
    return f"{significant(value)}{TIMES}"


def preferred(cells, wanted):
    """Those cells whose axes have the wanted values, as far as any have; of several wanted values
    (a tuple) the first that any has."""
    for name, values in wanted.items():
        for value in values if isinstance(values, tuple) else (values,):
            fitting = [c for c in cells if c.axes.get(name) == value]
            if fitting:
                cells = fitting
                break
    near = [c for c in cells if c.relation == "same-pu"]
    return near or cells
