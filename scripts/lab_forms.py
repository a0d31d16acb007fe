"""A comparison of exact counts (`compare --lab`) in the forms that CI reads, as compare_forms.py
has them for times: JSON, JUnit, Markdown, GitLab's metrics, GitHub's annotations. Without numpy.

Any difference between steady counts is a change: the smallest is one instruction. JUnit has a test
case for each cell: a failure where head executes more, an error where it could not be counted,
skipped where the count depends on the interleaving."""

import datetime
import json
import re
import xml.etree.ElementTree as ET

import lab_counts

ORDER = ("MORE", "failed", "unsteady", "fewer", "same")  # worst first
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2
ANNOTATIONS = 10  # GitHub shows so many of one kind for one step
ROWS = 200  # of a Markdown table
SEED = re.compile(r", icount shift \d+, lab seed \d+")


def comparison(base, head, names, now=None):
    """As plain data. base, head: the runs of each; names: what the user calls them."""
    pairs = lab_counts.pairs(base, head)
    now = now or datetime.datetime.now(datetime.timezone.utc)
    found = {"compared": "counts", "started": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
             "machine": SEED.sub("", base[0].header["emulated"]), "boots": len(base),
             "exit_status": lab_counts.exit_status(pairs), "pairs": [_fields(p) for p in pairs]}
    for side, runs, name in (("base", base, names[0]), ("head", head, names[1])):
        build = runs[0].header["build"]
        found[side] = {"name": str(name), **{fact: build[fact] for fact in
                                             ("revision", "dirty", "sha256", "compiler", "cflags")}}
    return found


def _fields(pair):
    bench, impl = (pair.key.split("/") + [""])[:2]
    counted = {f"{side}_{event}": list(getattr(pair, event)[at]) if getattr(pair, event) else None
               for event in ("user", "kernel") for at, side in enumerate(("base", "head"))}
    steady = pair.verdict in ("MORE", "fewer", "same")
    return {"key": pair.key, "bench": bench, "impl": impl, "verdict": pair.verdict, **counted,
            "delta": pair.delta if steady else None, "reason": pair.reason or None}


def worst_first(found):
    return sorted(found["pairs"], key=lambda p: (ORDER.index(p["verdict"]), p["key"]))


def headline(found):
    verdicts = [pair["verdict"] for pair in found["pairs"]]
    said = {0: "No more instructions", 1: f"{verdicts.count('MORE')} of {len(verdicts)} cells "
            "execute more", 2: f"Error: {verdicts.count('failed')} of {len(verdicts)} cells could "
            "not be counted" if verdicts else "Error: no cell to compare"}[found["exit_status"]]
    return f"{said}: {found['head']['name']} against {found['base']['name']}"


def sentence(pair):
    if pair["reason"]:
        return pair["reason"]
    delta = "depends on the interleaving" if pair["delta"] is None else f"{pair['delta']:+,.3f}"
    return (f"{delta}: {_range(pair['base_user'])} to {_range(pair['head_user'])} "
            "user instructions per op")


def _range(counts):
    return lab_counts.number(*counts) if counts else "none"


def _line(text):
    """One line without control characters, whatever a build calls its cells."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


def as_json(found):
    return json.dumps(found, indent=2) + "\n"


def junit(found):
    root = ET.Element("testsuites", {"name": "threadlab compare --lab"})
    suite = ET.SubElement(root, "testsuite", {"name": root.get("name"),
                                              "timestamp": found["started"]})
    tags = {"MORE": "failure", "failed": "error", "unsteady": "skipped"}
    facts = ET.SubElement(suite, "properties")
    for name, value in (("verdict", headline(found)), ("machine", found["machine"]),
                        ("base", found["base"]["revision"]), ("head", found["head"]["revision"])):
        ET.SubElement(facts, "property", {"name": name, "value": _xml(value)})
    pairs = worst_first(found)
    for pair in pairs:
        case = ET.SubElement(suite, "testcase", {"classname": _xml(pair["bench"]),
                                                 "name": _xml(pair["key"])})
        said = _xml(f"{pair['verdict']}: {sentence(pair)}")
        if pair["verdict"] in tags:
            ET.SubElement(case, tags[pair["verdict"]], {"message": said}).text = said
        else:
            ET.SubElement(case, "system-out").text = said
    for element in (root, suite):
        element.set("tests", str(len(pairs)))
        for verdict, attribute in (("MORE", "failures"), ("failed", "errors"),
                                   ("unsteady", "skipped")):
            element.set(attribute, str(sum(p["verdict"] == verdict for p in pairs)))
    ET.indent(root)
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")
            + "\n")


def _xml(value):
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(value))


def _cell(text):
    return re.sub(r"([\\`*_{}\[\]<>|#!~&@])", r"\\\1", _line(text))


def markdown(found):
    """A table of all that is not the same; of more than ROWS, the worst."""
    rows = [p for p in worst_first(found) if p["verdict"] != "same"]
    same = len(found["pairs"]) - len(rows)
    lines = [f"### {_cell(headline(found))}", "",
             f"User instructions per op, {found['boots']} boots of each: {len(rows)} differ, "
             f"{same} the same. {_cell(found['machine'])}."]
    if rows:
        lines += ["", "| verdict | cell | change | base | head | kernel, base | kernel, head |",
                  "|---|---|---:|---:|---:|---:|---:|"]
    for pair in rows[:ROWS]:
        delta = "" if pair["delta"] is None else f"{pair['delta']:+,.3f}"
        why = f": {pair['reason']}" if pair["reason"] else ""
        counts = [_range(pair[f"{side}_{event}"]) for event in ("user", "kernel")
                  for side in ("base", "head")]
        lines.append("| " + " | ".join([pair["verdict"], _cell(pair["key"] + why), delta, *counts])
                     + " |")
    if len(rows) > ROWS:
        lines += ["", f"{len(rows) - ROWS} more rows are left out."]
    return "\n".join(lines) + "\n"


def gitlab(found):
    """OpenMetrics: the counts of head, and what they differ by; NaN where there is none."""
    lines = []
    for name, what, of in (
            ("threadlab_instructions", "user instructions per op of head",
             lambda p: p["head_user"] and p["head_user"][0]),
            ("threadlab_instructions_delta", "head - base", lambda p: p["delta"])):
        lines += [f"# TYPE {name} gauge", f"# HELP {name} {what}"]
        for pair in sorted(found["pairs"], key=lambda p: p["key"]):
            # GitLab's parser takes a # within quotes for a comment.
            key = (_line(pair["key"]).replace("#", "\N{FULLWIDTH NUMBER SIGN}")
                   .replace("\\", "\\\\").replace('"', '\\"'))
            value = of(pair)
            lines.append(f'{name}{{key="{key}"}} ' + ("NaN" if value is None else f"{value:.12g}"))
    return "\n".join([*lines, "# EOF"]) + "\n"


def annotations(found):
    """Workflow commands of GitHub: an error for each cell that has become worse."""
    bad = [p for p in worst_first(found) if p["verdict"] in ("MORE", "failed")]
    lines = [f"::error title={_command(pair['verdict'] + ' ' + pair['key'], ':,')}::"
             f"{_command(sentence(pair))}" for pair in bad]
    if len(lines) > ANNOTATIONS:
        lines[ANNOTATIONS - 1:] = [f"::error title={len(bad) - ANNOTATIONS + 1} more::"
                                   "the summary has them"]
    return "".join(line + "\n" for line in lines)


def _command(text, more=""):
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" + more else c for c in _line(text))


FORMS = {"out": as_json, "junit": junit, "markdown": markdown, "gitlab": gitlab}


def write(found, paths, environment):
    """paths: {form: file}; and where GitHub's runner looks, if it is there."""
    for form, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FORMS[form](found), encoding="utf-8", errors="replace")
    if environment.get("GITHUB_STEP_SUMMARY"):
        with open(environment["GITHUB_STEP_SUMMARY"], "a", encoding="utf-8",
                  errors="replace") as file:
            file.write(markdown(found))
    if environment.get("GITHUB_ACTIONS") == "true":
        print(annotations(found), end="")
