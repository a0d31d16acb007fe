"""The forms of a comparison: whatever a record holds, each is well-formed and says the same."""

import re
import shlex
import xml.etree.ElementTree as ET

import comparisons
import pytest
from comparisons import comparison, headers, pair

import compare_forms as forms

ROOT = comparisons.synthetic.__file__.rsplit("/scripts/", 1)[0]
MIB = 1 << 20
CASES = {"typical": comparisons.typical, "hostile": comparisons.hostile, "empty": comparison}


@pytest.fixture(params=CASES)
def any_comparison(request):
    return CASES[request.param]()


def verdicts(of):
    return {verdict: n for verdict, n in of["verdicts"].items() if n}


# ---- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio, text", [
    (1.031, "+3.1%"), (0.958, "-4.2%"), (1, "0.0%"), (1.0004, "0.0%"), (0.9996, "0.0%"),
    (1.9994, "+99.9%"), (1.9996, "+100%"), (4, "+300%"), (9.99, "+899%"), (10, "x10.0"),
    (0.101, "-89.9%"), (0.1, "1/10.0"), (0.002, "1/500"),
])
def test_change(ratio, text):
    assert forms.change(ratio) == text


def test_a_slower_pair_in_one_line():
    slower = pair("slower", ratio={"value": 1.031, "low": 1.027, "high": 1.036})
    assert forms.sentence(comparison([slower]), slower).startswith(
        "+3.1% (95% interval +2.7% to +3.6%), delta 1%, p 1e-05, from 45.1 ns to 46.5 ns, "
        "16+64 rounds")


def test_an_estimate_without_interval_says_why():
    ratio = {"value": 1.2, "low": None, "high": None}
    assert forms.estimate(ratio, 0.95) == "+20.0% (too few rounds for an interval)"
    assert "+20.0%  45.1 ns" in forms.text(comparison([pair("inconclusive", ratio=ratio)])) \
        .replace(" 45", "  45")
    assert forms.estimate(None, 0.95) == "no ratio"


@pytest.mark.parametrize("found, said", [
    ({"reason": "only binaries were given", "moves": False, "paddings": []},
     "layout not tried: only binaries were given"),
    ({"reason": None, "moves": True, "paddings": [
        {"bytes": 64, "ratio": {"value": 1.001, "low": 1, "high": 1.01}, "rounds": 32},
        {"bytes": 8, "ratio": {"value": 1.03, "low": 1, "high": 1.1}, "rounds": 32}]},
     "the layout of the code moves it: padded +0.1% with 64 bytes, +3.0% with 8 bytes"),
    ({"reason": None, "moves": False, "paddings": []},
     "not the layout of the code: no padding could be measured"),
])
def test_layout_findings(found, said):
    assert forms.layout(found) == said
    compared = comparison([pair("slower", layout=found)])
    assert f"layout: {pair()['key']}: {said}\n" in forms.text(compared, columns=None)
    assert said in forms.markdown(compared, headers())


@pytest.mark.parametrize("pairs, status, line, meaning", [
    ([], 0, "Nothing was compared: my-branch against main", "0: no regression"),
    ([pair()], 0, "No regression: my-branch against main", "0: no regression"),
    ([pair("inconclusive")], 0, "No regression: my-branch against main", "0: no regression"),
    ([pair("slower"), pair()], 1, "Regression: 1 of 2 slower: my-branch against main",
     "1: a regression was confirmed"),
    ([pair("failed"), pair()], 2, "Error: 1 of 2 failed: my-branch against main", "2: an error"),
    ([], 2, "Error: no comparison: my-branch against main", "2: an error"),
])
def test_exit_status_in_words(pairs, status, line, meaning):
    compared = comparison(pairs, exit_status=status)
    said = forms.text(compared)
    assert said.startswith(line + "\n") and f"exit status {meaning}" in said
    assert forms.markdown(compared, headers()).startswith(f"### {line}\n")
    assert f"Exit status {meaning}" in forms.markdown(compared, headers())


def test_other_modes():
    same = comparison([pair()], mode="aa", base="r2", head_name="main")
    assert forms.headline(same) == "No regression: main against itself"
    assert forms.environment(same, headers()[1:])[0] == ("CPU", "Example CPU <9000>")
    impls = comparison([pair(base_key="switch.yield/clone/same-pu/threads=2")], mode="impls",
                       base="r2", head_name="green", base_name="clone")
    assert "switch.yield/green/same-pu/threads=2 against switch.yield/clone/same-pu/threads=2" in \
        forms.text(impls, columns=None, verbose=True)


def test_what_is_not_known_is_said():
    compared = comparison(aa=None)
    environment = dict(forms.environment(compared, headers()))
    assert environment["noise"] == "steal 0.2%, others' CPU time not known, PSI 3%"
    assert environment["base"] == "main, revision 0123abc"
    assert environment["head"] == "my-branch, revision fedc987 (with local changes)"
    for said in (forms.text(compared, columns=None), forms.markdown(compared, headers())):
        assert "A/A: not done" in said
    other = headers()
    other[1]["build"]["compiler"] = None
    assert dict(forms.environment(compared, other))["compiler"] == \
        "base gcc 12.2.0 -O2 -g; head unknown -O2 -g"


# ---- what all forms promise ----------------------------------------------------------------------


def test_forms_are_pure_and_can_be_written(any_comparison):
    before, heads = repr(any_comparison), headers()
    for make in (lambda: forms.text(any_comparison), lambda: forms.junit(any_comparison, heads),
                 lambda: forms.markdown(any_comparison, heads),
                 lambda: forms.github_annotations(any_comparison),
                 lambda: forms.gitlab_metrics(any_comparison)):
        assert make().encode("utf-8").decode() == make()
    assert repr(any_comparison) == before and heads == headers()


def test_worst_first():
    pairs = [pair("faster", "f2"), pair("equivalent", "e"), pair("inconclusive", "i"),
             pair("failed", "x"), pair("slower", "s1"), pair("faster", "f1"), pair("slower", "s2"),
             pair("slower", "s0", ignored="known")]
    pairs[6]["ratio"]["value"], pairs[5]["ratio"]["value"] = 1.5, 0.5
    order = "s2 s1 s0 x i f1 f2 e".split()
    compared = comparison(pairs)
    table = forms.text(compared, verbose=True).split("benchmark\n")[1].split("\n\n")[0]
    assert [line.split()[-1] for line in table.split("\n")] == order
    assert [case.get("name") for case in ET.fromstring(
        forms.junit(compared, headers())).iter("testcase")] == order
    rows = re.findall(r"^\| \w+(?: \(ignored\))? \| (\w+)", forms.markdown(compared, headers()),
                      re.M)
    assert [row for row in rows if row != "benchmark"] == order


def test_an_ignored_pair_is_reported_and_fails_nothing():
    ignored = comparison([pair("slower", ignored="slow runner"), pair(key="b/c/d")], exit_status=0)
    assert "1 of them ignored" in forms.text(ignored)
    assert "\n(slower) +3.1%" in forms.text(ignored)
    assert f"ignored: {pair()['key']}: slow runner\n" in forms.text(ignored, columns=None)
    assert forms.headline(ignored).startswith("No regression")
    suite = ET.fromstring(forms.junit(ignored, headers()))
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")
    assert suite.find(".//skipped").get("message") == "ignored: slow runner"
    assert forms.github_annotations(ignored).startswith("::notice ")
    assert "| slower (ignored) | " in forms.markdown(ignored, headers())


# ---- terminal ------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_columns_hold(any_comparison, columns):
    for verbose in (False, True):
        said = forms.text(any_comparison, columns, verbose)
        assert said.endswith("\n") and all(len(line) <= columns for line in said.split("\n"))
        assert all(c.isprintable() or c == "\n" for c in said)


def test_a_line_for_each_pair_at_80_columns():
    said = forms.text(comparisons.typical())
    table = said.split("\n\n")[1].split("\n")
    assert [line.split()[0] for line in table] == [
        "verdict", "slower", "failed", "inconclusive", "faster"]
    assert re.fullmatch(r"slower +\+3\.1% \(\+2\.6\.\.\+3\.6\) +45\.1 ns +46\.5 ns +16\+64 "
                        r"switch\.\S+…\S+errno", table[1])
    assert table[3].endswith(" switch.sem/nptl/cross-l3")  # it fits, so it is whole
    assert "the 2 equivalent are not listed" in said.replace("\n ", "")
    assert "lock.uncontended" not in said


def test_verbose_and_unlimited_shorten_nothing():
    said = forms.text(comparisons.typical(), columns=None, verbose=True)
    assert all(f" {one['key']}\n" in said for one in comparisons.typical()["pairs"])
    assert "not listed" not in said


@pytest.mark.parametrize("template", [
    "{}switch.yield/green/same-pu/tls=errno,recycle=stack", "switch.yield/gr{}/same-pu/tls=errno",
    "switch.yield/green/same-pu/recycle=stack{},tls=errno,x", "lock.contended/green/same-pu/cs={}",
])
def test_shortened_keys_stay_apart(template):
    said = forms.text(comparison([pair("slower", template.format(n)) for n in (2, 3, 4)]))
    keys = [line.split()[-1] for line in said.split("\n") if line.startswith("slower")]
    assert len(set(keys)) == 3 and all("…" in key for key in keys)


def test_shorten():
    assert forms.shorten("abcdefghij", 10) == "abcdefghij"
    assert forms.shorten("abcdefghij", 5) == "ab…ij" and forms.shorten("abcdef", 1) == "…"


def test_every_reason_is_told_once():
    pairs = [pair("failed", f"k{n}", reason="head: SIGSEGV") for n in range(3)]
    pairs += [pair("inconclusive", f"i{n}", reason=f"why {n}") for n in range(9)]
    said = forms.text(comparison(pairs))
    assert "failed: 3 pairs: head: SIGSEGV\n" in said
    assert "inconclusive: i4: why 4\ninconclusive: 4 more\n" in said
    assert "inconclusive: i8: why 8\n" in forms.text(comparison(pairs), verbose=True)


# ---- JUnit ---------------------------------------------------------------------------------------


def test_junit_counts_agree(any_comparison):
    root = ET.fromstring(forms.junit(any_comparison, headers()).encode())
    counts = any_comparison["verdicts"]
    for element in (root, root.find("testsuite")):
        assert {name: int(element.get(name)) for name in (
            "tests", "failures", "errors", "skipped")} == {
            "tests": len(any_comparison["pairs"]), "failures": counts["slower"],
            "errors": counts["failed"], "skipped": counts["inconclusive"]}
    assert len(root.findall(".//testcase")) == len(any_comparison["pairs"])
    for tag, name in (("failure", "slower"), ("error", "failed"), ("skipped", "inconclusive")):
        assert len(root.findall(f".//{tag}")) == counts[name]


def test_junit_of_each_verdict():
    root = ET.fromstring(forms.junit(comparisons.typical(), headers()))
    cases = {case.find("properties/property[@name='verdict']").get("value"): case
             for case in root.iter("testcase")}
    slower = cases["slower"]
    assert slower.get("classname") == "switch.yield"
    assert slower.get("name") == "switch.yield/green/same-pu/threads=2,tls=errno"
    failure = slower.find("failure")
    assert failure.text == failure.get("message") and failure.text.startswith(
        "slower: +3.1% (95% interval +2.6% to +3.6%), delta 1%, p 1e-05")
    assert slower.find("properties/property[@name='ratio']").get("value") == "1.031"
    assert "SIGSEGV" in cases["failed"].find("error").text
    assert cases["failed"].find("properties/property[@name='ratio']") is None
    assert cases["inconclusive"].find("skipped").get("message") == \
        "the interval reaches beyond delta"
    assert cases["faster"].find("failure") is None
    facts = {p.get("name"): p.get("value") for p in root.findall("testsuite/properties/property")}
    assert facts["seed"] == "7" and facts["kernel"] == "6.18.0"


@pytest.mark.parametrize("key", comparisons.HOSTILE)
def test_junit_keeps_hostile_keys(key):
    root = ET.fromstring(forms.junit(comparison([pair("slower", key)]), headers()).encode())
    allowed = re.sub("[\0\x1b\ud800]", "\N{REPLACEMENT CHARACTER}", key)
    assert root.find(".//testcase").get("name") == allowed


# ---- Markdown ------------------------------------------------------------------------------------


def cells(line):
    """Of a table row, as GitHub splits it: a pipe after a backslash is none."""
    return re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]


def test_markdown_rows(any_comparison):
    said = forms.markdown(any_comparison, headers())
    rows = [line for line in said.split("\n") if line.startswith("| ")]
    assert all(len(cells(row)) == 6 for row in rows)
    shown = [cells(row)[0].strip() for row in rows]
    assert {v: shown.count(v) for v in set(shown) - {"verdict"}} == verdicts(any_comparison)
    # Outside the folds of its own there is no tag and no code span.
    bare = re.sub(r"\\.", "", said)
    bare = re.sub(r"</?details>|<summary>[\w ]+</summary>", "", bare)
    assert not re.search("[<`]", bare) and "\r" not in bare and "\0" not in bare
    assert said.count("<details>") == said.count("</details>")


def test_markdown_folds_what_is_equivalent_and_says_where():
    said = forms.markdown(comparisons.typical(), headers())
    assert said.index("| faster |") < said.index("<details><summary>2 equivalent</summary>") < \
        said.index("| equivalent |") < said.index("<summary>Environment</summary>")
    for fact in ("- CPU: Example CPU \\<9000\\>", "- kernel: 6.18.0", "- compiler: gcc 12.2.0",
                 "- base: main, revision 0123abc", "- head: my-branch, revision fedc987",
                 "- seed: 7", "- budget: 60.0 s; it took 41.0 s",
                 "A/A: base against itself in 12 pairs: 0 claims",
                 "- 1 only in head, not compared: create.new/nptl/same-pu"):
        assert f"\n{fact}" in said


def test_markdown_stays_below_one_mebibyte_and_counts_what_it_leaves_out():
    many = comparisons.many(10_000)
    said = forms.markdown(many, headers())
    assert MIB * 0.9 < len(said.encode()) < MIB
    shown = len(re.findall(r"^\| (?:slower|failed|inconclusive|equivalent) ", said, re.M))
    left = re.search(r"^(\d+) more rows are left out", said, re.M)
    assert shown + int(left[1]) == 10_000 and said.count("\n| slower |") == 2500
    assert "<summary>Environment</summary>" in said
    small = forms.markdown(many, headers(), limit=10_000)
    assert len(small.encode()) < 10_000 and "more rows are left out" in small


def test_markdown_of_long_names_stays_small():
    long = "x" * 20_000
    compared = comparison([pair("failed", long, reason=long)] * 20, base_name=long, head_name=long,
                          missing={"base": [long] * 50, "head": [long] * 50})
    said = forms.markdown(compared, headers())
    assert len(said.encode()) < 50_000 and said.count("\n| failed |") == 20
    assert "and 45 more" in said


# ---- GitHub, GitLab ------------------------------------------------------------------------------

COMMAND = re.compile(r"::(error|notice) title=([^:,\r\n]+)::([^\r\n]*)")


def unescaped(text):
    for code, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, char)
    return text


def test_annotations(any_comparison):
    said = forms.github_annotations(any_comparison)
    found = [COMMAND.fullmatch(line) for line in said.split("\n")[:-1]]
    assert all(found) and not re.search("%(?!0D|0A|3A|2C|25)", said)
    counts = any_comparison["verdicts"]
    for kind, total in (("error", counts["slower"] + counts["failed"]),
                        ("notice", counts["inconclusive"] + counts["faster"])):
        assert [m[1] for m in found].count(kind) == min(total, 10)


def test_annotations_say_key_and_estimate():
    lines = forms.github_annotations(comparisons.typical()).split("\n")
    found = COMMAND.fullmatch(lines[0])
    assert found[1] == "error"
    assert unescaped(found[2]) == "slower: switch.yield/green/same-pu/threads=2,tls=errno"
    assert unescaped(found[3]).startswith("+3.1% (95% interval +2.6% to +3.6%), delta 1%")
    assert "100%25%3A%2C;%3A%3Aerror" in forms.github_annotations(comparisons.comparison(
        [pair("slower", comparisons.HOSTILE[5])]))


def test_the_tenth_annotation_counts_the_rest():
    lines = forms.github_annotations(comparisons.many(44)).split("\n")
    assert lines[9].startswith("::error title=13 more::")  # 11 slower and 11 failed, 9 shown
    assert lines[19].startswith("::notice title=2 more::")
    ten = forms.github_annotations(comparison([pair("slower", f"k{n}") for n in range(10)]))
    assert ten.count("::error ") == 10 and "more" not in ten


METRIC = re.compile(r'(threadlab_(?:ratio|base_ns|head_ns))'
                    r'\{((?:[a-z]+="(?:[^"\\\n#]|\\[\\n"])*",?)+)\} '
                    r'(NaN|-?\d+(?:\.\d+)?(?:e[+-]\d+)?)')
META = re.compile(r"# (?:TYPE threadlab_\w+ gauge|HELP threadlab_\w+ [\w /]+|EOF)")


def test_metrics(any_comparison):
    lines = forms.gitlab_metrics(any_comparison).split("\n")
    assert lines[-2:] == ["# EOF", ""]
    samples = [line for line in lines[:-1] if not META.fullmatch(line)]
    found = [METRIC.fullmatch(line) for line in samples]
    assert all(found) and len(samples) == 3 * len(any_comparison["pairs"])
    # A sample's name and labels are unique, and those of a family stand together.
    assert len({m[0].rsplit(" ", 1)[0] for m in found}) == len(found)
    assert [m[1] for m in found] == sorted((m[1] for m in found), key=[
        "threadlab_ratio", "threadlab_base_ns", "threadlab_head_ns"].index)
    # GitLab cuts at a #, splits as a shell does, and takes the second word for the value.
    for line, sample in zip(samples, found):
        words = shlex.split(line.split("#")[0])
        assert len(words) == 2 and words[1] == sample[3]


def test_metrics_values():
    said = forms.gitlab_metrics(comparisons.typical())
    key = 'key="switch.yield/green/same-pu/threads=2,tls=errno"'
    assert f'\nthreadlab_ratio{{bench="switch.yield",impl="green",{key}}} 1.031\n' in said
    assert f'\nthreadlab_base_ns{{bench="switch.yield",impl="green",{key}}} 45.1\n' in said
    assert 'key="fork.threads/green/same-pu/threads=16"} NaN\n' in said
    other = forms.gitlab_metrics(comparison([pair(unit="bytes", base_ns=4096.0)]))
    assert ',unit="bytes"} 4096\n' in other


# ---- the ready examples --------------------------------------------------------------------------


@pytest.fixture
def example():
    yaml = pytest.importorskip("yaml")

    def load(number):
        with open(f"{ROOT}/scripts/README.md", encoding="utf-8") as file:
            return yaml.safe_load(re.findall(r"```yaml\n(.*?)```", file.read(), re.S)[number])

    return load


def test_the_example_of_github(example):
    made = example(0)
    # YAML 1.1 takes the key `on` for true; GitHub does not.
    assert made[True] == "pull_request" and made["permissions"] == {"contents": "read"}
    steps = made["jobs"]["compare"]["steps"]
    assert steps[0]["uses"].startswith("actions/checkout@")
    assert steps[0]["with"]["fetch-depth"] == 0 and steps[1]["run"] == "make deps"
    words = shlex.split(steps[2]["run"])
    assert words[:3] == ["make", "compare", "BASE=$BASE"]
    # An expression within a script would be a way in for whoever names the branch.
    assert all("${{" not in step.get("run", "") for step in steps)
    assert steps[2]["env"]["BASE"] == "origin/${{ github.base_ref }}"
    assert written_files(words) == {"--junit": "compare.xml", "--markdown": "compare.md"}
    assert steps[3]["if"] == "always()"
    assert steps[3]["with"]["path"].split() == ["results/*/*/*.jsonl", "compare.xml", "compare.md"]


def test_the_example_of_gitlab(example):
    job = example(1)["compare"]
    assert job["variables"]["GIT_DEPTH"] == "0" and job["before_script"][-1] == "make deps"
    (script,) = job["script"]
    written = written_files(shlex.split(script))
    assert job["artifacts"]["when"] == "always"
    assert job["artifacts"]["reports"] == {"junit": written["--junit"],
                                           "metrics": written["--gitlab"]}
    assert job["artifacts"]["paths"] == ["results/*/*/*.jsonl", *written.values()]


def written_files(words):
    """{option: file} of COMPARE_ARGS."""
    (arguments,) = [w.removeprefix("COMPARE_ARGS=") for w in words if w.startswith("COMPARE_ARGS=")]
    options = arguments.split()
    found = dict(zip(options[::2], options[1::2]))
    assert found.pop("--budget") == "60s"
    return found
