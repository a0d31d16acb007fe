"""The one reader of threadlab records.

A record is a file of JSON Lines that `threadlab run` writes (results/README.md explains it, and
results/schema/threadlab-1.schema.json defines it). Everything that reads results does it with:

    for run in threadlab_records.read([path, ...]):
        run.header, run.checks, run.samples, run.comparison, run.end, run.warnings

read() accepts what happens to files in practice: plain or gzip, several runs joined by `cat`,
a last line that was cut off, the same file given twice, a damaged sample: what had to be left out
is told in run.warnings, and run.partial is not None. What it cannot make sense of is a RecordError,
whose text is one line that names the file and the line. Unknown fields are kept and
ignored; another schema name or an unknown major version is refused.

The rules come from the schema file itself (see Schema below), so there is no second list of the
fields here.
"""

import json
import math
import pathlib
import re
import zlib

NAME = "threadlab"
MAJOR = 1
STATUSES = ("ok", "unsupported", "invalid", "failed", "crashed", "timeout")

_ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMA_PATH = _ROOT / "results" / "schema" / "threadlab-1.schema.json"


class RecordError(Exception):
    """One line: which file, which line of it, and what is wrong."""

    def __init__(self, text):
        super().__init__(_one_line(text))


def per_op(sample, event):
    """How many of the event one op is, or None. Exact: where two passes were counted (`--ops`), the
    difference of both, without what a window costs whatever its size; a count that was scaled for
    multiplexing is none."""
    for counter in sample["counters"]:
        if counter["event"] != event or counter["value"] is None or not counter["ops"] or \
                counter["running_ns"] != counter["enabled_ns"]:
            continue
        base, ops = counter.get("base_value"), counter.get("base_ops")
        if base is None or ops >= counter["ops"]:
            return counter["value"] / counter["ops"]
        return (counter["value"] - base) / (counter["ops"] - ops)
    return None


def no_times(header):
    """Why the times of a run are those of no machine and stand beside no others, or None."""
    if header.get("emulated"):
        return f"emulated ({header['emulated']})"
    if header.get("counts", "events") != "events":
        return f"counted by {header['counts']}, in windows as short as that takes"
    return None


class Schema:
    """Checks a value against the part of JSON Schema (draft 2020-12) that our schema uses.

    Compiles the schema once to a tree of closures: some ten times faster than the jsonschema
    package, and records are read on machines that do not have it. An unknown keyword is an error,
    never ignored; the tests compare the answers with those of jsonschema.
    """

    ANNOTATIONS = {"$schema", "$id", "$defs", "title", "description"}

    def __init__(self, document):
        self._defs = document.get("$defs", {})
        self._compiled = {}
        self._check = self._compile(document)

    def error(self, value):
        """None, or one line that says what is wrong and where."""
        found = self._check(value)
        if found is None:
            return None
        path, message = found
        return f"{_short('.'.join(path), 80)}: {message}" if path else message

    # Each check takes a value and returns None or ([path], message).

    def _compile(self, schema):
        known = {
            "$ref", "type", "enum", "const", "minimum", "maximum", "minLength", "pattern",
            "required", "properties", "additionalProperties", "propertyNames", "items",
            "prefixItems", "minItems", "maxItems", "allOf", "if", "then", "else",
        }
        unknown = set(schema) - known - self.ANNOTATIONS
        if unknown:
            raise ValueError(f"keyword not implemented: {sorted(unknown)}")
        checks = []
        if "$ref" in schema:
            checks.append(self._reference(schema["$ref"]))
        if "type" in schema:
            checks.append(_check_type(schema["type"]))
        if "enum" in schema:
            checks.append(_check_enum(schema["enum"]))
        if "const" in schema:
            checks.append(_check_enum([schema["const"]]))
        if "minimum" in schema or "maximum" in schema:
            checks.append(_check_bounds(schema.get("minimum"), schema.get("maximum")))
        if "minLength" in schema or "pattern" in schema:
            checks.append(_check_text(schema.get("minLength", 0), schema.get("pattern", "")))
        if "required" in schema:
            checks.append(_check_required(schema["required"]))
        if {"properties", "additionalProperties", "propertyNames"} & set(schema):
            checks.append(self._properties(schema))
        if {"items", "prefixItems", "minItems", "maxItems"} & set(schema):
            checks.append(self._items(schema))
        checks.extend(self._compile(part) for part in schema.get("allOf", []))
        if "if" in schema:
            checks.append(self._conditional(schema))
        if len(checks) == 1:
            return checks[0]

        def check(value):
            for one in checks:
                found = one(value)
                if found is not None:
                    return found
            return None

        return check

    def _reference(self, target):
        name = target.removeprefix("#/$defs/")
        if name not in self._compiled:
            self._compiled[name] = self._compile(self._defs[name])
        return self._compiled[name]

    def _properties(self, schema):
        named = {key: self._compile(part) for key, part in schema.get("properties", {}).items()}
        other = schema.get("additionalProperties")
        other = None if other is None else self._compile(other)
        names = schema.get("propertyNames")
        names = None if names is None else self._compile(names)

        def check(value):
            if not isinstance(value, dict):
                return None
            for key, member in value.items():
                if names is not None and names(key) is not None:
                    return [key], "no such name is allowed here"
                one = named.get(key, other)
                found = None if one is None else one(member)
                if found is not None:
                    return [key, *found[0]], found[1]
            return None

        return check

    def _items(self, schema):
        prefix = [self._compile(part) for part in schema.get("prefixItems", [])]
        rest = self._compile(schema["items"]) if "items" in schema else None
        fewest, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)

        def check(value):
            if not isinstance(value, list):
                return None
            if not fewest <= len(value) <= most:
                return [], f"has {len(value)} items"
            for at, member in enumerate(value):
                one = prefix[at] if at < len(prefix) else rest
                found = None if one is None else one(member)
                if found is not None:
                    return [str(at), *found[0]], found[1]
            return None

        return check

    def _conditional(self, schema):
        condition = self._compile(schema["if"])
        then = self._compile(schema.get("then", {}))
        otherwise = self._compile(schema.get("else", {}))
        return lambda value: (then if condition(value) is None else otherwise)(value)


def _is_type(value, name):
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    kinds = {"object": dict, "array": list, "string": str, "number": (int, float),
             "null": type(None), "boolean": bool}
    return isinstance(value, kinds[name])


def _check_type(names):
    names = [names] if isinstance(names, str) else names
    wanted = " or ".join(names)

    def check(value):
        if any(_is_type(value, name) for name in names):
            return None
        return [], f"{_shown(value)} is not of type {wanted}"

    return check


def _check_enum(allowed):
    def check(value):
        for one in allowed:
            # Python holds True == 1, JSON does not.
            if value == one and isinstance(value, bool) == isinstance(one, bool):
                return None
        return [], f"{_shown(value)} is not one of {', '.join(map(str, allowed))}"

    return check


def _check_bounds(least, most):
    def check(value):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        if (least is not None and value < least) or (most is not None and value > most):
            return [], f"{_shown(value)} is out of range"
        return None

    return check


def _check_text(shortest, pattern):
    # A pattern of JSON Schema ends at the end; Python's `$` also matches before a last newline.
    match = re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern).search

    def check(value):
        if not isinstance(value, str) or (len(value) >= shortest and match(value)):
            return None
        return [], f"{_shown(value)} is empty or malformed"

    return check


def _check_required(names):
    def check(value):
        if isinstance(value, dict):
            for name in names:
                if name not in value:
                    return [], f"`{name}` is missing"
        return None

    return check


def _shown(value, most=40):
    try:
        text = json.dumps(value) if not isinstance(value, float) else repr(value)
    except RecursionError:
        return "a value nested too deeply to be shown"
    return _short(text, most)


def _short(text, most):
    return text if len(text) <= most else text[:most - 3] + "..."


def _one_line(text):
    """Names within a record may hold anything: what cannot be printed is escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


_schema = None


def schema():
    """The compiled schema; read once."""
    global _schema
    if _schema is None:
        try:
            _schema = Schema(json.loads(SCHEMA_PATH.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RecordError(f"{SCHEMA_PATH}: cannot use the schema: {error}") from None
    return _schema


class Run:
    """One run. Invariant: no two samples have the same (key, round)."""

    def __init__(self, header, source):
        self.header = header
        self.sources = [source]
        self.samples = []  # sorted by round and position
        self.checks = []  # in the order of the record; one for each key
        self.resumes = []
        self.comparison = None  # the line of what compared this run (as head) with another
        self.end = None  # None: the record is partial
        self.warnings = []
        self._seen = {}
        self._verdicts = {}  # all that was found of each key
        self._ends = []

    @property
    def id(self):
        return self.header["run"]

    @property
    def host(self):
        return self.header["host"]

    @property
    def partial(self):
        """None, or one line: why something of what was planned is not here."""
        planned, got = self.header["planned"]["records"], len(self.samples)
        share = f"{got} of {planned} planned records"
        if not planned:
            share = f"{len(self.checks)} checks"
        if self.end is None:
            return f"the run has not ended, or was killed: {share}"
        if not self.end["complete"]:
            return _one_line(f"{self.end['reason']}: {share}")
        if got != self.end["records"]:
            return f"the record lost lines: {got} of {self.end['records']} records"
        return None

    def by_status(self):
        counts = dict.fromkeys(STATUSES, 0)
        for sample in self.samples:
            counts[sample["status"]] += 1
        return counts

    def harness_share(self):
        """The part of the wall time outside timed windows, or None where it is not known."""
        return None if self.end is None else self.end["harness_share"]

    def _add(self, line, where):
        kind = line["type"]
        if kind == "run":
            if line != self.header:
                raise RecordError(f"{where}: another run with the same id {_shown(self.id, 80)}")
            self._warn_once("given more than once: what is the same was counted once")
        elif kind == "sample":
            key = (line["key"], line["round"])
            known = self._seen.get(key)
            if known is None:
                self._seen[key] = line
                self.samples.append(line)
            elif known == line:
                self._warn_once("given more than once: what is the same was counted once")
            else:
                raise RecordError(
                    f"{where}: a second, different record of {_shown(line['key'], 120)} "
                    f"in round {line['round']:g}"
                )
        elif kind == "check":
            # A resumed run checks again: what it found last is what its numbers rest on.
            known = self._verdicts.setdefault(line["key"], [])
            if line in known:
                self._warn_once("given more than once: what is the same was counted once")
            else:
                known.append(line)
        elif kind == "comparison":
            if self.comparison is not None and self.comparison != line:
                raise RecordError(f"{where}: a second, different comparison of run `{self.id}`")
            self.comparison = line
        elif kind == "resume":
            if line not in self.resumes:
                self.resumes.append(line)
                self._ends.clear()
        elif line not in self._ends:
            self._ends.append(line)

    def _finish(self):
        self.samples.sort(key=lambda s: (s["round"], s["position"], s["key"]))
        self.checks = [found[-1] for found in self._verdicts.values()]
        complete = [end for end in self._ends if end["complete"]]
        self.end = (complete or self._ends or [None])[-1]

    def _warn_once(self, text):
        if text not in self.warnings:
            self.warnings.append(text)


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")


def _finite(text):
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is too large")
    return value


_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)

# Where a line begins that was written after one that was cut off (`cat` of a partial file and
# another, or a run that went on after a crash).
_LINE_START = re.compile(rb'\{"type":\s?"(?:run|check|sample|resume|end|comparison)"')


def _parse(raw):
    """(value, None), or (None, one line that says why it is not JSON)."""
    try:
        return _decoder.decode(raw.decode()), None
    except UnicodeError:
        return None, "not UTF-8"
    except json.JSONDecodeError as error:
        return None, f"{error.msg} at column {error.colno}"
    except RecursionError:
        return None, "nested too deeply"
    except ValueError as error:
        return None, str(error).splitlines()[0]


def _parse_joined(raw):
    """What _parse says of each line that a missing newline has joined in this one."""
    whole = _parse(raw)
    starts = [m.start() for m in _LINE_START.finditer(raw) if m.start() > 0]
    if whole[1] is None or not starts:
        return [whole]
    cuts = [0, *starts, len(raw)]
    return [_parse(raw[low:high]) for low, high in zip(cuts, cuts[1:])]


def parse_line(raw):
    """One line that `threadlab serve` wrote, as bytes. Raises RecordError where it is no object."""
    value, wrong = _parse(raw)
    if wrong is None and not isinstance(value, dict):
        wrong = "no object"
    if wrong is not None:
        raise RecordError(f"not a line of a record ({wrong}): {raw.strip()[:80]!r}")
    return value


def _load(path):
    """(the bytes, None), or (what could be read, a warning)."""
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise RecordError(f"{str(path)!r}: {error}") from None
    if data[:2] != b"\x1f\x8b":
        return data, None
    # By hand instead of gzip.decompress(): what a cut file still holds is kept.
    whole, rest = bytearray(), data
    while rest[:2] == b"\x1f\x8b":
        stream = zlib.decompressobj(wbits=31)
        try:
            whole += stream.decompress(rest)
        except zlib.error as error:  # of this stream nothing is certain any more
            return bytes(whole), f"damaged gzip left out: {error}"
        if not stream.eof:
            return bytes(whole), "the gzip file was cut off"
        rest = stream.unused_data.lstrip(b"\0")  # padding
    if rest:
        return bytes(whole), "what follows the gzip data is not gzip; left out"
    return bytes(whole), None


def _lines(path, warn):
    """Yields (line number, value) of each line that is a JSON object."""
    data, trouble = _load(path)
    if trouble is not None:
        warn(trouble)
    if not data.strip(b"\0\r\n\t "):
        raise RecordError(f"{path}: " + ("empty" if trouble is None else f"no data: {trouble}"))
    torn_end = not data.endswith(b"\n")
    lines = data.split(b"\n")
    last = len(lines) if torn_end else len(lines) - 1
    first = True
    for number, raw in enumerate(lines, 1):
        raw = raw.strip(b"\0\r\t ")
        if not raw:
            continue
        *before, (value, wrong) = _parse_joined(raw)
        for early, cut in before:
            if cut is not None:
                warn(f"line {number}: a line that was cut off stands before another; left out")
                continue
            first = False
            yield number, _checked(early, path, number)
        if wrong is not None:
            if first and number == last and torn_end and _LINE_START.match(raw):
                raise RecordError(f"{path}: cut off within the first line: nothing to read")
            if first:
                raise RecordError(f"{path}:{number}: not a threadlab record: {wrong}")
            if number == last and torn_end:
                warn(f"line {number}: the last line was cut off; left out")
            else:
                warn(f"line {number}: damaged ({wrong}); left out")
            continue
        first = False
        yield number, _checked(value, path, number)


def _checked(value, path, number):
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise RecordError(f"{path}:{number}: not a threadlab record: JSON, but no line of one")
    return value


def _check_header(line, where):
    """Name and major version first: of another version nothing else can be asked."""
    described = line.get("schema")
    if not isinstance(described, dict) or described.get("name") != NAME:
        raise RecordError(f"{where}: not a threadlab record: its schema has another name")
    major = described.get("major")
    if major != MAJOR or isinstance(major, bool):
        raise RecordError(f"{where}: schema version {_shown(major)}, this reader knows {MAJOR}")


def _read_file(path, runs):
    warnings, malformed, strays, here = [], [], {}, []
    for number, line in _lines(path, warnings.append):
        where = f"{path}:{number}"
        kind = line["type"]
        if kind == "run":
            _check_header(line, where)
        elif not runs:
            raise RecordError(f"{where}: not a threadlab record: it does not begin with `run`")
        if kind not in ("run", "check", "sample", "resume", "end", "comparison"):
            warnings.append(f"line {number}: unknown type {_shown(kind)}; ignored")
            continue
        wrong = schema().error(line)
        if wrong is not None and kind in ("check", "sample"):
            malformed.append(f"line {number}: {wrong}")
            continue
        if wrong is not None:
            raise RecordError(f"{where}: {wrong}")
        name = line["run"]
        if kind == "run" and name not in runs:
            runs[name] = Run(line, str(path))
        elif name not in runs:
            strays[name] = strays.get(name, 0) + 1
            continue
        else:
            runs[name]._add(line, where)
        if runs[name] not in here:
            here.append(runs[name])
            if str(path) not in runs[name].sources:
                runs[name].sources.append(str(path))
    if malformed:
        warnings.append(f"{len(malformed)} malformed records left out, first {malformed[0]}")
    for name, count in strays.items():
        warnings.append(f"{count} lines of run {_shown(name)}, whose header is missing; left out")
    for run in here or runs.values():  # of a file of which nothing is kept, all have to tell
        run.warnings.extend(_one_line(f"{pathlib.Path(path).name}: {w}") for w in warnings)


def read(paths):
    """Reads one or more files; returns the list of runs, in the order of their headers."""
    if isinstance(paths, (str, bytes)) or hasattr(paths, "__fspath__"):
        paths = [paths]
    runs = {}
    for path in paths:
        _read_file(path, runs)
    for run in runs.values():
        run._finish()
    if not runs:
        raise RecordError("no record was given")
    return list(runs.values())
