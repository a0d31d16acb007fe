"""Thresholds of a comparison by benchmark, from a small TOML file (.threadlab.toml). Pure but for
reading that file.

    [thresholds]
    default = "1%"              # slower: the whole interval lies beyond it
    equivalence = "2%"          # equivalent: the whole interval lies within it

    [[threshold]]
    match = "switch.*/green/*"  # glob over bench/impl/place/axes; * crosses a slash
    delta = "2%"
    why = "two modes on this machine"

    [[threshold]]
    match = "fork.*"
    ignore = true               # reported, never fails
    why = "the runner forks slowly at times"

The last match wins as a whole: what it does not set comes from [thresholds].
"""

import dataclasses
import decimal
import fnmatch
import os
import pathlib
import re
import sys

try:
    import tomllib
except ImportError:  # before Python 3.11: all but reading a file still works
    tomllib = None

DEFAULT_NAME = ".threadlab.toml"
DELTA, EQUIVALENCE = 0.01, 0.02  # where no file says otherwise
# Below, alignment and clock alone decide; above, it is no threshold any more.
LEAST, MOST = 0.001, 1.0

_TOP = ("thresholds", "threshold")
_DEFAULTS = ("default", "equivalence")
_ENTRY = ("match", "delta", "equivalence", "ignore", "why")
_PERCENTAGE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?%")


class ThresholdError(Exception):
    """One line: the file, what is wrong, what would be right."""


@dataclasses.dataclass(frozen=True)
class Threshold:
    delta: float  # fraction: 0.01 is 1%
    equivalence: float  # invariant: not below delta
    ignore: bool = False
    why: str | None = None


@dataclasses.dataclass(frozen=True)
class Thresholds:
    default: Threshold = Threshold(DELTA, EQUIVALENCE)
    entries: tuple = ()  # (glob, Threshold), in the order of the file
    path: str | None = None  # None: there was no file

    def of(self, key):
        for glob, threshold in reversed(self.entries):
            if fnmatch.fnmatchcase(key, glob):
                return threshold
        return self.default

    def unused(self, keys):
        """The globs that match none of the keys: most likely misspelt, or of a benchmark gone."""
        keys = list(keys)
        return [glob for glob, _ in self.entries
                if not any(fnmatch.fnmatchcase(key, glob) for key in keys)]


def load(path=None):
    """Thresholds of that file; without a path of .threadlab.toml in the current folder, if any."""
    if path is None:
        if not os.path.lexists(DEFAULT_NAME):
            return Thresholds()
        path = DEFAULT_NAME
    if tomllib is None:
        raise ThresholdError(f"{path}: reading TOML needs Python 3.11, {sys.executable} is "
                             f"{sys.version_info[0]}.{sys.version_info[1]}; set PYTHON")
    try:
        content = tomllib.loads(pathlib.Path(path).read_bytes().decode("utf-8"))
    except OSError as error:
        raise ThresholdError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ThresholdError(f"{path}: not UTF-8 at byte {error.start}; TOML is UTF-8") from None
    except (ValueError, RecursionError) as error:  # of tomllib, and a NUL in the name
        raise ThresholdError(f"{path}: not TOML: {_line(error)}") from None

    def wrong(where, what):
        raise ThresholdError(f"{path}: {where}{': ' if where else ''}{what}")

    _known(content, _TOP, "", wrong)
    table = content.get("thresholds", {})
    if not isinstance(table, dict):
        wrong("", "`thresholds` is not a table; right is [thresholds]")
    _known(table, _DEFAULTS, "[thresholds]", wrong)
    default = _bounds(table, "default", Threshold(DELTA, EQUIVALENCE), "[thresholds]", wrong)
    entries = content.get("threshold", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        wrong("", "`threshold` is not a list of tables; right is [[threshold]]")
    return Thresholds(default, tuple(_entry(entry, number, default, wrong)
                                     for number, entry in enumerate(entries, 1)), str(path))


def _entry(entry, number, default, wrong):
    where = f"[[threshold]] {number}"
    _known(entry, _ENTRY, where, wrong)
    for name, kind, right in (("match", str, 'a glob such as "switch.*/green/*"'),
                              ("why", str, "text"), ("ignore", bool, "true or false")):
        if name in entry and (not isinstance(entry[name], kind) or entry[name] == ""):
            wrong(where, f"`{name}` is {_shown(entry[name])}; right is {right}")
    if "match" not in entry:
        wrong(where, 'has no `match`; right is a glob such as "switch.*/green/*"')
    where += f" ({_line(entry['match'])})"
    if not {"delta", "equivalence", "ignore"} & set(entry):
        wrong(where, "sets nothing; right is `delta`, `equivalence` or `ignore`")
    if entry.get("ignore") and "why" not in entry:
        wrong(where, "`ignore` without a reason; add `why`")
    bounds = _bounds(entry, "delta", default, where, wrong)
    return entry["match"], dataclasses.replace(bounds, ignore=entry.get("ignore", False),
                                               why=entry.get("why"))


def _bounds(table, name, inherited, where, wrong):
    """Delta and equivalence. A new delta alone takes an equivalence of twice that along, as 1% has
    2%: were it left below delta, what lies between the two could never get a verdict."""
    delta, equivalence = inherited.delta, inherited.equivalence
    if name in table:
        delta = _fraction(table[name], name, where, wrong)
        equivalence = min(2 * delta, MOST)
    if "equivalence" in table:
        equivalence = _fraction(table["equivalence"], "equivalence", where, wrong)
        if equivalence < delta:
            wrong(where, f"equivalence {100 * equivalence:g}% is less than delta {100 * delta:g}%; "
                         "right is at least as much, or what lies between gets no verdict")
    return Threshold(delta, equivalence)


def _fraction(value, name, where, wrong):
    found = _PERCENTAGE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        wrong(where, f'`{name}` is {_shown(value)}, not a percentage; right is for example "2%"')
    # By way of decimal: 2.3 / 100 is not 0.023.
    fraction = float(decimal.Decimal(found[1]) / 100)
    if not LEAST <= fraction <= MOST:
        wrong(where, f"`{name}` is {value}; right is {100 * LEAST:g}% to {100 * MOST:g}%")
    return fraction


def _known(table, names, where, wrong):
    for name in table:
        if name not in names:
            wrong(where, f"unknown `{_line(name)}`; known are {', '.join(names)}")


def _shown(value):
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{_line(value)}"' if isinstance(value, str) else _line(value)


def _line(value):
    """One line of bounded length, whatever the file holds."""
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return text if len(text) <= 80 else text[:77] + "..."
