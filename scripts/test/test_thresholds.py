"""Thresholds by benchmark: what a file may say, and what is said about a wrong one."""

import pytest

import thresholds
from thresholds import Threshold

WHOLE = """
[thresholds]
default = "1.5%"

[[threshold]]
match = "switch.*/green/*"
delta = "2%"
equivalence = "4%"
why = "two modes"

[[threshold]]
match = "*/same-pu/*"
delta = "2.3%"

[[threshold]]
match = "fork.*"
ignore = true
why = "slow runner"
"""


@pytest.fixture
def load(tmp_path):
    def write_and_load(text):
        path = tmp_path / "t.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return thresholds.load(path)

    return write_and_load


def test_the_last_match_wins_as_a_whole(load):
    found = load(WHOLE)
    assert found.default == Threshold(0.015, 0.03)
    assert found.of("lock.contended/nptl/smt") == found.default
    assert found.of("switch.sem/green/smt/x=1") == Threshold(0.02, 0.04, False, "two modes")
    # Nothing of the first match is left: neither its equivalence nor its why.
    assert found.of("switch.sem/green/same-pu/x=1") == Threshold(0.023, 0.046)
    assert found.of("fork.threads/nptl/smt") == Threshold(0.015, 0.03, True, "slow runner")
    assert found.of("SWITCH.sem/green/smt") == found.default


def test_globs_that_match_nothing_are_told(load):
    found = load(WHOLE)
    assert found.unused(["switch.sem/green/same-pu/x=1"]) == ["fork.*"]
    assert found.unused(iter(["fork.threads/nptl/same-pu/x=1", "switch.a/green/-"])) == []
    assert found.unused([]) == ["switch.*/green/*", "*/same-pu/*", "fork.*"]


@pytest.mark.parametrize("text, delta, equivalence", [
    ("", 0.01, 0.02),
    ('[thresholds]\ndefault = "3%"', 0.03, 0.06),
    ('[thresholds]\ndefault = "80 %"', 0.8, 1.0),
    ('[thresholds]\nequivalence = "1%"', 0.01, 0.01),
    ('[thresholds]\ndefault = "0.1%"\nequivalence = "100%"', 0.001, 1.0),
])
def test_defaults(load, text, delta, equivalence):
    assert load(text).of("any") == Threshold(delta, equivalence)


def test_an_entry_without_delta_keeps_the_default(load):
    found = load('[thresholds]\ndefault="3%"\n[[threshold]]\nmatch="a*"\nequivalence="4%"')
    assert found.of("a") == Threshold(0.03, 0.04)


ENTRY = '[[threshold]]\nmatch = "a*"\n'


@pytest.mark.parametrize("text, wrong, right", [
    ("[thresholds]\ndefault = 1%", "not TOML", "line 2"),
    ("x = 1", "unknown `x`", "known are thresholds, threshold"),
    ("thresholds = 1", "not a table", "[thresholds]"),
    ("[threshold]\nmatch = 'a'", "not a list of tables", "[[threshold]]"),
    ("threshold = [1]", "not a list of tables", "[[threshold]]"),
    ("[thresholds]\ndelta = '1%'", "[thresholds]: unknown `delta`", "default, equivalence"),
    ("[thresholds]\ndefault = 0.01", "`default` is 0.01, not a percentage", '"2%"'),
    ("[thresholds]\ndefault = '0.05%'", "`default` is 0.05%", "0.1% to 100%"),
    (ENTRY + "delta = '101%'", "[[threshold]] 1 (a*): `delta` is 101%", "0.1% to 100%"),
    (ENTRY + "delta = '-2%'", '`delta` is "-2%", not a percentage', '"2%"'),
    (ENTRY + "delta = '2'", "not a percentage", '"2%"'),
    (ENTRY + "delta = true", "`delta` is true, not a percentage", '"2%"'),
    (ENTRY + "delta = '2%'\nequivalence = '1%'", "equivalence 1% is less than delta 2%", "right"),
    (ENTRY + "equivalence = '0.5%'", "equivalence 0.5% is less than delta 1%", "right"),
    (ENTRY + "delat = '2%'", "[[threshold]] 1: unknown `delat`", "match, delta, equivalence"),
    (ENTRY, "sets nothing", "`delta`, `equivalence` or `ignore`"),
    (ENTRY + "ignore = true", "`ignore` without a reason", "add `why`"),
    (ENTRY + "ignore = true\nwhy = ''", "`why` is \"\"", "text"),
    (ENTRY + "ignore = 'yes'\nwhy = 'x'", '`ignore` is "yes"', "true or false"),
    (ENTRY + "delta = '2%'\n[[threshold]]\ndelta = '2%'", "2: has no `match`", "glob"),
    ("[[threshold]]\nmatch = 3\ndelta = '2%'", "`match` is 3", "glob"),
    ('[[threshold]]\nmatch = "a\\nb"\nx = 1', "unknown `x`", "known"),
    ('[[threshold]]\nmatch = "a\\nb"', "(a?b): sets nothing", "`delta`"),
    ('"a\\nb" = 1', "unknown `a?b`", "known"),
    (b"\xff", "not UTF-8 at byte 0", "UTF-8"),
    ("a = " + "[" * 100000, "not TOML", ""),
])
def test_a_wrong_file_gets_one_line(load, tmp_path, text, wrong, right):
    with pytest.raises(thresholds.ThresholdError) as error:
        load(text)
    said = str(error.value)
    assert said.startswith(f"{tmp_path}/t.toml: ") and wrong in said and right in said
    assert "\n" not in said and len(said) < len(str(tmp_path)) + 250


def test_files_that_cannot_be_read(tmp_path):
    for path, why in ((tmp_path / "none.toml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(thresholds.ThresholdError, match=why) as error:
            thresholds.load(path)
        assert str(error.value).startswith(f"{path}: ")


def test_the_default_file_is_that_of_the_current_folder(tmp_path, monkeypatch):
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / ".threadlab.toml").write_text('[thresholds]\ndefault = "7%"\n')
    monkeypatch.chdir(inner)
    assert thresholds.load() == thresholds.Thresholds()
    monkeypatch.chdir(tmp_path)
    assert thresholds.load().default.delta == 0.07 and thresholds.load().path == ".threadlab.toml"
    (tmp_path / ".threadlab.toml").write_text("x")
    with pytest.raises(thresholds.ThresholdError):
        thresholds.load()


def test_an_older_python_reads_no_file_and_says_so(load, tmp_path, monkeypatch):
    monkeypatch.setattr(thresholds, "tomllib", None)
    monkeypatch.chdir(tmp_path)
    assert thresholds.load() == thresholds.Thresholds()
    with pytest.raises(thresholds.ThresholdError, match="t.toml: reading TOML needs Python 3.11"):
        load("")
