"""Comparisons of exact counts in the forms of CI."""

import json
import types
import xml.etree.ElementTree as ET

from test_lab import HEADER, run

import lab_forms

NASTY = 'b/i/x="1",<&>|`#\n::error::\x00\x1b[31m'


def runs(*samples):
    return [types.SimpleNamespace(samples=list(samples), header=HEADER)] * 2


def sample(user, key, **more):
    return run(user, key=key, **more).samples[0]


def found():
    """A cell of each verdict but one, which test_unsteady has."""
    broken = sample(0, "b/i/4", status="crashed", reason="SIGSEGV <x>")
    return lab_forms.comparison(
        runs(*(sample(61, key) for key in ("b/i/1", "b/i/2", "b/i/3", "b/i/4", NASTY))),
        runs(sample(61, "b/i/1"), sample(60.5, "b/i/2"), sample(62, "b/i/3"), broken,
             sample(63, NASTY)), ["main", "this tree"])


def test_plain_data():
    data = found()
    assert json.loads(lab_forms.as_json(data)) == data
    assert data["exit_status"] == 1 and data["boots"] == 2
    assert data["machine"] == "QEMU 7.2 virt cortex-a57, 1 CPUs, Linux 6.1"  # of all seeds
    assert data["head"]["name"] == "this tree" and data["base"]["revision"] == "0123abc"
    by_key = {pair["key"]: pair for pair in data["pairs"]}
    assert [by_key[f"b/i/{n}"]["verdict"] for n in (1, 2, 3, 4)] == ["same", "fewer", "MORE",
                                                                     "failed"]
    assert by_key["b/i/3"]["delta"] == 1 and by_key["b/i/3"]["base_user"] == [61, 61]
    assert [pair["verdict"] for pair in lab_forms.worst_first(data)] == [
        "MORE", "MORE", "failed", "fewer", "same"]


def test_unsteady():
    data = lab_forms.comparison([run(61), run(63)], [run(70), run(70)], ["a", "b"])
    assert data["exit_status"] == 0 and data["pairs"][0]["delta"] is None
    case = ET.fromstring(lab_forms.junit(data)).find(".//testcase")
    assert "interleaving: 61 .. 63 to 70" in case.find("skipped").get("message")


def test_junit():
    root = ET.fromstring(lab_forms.junit(found()))
    suite = root.find("testsuite")
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == [
        "5", "2", "1", "0"]
    said = {case.get("name"): case for case in suite.findall("testcase")}
    assert said["b/i/3"].find("failure").get("message") == (
        "MORE: +1.000: 61 to 62 user instructions per op")
    assert said["b/i/4"].find("error").text == "failed: crashed: SIGSEGV <x>"
    assert said["b/i/1"].find("failure") is None and said["b/i/1"].get("classname") == "b"


def test_markdown():
    text = lab_forms.markdown(found())
    assert text.startswith("### 2 of 5 cells execute more: this tree against main\n")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 4 and "+1.000 | 61 | 62 | 5 | 5 |" in text
    assert "\x1b" not in text and "b/i/1 " not in text
    many = lab_forms.comparison(runs(*(sample(1, f"b/i/{n}") for n in range(300))),
                                runs(*(sample(2, f"b/i/{n}") for n in range(300))), ["a", "b"])
    assert "100 more rows are left out." in lab_forms.markdown(many)


def test_gitlab():
    lines = lab_forms.gitlab(found()).splitlines()
    assert lines[-1] == "# EOF" and 'threadlab_instructions_delta{key="b/i/3"} 1' in lines
    assert 'threadlab_instructions{key="b/i/4"} NaN' in lines
    assert all("#" not in line for line in lines if not line.startswith("# "))


def test_github(tmp_path, capsys):
    summary = tmp_path / "summary"
    lab_forms.write(found(), {"junit": tmp_path / "a/j.xml", "out": tmp_path / "o.json"},
                    {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(line.startswith("::error title=") for line in lines)
    assert "execute more" in summary.read_text()
    ET.parse(tmp_path / "a/j.xml")
    assert json.loads((tmp_path / "o.json").read_text())["exit_status"] == 1


def test_nothing_to_compare():
    data = lab_forms.comparison(runs(), runs(), ["a", "b"])
    assert data["exit_status"] == 2 and "no cell to compare" in lab_forms.headline(data)
    for form in lab_forms.FORMS.values():
        assert form(data)
