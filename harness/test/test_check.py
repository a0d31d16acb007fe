"""End to end: checks, expected verdicts, mutants, torture, and the gate before the numbers."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

import jsonschema
import pytest
from driver import (PLUGINS, ROOT, SHORT, alive, children_of, lines, one_clear_line, samples, start,
                    threadlab)

VERDICTS = PLUGINS / "verdicts.so"
SCHEMA = json.loads((ROOT / "results/schema/threadlab-1.schema.json").read_text())
RESULT = re.compile(r"^(ok|not ok) (\d+) - (\S+) (\S+)(?: \(mutant \S+\))?"
                    r"(?: # (SKIP|TODO) (.*))?$")


def check(*args, **options):
    return threadlab("check", "--plugin", VERDICTS, *args, **options)


def tap(text):
    """{property: (ok?, directive, the lines that follow)}, of one implementation."""
    found, current = {}, None
    for line in text.splitlines():
        match = RESULT.match(line)
        if match:
            current = found[match[4]] = (match[1] == "ok", match[5], [])
        elif current:
            current[2].append(line)
    return found


@pytest.fixture(scope="module")
def green():
    result = check("--impl", "green", "--seed", "5", "verdict.*")
    assert result.returncode == 1, result.stderr
    return result.stdout


# ---- verdicts -----------------------------------------------------------------------------------

@pytest.mark.parametrize("name, ok, directive, words", [
    ("pass", True, None, "#   a line # for the reader"),
    ("join", True, None, None),
    ("children", True, None, None),
    ("fooled", True, None, None),
    ("fail", False, None, r'message: "a \"reason\" with <signs> & #marks"'),
    ("error", False, None, "EINVAL answered EINVAL (22), right is ESRCH"),
    ("crash", False, None, "SIGSEGV in the check (about to crash)"),
    ("hang", False, None, "still in the check (waiting for ever) after 1.0 s"),
    ("invalid", False, None, "the situation never came about"),
    ("silent", False, None, "said no reason"),
    ("unsupported", True, "SKIP", None),
    ("needs", True, "SKIP", None),
    ("traits", True, "SKIP", None),
    ("pus", True, "SKIP", None),
])
def test_every_verdict_in_tap(green, name, ok, directive, words):
    found = tap(green)[f"verdict.{name}"]
    assert found[:2] == (ok, directive)
    if words:
        assert any(words in line for line in found[2]), found[2]
    if not ok:
        assert any(line.startswith("  again: ") and "--seed 5" in line for line in found[2])


def test_tap_is_whole(green):
    text = green.splitlines()
    assert text[0] == "TAP version 13" and text[1] == "1..14"
    numbers = [int(RESULT.match(line)[2]) for line in text if RESULT.match(line)]
    assert numbers == list(range(1, 15))
    assert text[-1].startswith("# 14 checks in ") and "6 not as expected" in text[-1]


@pytest.mark.skipif(not shutil.which("prove"), reason="no prove")
def test_prove_reads_it(tmp_path):
    (tmp_path / "pass.t").write_text(check("--impl", "green", "verdict.pass").stdout)
    (tmp_path / "fail.t").write_text(check("--impl", "green", "verdict.fail").stdout)
    for name, status in (("pass.t", 0), ("fail.t", 1)):
        done = subprocess.run(["prove", "-e", "cat", name], cwd=tmp_path, capture_output=True)
        assert done.returncode == status, done.stdout


def test_exit_status_is_0_when_all_that_is_supported_passes():
    assert check("--impl", "green,nptl", "verdict.pass", "verdict.needs").returncode == 0


def test_control_must_fail():
    result = check("--impl", "null", "verdict.fooled")
    assert result.returncode == 1
    assert "unexpected: it was to fail" in result.stdout


def test_reason_of_the_implementation_is_given(green):
    assert "SKIP cancel.async: nobody runs that could cancel" in green
    assert "SKIP needs 5000 PUs" in green


def test_junit(tmp_path):
    file = tmp_path / "j.xml"
    check("--impl", "green", "--junit", file, "verdict.*")
    suite, = xml.etree.ElementTree.parse(file).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("14", "6", "4")
    failure = suite.find("./testcase[@name='verdict.fail']/failure")
    assert failure.get("message") == 'fail: a "reason" with <signs> & #marks'


def test_records_fit_the_schema(tmp_path):
    path = tmp_path / "c.jsonl"
    check("--impl", "green,null", "--out", path, "verdict.*")
    written = lines(path)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert [str(e) for line in written for e in validator.iter_errors(line)] == []
    assert [line["type"] for line in written] == ["run", *["check"] * 28, "end"]
    assert written[-1]["verdicts"]["timeout"] == 2
    assert set(written[0]["checks"]) == {line["property"] for line in written[1:-1]}
    printed = check("--impl", "green", "--json", "verdict.pass").stdout.splitlines()
    assert [json.loads(line)["type"] for line in printed] == ["run", "check", "end"]


def test_out_with_a_slash_names_the_record(tmp_path):
    check("--impl", "green", "--out", f"{tmp_path}/r/", "verdict.pass")
    path, = tmp_path.glob("r/*/*/*.jsonl")
    assert path.parent.name in path.name


def test_an_existing_record_is_not_overwritten(tmp_path):
    (tmp_path / "c.jsonl").write_text("kept")
    result = check("--out", tmp_path / "c.jsonl", "verdict.pass")
    assert result.returncode == 2
    assert (tmp_path / "c.jsonl").read_text() == "kept"


# ---- bad input ----------------------------------------------------------------------------------

@pytest.mark.parametrize("args, words", [
    (["verdict.pas"], "did you mean verdict.pass?"),
    (["--impl", "gren"], "did you mean green?"),
    (["--set", "recycle=none,stack"], "one value"),
    (["--set", "color=red"], "--set color=red"),
    (["--mutant", "nosuch"], "no mutant is called 'nosuch'"),
    (["--bench", "x"], "--bench belongs to the verb run"),
    (["--jobs", "0"], "--jobs=0"),
    (["--torture", "soon"], "--torture=soon"),
    (["--torture", "1s", "verdict.pass"], "nothing to do"),
    (["--expect", "EXPECT"], "conformance.expected:2: expected `VERDICT PROPERTY WHY`"),
])
def test_bad_input_is_one_clear_line(tmp_path, args, words):
    folder = tmp_path / "green"
    folder.mkdir()
    (folder / "conformance.expected").write_text("# a comment\nfails verdict.fail\n")
    args = [tmp_path if a == "EXPECT" else a for a in args]
    assert words in one_clear_line(check(*args))


# ---- expected verdicts --------------------------------------------------------------------------

def expecting(tmp_path, text, *args):
    folder = tmp_path / "green"
    folder.mkdir(exist_ok=True)
    (folder / "conformance.expected").write_text(text)
    return check("--impl", "green", "--expect", tmp_path, *args)


KNOWN = "fail verdict.fail  known\nunsupported verdict.needs  no\nany verdict.error  either\n"


def test_what_is_expected_is_fine(tmp_path):
    result = expecting(tmp_path, KNOWN, "verdict.fail", "verdict.needs", "verdict.error",
                       "verdict.pass")
    assert result.returncode == 0, result.stdout
    assert tap(result.stdout)["verdict.fail"][:2] == (False, "TODO")


@pytest.mark.parametrize("text, name, words", [
    ("", "verdict.fail", "verdict: fail"),
    ("", "verdict.needs", "unexpected: it was to pass"),
    ("fail verdict.pass  was broken", "verdict.pass", "unexpected: it was to fail"),
    ("unsupported verdict.pass  was absent", "verdict.pass", "it was to be unsupported"),
    ("fail verdict.*  all\npass verdict.pass  but this", "verdict.fooled", "it was to fail"),
])
def test_what_is_not_expected_is_told(tmp_path, text, name, words):
    result = expecting(tmp_path, text + "\n", name)
    assert result.returncode == 1
    assert words in result.stdout


def test_an_expectation_of_nothing_is_an_error(tmp_path):
    assert "no check is called verdict.gone" in one_clear_line(
        expecting(tmp_path, "fail verdict.gone  why\n", "verdict.pass"))


# ---- mutants ------------------------------------------------------------------------------------

def mutants(*args):
    return threadlab("mutants", "--plugin", VERDICTS, *args)


@pytest.mark.parametrize("name, status, words", [
    ("verdict-killed", 0, "every claim holds"),
    ("verdict-survives", 1, "survives: verdict-survives of nptl: verdict.join says pass"),
    ("verdict-not-sound", 1, "(and does not pass on the sound one)"),
    ("verdict-not-offered", 0, "not tried: verdict-not-offered of nptl: verdict.needs"),
])
def test_mutant(name, status, words):
    result = mutants(name)
    assert (result.returncode, words in result.stdout) == (status, True), result.stdout


def test_matrix_has_a_mark_for_each_check():
    text = mutants("verdict-killed").stdout
    row, = [line for line in text.splitlines() if line.startswith("verdict-killed")]
    assert row.split()[1:].count("X") == 1 and len(row.split()) == 14
    assert all(len(line) <= 80 for line in text.splitlines())


def test_every_check_has_a_mutant_and_every_number_rests_on_checks():
    listed = json.loads(threadlab("list", "--json").stdout)
    kills = {name for mutant in listed["mutants"].values() for name in mutant["kills"].split()}
    assert kills - set(listed["checks"]) == set()
    # Faults inside an implementation are in CONFIG=inject only: read from the source.
    for source in (ROOT / "suites").glob("*/*.c"):
        text = re.sub(r'"\s+"', "", source.read_text(encoding="utf-8"))
        for pattern in r'\.kills = "([^"]*)"', r'^MUTANT\(\s*\w+,\s*(?:"[^"]*",\s*){2}"([^"]*)"':
            for victims in re.findall(pattern, text, re.MULTILINE):
                kills.update(victims.split())
    assert set(listed["checks"]) - kills == set()
    rests = {name for bench in listed["benches"].values() for name in bench["rests_on"]}
    assert rests - set(listed["checks"]) == set()


# ---- torture ------------------------------------------------------------------------------------

def test_torture_makes_a_failure_small():
    result = threadlab("check", "--plugin", VERDICTS, "--torture", "1s", "--seed", "1", "--impl",
                       "green", "--mutant", "post-aborts", "torture.random", timeout=600)
    assert result.returncode == 1
    program = [line for line in result.stdout.splitlines() if line.startswith("#     thread")]
    assert 2 <= len(program) <= 24, result.stdout  # of many more
    assert any("posts semaphore" in line for line in program)
    assert "  seed: " in result.stdout


def test_torture_says_how_to_play_it_again():
    result = check("--torture", "1s", "--seed", "1", "--impl", "green", "--mutant", "post-aborts",
                   "--deadline", "9s", "torture.random", timeout=600)
    again = shlex.split(re.search('again: "threadlab check (.*)"', result.stdout).group(1))
    assert again[again.index("--deadline") + 1] == "9000ms"
    assert threadlab("check", *again).returncode == 1


def test_again_repeats_what_the_result_depends_on():
    result = check("--impl", "green", "--place", "cpus=0", "--set", "recycle=none", "verdict.fail")
    again = shlex.split(re.search('again: "threadlab check (.*)"', result.stdout).group(1))
    assert again[again.index("--plugin") + 1] == str(VERDICTS)
    assert again[again.index("--place") + 1] == "cpus=0"
    assert again[again.index("--set") + 1] == "recycle=none"
    assert threadlab("check", *again).stdout == result.stdout


def test_torture_keeps_to_its_time():
    """A hang, and programs that are made small by hanging: each waited for a minute once."""
    start = time.monotonic()
    result = threadlab("check", "--torture", "1s", "--seed", "1", "--impl", "green", "--mutant",
                       "sem-loses-posts", "torture.random", timeout=600)
    assert result.returncode == 1 and "verdict: hung" in result.stdout
    assert result.stdout.splitlines()[2] == "# seed 1"
    assert time.monotonic() - start < 55


def test_torture_takes_lists_of_values():
    result = threadlab("check", "--torture", "1s", "--seed", "1", "--impl", "green", "--set",
                       "policy=lifo,fifo", "--set", "recycle=none,stack", "torture.random",
                       timeout=300)
    assert result.returncode == 0, result.stderr
    result = threadlab("check", "--impl", "green", "--set", "policy=fifo,lifo", "verdict.pass")
    assert result.returncode == 2


def test_torture_forks_all_threads():
    result = threadlab("check", "--torture", "5s", "--seed", "1", "--impl", "green", "--mutant",
                       "forkall-is-fork1", "--deadline", "2s", "torture.random", timeout=600)
    assert result.returncode == 1 and "process that fork_all has made" in result.stdout
    assert re.search("^#     thread .* forks all threads$", result.stdout, re.M)


def test_torture_says_what_it_could_not_play():
    result = threadlab("check", "--torture", "1s", "--seed", "1", "--impl", "hybrid", "--set",
                       "policy=priority", "--set", "preempt=timer", "torture.random", timeout=300)
    assert result.returncode == 0
    assert "ok 1 - hybrid torture.random # SKIP " in result.stdout, result.stdout


def test_own_deadline_is_not_printed():
    result = check("--impl", "green", "verdict.fail")
    assert "again: " in result.stdout
    assert "--deadline" not in result.stdout


def test_torture_of_sound_ones_passes():
    result = threadlab("check", "--torture", "1s", "--seed", "1", "--impl", "green,nptl",
                       timeout=300)
    assert result.returncode == 0, result.stdout


# ---- interruption -------------------------------------------------------------------------------

def test_interrupt_leaves_nothing_behind():
    process = start("check", "--plugin", VERDICTS, "--impl", "green", "--deadline", "60s",
                    "verdict.hang")
    deadline = time.monotonic() + 30
    while not (children := children_of(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "Bail out! interrupted by SIGINT" in text
    assert not [pid for pid in children if alive(pid)]


# ---- the gate -----------------------------------------------------------------------------------

def gated(tmp_path, *args):
    path = tmp_path / "g.jsonl"
    result = threadlab("run", "--plugin", VERDICTS, "--impl", "green", "--bench", "verdict.bench",
                       "--out", path, *SHORT, *args)
    assert result.returncode == 0, result.stderr
    return result, path


def test_a_number_names_what_it_rests_on_and_does_not_hold(tmp_path):
    result, path = gated(tmp_path)
    sample, = samples(path)
    assert sample["unsafe"] == ["verdict.fail", "verdict.unknown"]
    assert "green fails verdict.fail" in result.stdout
    assert re.search(r"\d ns\??!", result.stdout)
    checked = {line["property"]: line["status"] for line in lines(path) if line["type"] == "check"}
    assert checked == {"verdict.pass": "ok", "verdict.fail": "failed"}


def test_without_checks_nothing_is_said_to_be_safe(tmp_path):
    _, path = gated(tmp_path, "--no-checks")
    sample, = samples(path)
    assert sample["unsafe"] is None
    assert not [line for line in lines(path) if line["type"] == "check"]


def test_report_marks_the_unsafe(tmp_path):
    _, path = gated(tmp_path)
    done = subprocess.run([sys.executable, ROOT / "scripts/report", path, "--out",
                           tmp_path / "r"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "r/report.md").read_text()
    assert "Unsafe: promises that are not kept" in text
    assert "rests on verdict.fail, verdict.unknown" in text
    assert "(unsafe)" in text


# ---- places -------------------------------------------------------------------------------------

def test_place_of_checks():
    result = threadlab("check", "--impl", "nptl", "--place", "cpus=0", "join.waits")
    assert result.returncode == 0 and "# place cpus=0: PUs 0\n" in result.stdout


def test_too_few_pus_are_nobodys_fault():
    result = threadlab("check", "--impl", "nptl", "--expect", ROOT / "impls", "--place", "same-pu",
                       "affinity.honoured")
    assert result.returncode == 0, result.stdout
    assert "# SKIP needs 2 PUs, this process may use 1" in result.stdout
    assert "1 unsupported; 0 not as expected" in result.stdout


@pytest.mark.parametrize("values, property, why", [
    ("lwps=1", "affinity.honoured", "not parallel: with lwps=1"),
    ("lwps=4", "policy.fifo", "a property of lwps=1, and 4 is asked for"),
    ("detector=seccomp", "fork.one-thread", "fork: with detector=seccomp"),
])
def test_values_that_take_a_promise_away(values, property, why):
    result = threadlab("check", "--impl", "hybrid", "--expect", ROOT / "impls", "--set", values,
                       property)
    assert result.returncode == 0, result.stdout
    assert f"# SKIP {why}" in result.stdout
    assert "1 unsupported; 0 not as expected" in result.stdout


def test_values_that_a_check_prefers_give_way():
    result = threadlab("check", "--impl", "green", "--set", "quantum=300", "preempt.spinner")
    assert result.returncode == 0 and "1 passed" in result.stdout, result.stdout


@pytest.mark.parametrize("places, words", [
    (["nowhere"], "nowhere"), (["compact", "spread"], "--place once")])
def test_place_that_cannot_be(places, words):
    options = [word for place in places for word in ("--place", place)]
    assert words in one_clear_line(threadlab("check", "--impl", "nptl", *options, "join.waits"))
