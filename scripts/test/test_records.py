"""The reader: what it accepts, what it refuses, and that it never fails in another way."""

import copy
import gzip
import json

import jsonschema
import pytest
import synthetic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import threadlab_records
from threadlab_records import RecordError, read

SETTINGS = settings(max_examples=150, deadline=None,
                    suppress_health_check=[HealthCheck.function_scoped_fixture])
SMALL = {"nptl": synthetic.IMPLS["nptl"], "green": synthetic.IMPLS["green"]}


def small(run="r1", rounds=2, **header):
    lines = [synthetic.header(run, rounds=rounds, benches=["demo.one"], impls=SMALL, **header)]
    for round_ in range(rounds):
        for position, impl in enumerate(SMALL):
            lines.append(synthetic.sample(run, impl=impl, round_=round_, position=position))
    return synthetic.finish(lines)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "testhost.r1.jsonl"


def read_text(path, text):
    path.write_text(text, encoding="utf-8")
    return read(path)


def document():
    return json.loads(threadlab_records.SCHEMA_PATH.read_text(encoding="utf-8"))


# ---- the schema ----------------------------------------------------------------------------------


def test_the_schema_is_one_and_the_generated_records_hold_to_it():
    jsonschema.Draft202012Validator.check_schema(document())
    validator = jsonschema.Draft202012Validator(document())
    for line in synthetic.full(rounds=1):
        assert list(validator.iter_errors(line)) == []


def places(value, at=()):
    """Every path within a JSON value."""
    yield at
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(
        value, list) else ()
    for key, member in members:
        yield from places(member, (*at, key))


def changed(line, data):
    """The line with one value anywhere in it replaced or removed."""
    line = copy.deepcopy(line)
    where = data.draw(st.sampled_from([p for p in places(line) if p]))
    parent = line
    for key in where[:-1]:
        parent = parent[key]
    if isinstance(parent, dict) and data.draw(st.booleans()):
        del parent[where[-1]]
    else:
        parent[where[-1]] = data.draw(st.one_of(
            st.none(), st.booleans(), st.integers(-2, 2**65),
            # jsonschema has Python's idea of `$`: before a newline at the end as well.
            st.text(max_size=3).filter(lambda text: not text.endswith("\n")),
            st.floats(allow_nan=False, allow_infinity=False), st.just([]), st.just({}),
            st.just(["x", 1]), st.just({"x": None}),
            st.sampled_from(["ok", "failed", "end", "run"]),
        ))
    return line


LINES = synthetic.full(rounds=1)
KINDS = [LINES[0], LINES[-1], *LINES[1:40],
         {"type": "resume", "run": "r1", "at": "2026-11-21T04:43:00Z", "records_before": 3}]
VALIDATOR = jsonschema.Draft202012Validator(document())


@SETTINGS
@given(st.data())
def test_our_check_of_the_schema_agrees_with_jsonschema(data):
    line = changed(data.draw(st.sampled_from(KINDS)), data)
    ours = threadlab_records.schema().error(line)
    theirs = next(VALIDATOR.iter_errors(line), None)
    assert (ours is None) == (theirs is None), (ours, theirs and theirs.message)


def test_a_keyword_that_we_do_not_know_is_an_error():
    with pytest.raises(ValueError, match="oneOf"):
        threadlab_records.Schema({"oneOf": []})


# ---- what it accepts -----------------------------------------------------------------------------


def test_a_whole_record(path):
    (run,) = read_text(path, synthetic.text(small()))
    assert (run.id, run.host, len(run.samples), run.partial, run.warnings) == (
        "r1", "testhost", 4, None, [])
    assert run.by_status()["ok"] == 4
    assert [(s["round"], s["position"]) for s in run.samples] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_unknown_fields_and_a_later_minor_version(path):
    lines = small()
    lines[0]["schema"]["minor"] = 7
    lines[0]["new"] = {"a": [1]}
    lines[1]["batches"][0]["new"] = None
    (run,) = read_text(path, synthetic.text(lines))
    assert run.partial is None


def test_an_unknown_type_of_line_is_told(path):
    lines = small()
    lines.insert(2, {"type": "remark", "text": "x"})
    (run,) = read_text(path, synthetic.text(lines))
    assert len(run.samples) == 4 and "remark" in run.warnings[0]


def test_gzip_and_cut_gzip(path):
    data = gzip.compress(synthetic.text(small(rounds=50)).encode())
    path.write_bytes(data)
    assert len(read(path)[0].samples) == 100
    path.write_bytes(data + data)  # cat of two
    assert len(read(path)[0].samples) == 100
    path.write_bytes(data[: len(data) * 3 // 4])
    (run,) = read(path)
    assert run.partial and 0 < len(run.samples) < 100 and "cut off" in " ".join(run.warnings)


def test_no_end_is_partial(path):
    (run,) = read_text(path, synthetic.text(small()[:-2]))
    assert run.partial.endswith("3 of 4 planned records")


def test_interrupted_is_partial(path):
    lines = synthetic.finish(small()[:-1], complete=False, reason="interrupted by SIGINT")
    assert read_text(path, synthetic.text(lines))[0].partial.startswith("interrupted by SIGINT")


def test_interrupted_then_resumed(path):
    whole = small()
    stopped = dict(whole[-1], complete=False, reason="interrupted by SIGINT", records=2)
    resume = {"type": "resume", "run": "r1", "at": "2026-11-21T05:00:00Z", "records_before": 2}
    lines = [*whole[:3], stopped, resume, *whole[3:]]
    (run,) = read_text(path, synthetic.text(lines))
    assert run.partial is None and len(run.resumes) == 1
    assert read_text(path, synthetic.text(lines[:-1]))[0].partial is not None
    # With what was there before the resume once more, in either order.
    for text in (lines + lines[:4], lines[:4] + lines):
        assert read_text(path, synthetic.text(text))[0].partial is None


def test_a_lost_line_is_partial(path):
    lines = small()
    del lines[2]
    assert "lost lines" in read_text(path, synthetic.text(lines))[0].partial


def test_joined_files_are_separated(path):
    text = synthetic.text(small("r1")) + synthetic.text(small("r2", host="other"))
    one, two = read_text(path, text)
    assert (one.id, two.id, two.host) == ("r1", "r2", "other")
    assert len(one.samples) == len(two.samples) == 4


def test_joined_after_a_line_that_was_cut_off(path):
    torn = synthetic.text(small("r1"))[:-300]
    one, two = read_text(path, torn + synthetic.text(small("r2")))
    assert one.partial and two.partial is None
    assert any("cut off" in warning for warning in one.warnings + two.warnings)


def test_the_same_file_twice_counts_once(path):
    text = synthetic.text(small())
    (run,) = read_text(path, text + text)
    assert len(run.samples) == 4 and "once" in run.warnings[0]
    path.write_text(text, encoding="utf-8")
    assert len(read([path, path])[0].samples) == 4


def test_damage_in_the_middle_is_told_and_kept_apart(path):
    lines = synthetic.text(small()).splitlines(keepends=True)
    lines[2] = lines[2][:50] + "\n"
    (run,) = read_text(path, "".join(lines))
    assert len(run.samples) == 3 and "damaged" in run.warnings[0] and run.partial


def test_zeroes_at_the_end_as_after_a_power_cut(path):
    path.write_bytes(synthetic.text(small()[:-1]).encode() + b"\0" * 500)
    assert len(read(path)[0].samples) == 4


def test_a_stray_sample_is_left_out_and_told(path):
    lines = small()
    lines.insert(2, synthetic.sample("r9"))
    (run,) = read_text(path, synthetic.text(lines))
    assert len(run.samples) == 4 and "r9" in run.warnings[0]


def test_what_follows_gzip_and_is_none_is_told(path):
    data = gzip.compress(synthetic.text(small("r1")).encode())
    path.write_bytes(data + b"\0" * 512)  # padding of a tape or a disk
    assert read(path)[0].warnings == []
    for rest in (b"\x1f", b"x", synthetic.text(small("r2")).encode()):
        path.write_bytes(data + rest)
        (run,) = read(path)
        assert "not gzip" in run.warnings[0] and len(run.samples) == 4


def test_damaged_gzip_is_not_called_empty(path):
    data = bytearray(gzip.compress(synthetic.text(small()).encode()))
    data[-8] ^= 1  # the checksum: which byte is wrong nobody knows
    path.write_bytes(data)
    with pytest.raises(RecordError, match="damaged"):
        read(path)
    path.write_bytes(gzip.compress(synthetic.text(small("r2")).encode()) + data)
    (run,) = read(path)
    assert run.id == "r2" and "damaged" in run.warnings[0]


def test_the_first_bytes_of_a_line_that_was_cut_off(path):
    torn = synthetic.text(small("r1")) + '{"ty'
    one, two = read_text(path, torn + synthetic.text(small("r2")))
    assert (len(one.samples), len(two.samples)) == (4, 4)
    assert any("cut off" in warning for warning in one.warnings + two.warnings)


def test_joined_where_only_the_newline_is_missing(path):
    text = synthetic.text(small("r1"))[:-1] + synthetic.text(small("r2"))
    one, two = read_text(path, text)
    assert one.partial is None and two.partial is None
    assert one.warnings == two.warnings == []


def test_what_is_not_text_is_damage(path):
    lines = synthetic.text(small()).encode().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"demo.one/nptl", b"demo.one\xffnptl")
    path.write_bytes(b"".join(lines))
    (run,) = read(path)
    assert len(run.samples) == 3 and "line 2: damaged" in run.warnings[0]


def test_a_file_of_which_nothing_is_kept_is_told(tmp_path, path):
    stray, malformed = tmp_path / "stray.jsonl", tmp_path / "malformed.jsonl"
    synthetic.write(path, small())
    synthetic.write(stray, small("r2")[1:])
    synthetic.write(malformed, [dict(small()[1], status="fine")])
    for other, wanted in ((stray, 'run "r2"'), (malformed, "malformed")):
        (run,) = read([path, other])
        assert any(other.name in w and wanted in w for w in run.warnings)


def test_the_later_verdict_of_a_resumed_run_counts_in_any_order(path):
    header, end = small()[0], small()[-1]
    before = {"type": "check", "run": "r1", "key": "a/nptl", "property": "a", "impl": "nptl",
              "params": {}, "status": "failed", "reason": "x", "signal": None, "mutant": None,
              "expected": "promised", "expected_why": None, "as_expected": False, "seed": 1,
              "wall_ns": 1}
    after = dict(before, status="ok", reason=None, as_expected=True)
    stopped = [header, before, dict(end, complete=False, reason="interrupted", records=0)]
    resume = {"type": "resume", "run": "r1", "at": "2026-11-21T05:00:00Z", "records_before": 0}
    whole = [*stopped, resume, after, *small()[1:]]
    for lines in (whole, stopped + whole, whole + stopped):
        (run,) = read_text(path, synthetic.text(lines))
        assert [c["status"] for c in run.checks] == ["ok"] and run.partial is None


# ---- what it refuses, in one line ----------------------------------------------------------------


def edit(index, change):
    lines = small()
    change(lines[index])
    return synthetic.text(lines)


@pytest.mark.parametrize("text, wanted", [
    ("", "empty"),
    ("\n\n", "empty"),
    ("hello\n", "not a threadlab record"),
    ("\x7fELF\x02\x01\0\0", "not a threadlab record"),
    ("{}\n", "not a threadlab record"),
    ("[1,2]\n", "not a threadlab record"),
    ("5 " + synthetic.text(small()), "no line of one"),
    ('{"context": {"date": "x"}, "benchmarks": []}\n', "not a threadlab record"),
    ('{\n  "type": "run"\n}\n', "not a threadlab record"),
    ("[" * 100000 + "\n", "nested too deeply"),
    ('{"type": "sample", "ns": NaN}\n', "NaN"),
    ('{"type": "run", "n": 1e999}\n', "too large"),
    ('{"type": "run", "n": ' + "9" * 5000 + "}\n", "not a threadlab record"),
    (synthetic.text(small())[:200], "cut off within the first line"),
    (synthetic.text(small()[1:]), "does not begin with `run`"),
    (edit(0, lambda h: h["schema"].update(name="else")), "another name"),
    (edit(0, lambda h: h["schema"].update(major=2)), "schema version 2, this reader knows 1"),
    (edit(0, lambda h: h["schema"].update(major=True)), "schema version true"),
    (edit(0, lambda h: h.pop("schema")), "another name"),
    (edit(0, lambda h: h.pop("clock")), "`clock` is missing"),
    (edit(0, lambda h: h.update(run="../../etc")), "run: "),
    (edit(2, lambda s: s.update(round=0, impl="nptl", key=small()[1]["key"])), "second, different"),
    (synthetic.text([*small(), *(dict(small()[1], key="a\nb", at_ns=n) for n in (1, 2))]),
     "second, different"),
    (edit(0, lambda h: h["benches"].update({"a\nb": 5})), "benches"),
    (edit(0, lambda h: h["benches"].update({"a" * 500: 5})), "benches"),
    (edit(0, lambda h: h.update(run="r1\n")), "run: "),
    (synthetic.text([*small(), dict(small()[0], seed=9)]), "another run with the same id"),
])
def test_refused(path, text, wanted):
    with pytest.raises(RecordError) as error:
        read_text(path, text)
    message = str(error.value)
    assert wanted in message and "\n" not in message and str(path) in message
    assert len(message) < 400


@pytest.mark.parametrize("change, wanted", [
    (lambda s: s["batches"][0].update(ops=0), "batches.0.ops: 0 is out of range"),
    (lambda s: s["batches"][0].update(ns="5"), "batches.0.ns"),
    (lambda s: s.update(status="fine"), 'status: "fine" is not one of'),
    (lambda s: s.update(status="failed", trusted=None), "reason"),
    (lambda s: s.update(trusted=False), "distrust: has 0 items"),
    (lambda s: s.pop("key"), "`key` is missing"),
])
def test_a_malformed_sample_is_left_out_and_told(path, change, wanted):
    (run,) = read_text(path, edit(1, change))
    assert len(run.samples) == 3 and run.partial
    assert wanted in run.warnings[0] and "line 2" in run.warnings[0]


def test_a_malformed_value_nested_as_deep_as_can_be_read(path):
    for depth in range(850, 1000):
        line = dict(small()[1], key=json.loads("[" * 500 + "]" * 500))
        text = synthetic.text([line]).replace("[" * 500 + "]" * 500, "[" * depth + "]" * depth)
        path.write_text(synthetic.text(small()) + text, encoding="utf-8")
        (run,) = read(path)
        assert len(run.samples) == 4 and run.warnings


def test_a_path_of_two_lines(tmp_path):
    with pytest.raises(RecordError) as error:
        read(tmp_path / "a\nb")
    assert "a\\nb" in str(error.value) and "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "none.jsonl", tmp_path, "a\0b"):
        with pytest.raises(RecordError):
            read(path)


# ---- never anything else -------------------------------------------------------------------------

WHOLE = synthetic.text(small(rounds=1)).encode()
ENDS = [at for at, byte in enumerate(WHOLE) if byte == ord("\n")]


def test_cut_at_any_byte(path):
    for at in range(0, len(WHOLE) + 1):
        path.write_bytes(WHOLE[:at])
        try:
            (run,) = read(path)
        except RecordError:
            assert at < ENDS[0]
        else:
            # A line is whole also when only its newline is missing.
            whole = sum(at >= end for end in ENDS)
            assert len(run.samples) == max(min(whole - 1, 2), 0)
            assert (run.partial is None) == (at >= len(WHOLE) - 1)


@SETTINGS
@given(st.data())
def test_any_bytes_changed(path, data):
    raw = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at:at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path.write_bytes(bytes(raw))
    try:
        read(path)
    except RecordError as error:
        assert "\n" not in str(error)


@SETTINGS
@given(st.binary(max_size=300))
def test_any_bytes(path, raw):
    for prefix in (b"", b"\x1f\x8b", b'{"type":"run"'):
        path.write_bytes(prefix + raw)
        with pytest.raises(RecordError):
            read(path)
