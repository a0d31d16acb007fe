"""An index over the store of the history: one SQLite file that can be thrown away at any time.

It saves decompressing and checking every entry to answer a question. The store is the truth: where
the index is missing, damaged, of another layout, or was made from other files than are there now,
it is made again.
"""

import collections
import contextlib
import os
import sqlite3
import statistics
import tempfile

import history_store

LAYOUT = 1  # raised when the columns change

COLUMNS = (
    "machine", "host", "cpu", "run", "started", "key", "bench", "impl", "bench_version", "ratio",
    "low", "high", "n", "base_ns", "head_ns", "base_sha256", "base_revision", "base_dirty",
    "head_sha256", "head_revision", "head_dirty", "trusted", "verdict", "partial",
)
Row = collections.namedtuple("Row", COLUMNS)  # base_ns, head_ns: medians over the processes


def _row(entry):
    base, head, ratio = entry["base"], entry["head"], entry["ratio"]
    return Row(**{name: entry[name] for name in COLUMNS if name in entry} | {
        "ratio": ratio["value"], "low": ratio["low"], "high": ratio["high"],
        "base_ns": statistics.median(entry["base_ns"]),
        "head_ns": statistics.median(entry["head_ns"]),
        **{f"base_{name}": base[name] for name in ("sha256", "revision", "dirty")},
        **{f"head_{name}": head[name] for name in ("sha256", "revision", "dirty")},
    })


def _state(store):
    """What the index has to be of: (name, size, time of the last change) of each file."""
    found = []
    for path in store.paths():
        status = path.stat()
        found.append((path.name, status.st_size, status.st_mtime_ns))
    return found


def _build(store):
    """An index in memory; the caller holds the lock."""
    complaints = []
    index = sqlite3.connect(":memory:")
    index.execute(f"PRAGMA user_version = {LAYOUT}")
    index.execute("CREATE TABLE files (name TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER)")
    index.execute("CREATE TABLE complaints (text TEXT)")
    index.execute(f"CREATE TABLE entries ({', '.join(COLUMNS)}, PRIMARY KEY (machine, run, key))")
    index.execute("CREATE INDEX series ON entries (machine, key, started)")
    index.executemany("INSERT INTO files VALUES (?, ?, ?)", _state(store))
    marks = ", ".join("?" for _ in COLUMNS)
    for path in store.paths():
        entries = store.read(path, complaints.append)
        try:
            index.executemany(f"INSERT INTO entries VALUES ({marks})", map(_row, entries))
        except (KeyError, TypeError, ValueError, sqlite3.Error) as error:
            raise history_store.HistoryError(f"{path}: holds a malformed entry "
                                             f"({type(error).__name__}: {error})") from None
    index.executemany("INSERT INTO complaints VALUES (?)", [(text,) for text in complaints])
    index.commit()
    return index


def _query(index, store):
    """(rows in order of machine, key and time; complaints), or None where it is not of now."""
    if index.execute("PRAGMA user_version").fetchone()[0] != LAYOUT:
        return None
    if index.execute("SELECT * FROM files ORDER BY name").fetchall() != _state(store):
        return None
    if index.execute("PRAGMA quick_check").fetchone()[0] != "ok":
        return None
    found = index.execute(f"SELECT {', '.join(COLUMNS)} FROM entries "
                          "ORDER BY machine, key, started, run").fetchall()
    texts = index.execute("SELECT text FROM complaints").fetchall()
    return [Row(*row) for row in found], [text for text, in texts]


def _stored(store):
    try:
        with contextlib.closing(sqlite3.connect(f"{store.index.absolute().as_uri()}?mode=ro",
                                                uri=True)) as index:
            return _query(index, store)
    except sqlite3.DatabaseError:  # missing, damaged, or no database at all
        return None


def rebuild(store):
    """Makes the index again from the store: (rows, complaints). OSError: it could not be kept."""
    with store.locked(exclusive=False), contextlib.closing(_build(store)) as index:
        handle, name = tempfile.mkstemp(dir=store.folder, prefix=".index.")
        try:
            os.close(handle)
            with contextlib.closing(sqlite3.connect(name)) as kept:
                index.backup(kept)
            os.chmod(name, 0o644)
            os.replace(name, store.index)
        except BaseException:
            os.unlink(name)
            raise
        return _query(index, store)


def rows(store):
    """(rows, complaints) of the whole store, by the index, which is made again if need be."""
    if not store.paths():
        return [], []
    with store.locked(exclusive=False):
        found = _stored(store)
    if found is None and os.access(store.folder, os.W_OK):
        return rebuild(store)
    if found is None:  # somebody else's store: this once, without keeping it
        with store.locked(exclusive=False), contextlib.closing(_build(store)) as index:
            return _query(index, store)
    return found
