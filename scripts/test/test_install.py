"""The man page and the completion know every verb and option of the driver's command line."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAN = ROOT / "scripts/install/threadlab.1"
COMPLETION = ROOT / "scripts/install/threadlab.bash"
CLI = (ROOT / "harness/cli.c").read_text()
OPTIONS = re.findall(r'^    \{"([a-z-]+)", (?:OPT_|\'.\')', CLI, re.M)
VERBS = ["list", "run", "compare", "serve", "check", "mutants", "threads", "cc", "c++",
         "env", "doctor"]
COMPARE = re.findall(r"^  (--[a-z-]+)", subprocess.run(
    [sys.executable, ROOT / "scripts/compare", "--help"], text=True, check=True,
    stdout=subprocess.PIPE).stdout.partition("BASE and HEAD are")[0], re.M)

STUB = """#!/bin/sh
case "$*" in
"list impls") printf 'Implementations:\\n  green M:1 x\\n  nptl 1:1 x\\n     --set a=b\\n' ;;
"list benches") printf 'Benchmarks:\\n  switch.yield x\\n      op: x\\n' ;;
esac
"""


def complete(folder, *words):
    """What bash offers for the last word. `=` is a word of its own, as in an interactive shell."""
    stub = folder / "threadlab"
    stub.write_text(STUB)
    stub.chmod(0o755)
    script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _threadlab; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", script, "bash", COMPLETION, stub, *words], text=True,
                          check=True, cwd=folder, stdout=subprocess.PIPE)
    return done.stdout.split()


def test_options_were_found():
    assert len(OPTIONS) >= 15 and "impl" in OPTIONS and "json" in OPTIONS


@pytest.mark.parametrize("option", OPTIONS)
def test_man_page_has_the_option(option):
    assert re.search(rf"^\.It Fl (. , )?-{option}\b", MAN.read_text(), re.M)


def test_man_page_has_the_options_of_compare():
    assert len(COMPARE) >= 20
    for option in COMPARE:
        assert re.search(rf"Fl [^\n]*{option[1:]}\b", MAN.read_text()), option


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff")
def test_man_page_is_without_a_warning():
    done = subprocess.run(["groff", "-mdoc", "-ww", "-z", MAN], text=True, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")


def test_verbs_complete(tmp_path):
    assert complete(tmp_path, "") == VERBS
    assert complete(tmp_path, "r") == ["run"]
    assert complete(tmp_path, "list", "e") == ["events"]


def test_options_complete(tmp_path):
    offered = {verb: set(complete(tmp_path, verb, "--")) for verb in VERBS}
    # --lab is the driver's: scripts/compare never sees it.
    assert offered.pop("compare") - {"--help", "--lab"} == set(COMPARE)
    # Those of the compilers are verb_cc.c's.
    assert offered.pop("cc") == offered.pop("c++") == {"--impl", "--show"}
    # A verb without options of its own offers these two only.
    alone = {"--help", "--version"}
    assert set.union(*offered.values()) - alone == {f"--{option}" for option in OPTIONS} - alone
    assert "--bench" in offered["run"] - offered["check"]
    assert "--junit" in offered["check"] - offered["run"]
    assert complete(tmp_path, "run", "--ru") == []
    assert complete(tmp_path, "--v") == ["--version"]


def test_names_come_from_the_driver(tmp_path):
    assert complete(tmp_path, "run", "--impl", "g") == ["green"]
    assert complete(tmp_path, "run", "--impl", "=", "g") == ["green"]
    assert complete(tmp_path, "run", "--impl", "=") == ["green", "nptl"]
    assert complete(tmp_path, "run", "--impl", "green,n") == ["green,nptl"]
    assert complete(tmp_path, "run", "--bench", "sw") == ["switch.yield"]
    assert complete(tmp_path, "run", "--preset", "f") == ["full"]
    assert "smt" in complete(tmp_path, "run", "--place", "s")
