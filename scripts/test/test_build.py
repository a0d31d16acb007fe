"""The Makefile, scripts/runtests and scripts/layers, on a small tree of their own."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PHONY = re.compile(r"^\.PHONY:((?:.*\\\n)*.*)$", re.M)

FILES = {
    "harness/main.c": "int env_show(void);\nint main(void) { return env_show(); }\n",
    "harness/env.c": """#include <stdio.h>
#include "own.h"
int env_show(void);
int env_show(void)
{
    return puts(THREADLAB_REVISION "\\n" THREADLAB_CFLAGS) == EOF;
}
""",
    "harness/own.h": "",
    "harness/impl.h": "",
    "harness/bench.h": "",
    "harness/check.h": "",
    "harness/test/test_one.c": "#include <stdio.h>\nint main(void) { puts(TAP); return 0; }\n",
    "impls/a/a.c": "int a_c = 1;\n",
    "impls/a/a_x86_64.S": ".data\n.section .note.GNU-stack,\"\",@progbits\n",
    "impls/a/a_aarch64.S": ".data\n.section .note.GNU-stack,\"\",@progbits\n",
    "suites/b/b.c": "#ifndef TL_SUITE\n#error TL_SUITE\n#endif\nint b_c = 1;\n",
    "scripts/report": "", "scripts/scorecard": "", "scripts/compare": "", "scripts/track": "",
    "scripts/x.py": "",
    "results/schema/s.json": "{}",
    ".gitignore": "/build/\n",
}
COPIED = ["Makefile", "scripts/deps", "scripts/runtests", "scripts/layers",
          "scripts/install/threadlab.1", "scripts/install/threadlab.bash"]
NSOURCES = 5


class Tree:
    def __init__(self, folder):
        self.folder = folder
        for name, text in FILES.items():
            self.write(name, text)
        for name in COPIED:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def make(self, *arguments, path=None, fail=False):
        environment = {k: v for k, v in os.environ.items()
                       if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CFLAGS", "CC", "PYTHON",
                                    "THREADLAB", "V", "CONFIG")}
        if path:
            environment["PATH"] = f"{path}:{environment['PATH']}"
        done = subprocess.run(["make", *arguments], cwd=self.folder, env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        assert (done.returncode != 0) == fail, done.stdout
        return done.stdout

    def compiled(self, *arguments):
        return re.findall(r"^  (?:CC|AS) (\S+)", self.make(*arguments), re.M)

    def git(self, *arguments):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments],
                       cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def run(self):
        return subprocess.run([self.folder / "build/release/threadlab"], check=True, text=True,
                              stdout=subprocess.PIPE).stdout.splitlines()


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_help_tells_every_target():
    text = subprocess.run(["make", "-s", "help"], cwd=ROOT, text=True, check=True,
                          stdout=subprocess.PIPE).stdout
    told = set(re.findall(r"^  ([\w-]+) ", text, re.M))
    targets = PHONY.search((ROOT / "Makefile").read_text())[1].replace("\\\n", " ").split()
    assert told == set(targets) - {"FORCE"}


def test_builds_once(tree):
    assert len(tree.compiled("-j2")) == NSOURCES
    assert tree.make() == ""


def test_other_flags_rebuild_all(tree):
    tree.make("-j2")
    flags = """CFLAGS=-O1 -DX='"a b"'"""
    assert len(tree.compiled("-j2", flags)) == NSOURCES
    assert tree.compiled(flags) == []
    assert tree.run()[1].endswith("-O1 -DX='\"a b\"'")


def test_header_rebuilds_those_who_include_it(tree):
    tree.make("-j2")
    tree.write("harness/own.h", "/* other */\n")
    assert tree.compiled() == ["harness/env.c"]


def test_file_is_found_and_missed_without_an_edit(tree):
    tree.make("-j2")
    tree.write("impls/c/c.c", "int c_c = 1;\n")
    assert tree.compiled() == ["impls/c/c.c"]
    symbols = ["nm", tree.folder / "build/release/threadlab"]
    assert b" c_c\n" in subprocess.check_output(symbols)
    (tree.folder / "impls/c/c.c").unlink()
    tree.make()
    assert b" c_c\n" not in subprocess.check_output(symbols)


def test_revision_rebuilds_env_only(tree):
    tree.make("-j2")
    assert tree.run()[0] == "unknown"
    assert "DIRTY" not in (tree.folder / "build/release/revision.h").read_text()
    tree.git("init", "-q")
    tree.git("add", "-A")
    tree.git("commit", "-qm", "one")
    assert tree.compiled() == ["harness/env.c"]
    assert re.fullmatch("[0-9a-f]{40}", tree.run()[0])
    assert "DIRTY 0" in (tree.folder / "build/release/revision.h").read_text()
    tree.write("impls/a/new.c", "int new_c;\n")
    tree.make()
    assert "DIRTY 1" in (tree.folder / "build/release/revision.h").read_text()


def test_revision_of_a_repository_around_is_not_ours(tree):
    outer = tree.folder
    inner = outer / "inner"
    inner.mkdir()
    tree.git("init", "-q")
    tree.git("add", "-A")
    tree.git("commit", "-qm", "one")
    copy = Tree(inner)
    copy.make("-j2")
    assert copy.run()[0] == "unknown"


def test_missing_package_is_a_line_and_no_compiler_error(tree):
    output = tree.make("-j2", "CPPFLAGS=-nostdinc", fail=True)
    lines = [line for line in output.splitlines() if not line.startswith("make")]
    assert lines and all(re.fullmatch(r"missing: .*; run: make deps", line) for line in lines)
    assert any("hwloc" in line for line in lines) and any("libpfm4" in line for line in lines)
    assert "missing: C compiler" in tree.make("CC=nosuchcc", fail=True)


@pytest.mark.parametrize("broken", ["exit 1", "echo garbage; exit 1", "echo garbage"])
def test_broken_pkg_config(tree, broken):
    tree.write("bin/pkg-config", f"#!/bin/sh\n{broken}\n")
    (tree.folder / "bin/pkg-config").chmod(0o755)
    tree.make("-j2", path=tree.folder / "bin")
    assert tree.run()


def test_clean_and_all_at_once(tree):
    tree.make("-j2")
    assert len(tree.compiled("-j4", "clean", "all")) == NSOURCES
    assert tree.run()


def test_install_and_uninstall(tree):
    stage = tree.folder / "stage"
    tree.make("-j2", "install", f"DESTDIR={stage}", "PREFIX=/opt/x")
    names = {str(p.relative_to(stage)) for p in stage.rglob("*") if p.is_file()}
    assert names == {
        "opt/x/bin/threadlab", "opt/x/share/man/man1/threadlab.1",
        "opt/x/share/bash-completion/completions/threadlab",
        "opt/x/share/threadlab/scripts/report", "opt/x/share/threadlab/scripts/compare",
        "opt/x/share/threadlab/scripts/scorecard", "opt/x/share/threadlab/scripts/track",
        "opt/x/share/threadlab/scripts/x.py",
        "opt/x/share/threadlab/results/schema/s.json",
        "opt/x/include/threadlab/impl.h", "opt/x/include/threadlab/bench.h",
        "opt/x/include/threadlab/check.h"}
    tree.make("uninstall", f"DESTDIR={stage}", "PREFIX=/opt/x")
    assert not [p for p in stage.rglob("*") if p.is_file()]


def test_wrong_configuration_is_refused(tree):
    assert "expected release" in tree.make("CONFIG=fast", fail=True)


# ---- scripts/runtests ---------------------------------------------------------------------------

@pytest.mark.parametrize("body, counts, status", [
    ("echo 1..3; echo 'ok 1 - a'; echo 'ok 2 - b'; echo 'not ok 3 # SKIP c'", (2, 0, 1), 0),
    ("echo 1..2; echo 'ok 1 - a'; echo 'not ok 2 - b'; exit 1", (1, 1, 0), 1),
    ("echo 1..1; echo 'ok 1 - a'; echo 1..1; echo 'ok 1 - a'", (2, 0, 0), 0),
    ("echo 1..1; echo 'ok 1 - a'; echo 'ok 1 - a'", (1, 0, 0), 0),
    ("echo 1..2; echo 'ok 1 - a'; kill -SEGV $$", (1, 1, 0), 1),
    ("echo 1..2; echo 'ok 1 - a'", (1, 1, 0), 1),
    ("echo 1..1; echo 'ok 1 - a'; exit 3", (1, 1, 0), 1),
    ("exit 0", (0, 1, 0), 1),
    ("echo 1..1; echo 'ok 1 - a'; sleep 1000 &", (1, 0, 0), 0),
])
def test_runner_counts(tmp_path, body, counts, status):
    program = tmp_path / "test_x"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    done = subprocess.run([sys.executable, ROOT / "scripts/runtests", program], text=True,
                          stdout=subprocess.PIPE, timeout=30)
    assert done.stdout.splitlines()[-1] == "%d passed, %d failed, %d skipped" % counts
    assert done.returncode == status


def test_runner_skips_what_cannot_run_here(tmp_path):
    for name in ("probe", "test_x"):
        (tmp_path / name).write_text("#!/bin/sh\necho no luck\nexit 66\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run([sys.executable, ROOT / "scripts/runtests", "--probe", tmp_path / "probe",
                           tmp_path / "test_x"], text=True, stdout=subprocess.PIPE, timeout=30)
    assert "does not run on this kernel: no luck" in done.stdout
    assert done.stdout.splitlines()[-1] == "0 passed, 0 failed, 1 skipped"


# ---- scripts/layers -----------------------------------------------------------------------------

def layers(folder):
    done = subprocess.run([sys.executable, ROOT / "scripts/layers", folder], text=True,
                          stdout=subprocess.PIPE)
    return done.returncode, done.stdout


def test_layers_of_a_sound_tree(tree):
    tree.write("harness/plan.c", '#include "place.h"\n/* #include "main.h" */\n')
    tree.write("harness/place.h", "")
    tree.write("harness/place.c", "#include <hwloc.h>\n")
    tree.write("suites/b/b.c", '#include "bench.h"\n')
    tree.write("impls/a/a.c", '#include "impl.h"\n')
    assert layers(tree.folder)[0] == 0


@pytest.mark.parametrize("name, text, complaint", [
    ("harness/plan.c", "#include <hwloc.h>", "hwloc belongs to"),
    ("suites/b/b.c", "#include <hwloc.h>", "hwloc belongs to"),
    ("harness/cell.c", "#  include <perfmon/pfmlib.h>", "libpfm4 belongs to"),
    ("harness/run.c", "#include <jansson.h>", "jansson belongs to"),
    ("impls/a/place.c", "#include <hwloc.h>", "hwloc belongs to"),
    ("harness/run.c", '#include "../impls/a/a.h"', "knows no implementation"),
    ("suites/b/b.c", '#include "own.h"', "includes only"),
    ("suites/b/b.c", '#include "../../impls/a/a.h"', "includes nothing of impls/"),
    ("impls/a/a.c", '#include "bench.h"', "includes only impl.h"),
    ("harness/place.c", '#include "plan.h"', "place lies below plan"),
    ("harness/cell.c", '#include "cli.h"', "cell lies below cli"),
    ("harness/own.c", '#include "other.h"', "a ring of modules"),
    ("scripts/x.py", "import json\njson.load(open('r'))", "only threadlab_records.py"),
    ("scripts/x.py", "from json import loads", "only threadlab_records.py"),
])
def test_layers_finds(tree, name, text, complaint):
    tree.write("impls/a/a.h", "")
    tree.write("harness/plan.h", "")
    tree.write("harness/cli.h", "")
    tree.write("harness/other.h", '#include "own.h"\n' if "own.c" in name else "")
    assert layers(tree.folder)[0] == 0
    tree.write(name, text + "\n")
    status, output = layers(tree.folder)
    assert status == 1
    assert complaint in output and output.startswith(name.split("own.c")[0])
