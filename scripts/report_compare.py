"""What a report of a comparison says: a list of blocks (report_render.py), from the `comparison`
line of a record, its two runs and their samples. The words are those of compare_forms.py.
"""

import pathlib

import compare_forms
import plots_compare
import summary
from compare_forms import change, pair_name, percent
from report_render import (
    Bullets, Charts, Details, Facts, FileLink, Heading, Links, Sub, Table, Text,
)
from summary import quantity

DASH = "\N{EN DASH}"
DRAWN = 24  # pairs of the same half of the report (changed or not) that get charts of their own
LISTED = 10  # findings of one kind in the opening words; the table has all
TITLE = 120  # characters of a key in a heading
TONES = {"slower": "bad", "failed": "bad", "faster": "good"}
BUILD = ("version", "revision", "dirty", "sha256", "compiler", "cflags")


class Content:
    """Everything the blocks need. base is None where its header is missing from the record."""

    def __init__(self, head, base):
        self.head, self.base, self.comparison = head, base, head.comparison
        self.pairs = compare_forms.worst_first(self.comparison)
        self.level = self.comparison["settings"].get("level", summary.LEVEL)
        self.names = [f"base: {self.comparison['base_name']}",
                      f"head: {self.comparison['head_name']}"]
        self._cells = [{c.key: c for c in summary.cells(run)} if run else {}
                       for run in (base, head)]

    def values(self, pair):
        """({round: value} of base, of head) of the rounds that both have, without the pilot."""
        cells = (self._cells[0].get(pair["base_key"]), self._cells[1].get(pair["key"]))
        base, head = (c.by_round if c is not None else {} for c in cells)
        first = pair["rounds"].get("screen_from", 1)
        both = sorted(r for r in base if r in head and r >= first)
        return {r: base[r] for r in both}, {r: head[r] for r in both}

    def counted(self, pair):
        """The same, of the rounds that the estimate rests on: the fresh ones if there were any."""
        start = pair["rounds"].get("confirm_from")
        return [{r: v for r, v in side.items() if not start or r >= start}
                for side in self.values(pair)]


def title(run):
    return f"threadlab: {compare_forms.headline(run.comparison)}"


# ---- the verdict ---------------------------------------------------------------------------------


def _head(content):
    c = content.comparison
    blocks = [Heading(1, compare_forms.headline(c))]
    for name, run in (("base", content.base), ("head", content.head)):
        if run is None:
            blocks.append(Text(f"The run of {name} is not in this record: its values are not "
                               "drawn.", "warning"))
        elif run.partial and not (name == "base" and run is content.head):
            blocks.append(Text(f"{name}: PARTIAL: {run.partial}.", "warning"))
    runs = {id(run): run for run in (content.base, content.head) if run is not None}
    warnings = dict.fromkeys(w for run in runs.values() for w in run.warnings)
    blocks += [Text(warning, "warning") for warning in warnings]
    blocks.append(Text(f"{compare_forms.totals(c)}. Exit status {compare_forms.exit_meaning(c)}."))
    for verdict, words in (
            ("slower", "Slower, confirmed"), ("failed", "Failed: no verdict on speed"),
            ("inconclusive", "Inconclusive: neither a change nor its absence could be shown"),
            ("faster", "Faster, confirmed")):
        found = [p for p in content.pairs if p["verdict"] == verdict]
        if found:
            more = len(found) - LISTED
            blocks += [Heading(3, f"{words} ({len(found)})"), Bullets(
                [f"{pair_name(p)}: {compare_forms.sentence(c, p)}" for p in found[:LISTED]]
                + ([f"and {more} more, in the table"] if more > 0 else []))]
    names = {"builds": "two builds", "impls": "two implementations of one build",
             "aa": "a build against itself"}
    blocks.append(Facts([
        ("compared", names[c["mode"]]), *zip(("base", "head"), (c["base_name"], c["head_name"])),
        ("host", content.head.host),
        ("CPU", summary.fact(content.head.header, "cpu", "model", "model_name", "name")),
        ("when", f"{c['started']}, for {summary.duration(c['wall_ns'])} of a budget of "
                 f"{summary.duration(c['budget_ns'])}"),
        ("seed", str(c["seed"])),
        ("A/A", compare_forms.aa_line(c["aa"])),
        ("noise", compare_forms.noise_line(c["noise"])),
    ]))
    blocks.append(Links([("pairs", "all pairs"), ("changed", "pair by pair"),
                         ("aa", "A/A"), ("builds", "builds and machine"), ("how", "how to read")]))
    return blocks


# ---- all pairs -----------------------------------------------------------------------------------


def _interval(ratio):
    if ratio is None:
        return ""
    if ratio["low"] is None or ratio["high"] is None:
        return "no interval: too few rounds"
    return f"{change(ratio['low'])} to {change(ratio['high'])}"


def _layout_words(found):
    if found is None:
        return DASH
    if found["reason"] is not None:
        return "not tried"
    return Sub("moves with it", "", "bad") if found["moves"] else "does not move"


def _p(value):
    return DASH if value is None else f"{value:.2g}"


def _row(pair):
    ratio, rounds = pair["ratio"], pair["rounds"]
    why = "; ".join(filter(None, (pair["reason"], pair.get("ignored")
                                  and f"ignored: {pair['ignored']}")))
    return [
        Sub(pair["verdict"], "", TONES.get(pair["verdict"], "")), Sub(pair_name(pair), why),
        DASH if ratio is None else Sub(change(ratio["value"]), _interval(ratio)),
        DASH if ratio is None else f"{ratio['value']:.4g}",
        quantity(pair["base_ns"], pair["unit"]), quantity(pair["head_ns"], pair["unit"]),
        f"{rounds['screen']} + {rounds['confirm']}",
        Sub(_p(pair["p"]["confirm"]), _p(pair["p"]["screen"])),
        percent(pair["trusted"]), _layout_words(pair["layout"]),
    ]


def _all_pairs(content):
    blocks = [Heading(2, "All pairs", "pairs")]
    if not content.pairs:
        return [*blocks, Text("No pair was compared: the two sides have no cell in common that "
                              "both can run.")]
    charts = plots_compare.forest(content.pairs, content.level)
    blocks.append(Charts([(f"forest-{at}", chart) for at, chart in enumerate(charts, 1)]))
    blocks.append(Table(
        ["verdict", "pair", "change", "head / base", "base", "head", "rounds", "p", "trusted",
         "layout"], [_row(p) for p in content.pairs], left=2,
        caption=f"Worst first. Below the change its {100 * content.level:g}% interval; base and "
                "head: medians over the processes; rounds: screening + confirmation; p: of "
                "the confirmation, adjusted for all candidates, and below it of screening; "
                "trusted: share of the samples that passed their self-checks; layout: whether a "
                "regression moves with the place of the code in memory."))
    return blocks


# ---- pair by pair --------------------------------------------------------------------------------


def _pair(content, at, pair):
    name = pair_name(pair)
    blocks = [Heading(3, f"{pair['verdict']}: {compare_forms.shorten(name, TITLE)}"),
              Text(compare_forms.sentence(content.comparison, pair) + ".", "note")]
    counted = content.counted(pair)
    base, head = content.values(pair)
    series = {r: head[r] / base[r] for r in base if base[r] > 0 and head[r] > 0}
    charts = [
        (f"pair-{at:03d}-ecdf", plots_compare.distributions(
            name, pair["unit"], [(n, list(v.values())) for n, v in zip(content.names, counted)])),
        (f"pair-{at:03d}-rounds", plots_compare.ratios(name, series, pair)),
    ]
    charts = [(stem, chart) for stem, chart in charts if chart is not None]
    blocks.append(Charts(charts) if charts else
                  Text("Nothing to draw: no round gave a value of both sides.", "note"))
    return blocks


def _each(content):
    numbered = list(enumerate(content.pairs, 1))
    equivalent = [(at, p) for at, p in numbered if p["verdict"] == "equivalent"]
    other = [(at, p) for at, p in numbered if p["verdict"] != "equivalent"]
    blocks = [Heading(2, "Pair by pair", "changed")]
    if not other:
        blocks.append(Text("No pair is slower, faster, inconclusive or failed."))
    for at, pair in other[:DRAWN]:
        blocks += _pair(content, at, pair)
    if len(other) > DRAWN:
        blocks.append(Text(f"The {DRAWN} worst of {len(other)} are drawn; all are in the table.",
                           "note"))
    if len(equivalent) > DRAWN:
        blocks.append(Text(f"The {len(equivalent)} equivalent pairs are not drawn, being more than "
                           f"{DRAWN}; all are in the table.", "note"))
    elif equivalent:
        inner = [block for at, pair in equivalent for block in _pair(content, at, pair)]
        blocks.append(Details(f"Equivalent pairs ({len(equivalent)})", inner))
    return blocks


def _layout(content):
    tested = [p for p in content.pairs if p["layout"] is not None]
    blocks = [Heading(2, "Does the layout of the code explain it?", "layout")]
    if not tested:
        return [*blocks, Text("No layout re-test was owed: it is made of confirmed regressions.")]
    rows = []
    for pair in tested:
        found = pair["layout"]
        for at, padding in enumerate(found["paddings"] or [None]):
            ratio = padding["ratio"] if padding else None
            words = Sub("not tried", found["reason"]) if found["reason"] else _layout_words(found)
            rows.append([
                pair_name(pair) if at == 0 else "", words if at == 0 else "",
                f"{padding['bytes']} bytes" if padding else DASH,
                DASH if ratio is None else Sub(change(ratio["value"]), _interval(ratio)),
                str(padding["rounds"]) if padding else DASH,
            ])
    return [*blocks, Table(
        ["pair", "change", "padding", "change behind it", "rounds"], rows, left=2,
        caption="Both builds are linked again behind paddings, which moves their code in memory. A "
                "change that stays beyond delta behind each padding is not an accident of place.")]


# ---- what it is worth ----------------------------------------------------------------------------


def _aa(content):
    aa = content.comparison["aa"]
    blocks = [Heading(2, "What this machine shows where there is nothing to see (A/A)", "aa"),
              Text(f"{compare_forms.aa_line(aa)[:1].upper()}{compare_forms.aa_line(aa)[1:]}.")]
    if aa is None:
        return blocks
    blocks.append(Table(["", "value"], [
        ["pairs with base measured against itself", str(aa["pairs"])],
        ["intervals wholly beyond delta", str(aa["claims"])],
        ["half width of the interval, median", percent(aa["half_width"].get("median"))],
        ["half width of the interval, widest", percent(aa["half_width"].get("max"))],
    ]))
    text = ("An interval wholly beyond delta here is a difference that is none: about 1 in 20 may "
            "have one where noise exceeds delta, which is why a change has to be confirmed with "
            "fresh rounds. A change smaller than these half widths would not have been seen.")
    return [*blocks, Text(text, "note")]


def _missing(content):
    found = compare_forms.only_one_side(content.comparison)
    blocks = [Heading(2, "Not compared", "missing")]
    if not found:
        return [*blocks, Text("Every cell that one side can run was compared.")]
    return [*blocks, *(Details(f"{what} ({len(keys)})", [Bullets(keys)], len(keys) <= 10)
                       for what, keys in found)]


# ---- builds, machine, method ---------------------------------------------------------------------


def _shown(value, reason=None):
    if value is None:
        return f"unknown ({reason})" if reason else "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _facts(header):
    found = {}
    for group, facts in header["environment"].items():
        for key, value in facts.items():
            found[f"{group}.{key}"] = _shown(value, header["unknown"].get(f"{group}.{key}"))
    return found


def _builds(content):
    head = content.head.header
    base = (content.base or content.head).header
    blocks = [Heading(2, "Builds and machine", "builds")]
    rows = [[key, _shown(base["build"][key]), _shown(head["build"][key]),
             Sub("differs", "", "bad") if base["build"][key] != head["build"][key] else "same"]
            for key in BUILD]
    rows.insert(0, ["run", base["run"], head["run"], ""])
    blocks.append(Table(["build", "base", "head", ""], rows, left=4))
    ours, theirs = _facts(base), _facts(head)
    names = list(dict.fromkeys([*ours, *theirs]))
    differing = [n for n in names if ours.get(n) != theirs.get(n)]
    if differing:
        blocks += [Text(f"Of the machine's facts {len(differing)} "
                        f"{'differs' if len(differing) == 1 else 'differ'} between the two runs.",
                        "warning"),
                   Table(["fact", "base", "head"],
                         [[n, ours.get(n, "not recorded"), theirs.get(n, "not recorded")]
                          for n in differing], left=3)]
    else:
        blocks.append(Text("All facts of the machine are the same for both.", "note"))
    same = [[n, ours[n]] for n in names if n not in differing]
    blocks.append(Details(f"Machine: the same for both ({len(same)} facts)",
                          [Table(["fact", "value"], same, left=2)]))
    return blocks


def _settings(content):
    c = content.comparison
    rows = [["seed", str(c["seed"])], ["budget", summary.duration(c["budget_ns"])],
            ["time taken", summary.duration(c["wall_ns"])],
            *([name, _shown(value)] for name, value in c["settings"].items()),
            *([name, percent(value) if value is not None else "not known"]
              for name, value in c["noise"].items())]
    deltas = sorted({p["delta"] for p in content.pairs})
    if deltas:
        rows.append(["delta of the pairs", ", ".join(f"{100 * d:g}%" for d in deltas)])
    return [Heading(2, "Settings and noise", "settings"), Details("Settings", [
        Table(["setting", "value"], rows, left=2)], True)]


def _how(content, record, href):
    s = content.comparison["settings"]
    level = f"{100 * content.level:g}%"
    return [
        Heading(2, "How to read it", "how"),
        Bullets([
            "A round measures base and head one right after the other, in random order, each in a "
            "fresh process; its value is the smallest time of one op of its batches. A ratio is "
            "head / base of one round: beyond 1 is slower.",
            f"The change is the Hodges-Lehmann estimate over the rounds, with its {level} "
            "interval. A change smaller than delta counts as none.",
            "Screening looks at every pair; candidates are measured again, and only these fresh "
            "rounds decide. p is corrected for the number of candidates (Holm) and of looks"
            + (f": the chance of any false claim is at most {100 * s['alpha']:g}%."
               if isinstance(s.get("alpha"), (int, float)) else "."),
            "slower and faster: confirmed. equivalent: the interval lies within "
            + (f"+-{100 * s['equivalence']:g}%." if isinstance(s.get("equivalence"), (int, float))
               else "the bound of equivalence."),
            "inconclusive: neither could be shown, with the reason; it fails nothing. failed: the "
            "cell did not run in one of the builds; an error, never a change of speed.",
            "In the charts of a pair: curves that are shifted as a whole tell a change; one that "
            "leaves the other only at its end tells a few slow processes. A trend over the rounds "
            "would be drift, which pairing within a round removes.",
        ]),
        FileLink("All of it is in one file, the one to attach when sharing this comparison:",
                 record, href),
        Text("To make this report again:"), Text(f"scripts/report {record}", "code"),
    ]


def blocks(run, base, href=None):
    """The report of the comparison of `run` (its head) with base, which is `run` itself where two
    implementations of one build are compared, and None where the record lost it."""
    content = Content(run, base)
    record = pathlib.PurePath(run.sources[0]).name
    return [*_head(content), *_all_pairs(content), *_each(content), *_layout(content),
            *_aa(content), *_missing(content), *_builds(content), *_settings(content),
            *_how(content, record, href)]
