"""The first table of a report: what each primitive costs.

It names benchmarks, because it answers a question that is asked of every run. Where that cannot be
answered, the table says why.
"""

import summary
from report_base import BASELINE, DASH, UNSAFE, best, marked, preferred, setting_words, times
from report_render import DAGGER, Sub, Table, Text
from summary import integer

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



def headline(content):
    impls = [name for name in content.impls if any(c.impl == name for c in content.cells)]
    rows = []
    for what, bench, wanted in HEADLINE:
        cells = [c for c in content.by_bench.get(bench, []) if c.impl != "-"]
        if not cells:
            continue
        groups = {}
        for cell in preferred(cells, wanted):
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
