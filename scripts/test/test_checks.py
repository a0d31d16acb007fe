"""Records of checks: what the reader makes of them, and what the report says."""

import pytest
import report_checks
import report_base
import report_content
import report_render
import summary
import synthetic
import threadlab_records

ABOUT = {"group": "Mutex", "promise": "one at a time <b>", "source": "POSIX", "method": "does it",
         "meaning": "it means it", "needs": None, "concurrent": True}


def check(name="mutex.exclusion", impl="nptl", status="ok", reason=None, expected="promised",
          as_expected=True, params=None, run="r1"):
    settings = ",".join(f"{k}={v}" for k, v in (params or {}).items())
    return {"type": "check", "run": run, "key": f"{name}/{impl}/{settings}", "property": name,
            "impl": impl, "params": params or {}, "status": status,
            "reason": None if status == "ok" else reason or "it did not",
            "signal": None, "notes": None, "mutant": None, "expected": expected,
            "expected_why": None, "as_expected": as_expected, "seed": 1, "wall_ns": 1000}


def record(tmp_path, checks, samples=()):
    header = synthetic.header(benches={s["bench"] for s in samples})
    header["checks"] = {c["property"]: ABOUT for c in checks}
    if not samples:
        header["preset"] = None
    lines = synthetic.finish([header, *checks, *samples])
    return synthetic.write(tmp_path / "r.jsonl", lines)


def read_one(path):
    run, = threadlab_records.read(path)
    return run


def text_of(path):
    return report_render.markdown(report_content.blocks(read_one(path)))


def test_checks_are_read_in_order(tmp_path):
    run = read_one(record(tmp_path, [check(), check(impl="green", status="failed")]))
    assert [(c["impl"], c["status"]) for c in run.checks] == [("nptl", "ok"), ("green", "failed")]
    assert run.warnings == [] and run.partial is None


def test_a_later_check_replaces_an_earlier_one(tmp_path):
    run = read_one(record(tmp_path, [check(status="failed"), check()]))
    assert [c["status"] for c in run.checks] == ["ok"]


def test_a_malformed_check_is_left_out(tmp_path):
    bad = check(impl="green")
    del bad["status"]
    run = read_one(record(tmp_path, [check(), bad]))
    assert len(run.checks) == 1
    assert "malformed" in run.warnings[0]


@pytest.mark.parametrize("status, shown", [
    ("ok", "pass"), ("failed", "FAIL"), ("crashed", "CRASH"), ("timeout", "HANG"),
    ("unsupported", "\N{EN DASH}"), ("invalid", "invalid")])
def test_each_verdict_is_shown_by_a_word(tmp_path, status, shown):
    text = text_of(record(tmp_path, [check(status=status, reason="the reason")]))
    assert f"| {shown}" in text
    assert ("the reason" in text) == (status != "ok")


def test_the_worst_of_several_parameters_counts(tmp_path):
    checks = [check(params={"cache": "on"}), check(params={"cache": "off"}, status="crashed")]
    matrix = report_checks.Matrix(read_one(record(tmp_path, checks)), ["nptl"])
    assert matrix.worst("mutex.exclusion", "nptl")["status"] == "crashed"


def test_what_is_not_expected_stands_first(tmp_path):
    text = text_of(record(tmp_path, [check(status="failed", expected="pass", as_expected=False)]))
    assert "1 not as expected" in text
    assert text.index("1 not as expected") < text.index("properties")


def test_a_run_of_checks_alone_shows_no_benchmarks(tmp_path):
    text = text_of(record(tmp_path, [check()]))
    assert "Which promises are kept" in text
    assert "What each costs" not in text and "harness share" not in text


def test_what_the_kernel_was_asked_stands_apart(tmp_path):
    kernel = {**check("clone.flags", "-"), "notes": "flags   memory\nVM      x"}
    path = record(tmp_path, [check(), kernel])
    text = text_of(path)
    assert "The kernel, clone.flags: pass" in text and "VM      x" in text
    assert report_checks.Matrix(read_one(path), ["nptl"]).impls == ["nptl"]


def test_the_reason_of_an_expected_failure_is_given(tmp_path):
    known = {**check(status="failed", expected="fail"), "expected_why": "a known bug"}
    assert "a known bug (expected; it did not)" in text_of(record(tmp_path, [known]))


def test_text_of_a_record_is_escaped(tmp_path):
    run = read_one(record(tmp_path, [check(status="failed", reason="<script>")]))
    page = report_render.page("t", report_content.blocks(run))
    assert "<script>" not in page and "one at a time &lt;b&gt;" in page


def unsafe(sample, properties):
    return {**sample, "unsafe": properties}


def test_an_unsafe_cell_is_marked_and_not_the_fastest(tmp_path):
    fast = synthetic.sample(bench="create.join", impl="green", ns_per_op=10.0)
    slow = synthetic.sample(bench="create.join", impl="nptl", ns_per_op=100.0)
    path = record(tmp_path, [check(impl="green", status="failed")],
                  [unsafe(fast, ["mutex.exclusion"]), unsafe(slow, [])])
    run = read_one(path)
    cells = {c.impl: c for c in summary.cells(run)}
    assert cells["green"].unsafe == ["mutex.exclusion"] and cells["nptl"].unsafe == []
    assert report_base.best(list(cells.values())) is cells["nptl"]
    text = text_of(path)
    assert "10.0\N{NO-BREAK SPACE}ns!" in text
    assert "(unsafe)" in text and "rests on mutex.exclusion" in text


def test_where_nothing_was_checked_the_report_says_so(tmp_path):
    path = record(tmp_path, [], [synthetic.sample(bench="create.join")])
    assert "not checked: no number is known to be safe" in text_of(path)
