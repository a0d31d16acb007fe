"""The examples of CONTRIBUTING.md compile without a warning, are short, and register and run."""

import ctypes
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = re.compile(r"^<!-- file: (\S+) -->\n```c\n(.*?)^```$", re.M | re.S)
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
EXAMPLES = dict(EXAMPLE.findall(TEXT))
IMPL = "impls/solo/solo.c"
BENCH = "suites/example/echo.c"
CHECK = "suites/example/value-wide.c"
WARNINGS = "-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror".split()
COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]


class Module(ctypes.Structure):
    """struct tl_module."""

    _fields_ = [("abi", ctypes.c_uint)] + [
        (name + end, ctypes.c_void_p)
        for name in ("impls", "benches", "checks", "mutants") for end in ("", "_end")]


def build(name, folder, compiler):
    source = folder / pathlib.Path(name).name
    source.write_text(EXAMPLES[name])
    plugin = source.with_suffix(".so")
    defines = ["-DTL_SUITE"] if name.startswith("suites/") else []
    subprocess.run([compiler, "-std=gnu11", "-O2", "-D_GNU_SOURCE", *WARNINGS, *defines, "-fPIC",
                    "-shared", f"-I{ROOT / 'harness'}", "-o", plugin, source], check=True)
    return plugin


def test_there_is_one_example_of_each_kind():
    assert set(EXAMPLES) == {IMPL, BENCH, CHECK}
    assert TEXT.count("```c\n") == len(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_is_short(name):
    code = [line for line in EXAMPLES[name].splitlines()
            if line.strip() and not line.startswith("/*")]
    assert len(code) < (55 if name == CHECK else 40)  # a check comes with its mutant


@pytest.mark.skipif(not shutil.which("clang-format"), reason="no clang-format")
@pytest.mark.parametrize("name", EXAMPLES)
def test_passes_lint(name):
    formatted = subprocess.run(
        ["clang-format", f"--assume-filename={ROOT / name}"], input=EXAMPLES[name], text=True,
        check=True, stdout=subprocess.PIPE).stdout
    assert formatted == EXAMPLES[name]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_implementation_registers(tmp_path, compiler):
    library = ctypes.CDLL(str(build(IMPL, tmp_path, compiler)))
    library.tl_module_contents.restype = Module
    module = library.tl_module_contents()
    pointer = ctypes.sizeof(ctypes.c_void_p)
    assert module.impls_end - module.impls == pointer
    assert (module.benches or 0) == (module.benches_end or 0)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_benchmark_registers(tmp_path, compiler):
    plugin = build(BENCH, tmp_path, compiler)
    symbols = subprocess.run(["readelf", "-SW", plugin], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
    assert re.search(r"tl_benches\s+PROGBITS\s+\S+\s+\S+\s+0*8\s", symbols)


def driver_path():
    driver = pathlib.Path(os.environ.get("THREADLAB", ROOT / "build/release/threadlab")).resolve()
    if not driver.exists():
        pytest.skip("the driver is not built")
    return driver


def test_check_passes_and_catches_its_mutant(tmp_path):
    driver, plugin = driver_path(), f"--plugin={build(CHECK, tmp_path, COMPILERS[0])}"
    for args, status in ((["check", "--impl=nptl,green", "example.value-wide"], 0),
                         (["check", "--impl=green", "--mutant=example-join-truncates",
                           "example.value-wide"], 1),
                         (["mutants", "example-*"], 0)):
        done = subprocess.run([driver, args[0], plugin, *args[1:]], text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == status, done.stdout


def test_both_run_as_plugins(tmp_path):
    driver = driver_path()
    plugins = [f"--plugin={build(name, tmp_path, COMPILERS[0])}" for name in EXAMPLES]
    record = tmp_path / "run.jsonl"
    done = subprocess.run(
        [driver, "run", *plugins, "--impl=solo", "--bench=example.echo", "--rounds=1",
         "--budget=2s", f"--out={record}"], text=True, cwd=tmp_path, timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    samples = [json.loads(line) for line in record.read_text().splitlines()]
    samples = [s for s in samples if s.get("type") == "sample"]
    assert samples and all(s["status"] == "ok" for s in samples), samples
