"""The scorecard: when a claim holds, is refuted, or is open."""

import json
import pathlib
import subprocess
import sys

import claims
import evidence
import pytest
import scoring
import synthetic
import threadlab_records
from report_required import Side

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMPLS = {"nptl": ("1:1", "C library"), "green": ("M:1", "one kernel thread"),
         "null": ("none", "control")}


def check(name, impl, status="ok"):
    return {"property": name, "impl": impl, "status": status}


class Run:
    """As much of threadlab_records.Run as evidence of checks needs."""

    id, host, samples = "r1", "testhost", ()

    def __init__(self, *checks):
        self.checks = list(checks)
        self.header = {"benches": {}, "impls": IMPLS, "checks": {}}


def answer(kind, *runs):
    return kind.of(evidence.Records(runs))


def timed(tmp_path, *samples):
    benches = sorted({s["bench"] for s in samples})
    lines = synthetic.finish([synthetic.header(benches=benches, impls=IMPLS), *samples])
    run, = threadlab_records.read(synthetic.write(tmp_path / "r.jsonl", lines))
    return run


def rounds(impl, value, metrics=None):
    return [synthetic.sample(impl=impl, ns_per_op=value, round_=at, metrics=metrics)
            for at in range(6)]


@pytest.mark.parametrize("status, holds", [("ok", True), ("unsupported", True), ("failed", False),
                                           ("timeout", False), ("crashed", False)])
def test_who_does_not_offer_it_is_not_counted(status, holds):
    run = Run(check("a.b", "nptl"), check("a.b", "green", status))
    assert answer(evidence.Kept(("a.b",)), run).holds is holds


def test_kept_by_nobody_is_not_kept():
    run = Run(check("a.b", "nptl", "unsupported"))
    assert answer(evidence.Kept(("a.b",)), run).holds is False


def test_the_control_says_nothing():
    run = Run(check("a.b", "nptl"), check("a.b", "null", "failed"))
    found = answer(evidence.Kept(("a.b",)), run)
    assert found.holds is True and "null" not in found.text


def test_those_named_decide():
    run = Run(check("a.b", "nptl", "failed"), check("a.b", "green"))
    assert answer(evidence.Kept(("a.b",), ("green",)), run).holds is True
    assert answer(evidence.Kept(("a.b",), ("nptl",)), run).holds is False
    found = answer(evidence.Kept(("a.b",), ("hybrid",)), run)
    assert found.holds is None and "not asked of hybrid" in found.text


def test_the_record_that_asked_most_counts():
    few = Run(check("a.b", "nptl", "failed"))
    many = Run(check("a.b", "nptl"), check("c.d", "nptl"))
    assert answer(evidence.Kept(("a.b",)), few, many).holds is True
    assert answer(evidence.Kept(("a.b", "e.f")), few, many).holds is None


def test_a_ratio_has_bounds(tmp_path):
    run = timed(tmp_path, *rounds("nptl", 300.0), *rounds("green", 100.0))
    sides = Side("demo.one", "nptl", {}), Side("demo.one", "green", {})
    assert answer(evidence.Ratio("r", *sides, least=2), run).holds is True
    assert answer(evidence.Ratio("r", *sides, least=4), run).holds is False
    assert answer(evidence.Ratio("r", *sides, most=2), run).holds is False
    found = answer(evidence.Ratio("r", *sides), run).text
    assert found.startswith("r: 3.00\N{MULTIPLICATION SIGN}")
    gone = Side("demo.one", "clone", {})
    assert answer(evidence.Ratio("r", sides[0], gone), run).holds is None


def test_a_metric_has_bounds(tmp_path):
    run = timed(tmp_path, *rounds("nptl", 300.0, {"gap": {"value": 2e6, "unit": "ns"}}))
    side = Side("demo.one", "nptl", {})
    assert answer(evidence.Measured("g", side, "gap", least=1e6), run).holds is True
    assert answer(evidence.Measured("g", side, "gap", most=1e6), run).holds is False
    assert answer(evidence.Measured("g", side, "gap"), run).text == "g: 2.00\N{NO-BREAK SPACE}ms"
    assert answer(evidence.Measured("g", side, "other"), run).holds is None


def test_an_unsafe_number_answers_nothing(tmp_path):
    lines = rounds("nptl", 300.0, {"gap": {"value": 2e6, "unit": "ns"}})
    for line in lines:
        line["unsafe"] = ["mutex.excludes"]
    side = Side("demo.one", "nptl", {})
    run = timed(tmp_path, *lines, *rounds("green", 100.0))
    for kind in (evidence.Measured("g", side, "gap", least=1e6),
                 evidence.Ratio("r", side, Side("demo.one", "green", {}), least=2)):
        found = answer(kind, run)
        assert found.holds is None and found.text.endswith(": unsafe, mutex.excludes")


NUMBER = evidence.Answer(True, "", decides=False)  # beside the rest
YES, NO, SOME, NOBODY = (evidence.Answer(True, ""), evidence.Answer(False, ""),
                         evidence.Answer(False, "", True), evidence.Answer(None, ""))


@pytest.mark.parametrize("answers, claim, refutes", [
    ([YES, YES], scoring.HOLDS, scoring.REFUTED), ([NO], scoring.REFUTED, scoring.PARTLY),
    ([YES, NO], scoring.PARTLY, scoring.PARTLY), ([SOME], scoring.PARTLY, scoring.PARTLY),
    ([NUMBER, NO], scoring.REFUTED, scoring.PARTLY),
    ([YES, NOBODY], scoring.OPEN, scoring.OPEN), ([NOBODY, NO], scoring.REFUTED, scoring.PARTLY),
])
def test_verdicts(answers, claim, refutes):
    def of(refuting):
        return claims.Claim("g", "t", "s", (), refuting)

    assert scoring.verdict(of(False), answers) == claim
    assert scoring.verdict(of(True), answers) == refutes


def listed(what):
    out = subprocess.run([ROOT / "build/release/threadlab", "list", what, "--json"],
                         stdout=subprocess.PIPE, check=True).stdout
    return json.loads(out)


def test_what_the_claims_name_exists():
    """A property or benchmark that was renamed would leave its claim open for ever."""
    checks = set(listed("checks")["checks"])
    benches = listed("benches")["benches"]
    for claim in claims.CLAIMS:
        for one in claim.evidence:
            if isinstance(one, evidence.Kept):
                assert set(one.properties) <= checks, claim.text
                continue
            sides = [one.side] if isinstance(one, evidence.Measured) else [one.over, one.under]
            for side in sides:
                assert set(side.axes) <= set(benches[side.bench]["axes"]), claim.text


def test_command_line(tmp_path):
    def scorecard(*arguments):
        return subprocess.run([sys.executable, ROOT / "scripts/scorecard", *map(str, arguments)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False)

    record = tmp_path / "r.jsonl"
    timed(tmp_path, *rounds("nptl", 300.0))
    done = scorecard(record, "--out", tmp_path / "card.html")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "<table" in (tmp_path / "card.html").read_text()
    assert scorecard(record).stdout.startswith("# Claims about threads")
    for wrong in ([tmp_path / "none"], [record, "--out", tmp_path / "card.txt"]):
        done = scorecard(*wrong)
        assert done.returncode == 2 and done.stdout == "" and done.stderr
    other = synthetic.write(tmp_path / "o.jsonl", synthetic.finish(
        [synthetic.header(run="r2", host="elsewhere", benches=["demo.one"])]))
    done = scorecard(record, other)
    assert done.returncode == 2 and "2 machines" in done.stderr
