"""The reader, on files to which happened what happens to files.

Whatever was done to a record, read() either returns runs of which each sample equals the one that
was written, and tells what is missing, or raises a RecordError of one line that names the file.
"""

import copy
import gzip
import json

import pytest
import synthetic
from hypothesis import example, given, settings
from hypothesis import strategies as st

from threadlab_records import RecordError, read

FEW, MANY = settings(max_examples=20), settings(max_examples=60)
IMPLS = {"nptl": synthetic.IMPLS["nptl"], "green": synthetic.IMPLS["green"]}


def record(run, host, seed):
    """A record with each kind of line, and with text that is not ASCII."""
    header = synthetic.header(run, host, rounds=2, seed=seed, benches=["demo.one"], impls=IMPLS)
    header["environment"]["cpu"]["model"] = "µ-Prozessor „9000“"
    lines = [header, {
        "type": "check", "run": run, "key": "a/nptl", "property": "a", "impl": "nptl", "params": {},
        "status": "failed", "reason": "größer", "signal": None, "mutant": None,
        "expected": "promised", "expected_why": None, "as_expected": False, "seed": 1,
        "wall_ns": 1}]
    for round_ in range(2):
        for position, impl in enumerate(IMPLS):
            lines.append(synthetic.sample(
                run, impl=impl, round_=round_, position=position, ns_per_op=100 + seed,
                status="ok" if position else "failed", reason=None if position else "müde"))
    lines.insert(4, {"type": "resume", "run": run, "at": "2026-11-21T05:00:00Z",
                     "records_before": 2})
    return synthetic.finish(lines)


def encoded(line):
    """As the driver writes it: text that is not ASCII as it is."""
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


RECORDS = [record("r1", "testhost", 1), record("r2", "other", 2), record("r3", "third", 3)]
ONE = [encoded(line) for line in RECORDS[0]]
RAW = b"".join(ONE)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("records") / "testhost.r1.jsonl"


def attempt(path, raw):
    """The runs, or None where it is refused: in one line that names the file."""
    path.write_bytes(raw)
    try:
        runs = read(path)
    except RecordError as error:
        assert str(error).startswith(str(path)) and str(error).isprintable()
        return None
    for run in runs:
        assert all(warning.isprintable() for warning in run.warnings)
        assert run.partial is None or run.partial.isprintable()
        keys = [(s["key"], s["round"]) for s in run.samples]
        assert len(set(keys)) == len(keys)
    return runs


def holds(runs, lines, exactly=True):
    """That the runs are what the lines say: all of it, or else a part and told to be one."""
    headers = {line["run"]: line for line in lines if line["type"] == "run"}
    assert {run.id: run.header for run in runs} == headers if exactly else all(
        headers[run.id] == run.header for run in runs)
    for run in runs:
        for kind, got in (("sample", run.samples), ("check", run.checks)):
            written = [s for s in lines if s["run"] == run.id and s["type"] == kind]
            assert all(one in written for one in got)
            missing = [one for one in written if one not in got]
            assert not missing or (not exactly and (run.partial or run.warnings))


def whole_lines(raw):
    """The values of the lines that are whole: also a last one that lacks its newline only."""
    found = []
    for piece in raw.split(b"\n"):
        try:
            found.append(json.loads(piece))
        except ValueError:
            pass
    return found


# ---- cut -----------------------------------------------------------------------------------------


@MANY
@given(st.integers(0, len(RAW)))
def test_cut_anywhere(path, at):
    kept = whole_lines(RAW[:at])
    runs = attempt(path, RAW[:at])
    if runs is None:
        assert not kept
        return
    holds(runs, kept)
    assert (runs[0].partial is None) == (at >= len(RAW) - 1)


@MANY
@given(st.integers(0, 10**6), st.booleans())
def test_cut_gzip(path, at, joined):
    data = gzip.compress(RAW, mtime=0) * (2 if joined else 1)
    at %= len(data)
    runs = attempt(path, data[:at])
    if runs is not None:
        holds(runs, RECORDS[0], exactly=False)
        assert runs[0].warnings or at == len(data) // 2  # between the two


# ---- joined --------------------------------------------------------------------------------------

PARTS = st.lists(st.tuples(st.sampled_from(range(3)), st.one_of(st.none(), st.integers(0, 20000))),
                 min_size=1, max_size=5)


@MANY
@given(PARTS)
@example([(0, len(RAW)), (0, 3), (1, None)])
@example([(0, 5), (1, None)])
@example([(0, len(RAW) - 1), (1, None)])
def test_joined_in_any_order_and_cut(path, parts):
    raw, kept = b"", []
    for which, cut in parts:
        part = b"".join(map(encoded, RECORDS[which]))
        part = part if cut is None else part[:cut % len(part)]
        raw, kept = raw + part, kept + whole_lines(part)
    runs = attempt(path, raw)
    if runs is None:
        assert not any(line["type"] == "run" for line in kept)
        return
    holds(runs, kept)
    for run in runs:
        ended = any(line["type"] == "end" and line["run"] == run.id for line in kept)
        assert (run.partial is None) == ended


@FEW
@given(st.lists(st.tuples(st.sampled_from(range(3)), st.booleans()), min_size=1, max_size=4))
def test_joined_gzip_and_several_files(path, parts):
    raws = [b"".join(map(encoded, RECORDS[which])) for which, _ in parts]
    names = []
    for at, (raw, (_, packed)) in enumerate(zip(raws, parts)):
        names.append(path.with_name(f"part{at}"))
        names[-1].write_bytes(gzip.compress(raw, mtime=0) if packed else raw)
    lines = [line for which, _ in parts for line in RECORDS[which]]
    for runs in (read(names), attempt(path, b"".join(gzip.compress(r, mtime=0) for r in raws))):
        holds(runs, lines)
        assert all(run.partial is None for run in runs)


@FEW
@given(st.data())
def test_lines_of_several_hosts_mixed(path, data):
    left, lines = [list(r) for r in RECORDS], []
    while any(left):
        lines.append(data.draw(st.sampled_from([r for r in left if r])).pop(0))
    runs = attempt(path, b"".join(map(encoded, lines)))
    holds(runs, lines)
    assert all(run.partial is None and run.warnings == [] for run in runs)


def test_one_name_for_the_runs_of_two_hosts_is_refused(path):
    other = record("r1", "other", 2)
    assert attempt(path, RAW + b"".join(map(encoded, other))) is None
    path.write_bytes(RAW)
    second = path.with_name("second")
    second.write_bytes(b"".join(map(encoded, other)))
    with pytest.raises(RecordError, match="second.*another run"):
        read([path, second])


# ---- in another order, more than once ------------------------------------------------------------


PLAIN = [encoded(line) for line in RECORDS[0] if line["type"] != "resume"]


@FEW
@given(st.permutations(PLAIN[1:]), st.lists(st.sampled_from(PLAIN), max_size=8))
def test_lines_shuffled_and_duplicated(path, shuffled, more):
    runs = attempt(path, b"".join([PLAIN[0], *shuffled, *more]))
    holds(runs, RECORDS[0])
    assert runs[0].partial is None
    assert bool(runs[0].warnings) == any(line != PLAIN[-1] for line in more)


@FEW
@given(st.permutations(ONE))
def test_all_lines_shuffled(path, shuffled):
    runs = attempt(path, b"".join(shuffled))
    assert (runs is None) == (shuffled[0] != ONE[0])
    # With a record before it, what stands before its own header is left out, and told.
    runs = attempt(path, b"".join(map(encoded, RECORDS[1])) + b"".join(shuffled))
    holds(runs, RECORDS[0] + RECORDS[1], exactly=False)
    before = shuffled.index(ONE[0])
    assert any(f"{before} lines of run" in w for w in runs[1].warnings) == (before > 0)


# ---- damaged -------------------------------------------------------------------------------------


@MANY
@given(st.lists(st.tuples(st.integers(0, len(RAW) - 1), st.integers(1, 255)), min_size=1,
                max_size=4))
def test_bytes_flipped(path, flips):
    """A digit that became another digit cannot be told; but it harms no other line."""
    raw, touched = bytearray(RAW), set()
    for at, bits in flips:
        raw[at] ^= bits
        line = RAW.count(b"\n", 0, at)
        touched |= {line, line + 1} if RAW[at:at + 1] == b"\n" else {line}
    runs = attempt(path, bytes(raw))
    if runs is None:
        return
    samples = [s for run in runs for s in run.samples]
    for at, line in enumerate(RECORDS[0]):
        if line["type"] == "sample" and at not in touched and 0 not in touched:
            assert line in samples
    assert len(samples) <= 4
    assert not any("\N{REPLACEMENT CHARACTER}" in s["key"] for s in samples)
    assert len(samples) == 4 or all(run.warnings for run in runs)


@MANY
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_byte_of_gzip_flipped(path, at, bits):
    """Here the checksum tells, so that no value can be another one."""
    data = bytearray(gzip.compress(RAW, mtime=0))
    data[at % len(data)] ^= bits
    runs = attempt(path, bytes(data))
    if runs is not None:
        holds(runs, RECORDS[0], exactly=False)
    # What another stream holds is kept, whichever comes first.
    sound = gzip.compress(b"".join(map(encoded, RECORDS[1])), mtime=0)
    runs = attempt(path, sound + bytes(data))
    holds(runs, RECORDS[0] + RECORDS[1], exactly=False)
    assert runs[0].partial is None and len(runs[0].samples) == 4
    assert len(runs) == 2 or runs[0].warnings


# ---- foreign -------------------------------------------------------------------------------------

KINDS = ["run", "check", "sample", "resume", "end", "remark", "\n", "\ud800"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.floats() | st.text(max_size=4)
    | st.sampled_from([*KINDS, "r1", "threadlab"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "run", "key", "schema", "name", "major", "a\nb"]), inner,
        max_size=4), max_leaves=6)
LINES = VALUES | st.builds(lambda kind, rest: {"type": kind, "run": "r1", **rest},
                           st.sampled_from(KINDS), st.dictionaries(st.text(max_size=3), VALUES))


def foreign(values):
    return "".join(json.dumps(value) + "\n" for value in values).encode()


@MANY
@given(st.lists(LINES, max_size=4))
def test_other_json_lines(path, values):
    assert attempt(path, foreign(values)) is None


@MANY
@given(st.lists(LINES, min_size=1, max_size=2), st.integers(1, len(ONE)))
def test_other_json_lines_within(path, values, at):
    runs = attempt(path, b"".join([*ONE[:at], foreign(values), *ONE[at:]]))
    if runs is not None:
        holds(runs, RECORDS[0])


@MANY
@given(st.binary(max_size=200))
def test_other_files(path, raw):
    for start in (b"", b"\x1f\x8b", b"\x1f\x8b\x08\0\0\0\0\0\0\0", b'{"type":"run"'):
        assert attempt(path, start + raw) is None
    runs = attempt(path, RAW + raw)
    if runs is not None:
        holds(runs, RECORDS[0])
    runs = attempt(path, gzip.compress(RAW, mtime=0) + raw)
    if runs is not None:
        holds(runs, RECORDS[0])
        assert runs[0].warnings or not raw.strip(b"\0")


# ---- other versions ------------------------------------------------------------------------------


@FEW
@given(VALUES.filter(lambda v: isinstance(v, bool) or v != 1))
def test_another_major_version_is_refused(path, major):
    header = copy.deepcopy(RECORDS[0][0])
    header["schema"]["major"] = major
    path.write_bytes(foreign([header, *RECORDS[0][1:]]))
    with pytest.raises(RecordError):
        read(path)
    if type(major) is int:
        with pytest.raises(RecordError, match="schema version"):
            read(path)


# Objects whose names are data, so that one more name is one more entry and not a field.
MAPS = {"params", "axes", "hists", "metrics", "counts", "expect", "usage", "unknown", "phases",
        "environment", "set", "benches", "impls", "by_status", "cpu", "kernel", "memory"}


def objects(value, name=None):
    """Every object within a value that has fields."""
    if isinstance(value, dict):
        if name not in MAPS:
            yield value
        for key, member in value.items():
            yield from objects(member, key)
    elif isinstance(value, list):
        for member in value:
            yield from objects(member)


def is_json(value):
    """That it can stand in a record: UTF-8, and finite."""
    return not any(bad in json.dumps(value) for bad in ("\\ud", "NaN", "Infinity"))


@MANY
@given(st.data())
def test_unknown_fields_anywhere(path, data):
    lines = copy.deepcopy(RECORDS[0])
    for line in data.draw(st.lists(st.sampled_from(lines), min_size=1, max_size=4)):
        where = data.draw(st.sampled_from(list(objects(line))))
        where["x" + data.draw(st.text(st.characters(max_codepoint=300), max_size=3))] = data.draw(
            VALUES.filter(is_json))
    lines[0]["schema"]["minor"] = data.draw(st.integers(0, 2**63))
    runs = attempt(path, b"".join(map(encoded, lines)))
    holds(runs, lines)
    assert runs[0].partial is None and runs[0].warnings == []
