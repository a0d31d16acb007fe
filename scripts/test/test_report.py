"""The report: what it shows, that it is well-formed, and that no record makes it fail."""

import html.parser
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree

import pytest
import synthetic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_records import changed

import drawing
import plots
import report_content
import report_render
import summary
import threadlab_records

REPORT = pathlib.Path(__file__).resolve().parent.parent / "report"
TWO = {name: synthetic.IMPLS[name] for name in ("nptl", "green")}


def command(*arguments, **options):
    return subprocess.run([sys.executable, REPORT, *map(str, arguments)], capture_output=True,
                          text=True, timeout=120, check=False, **options)


def as_run(lines, path):
    return threadlab_records.read(synthetic.write(path, lines))[0]


class Page(html.parser.HTMLParser):
    """Checks that tags nest, and collects ids, references and text."""

    VOID = {"meta", "br", "path", "use", "rect"}

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.references, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attributes)

    def handle_startendtag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "xlink:href"):
                self.references.append(value)
            for target in re.findall(r"url\((#[^)]*)\)", value or ""):
                self.references.append(target)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def check_page(text):
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    for reference in page.references:
        if reference.startswith("#"):
            assert reference[1:] in page.ids
    assert "<script" not in text and "@import" not in text
    assert not re.search(r'(src|href)="(https?:)?//', text)
    for svg in re.findall(r"<svg.*?</svg>", text, flags=re.S):
        xml.etree.ElementTree.fromstring(svg)
    return page


def render(run):
    blocks = report_content.blocks(run)
    return report_render.page("t", blocks), report_render.markdown(blocks)


# ---- the command ---------------------------------------------------------------------------------


def test_the_whole_report(tmp_path):
    record = synthetic.write(tmp_path / "testhost.r1.jsonl", synthetic.full())
    done = command(record)
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "testhost" / "r1"
    assert done.stdout.strip() == str(folder / "report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert len(text) < 5e6
    page = check_page(text)
    for wanted in ("Example CPU <9000>", "What each costs", "PARTIAL"):
        assert (wanted in page.text) == (wanted != "PARTIAL")
    assert ("2 cells unsupported (green, ucontext): an M:1 thread is never on another CPU"
            in page.text)
    assert "block beats spin from cs_ns" in page.text
    assert "linearity 1.8 is outside 0.8..1.25 <noisy>" in page.text
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    pictures = re.findall(r"\(plots/(.*?)\)", markdown)
    assert sorted(pictures) == sorted(os.listdir(folder / "plots"))
    # Pictures are what a report takes its time for: as many as show something, not one a cell.
    assert 12 <= len(pictures) <= 40
    for name in pictures:
        assert (folder / "plots" / name).read_bytes().startswith(b"\x89PNG")


def test_next_to_a_record_that_has_its_own_folder(tmp_path):
    (tmp_path / "r1").mkdir()
    record = synthetic.write(tmp_path / "r1" / "testhost.r1.jsonl", synthetic.full(impls=TWO))
    assert command(record).stdout.strip() == str(tmp_path / "r1" / "report.html")
    text = (tmp_path / "r1" / "report.html").read_text(encoding="utf-8")
    assert 'href="testhost.r1.jsonl"' in text


def test_pictures_of_an_earlier_report_go_and_others_stay(tmp_path):
    record = synthetic.write(tmp_path / "a.jsonl", synthetic.full(impls=TWO))
    assert command(record, "--out", tmp_path / "o").returncode == 0
    (tmp_path / "o" / "plots" / "mine.png").write_bytes(b"x")
    lines = [line for line in synthetic.full(impls=TWO) if line.get("bench") != "floor.switch"]
    synthetic.write(record, lines[:-1])
    assert command(record, "--out", tmp_path / "o").returncode == 0
    names = os.listdir(tmp_path / "o" / "plots")
    assert "mine.png" in names and "floor.switch.png" not in names and "switch.sem.png" in names


def test_several_runs_in_one_file(tmp_path):
    lines = synthetic.full("r1", impls=TWO) + synthetic.full("r2", host="../h", impls=TWO)
    done = command(synthetic.write(tmp_path / "all.jsonl", lines), "--out", tmp_path / "o")
    assert done.returncode == 0
    assert done.stdout.split() == [str(tmp_path / "o/testhost/r1/report.html"),
                                   str(tmp_path / "o/-h/r2/report.html")]


@pytest.mark.parametrize("content", [b"", b"hello\n", b"{}\n", b"\x1f\x8bxxx", b'{"type":"run"'])
def test_bad_input_is_one_line_and_exit_2_and_writes_nothing(tmp_path, content):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    done = command(path)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == ["a.jsonl"]


def test_bad_arguments(tmp_path):
    assert command().returncode == 2
    assert command(tmp_path / "none.jsonl").returncode == 2
    record = synthetic.write(tmp_path / "a.jsonl", synthetic.full(impls=TWO))
    (tmp_path / "file").write_text("x")
    done = command(record, "--out", tmp_path / "file" / "x")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


# ---- what may be missing -------------------------------------------------------------------------


def test_partial(tmp_path):
    text, markdown = render(as_run(synthetic.full(impls=TWO)[:40], tmp_path / "a"))
    assert "PARTIAL" in check_page(text).text and "PARTIAL" in markdown
    assert "the run did not end" in text


def test_one_implementation(tmp_path):
    one = {"green": synthetic.IMPLS["green"]}
    page = check_page(render(as_run(synthetic.full(impls=one), tmp_path / "a"))[0])
    assert "to nptl" not in page.text.split("Required speed")[0]
    assert "create.join of nptl was not part of this run" in page.text


def test_nothing_ok(tmp_path):
    lines = [line for line in synthetic.full() if line.get("status", "") != "ok"]
    text, _ = render(as_run(synthetic.finish(lines[:-1]), tmp_path / "a"))
    page = check_page(text)
    assert "No cell of this benchmark is ok" in page.text and "<svg" not in text


def test_no_record_at_all(tmp_path):
    for lines in ([synthetic.header()], synthetic.finish([synthetic.header()])):
        page = check_page(render(as_run(lines, tmp_path / "a"))[0])
        assert "There is no record" in page.text


def test_a_benchmark_and_an_implementation_that_the_header_does_not_know(tmp_path):
    lines = synthetic.full(impls=TWO)
    lines[0]["benches"], lines[0]["impls"] = {}, {}
    page = check_page(render(as_run(lines, tmp_path / "a"))[0])
    assert "switch.yield" in page.text


def test_everything_is_escaped(tmp_path):
    evil = '<script>alert("&")</script>|`*'
    lines = synthetic.finish([
        synthetic.header(benches=[evil], impls={evil: (evil, evil)}),
        synthetic.sample(bench=evil, impl=evil, axes={evil: evil}, params={evil: evil},
                         distrust=[evil]),
        synthetic.sample(bench=evil, impl=evil, round_=1, status="failed", reason=evil),
    ])
    lines[0]["host"] = evil
    lines[0]["environment"] = {evil: {evil: evil}}
    text, markdown = render(as_run(lines, tmp_path / "a"))
    assert evil in check_page(text).text
    assert "<script" not in markdown.replace("\\<", "")


def test_half_a_surrogate_pair(tmp_path):
    lines = synthetic.full(impls=TWO)
    lines[0]["environment"]["kernel"]["release"] = "\ud800"
    assert command(synthetic.write(tmp_path / "a.jsonl", lines)).returncode == 0


VALIDATOR = threadlab_records.schema()


@settings(max_examples=60, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much])
@given(st.data())
def test_no_valid_record_makes_it_fail(tmp_path, data):
    lines = synthetic.full(rounds=1, impls=TWO)
    keep = data.draw(st.sampled_from(sorted({line["bench"] for line in lines[1:-1]})))
    lines = [lines[0], *(line for line in lines[1:-1] if line["bench"] == keep)]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        line = changed(lines[at], data)
        if VALIDATOR.error(line) is None and line["type"] == lines[at]["type"]:
            lines[at] = line
    path = synthetic.write(tmp_path / "a", lines)
    try:
        run = threadlab_records.read(path)[0]
    except threadlab_records.RecordError:
        return
    check_page(render(run)[0])


# ---- the choice of charts ------------------------------------------------------------------------


def cells_of(lines, bench):
    run = threadlab_records.Run(lines[0], "x")
    run.samples = [line for line in lines[1:-1] if line["bench"] == bench]
    return summary.cells(run)


@pytest.mark.parametrize("bench, wanted, count", [
    ("switch.yield", "over threads", 1),
    ("fork.threads", "over threads", 1),
    ("signal.thread", "empirical distribution of latency", 2),
    ("lock.contended", "over cs_ns", 2),
    ("floor.cacheline", "core to core", 1),
    ("switch.sem", "Ticks", 1),
    ("floor.switch", "Ticks", 1),
])
def test_the_shape_chooses_the_chart(bench, wanted, count):
    style = drawing.Style(list(synthetic.IMPLS))
    charts = plots.charts(bench, cells_of(synthetic.full(), bench), style)
    assert len(charts) == count
    for chart in charts:
        assert wanted in chart.caption and "bar" not in chart.caption


def test_a_crossover_is_found_or_said_to_be_absent():
    lines = [synthetic.header()]
    for kind, slope, fixed in (("spin", 2, 10), ("block", 1, 1000)):
        for cs in (100, 1000, 10000):
            lines.append(synthetic.sample(bench="l.c", axes={"kind": kind, "cs": cs},
                                          ns_per_op=slope * cs + fixed))
    x_name, panels = plots.crossover_panels(cells_of([*lines, None], "l.c"))
    (curves,) = panels.values()
    assert x_name == "cs"
    assert re.fullmatch(r"block beats spin from cs 99\d on \(between 100 and 1.000\)",
                        plots.crossover_text(curves, x_name))
    short = {kind: cells[:1] + cells[:0] for kind, cells in curves.items()}
    assert "no crossover can be told" in plots.crossover_text(short, x_name)
    late = {kind: cells[1:] for kind, cells in curves.items()}
    assert plots.crossover_text(late, x_name).startswith("no crossover within the sweep")


def test_each_implementation_has_its_own_look():
    names = ["nptl", "clone", "green", "ucontext", "null", "mine", "zebra"]
    style = drawing.Style(names)
    assert len({(style.colour(n), style.marker(n)) for n in names}) == len(names)
    assert drawing.Style(["zebra", "nptl"]).colour("nptl") == style.colour("nptl")
