"""`run --counts callgrind`: with a valgrind that is a stub, and with the real one where there is
one."""

import os
import shutil
import sys

import driver
import pytest
from driver import threadlab

YIELD = ("--impl", "green", "--bench", "switch.yield", "--set", "threads=2", "--set",
         "recycle=stack", "--set", "tls=errno", "--no-checks", "--seed", "1")
# Executes the program, and says of call number i that it had 5000 i instructions in its window.
STUB = """#!{python}
import os, pathlib, sys
options = [word for word in sys.argv[1:] if word.startswith("--") and word != "--cell-process"]
program = sys.argv[1 + len(options):]
assert "--tool=callgrind" in options, sys.argv
out = next(o.split("=", 1)[1] for o in options if o.startswith("--callgrind-out-file="))
calls = pathlib.Path(__file__).with_name("calls")
calls.write_text(calls.read_text() + "+" if calls.exists() else "+")
if not {silent}:
    total = 5000 * len(calls.read_text())
    pathlib.Path(out + ".1").write_text(f"events: Ir\\ntotals: {{total}}\\n")
pathlib.Path(out).write_text("totals: 1\\n")
os.execv(program[0], program)
"""


def stub(folder, silent=False):
    """An environment in which `valgrind` is the stub."""
    (folder / "bin").mkdir()
    (folder / "tmp").mkdir()
    program = folder / "bin/valgrind"
    program.write_text(STUB.format(python=sys.executable, silent=silent))
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "TMPDIR": str(folder / "tmp")}


def test_an_op_is_the_difference_of_two_windows(tmp_path):
    out = tmp_path / "r.jsonl"
    done = threadlab("run", "--counts", "callgrind", *YIELD, "--ops", "100", "--out", out,
                     env=stub(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "50.000" in done.stdout and "ns" not in done.stdout.split("instructions per op")[0]
    header = driver.lines(out)[0]
    assert header["counts"] == "callgrind" and header["rounds"] == 1
    assert [e["event"] for e in header["events"]] == ["instructions:u"]
    (sample,) = driver.samples(out)
    (counter,) = sample["counters"]
    assert counter["value"] == 10000 and counter["base_value"] == 5000
    assert counter["ops"] - counter["base_ops"] == 100
    assert list((tmp_path / "tmp").iterdir()) == []


def test_no_window_is_no_count_and_not_0(tmp_path):
    out = tmp_path / "r.jsonl"
    done = threadlab("run", "--counts", "callgrind", *YIELD, "--out", out,
                     env=stub(tmp_path, silent=True))
    assert done.returncode == 0 and "callgrind saw no window" in done.stdout
    (counter,) = driver.samples(out)[0]["counters"]
    assert counter["value"] is None and counter["reason"] == "callgrind saw no window in this cell"


def test_without_valgrind_one_line(tmp_path):
    said = driver.one_clear_line(threadlab("run", "--counts", "callgrind", *YIELD, "--out",
                                           tmp_path / "r", env={"PATH": str(tmp_path)}))
    assert "valgrind is not installed: `make deps-lab`" in said and not (tmp_path / "r").exists()


@pytest.mark.parametrize(("args", "words"), [
    (["run", "--counts", "perf"], "expected events or callgrind"),
    (["run", "--counts", "callgrind", "--events", "cycles:u"], "counts instructions in user mode"),
    (["check", "--counts", "callgrind"], "belongs to the verb run"),
])
def test_options(args, words):
    assert words in driver.one_clear_line(threadlab(*args))


@pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed")
def test_counts_repeat(tmp_path):
    found = []
    for name in "ab":
        out = tmp_path / name
        done = threadlab("run", "--counts", "callgrind", *YIELD, "--ops", "50", "--out", out,
                         timeout=600)
        assert done.returncode == 0, done.stderr
        (counter,) = driver.samples(out)[0]["counters"]
        found.append((counter["value"], counter["base_value"], counter["ops"]))
    per_op = (found[0][0] - found[0][1]) / 50
    assert found[0] == found[1] and 20 < per_op < 500 and per_op == int(per_op)
