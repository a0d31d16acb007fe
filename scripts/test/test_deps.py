"""scripts/deps on faked machines: a PATH of stubs, where a package is there once installed."""

import os
import pathlib
import shutil
import subprocess

import pytest

DEPS = pathlib.Path(__file__).resolve().parents[1] / "deps"
TOOLS = ["sh", "env", "cat", "mktemp", "rm", "tr", "awk", "cut", "sed", "touch", "make"]
LIBRARIES = ["hwloc", "pfm", "jansson", "md", "cmocka"]
COMMANDS = ["git", "pkg-config", "clang-format", "shellcheck"]
MODULES = ["matplotlib", "numpy", "scipy", "pytest", "hypothesis", "jsonschema"]

# What is there is a file in $FAKE/have. A library is asked for by -l, a module by import.
CC = """#!/bin/sh
cat >/dev/null
for word; do
    case $word in -l*) [ -e "$FAKE/have/${word#-l}" ] || exit 1 ;; esac
done
[ -e "$FAKE/have/cc" ]
"""
PYTHON = """#!/bin/sh
for module in $(echo "${2#import }" | tr , ' '); do
    [ "$module" = sys ] || [ -e "$FAKE/have/$module" ] || exit 1
done
"""
# Installs all of it, whatever the names, unless the machine is a broken one.
MANAGER = """#!/bin/sh
echo "NAME $* frontend=${DEBIAN_FRONTEND:-}" >>"$FAKE/log"
case "$*" in
*install* | *-S*) [ -e "$FAKE/broken" ] || touch $EVERYTHING ;;
esac
"""


class Machine:
    def __init__(self, folder):
        self.folder = folder
        self.bin = folder / "bin"
        self.have = folder / "have"
        self.bin.mkdir()
        self.have.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.stub("cc", CC)
        self.stub("python3", PYTHON)
        self.stub("id", "#!/bin/sh\necho 0\n")
        for command in COMMANDS:
            self.stub(command, "#!/bin/sh\n")
        for thing in ["cc", *LIBRARIES, *MODULES]:
            (self.have / thing).touch()

    def stub(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def manager(self, name):
        self.stub(name, MANAGER.replace("NAME", name))

    def lose(self, *things):
        for thing in things:
            (self.have / thing).unlink(missing_ok=True)

    def run(self, *arguments, **environment):
        everything = " ".join(str(self.have / t) for t in ["cc", *LIBRARIES, *MODULES])
        return subprocess.run(
            [str(DEPS), *arguments], text=True, timeout=60, cwd=self.folder,
            env={"PATH": str(self.bin), "FAKE": str(self.folder), "EVERYTHING": everything,
                 "THREADLAB_PYTHONS": "python3", "TMPDIR": str(self.folder),
                 "THREADLAB_PACMAN_SYNC": str(self.folder / "sync"), **environment},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    @property
    def log(self):
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_nothing_to_do_calls_nobody(machine):
    machine.manager("apt-get")
    done = machine.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to install" in done.stdout
    assert machine.log == []


@pytest.mark.parametrize("name, calls", [
    ("apt-get", ["apt-get update -q frontend=",
                 "apt-get install -y -q --no-install-recommends libmd-dev python3-scipy"
                 " frontend=noninteractive"]),
    ("dnf", ["dnf install -y libmd-devel python3-scipy frontend="]),
    ("pacman", ["pacman -Sy --needed --noconfirm libmd python-scipy frontend="]),
    ("zypper", ["zypper --non-interactive install --no-recommends libmd-devel python3-scipy"
                " frontend="]),
])
def test_installs_what_is_missing_and_no_more(machine, name, calls):
    machine.manager(name)
    machine.lose("md", "scipy")
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert machine.log == calls
    assert "missing: libmd" in done.stdout
    assert "Python module scipy" in done.stdout
    again = machine.run()
    assert again.returncode == 0
    assert machine.log == calls


def test_pacman_leaves_the_lists_alone_where_there_are_some(machine):
    machine.manager("pacman")
    machine.lose("md")
    (machine.folder / "sync").mkdir()
    (machine.folder / "sync" / "core.db").touch()
    assert machine.run().returncode == 0
    assert machine.log == ["pacman -S --needed --noconfirm libmd frontend="]


def test_first_manager_wins(machine):
    for name in ("zypper", "pacman", "dnf", "apt-get"):
        machine.manager(name)
    machine.lose("md")
    assert machine.run().returncode == 0
    assert {line.split()[0] for line in machine.log} == {"apt-get"}


def test_sudo_where_not_root(machine):
    machine.manager("dnf")
    machine.lose("hwloc")
    machine.stub("id", "#!/bin/sh\necho 1000\n")
    machine.stub("sudo", '#!/bin/sh\necho "sudo $*" >>"$FAKE/log"\nexec "$@"\n')
    assert machine.run().returncode == 0
    assert machine.log == ["sudo dnf install -y hwloc-devel",
                           "dnf install -y hwloc-devel frontend="]


def test_neither_root_nor_sudo(machine):
    machine.manager("dnf")
    machine.lose("hwloc")
    machine.stub("id", "#!/bin/sh\necho 1000\n")
    done = machine.run()
    assert done.returncode == 2
    assert "as root: dnf install -y hwloc-devel" in done.stderr
    assert machine.log == []


@pytest.mark.parametrize("user", [0, 1000])
def test_dry_run_runs_nothing(machine, user):
    machine.manager("apt-get")
    machine.lose("cc", "pfm", "pytest")
    machine.stub("id", f"#!/bin/sh\necho {user}\n")
    done = machine.run("--dry-run")
    assert done.returncode == 0, done.stderr
    assert machine.log == []
    assert "gcc" in done.stdout and "python3-pytest" in done.stdout


def test_failed_installation_is_told(machine):
    machine.manager("apt-get")
    machine.lose("jansson")
    (machine.folder / "broken").touch()
    done = machine.run()
    assert done.returncode == 2
    assert "missing: jansson" in done.stderr
    assert "still missing" in done.stderr


def test_failing_manager_stops(machine):
    machine.stub("dnf", "#!/bin/sh\nexit 7\n")
    machine.lose("jansson")
    assert machine.run().returncode == 7


def test_no_manager(machine):
    machine.lose("jansson")
    done = machine.run()
    assert done.returncode == 2
    assert "no apt-get, dnf, pacman or zypper" in done.stderr


def test_check_has_one_line_for_each(machine):
    machine.manager("apt-get")
    machine.lose("hwloc", "pfm", "cmocka", "pytest")
    done = machine.run("--check", "build")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "missing: hwloc (hwloc.h) - package libhwloc-dev; run: make deps",
        "missing: libpfm4 (perfmon/pfmlib.h) - package libpfm4-dev; run: make deps"]
    assert machine.log == []
    both = machine.run("--check", "build", "test")
    assert len(both.stderr.splitlines()) == 4


@pytest.mark.parametrize("group, module", [
    ("report", "scipy"), ("test", "scipy"), ("test", "hypothesis")])
def test_check_names_a_missing_module(machine, group, module):
    machine.manager("apt-get")
    machine.lose(module)
    done = machine.run("--check", group)
    assert (done.returncode, done.stderr) == (
        1, f"missing: Python module {module} - package python3-{module}; run: make deps\n")


def test_check_of_flags_that_break_the_compiler(machine):
    done = machine.run("--check", "build", LDFLAGS="-lnosuch")
    assert done.returncode == 1
    assert "`cc  -lnosuch` nothing can be built" in done.stderr


def test_check_is_silent_when_all_is_there(machine):
    done = machine.run("--check", "build", "report", "test", "lint", "asan", "tsan")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_python_is_the_first_with_matplotlib(machine):
    machine.stub("bare", '#!/bin/sh\n[ "$2" = "import sys" ]\n')
    done = machine.run("--python", THREADLAB_PYTHONS="bare absent python3")
    assert done.stdout == "python3\n"
    machine.lose("hypothesis")  # one that can draw the report goes before one with less
    machine.stub("plots", '#!/bin/sh\n[ "$2" = "import matplotlib" ] || [ "$2" = "import sys" ]\n')
    assert machine.run("--python", THREADLAB_PYTHONS="plots python3").stdout == "python3\n"
    machine.lose("scipy")  # one that has matplotlib only is better than none
    assert machine.run("--python", THREADLAB_PYTHONS="bare python3").stdout == "python3\n"
    machine.lose("matplotlib")
    assert machine.run("--python", THREADLAB_PYTHONS="bare python3").stdout == "bare\n"
    assert machine.run("--python", THREADLAB_PYTHONS="absent").stdout == ""
    assert machine.run("--python", PYTHON="mine").stdout == "mine\n"


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--check"], ["--check", "nonsense"],
                                       ["--dry-run", "more"]])
def test_bad_arguments(machine, arguments):
    machine.manager("apt-get")
    machine.lose("md")
    done = machine.run(*arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert machine.log == []


def test_leaves_no_file_behind(machine):
    before = sorted(os.listdir(machine.folder))
    machine.run("--check", "build")
    assert sorted(os.listdir(machine.folder)) == before
