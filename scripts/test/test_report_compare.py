"""The report of a comparison: what it shows, that it is well-formed, that none makes it fail."""

import math
import os
import re

import comparisons
import pytest
import synthetic
import synthetic_compare
from test_report import check_page, command

import plots_compare
import report_compare
import report_render
import threadlab_records

VERDICTS = ("slower", "faster", "equivalent", "inconclusive", "failed")
ALL = {2: 1.031, 3: 0.95, 4: 1.0, 5: 1.0, 8: 4.0}


def with_line(comparison):
    """A record of a comparison of which no sample was kept."""
    base, head = comparisons.headers()
    return [*synthetic.finish([base]), *synthetic.finish([head]), comparison]


def typical(**more):
    unsure = comparisons.pair("inconclusive", "switch.sem/nptl/cross-l3", reason="too much noise")
    return synthetic_compare.record(ALL, failed=(5,), extra=[unsure], **more)


def blocks_of(lines, path):
    runs = threadlab_records.read(synthetic.write(path, lines))
    head = next(r for r in runs if r.comparison)
    base = next((r for r in runs if r.id == head.comparison["base"]), None)
    return report_compare.blocks(head, base)


def render(lines, path):
    blocks = blocks_of(lines, path)
    return report_render.page("t", blocks), report_render.markdown(blocks)


def charts(blocks):
    for block in blocks:
        if isinstance(block, report_render.Charts):
            yield from block.items
        elif isinstance(block, report_render.Details):
            yield from charts(block.blocks)


# ---- the command ---------------------------------------------------------------------------------


def test_one_report_for_both_runs_and_the_same_each_time(tmp_path):
    record = synthetic.write(tmp_path / "c.jsonl", typical())
    done = command(record)
    folder = tmp_path / "testhost" / "r2"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [str(folder / "report.html")]
    assert os.listdir(tmp_path / "testhost") == ["r2"]
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    page = check_page(files[folder / "report.html"].decode())
    assert "my-branch against main" in page.text
    pictures = re.findall(r"\(plots/(.*?)\)", files[folder / "report.md"].decode())
    assert sorted(pictures) == sorted(os.listdir(folder / "plots"))
    assert "forest-1.png" in pictures and "pair-001-rounds.png" in pictures
    assert command(record).returncode == 0
    assert files == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_next_to_a_comparison_has_its_own_report(tmp_path):
    lines = typical() + synthetic.finish([synthetic.header("r3")])
    done = command(synthetic.write(tmp_path / "c.jsonl", lines), "--out", tmp_path / "o")
    assert done.stdout.split() == [str(tmp_path / f"o/testhost/{r}/report.html")
                                   for r in ("r2", "r3")]


# ---- what it says --------------------------------------------------------------------------------


def test_every_verdict_and_why(tmp_path):
    page, markdown = render(typical(), tmp_path / "c")
    text = check_page(page).text
    for verdict in VERDICTS:
        assert re.search(rf"\b{verdict}\b", text.split("How to read it")[0]), verdict
    assert text.index("Regression: 2 of 6 slower") < text.index("Slower, confirmed (2)")
    assert "too much noise" in text.split("All pairs")[0] and "too much noise" in markdown
    assert "+300%" in text or "+301%" in text


def test_the_worst_is_first_in_table_and_forest_plot(tmp_path):
    blocks = blocks_of(typical(), tmp_path / "c")
    table = next(b for b in blocks if isinstance(b, report_render.Table))
    assert [row[0].main for row in table.rows] == [
        "slower", "slower", "failed", "inconclusive", "faster", "equivalent"]
    assert table.rows[0][1].main.endswith("threads=8")


def test_a_fact_that_differs_stands_next_to_the_other_and_what_is_the_same_once(tmp_path):
    lines = typical()
    lines[1]["environment"]["kernel"]["release"] = "6.19.0"
    text = check_page(render(lines, tmp_path / "c")[0]).text
    assert "Of the machine's facts 1 differs" in text
    assert "6.18.0" in text and "6.19.0" in text and "fedc987" in text
    assert text.count("memory.total_bytes") == 1
    same = check_page(render(typical(), tmp_path / "d")[0]).text
    assert "All facts of the machine are the same" in same


def test_layout_missing_and_aa(tmp_path):
    page, _ = render(with_line(comparisons.typical()), tmp_path / "c")
    text = check_page(page).text
    assert "does not move" in text and "128 bytes" in text and "create.new/nptl/same-pu" in text
    assert "Base against itself in 12 pairs: 0 claims" in text
    page, _ = render(with_line({**comparisons.typical(), "aa": None}), tmp_path / "d")
    assert "Not done: what this machine shows" in check_page(page).text


def test_two_implementations_of_one_run(tmp_path):
    lines = typical()
    lines = [line for line in lines if line["run"] != "r1"]
    lines[-1] = {**lines[-1], "base": "r2", "mode": "impls"}
    text = check_page(render(lines, tmp_path / "c")[0]).text
    assert "two implementations of one build" in text and "not in this record" not in text
    lines[-1] = {**lines[-1], "base": "gone"}
    assert "The run of base is not in this record" in check_page(
        render(lines, tmp_path / "d")[0]).text


# ---- the charts ----------------------------------------------------------------------------------


def test_changed_pairs_are_drawn_and_only_fresh_rounds_counted(tmp_path):
    svgs = {stem: chart.svg(stem) for stem, chart in charts(blocks_of(typical(), tmp_path / "c"))}
    fresh, screened = synthetic_compare.CONFIRM, synthetic_compare.SCREEN
    assert f"base: main (n {fresh})" in svgs["pair-001-ecdf"]
    assert f"screening (n {screened})" in svgs["pair-001-rounds"]
    assert f"confirmation (n {fresh})" in svgs["pair-001-rounds"]
    # The failed one and the one of which no sample was kept have nothing to draw.
    assert "pair-003-ecdf" not in svgs and "pair-004-ecdf" not in svgs
    assert f"base: main (n {screened})" in svgs["pair-006-ecdf"]


def test_rounds_of_base_alone_and_the_pilot_are_not_drawn(tmp_path):
    lines = typical()
    key = lines[-1]["pairs"][0]["key"]
    twin = {**next(x for x in lines if x.get("key") == key), "round": 501}
    lines.insert(2, twin)
    runs = threadlab_records.read(synthetic.write(tmp_path / "c", lines))
    content = report_compare.Content(runs[1], runs[0])
    base, head = content.values(next(p for p in content.pairs if p["key"] == key))
    assert list(base) == list(head) == list(range(1, 49))


def test_an_extreme_pair_is_an_arrow_with_its_number():
    pairs = [comparisons.pair("slower", "a/b", width=0.01), comparisons.pair("equivalent", "c/d"),
             comparisons.pair("slower", "e/f", ratio={"value": 50, "low": 49, "high": 51})]
    chart, = plots_compare.forest(pairs, 0.95)
    low, high = chart.figure.axes[0].get_xlim()
    assert low == -high and math.log(1.04) < high < math.log(1.5)
    assert "arrows" in chart.caption and "x50" in chart.svg("f")
    plain, = plots_compare.forest(pairs[:2], 0.95)
    assert "arrows" not in plain.caption


def test_each_verdict_has_its_own_shape_and_colour():
    assert set(plots_compare.LOOKS) == set(VERDICTS)
    for at in (0, 1):
        assert len({look[at] for look in plots_compare.LOOKS.values()}) == len(VERDICTS)


# ---- none makes it fail --------------------------------------------------------------------------


@pytest.mark.parametrize("count, forests", [(0, 0), (1, 1), (100, 3)])
def test_any_number_of_pairs(tmp_path, count, forests):
    blocks = blocks_of(with_line(comparisons.many(count)), tmp_path / "c")
    assert sum(stem.startswith("forest") for stem, _ in charts(blocks)) == forests
    text = check_page(report_render.page("t", blocks)).text
    assert ("No pair was compared" in text) == (count == 0)
    assert ("24 worst of 75 are drawn" in text) == (count == 100)


def test_hostile_text_is_escaped(tmp_path):
    page, markdown = render(with_line(comparisons.hostile()), tmp_path / "c")
    assert "<b>x" not in page and "&lt;b&gt;x" in page
    assert "<b>x" not in markdown
    check_page(re.sub("[\0\x1b\x85\ud800]", "?", page))
    done = command(synthetic.write(tmp_path / "h.jsonl", with_line(comparisons.hostile())))
    assert done.returncode == 0, done.stderr


def test_nulls(tmp_path):
    none = {"value": 1.02, "low": None, "high": None}
    zero = {"value": 0, "low": 0, "high": 0}
    lines = with_line(comparisons.comparison(
        [comparisons.pair("inconclusive", "a/b", ratio=None, base_ns=1, head_ns=None, trusted=None,
                          p={"screen": None, "confirm": None}),
         comparisons.pair("inconclusive", "c/d", ratio=none),
         comparisons.pair("faster", "e/f", ratio=zero),
         comparisons.pair("slower", "g/h", layout={
             "reason": None, "moves": True,
             "paddings": [{"bytes": 64, "ratio": None, "rounds": 0}]})],
        noise=dict.fromkeys(("steal_share", "foreign_share", "psi_some_share")), settings={
            **comparisons.comparison()["settings"]}))
    text = check_page(render(lines, tmp_path / "c")[0]).text
    assert "too few rounds for an interval" in text and "steal not known" in text
