"""End to end: `threadlab doctor` prints what it judges, in 80 columns, and changes nothing.

What is found depends on the machine; that the parts agree with each other does not.
"""

import json
import re
import subprocess

import pytest
from driver import deny, one_clear_line, threadlab

STATES = ["warn", "unknown", "good"]


@pytest.fixture(scope="module")
def told():
    return threadlab("doctor")


@pytest.fixture(scope="module")
def answer():
    result = threadlab("doctor", "--json")
    return result, json.loads(result.stdout)


def headings(text):
    """(state, name) of each finding that was printed."""
    return re.findall(r"^(warn|unknown|good)  (\S+)", text, re.M)


def test_text_fits_80_columns_and_the_worst_comes_first(told):
    assert told.stderr == ""
    assert max(map(len, told.stdout.splitlines())) <= 80
    found = headings(told.stdout)
    assert [s for s, _ in found] == sorted((s for s, _ in found), key=STATES.index)
    assert len({name for _, name in found}) == len(found) >= 20


def test_summary_and_status_agree_with_the_list(told):
    found = headings(told.stdout)
    count = {state: sum(s == state for s, _ in found) for state in STATES}
    last = told.stdout.splitlines()[-1]
    assert last == f"{count['warn']} of {len(found)} spoil numbers; {count['unknown']} unknown"
    assert told.returncode == (1 if count["warn"] else 0)


def test_json_agrees_with_its_status(answer):
    result, whole = answer
    found = whole["findings"]
    assert whole["examined"] == len(found)
    assert whole["warnings"] == sum(f["state"] == "warn" for f in found)
    assert result.returncode == (1 if whole["warnings"] else 0)
    for f in found:
        assert f["state"] in STATES and f["text"]
        assert (f["cost"] is not None) == (f["state"] == "warn"), f["name"]
        if f["state"] == "warn":
            assert f["remedy"] or f["commands"]
        if f["state"] == "good":
            assert not f["remedy"] and not f["commands"] and not f["undo"]


def test_both_forms_name_the_same_findings(told, answer):
    assert {name for _, name in headings(told.stdout)} == {f["name"] for f in answer[1]["findings"]}


def test_commands_are_shell(answer):
    for f in answer[1]["findings"]:
        for command in f["commands"] + f["undo"]:
            subprocess.run(["sh", "-n", "-c", command], check=True)


def test_a_filter_of_system_calls_is_found_and_spoils():
    result = threadlab("doctor", "--json", preexec_fn=deny(("clone3", 38)))
    state = {f["name"]: f["state"] for f in json.loads(result.stdout)["findings"]}
    assert state["seccomp"] == "warn" and result.returncode == 1


def test_nothing_is_written(tmp_path):
    assert threadlab("doctor", cwd=tmp_path).returncode in (0, 1)
    assert list(tmp_path.iterdir()) == []


def test_options_of_other_verbs_are_refused(tmp_path):
    assert "belongs to" in one_clear_line(threadlab("doctor", "--budget", "1s", cwd=tmp_path))
    assert "unexpected" in one_clear_line(threadlab("doctor", "all", cwd=tmp_path))
