"""What a report says about a run's own noise: the A/A result, how much one cell differs between two
processes. Always computed from the samples, so records older than minor 2 and partial ones have it.
"""

import summary
from report_render import Heading, Table, Text
from summary import percent

ANCHOR = "aa"
DASH = "\N{EN DASH}"


def _unknown(run):
    why = ("there is one round only" if run.header["rounds"] == 1
           else "no cell was ok in two consecutive rounds")
    return f"not known: {why}"


def fact(run, cells):
    """(name, text) for the facts at the head of a report."""
    found = summary.same_twice(cells)
    if not found.pairs:
        return "A/A", _unknown(run)
    return "A/A", (f"the same cell in two processes differed by {_share(found.median)} (median), "
                   f"{_share(found.p95)} (95th percentile)")


def _share(per_cent):
    return DASH if per_cent is None else percent(per_cent / 100)


def blocks(run, cells):
    title = Heading(2, "What a difference is worth (A/A)", ANCHOR)
    if not summary.same_twice(cells).pairs:
        return [title, Text(f"How much one cell differs between two processes is "
                            f"{_unknown(run)}.", "note")]
    one_pu = [cell for cell in cells if cell.on_one_pu]
    across = [cell for cell in cells if not cell.on_one_pu]
    rows = []
    for name, some in (("all cells", cells), ("on one PU", one_pu), ("across PUs", across)):
        found = summary.same_twice(some)
        rows.append([name, summary.count(found.pairs), _share(found.median), _share(found.p95),
                     _share(found.max)])
    return [
        title,
        Text("How to read it: a difference between two single rounds that is below the 95th "
             "percentile is noise."),
        Table(["", "pairs", "median", "95th percentile", "max"], rows,
              caption="Each pair is one cell in two consecutive rounds: the same build and the "
                      "same question, so any difference is noise. By how much the larger value "
                      "exceeds the smaller. The 95th percentile of fewer than 20 pairs is their "
                      f"maximum. {DASH}: no pair."),
    ]
