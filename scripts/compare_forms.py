"""A comparison (the `comparison` line of a record) in the forms that terminals and CI read. Pure.

Each form is a function of that line; `headers` are the `run` lines of the two builds, or the one
that both sides share. Text from a record is escaped by each form for its own reader, so a hostile
key can neither break a file nor speak to a CI server.

A pair may carry `ignored`: why a threshold file lets it pass whatever it shows. It is reported, and
is neither a failure nor an error of a form.
"""

import collections
import re
import textwrap
import xml.etree.ElementTree as ET

import report_render
import summary
from report_render import Facts, Heading, Sub, Table, Text
from summary import duration, quantity, significant

DASH = "\N{EN DASH}"
CUT = "\N{HORIZONTAL ELLIPSIS}"
ORDER = ("slower", "failed", "inconclusive", "faster", "equivalent")  # worst first
# GitHub refuses a step summary beyond 1 MiB as a whole; the rest is for what else the step says.
MARKDOWN_BYTES = 1_000_000
ANNOTATIONS = 10  # GitHub shows so many of one kind for one step
LONGEST = 300  # characters of one name or reason, where it is not the file's data itself
NARROWEST = 40  # columns of a terminal that is still written for
LISTED = 5  # findings of one kind that a terminal gets in full


# ---- words that all forms share ------------------------------------------------------------------


def change(ratio):
    """1.031 as +3.1%; from ten times on, where per cent reads badly, as x12.3 or 1/12.3."""
    if ratio >= 10:
        return f"x{significant(ratio)}"
    if 0 < ratio <= 0.1:
        return f"1/{significant(1 / ratio)}"
    value = 100 * (ratio - 1)
    text = f"{value:+.{1 if abs(value) < 99.95 else 0}f}%"
    return "0.0%" if text in ("+0.0%", "-0.0%") else text


def estimate(ratio, level):
    if ratio is None:
        return "no ratio"
    if ratio["low"] is None or ratio["high"] is None:
        return f"{change(ratio['value'])} (too few rounds for an interval)"
    return (f"{change(ratio['value'])} ({100 * level:g}% interval {change(ratio['low'])} to "
            f"{change(ratio['high'])})")


def sentence(comparison, pair):
    """Everything that is known of a pair, in one line."""
    parts = [estimate(pair["ratio"], comparison["settings"]["level"]),
             f"delta {100 * pair['delta']:g}%", f"p {_p(pair['p'])}"]
    if pair["base_ns"] is not None and pair["head_ns"] is not None:
        parts.append(f"from {value_text(pair, 'base_ns')} to {value_text(pair, 'head_ns')}")
    parts.append(f"{rounds_text(pair)} rounds")
    parts += remarks(pair)
    return ", ".join(parts)


def remarks(pair):
    """What qualifies a verdict: why it is one, trust, layout, that it is ignored."""
    found = []
    if pair["reason"] is not None:
        found.append(pair["reason"])
    if pair["trusted"] is not None and pair["trusted"] < 1:
        found.append(f"{percent(pair['trusted'])} of the samples passed their self-checks")
    if pair["layout"] is not None:
        found.append(layout(pair["layout"]))
    if _ignored(pair):
        found.append(f"ignored: {pair['ignored']}")
    return found


def layout(found):
    """What rebuilding with other paddings has shown."""
    if found["reason"] is not None:
        return f"layout not tried: {found['reason']}"
    tried = ", ".join(f"{change(padding['ratio']['value'])} with {padding['bytes']} bytes"
                      for padding in found["paddings"] if padding["ratio"] is not None)
    said = "the layout of the code moves it" if found["moves"] else "not the layout of the code"
    return f"{said}: padded {tried}" if tried else f"{said}: no padding could be measured"


def _p(p):
    """The p-value that counts: of the fresh rounds where there were any."""
    if p["confirm"] is not None:
        return f"{p['confirm']:.2g}"
    return "not known" if p["screen"] is None else f"{p['screen']:.2g} (screening only)"


def value_text(pair, side):
    return plain(quantity(pair[side], pair["unit"]))


def percent(value):
    return DASH if value is None else f"{100 * value:.3g}%"


def rounds_text(pair):
    rounds = pair["rounds"]
    return f"{rounds['screen']}+{rounds['confirm']}" if rounds["confirm"] else f"{rounds['screen']}"


def plain(said, keep=""):
    """One line, without control characters, halves of surrogate pairs and special spaces."""
    return "".join(c if c.isprintable() or c in keep else " " if c.isspace() else "?"
                   for c in str(said))


def shorten(text, width, share=0.5):
    """Cut in the middle: both ends of a key tell something. `share` of what stays is its front."""
    if len(text) <= width:
        return text
    front = max(min(int((width - 1) * share), width - 1), 0)
    back = width - 1 - front
    return text[:front] + CUT + (text[-back:] if back else "")


def pair_name(pair):
    """The key; of both sides where these have different ones."""
    if pair["base_key"] == pair["key"]:
        return pair["key"]
    return f"{pair['key']} against {pair['base_key']}"


def _ignored(pair):
    return pair.get("ignored") is not None and pair["verdict"] in ("slower", "failed")


def worst_first(comparison):
    def order(pair):
        ratio = 1 if pair["ratio"] is None else pair["ratio"]["value"]
        better = ratio if pair["verdict"] == "faster" else -ratio
        name = summary.natural(pair_name(pair))
        return ORDER.index(pair["verdict"]), _ignored(pair), better, name

    return sorted(comparison["pairs"], key=order)


def _counts(comparison):
    found = collections.Counter(pair["verdict"] for pair in comparison["pairs"])
    return {verdict: found[verdict] for verdict in ORDER}


def totals(comparison):
    parts = [f"{n} {verdict}" for verdict, n in _counts(comparison).items() if n]
    ignored = sum(map(_ignored, comparison["pairs"]))
    return ", ".join(parts or ["no pairs"]) + (f"; {ignored} of them ignored" if ignored else "")


def headline(comparison):
    """The verdict in words, then what was compared with what."""
    pairs, status = comparison["pairs"], comparison["exit_status"]
    counts = collections.Counter(p["verdict"] for p in pairs if not _ignored(p))
    if status == 1:
        verdict = f"Regression: {counts['slower']} of {len(pairs)} slower"
    elif status:
        verdict = f"Error: {counts['failed']} of {len(pairs)} failed" if counts["failed"] \
            else "Error: no comparison"
    else:
        verdict = "No regression" if pairs else "Nothing was compared"
    head, base = (shorten(comparison[name], LONGEST) for name in ("head_name", "base_name"))
    against = f"{base} against itself" if comparison["mode"] == "aa" else f"{head} against {base}"
    return f"{verdict}: {against}"


def exit_meaning(comparison):
    meanings = {0: "no regression was confirmed (what is inconclusive fails nothing)",
                1: "a regression was confirmed"}
    status = comparison["exit_status"]
    return f"{status}: " + meanings.get(
        status, "an error: what did not run in both builds has no verdict on its speed")


def aa_line(aa):
    if aa is None:
        return "not done: what this machine shows where there is nothing to see is not known"
    width = aa["half_width"]
    claims = "1 claim" if aa["claims"] == 1 else f"{aa['claims']} claims"
    return (f"base against itself in {aa['pairs']} pairs: {claims} of a difference; intervals of "
            f"+-{percent(width['median'])} (median), +-{percent(width['max'])} (widest)")


def noise_line(noise):
    return ", ".join(f"{what} {'not known' if noise[name] is None else percent(noise[name])}"
                     for what, name in (("steal", "steal_share"), ("others' CPU time",
                                        "foreign_share"), ("PSI", "psi_some_share")))


def environment(comparison, headers):
    """[(name, text)]: where and of what the numbers were made."""
    by_run = {header["run"]: header for header in headers}
    base, head = by_run[comparison["base"]], by_run[comparison["run"]]

    def both(fact):
        told = [plain(fact(base)), plain(fact(head))]
        return told[0] if told[0] == told[1] else f"base {told[0]}; head {told[1]}"

    def revision(header):
        build = header["build"]
        changed = " (with local changes)" if build["dirty"] else ""
        return (build["revision"] or "unknown") + changed

    settings = comparison["settings"]
    return [
        ("CPU", both(lambda h: summary.fact(h, "cpu", "model", "model_name", "name"))),
        ("kernel", both(lambda h: summary.fact(h, "kernel", "release", "version"))),
        ("compiler", both(lambda h: f"{h['build']['compiler'] or 'unknown'} "
                                    f"{h['build']['cflags'] or ''}".strip())),
        ("base", f"{comparison['base_name']}, revision {revision(base)}"),
        ("head", f"{comparison['head_name']}, revision {revision(head)}"),
        ("seed", str(comparison["seed"])),
        ("budget", f"{plain(duration(comparison['budget_ns']))}; it took "
                   f"{plain(duration(comparison['wall_ns']))}"),
        ("started", comparison["started"]),
        ("slower is", f"the whole {100 * settings['level']:g}% interval beyond delta, confirmed "
                      f"at {100 * settings['alpha']:g}% over all pairs (Holm)"),
        ("A/A", aa_line(comparison["aa"])),
        ("noise", noise_line(comparison["noise"])),
    ]


def only_one_side(comparison):
    """[(what, keys)] of cells that only one side has."""
    sides = (("only in head, not compared", comparison["missing"]["base"]),
             ("only in base, not compared", comparison["missing"]["head"]))
    return [(what, keys) for what, keys in sides if keys]


# ---- terminal ------------------------------------------------------------------------------------


def text(comparison, columns=80, verbose=False):
    """A table, worst first, and closing lines; equivalent pairs are a count unless verbose.
    columns: None for lines of any length."""
    columns = None if columns is None else max(columns, NARROWEST)
    pairs = worst_first(comparison)
    shown = [p for p in pairs if verbose or p["verdict"] != "equivalent"]
    lines = [headline(comparison)]
    if shown:
        lines += ["", *_text_table(shown, columns)]
    lines.append("")
    closing = [f"total: {totals(comparison)}"]
    if len(shown) < len(pairs):
        closing[0] += f" (the {len(pairs) - len(shown)} equivalent are not listed)"
    limit = len(pairs) if verbose else LISTED
    for verdict in ("failed", "inconclusive"):
        closing += _reasons(verdict, [p for p in pairs if p["verdict"] == verdict], limit)
    closing += _several([f"layout: {pair_name(p)}: {layout(p['layout'])}"
                         for p in pairs if p["layout"] is not None], limit)
    closing += _several([f"ignored: {pair_name(p)}: {p['ignored']}" for p in pairs if _ignored(p)],
                        limit)
    for what, keys in only_one_side(comparison):
        closing += _several([f"{what}: {key}" for key in keys], limit)
    closing.append(f"A/A: {aa_line(comparison['aa'])}")
    closing.append(f"exit status {exit_meaning(comparison)}")
    lines += closing
    return "".join(line.rstrip() + "\n" for whole in lines for line in _wrapped(whole, columns))


def _text_table(pairs, columns):
    rows = [("verdict", "change", "base", "head", "rounds")]
    rows += [(f"({p['verdict']})" if _ignored(p) else p["verdict"], _brief(p["ratio"]),
              value_text(p, "base_ns"), value_text(p, "head_ns"), rounds_text(p)) for p in pairs]
    widths = [max(map(len, column)) for column in zip(*rows)]
    fronts = [" ".join(cell.ljust(width) if at == 0 else cell.rjust(width)
                       for at, (cell, width) in enumerate(zip(row, widths))) for row in rows]
    keys = [plain(pair_name(p)) for p in pairs]
    if columns is not None:
        room = max(columns - len(fronts[0]) - 1, 1)
        # Shortened keys must still tell the rows apart, so the cut is made where most differ.
        keys = max(([shorten(key, room, share) for key in keys] for share in (.5, .3, .7, .1, .9)),
                   key=lambda shortened: len(set(shortened)))
    return [f"{front} {key}" for front, key in zip(fronts, ["benchmark", *keys])]


def _brief(ratio):
    if ratio is None:
        return DASH
    value = plain(change(ratio["value"]))
    if ratio["low"] is None or ratio["high"] is None:
        return value
    low, high = (plain(change(ratio[end])).rstrip("%") for end in ("low", "high"))
    return f"{value} ({low}..{high})"


def _reasons(verdict, pairs, limit):
    """A line for each reason, with the key where only one pair has it."""
    by_reason = {}
    for pair in pairs:
        by_reason.setdefault(pair["reason"], []).append(pair_name(pair))
    return _several([f"{verdict}: {names[0] if len(names) == 1 else f'{len(names)} pairs'}: "
                     f"{reason}" for reason, names in by_reason.items()], limit)


def _several(lines, limit):
    if len(lines) <= limit:
        return lines
    kind = lines[0].split(":")[0]
    return [*lines[:limit], f"{kind}: {len(lines) - limit} more"]


def _wrapped(line, columns):
    line = plain(line)
    if columns is None or len(line) <= columns:
        return [line]
    return textwrap.wrap(line, columns, subsequent_indent="  ", break_on_hyphens=False)


# ---- JUnit ---------------------------------------------------------------------------------------

# XML 1.0, 2.2: what a document may hold at all; the rest cannot even be escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(comparison, headers):
    """JUnit XML: a test case for each pair. GitLab shows the text of an element and not its
    message, others the message, so both have it."""
    pairs = worst_first(comparison)
    cases = [_junit_case(comparison, pair) for pair in pairs]
    counts = {"tests": str(len(cases))}
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        counts[attribute] = str(sum(case.find(tag) is not None for case in cases))
    counts["time"] = f"{comparison['wall_ns'] / 1e9:.3f}"
    root = ET.Element("testsuites", {"name": "threadlab compare", **counts})
    suite = ET.SubElement(root, "testsuite", {
        "name": "threadlab compare", **counts, "timestamp": _xml(comparison["started"]),
    })
    _properties(suite, [("verdict", headline(comparison)), *environment(comparison, headers)])
    suite.extend(cases)
    ET.indent(root)
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")
            + "\n")


def _junit_case(comparison, pair):
    case = ET.Element("testcase", {"classname": _xml(pair["bench"]), "name": _xml(pair_name(pair))})
    ratio = pair["ratio"] or {}
    facts = {"verdict": pair["verdict"], "delta": pair["delta"], "base": pair["base_ns"],
             "head": pair["head_ns"], "unit": pair["unit"], "ratio": ratio.get("value"),
             "ratio.low": ratio.get("low"), "ratio.high": ratio.get("high"),
             "p.screen": pair["p"]["screen"], "p.confirm": pair["p"]["confirm"],
             "rounds.screen": pair["rounds"]["screen"],
             "rounds.confirm": pair["rounds"]["confirm"], "trusted": pair["trusted"]}
    _properties(case, [(name, value) for name, value in facts.items() if value is not None])
    verdict = pair["verdict"]
    said = f"{verdict}: {sentence(comparison, pair)}"
    tag = {"slower": "failure", "failed": "error", "inconclusive": "skipped"}.get(verdict)
    if tag is None:
        ET.SubElement(case, "system-out").text = _xml(said)
        return case
    # The reason alone is what a list of skipped tests has room for.
    message = pair["reason"] if verdict == "inconclusive" else said
    if _ignored(pair):
        tag, message = "skipped", f"ignored: {pair['ignored']}"
    element = ET.SubElement(case, tag, {"message": _xml(message)})
    if tag != "skipped":
        element.set("type", verdict)
    element.text = _xml(said)
    return case


def _properties(parent, pairs):
    properties = ET.SubElement(parent, "properties")
    for name, value in pairs:
        ET.SubElement(properties, "property", {"name": name, "value": _xml(value)})


def _xml(value):
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(value))


# ---- Markdown ------------------------------------------------------------------------------------


def markdown(comparison, headers, limit=MARKDOWN_BYTES):
    """A summary of at most `limit` bytes of UTF-8: rows that do not fit are counted instead."""
    pairs = worst_first(comparison)
    equivalent = [p for p in pairs if p["verdict"] == "equivalent"]
    facts = [(name, shorten(value, LONGEST)) for name, value in environment(comparison, headers)
             if name != "A/A"]
    facts += [(f"{len(keys)} {what}", ", ".join(shorten(key, 80) for key in keys[:LISTED])
               + (f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""))
              for what, keys in only_one_side(comparison)]
    head = report_render.markdown([
        Heading(3, headline(comparison)),
        Text(f"{totals(comparison)}. Exit status {exit_meaning(comparison)}."),
        Text(f"A/A: {aa_line(comparison['aa'])}."),
    ])
    foot = _folded("Environment", report_render.markdown([Facts(facts)]))
    # Whatever is said besides rows: table heads, folds, and a note on what was left out.
    room = limit - len(_bytes(head)) - len(_bytes(foot)) - 2000
    table, room, left = _markdown_rows(pairs[:len(pairs) - len(equivalent)], room)
    folded, _, left_folded = _markdown_rows(equivalent, 0 if left else room)
    parts = [head, table]
    if folded:
        parts.append(_folded(f"{len(equivalent)} equivalent", folded))
    if left + left_folded:
        parts.append(f"{left + left_folded} more rows are left out to keep this short; the record "
                     "has them.\n")
    return plain("\n".join(part for part in [*parts, foot] if part), "\n")


def _markdown_rows(pairs, room):
    """(table of the first that fit, room that is left, how many did not fit)."""
    rows = []
    for pair in pairs:
        verdict = f"{pair['verdict']} (ignored)" if _ignored(pair) else pair["verdict"]
        why = "; ".join(shorten(remark, LONGEST) for remark in remarks(pair))
        rows.append([verdict, Sub(shorten(pair_name(pair), LONGEST), why), _brief(pair["ratio"]),
                     value_text(pair, "base_ns"), value_text(pair, "head_ns"), rounds_text(pair)])
    columns = ["verdict", "benchmark", "change (interval)", "base", "head", "rounds"]
    # Escaped, a row is one line, so lines can be counted and cut.
    lines = report_render.markdown([Table(columns, rows, left=2)]).rstrip("\n").split("\n")
    fit = 2
    while fit < len(lines) and len(_bytes(lines[fit])) < room:
        room -= len(_bytes(lines[fit])) + 1
        fit += 1
    if fit == 2:
        return "", room, len(rows)
    return "\n".join(lines[:fit]) + "\n", room, len(lines) - fit


def _folded(title, body):
    # The empty lines are needed: within HTML, Markdown begins again after one.
    return f"<details><summary>{title}</summary>\n\n{body}\n</details>\n"


def _bytes(said):
    """Half of a surrogate pair, which JSON can hold, is written as `?`."""
    return said.encode("utf-8", errors="replace")


# ---- GitHub, GitLab ------------------------------------------------------------------------------


def github_annotations(comparison):
    """Workflow commands: an error for each regression or failure, a notice for what else is no
    "equivalent". Beyond ten of a kind GitHub shows none, so the tenth then counts the rest."""
    found = {"error": [], "notice": []}
    for pair in worst_first(comparison):
        if pair["verdict"] != "equivalent":
            bad = pair["verdict"] in ("slower", "failed") and not _ignored(pair)
            found["error" if bad else "notice"].append(
                (f"{pair['verdict']}: {shorten(pair_name(pair), LONGEST)}",
                 sentence(comparison, pair)))
    lines = []
    for kind, entries in found.items():
        if len(entries) > ANNOTATIONS:
            rest = len(entries) - (ANNOTATIONS - 1)
            entries = [*entries[:ANNOTATIONS - 1],
                       (f"{rest} more", "the summary and the record of the comparison have them")]
        lines += [f"::{kind} title={_command(title, ':,')}::{_command(said)}"
                  for title, said in entries]
    return "".join(line + "\n" for line in lines)


def _command(said, more=""):
    """Escaped as the runner's ActionCommand unescapes it; a property needs `:` and `,` as well."""
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" + more else c for c in plain(said, "\r\n"))


def gitlab_metrics(comparison):
    """OpenMetrics text for GitLab's metrics report: a sample a pair and family. NaN, which is the
    format's own word for it, where nothing could be measured."""
    def value(number):
        return "NaN" if number is None else f"{number:.6g}"

    families = (
        ("threadlab_ratio", "head / base", lambda p: p["ratio"] and p["ratio"]["value"]),
        ("threadlab_base_ns", "median of base", lambda p: p["base_ns"]),
        ("threadlab_head_ns", "median of head", lambda p: p["head_ns"]),
    )
    pairs = sorted(comparison["pairs"], key=lambda p: summary.natural(pair_name(p)))
    lines = []
    for name, what, of in families:
        if pairs:
            lines += [f"# TYPE {name} gauge", f"# HELP {name} {what}"]
        for pair in pairs:
            labels = {"bench": pair["bench"], "impl": pair["impl"], "key": pair_name(pair)}
            if pair["unit"] != "ns":
                labels["unit"] = pair["unit"]
            inner = ",".join(f'{label}="{_label(said)}"' for label, said in labels.items())
            lines.append(f"{name}{{{inner}}} {value(of(pair))}")
    return "\n".join([*lines, "# EOF"]) + "\n"


def _label(said):
    """GitLab's parser takes everything from a # on for a comment, within quotes as well, and then
    refuses the whole file for the quote that is left open."""
    said = plain(said, "\n").replace("#", "\N{FULLWIDTH NUMBER SIGN}").replace("\\", "\\\\")
    return said.replace('"', '\\"').replace("\n", "\\n")
