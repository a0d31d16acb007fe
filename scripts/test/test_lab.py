"""The lab without its machine: topologies, the image, what is said of counts. `scripts/lab smoke`
boots."""

import contextlib
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
import xml.etree.ElementTree as ET

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import lab_console  # noqa: E402
import lab_counts  # noqa: E402
import lab_image  # noqa: E402
import lab_jobs  # noqa: E402
import lab_machine  # noqa: E402
import lab_places  # noqa: E402
import lab_trials  # noqa: E402
import report_emulated  # noqa: E402
import threadlab_records  # noqa: E402


@pytest.mark.parametrize(("text", "cpus", "shape"), [
    ("1", 1, (1, 1, 1, 1)), ("8", 8, (1, 8, 1, 1)), ("2x2x2,numa=2", 8, (2, 2, 2, 2)),
    ("1x2x2", 4, (1, 2, 2, 1)),
])
def test_topology(text, cpus, shape):
    found = lab_machine.Topology(text)
    assert (found.cpus, (found.sockets, found.cores, found.threads, found.nodes)) == (cpus, shape)


@pytest.mark.parametrize("text", ["", "0", "9", "2x2", "2x2x4", "3,numa=2", "2,numa=0", "x", "-1"])
def test_topology_that_cannot_be(text):
    with pytest.raises(ValueError, match="--lab-topology"):
        lab_machine.Topology(text)


def test_nodes_share_memory_and_cpus():
    line = lab_machine.Topology("2x2x2,numa=2").arguments(1024)
    assert "node,nodeid=0,memdev=m0,cpus=0-3" in line and "node,nodeid=1,memdev=m1,cpus=4-7" in line
    assert line.count("-object") == 2


def test_nothing_of_the_host_reaches_the_machine():
    line = " ".join(lab_machine.Machine("k", lab_machine.Topology("1")).command("i"))
    for pin in ("dtb-randomness=off", "sleep=off", "clock=vm", "-seed 42", "nokaslr", "norandmaps",
                "random.trust_cpu=off", "-nodefaults"):
        assert pin in line


def test_a_seed_is_a_variation_and_none_is_the_machine_as_it_is():
    assert lab_machine.variation(0) == (lab_machine.BASE_SHIFT, 0)
    assert len({lab_machine.variation(n) for n in range(100)}) == 100


def test_image_is_a_cpio_archive(tmp_path):
    image = lab_image.Image()
    image.add("a/b/file", b"content", executable=True)
    packed = image.pack()
    assert packed == image.pack() and len(packed) % 512 == 0
    names = [line.split()[-1] for line in subprocess.run(
        ["bsdtar", "-tvf", "-"], input=packed, stdout=subprocess.PIPE, check=True
    ).stdout.decode().splitlines()] if pathlib.Path("/usr/bin/bsdtar").exists() else None
    assert names in (None, ["a", "a/b", "a/b/file"])
    assert packed.startswith(b"070701") and packed.count(b"070701") == 4


def counter(event, value, ops, base=None, base_ops=None, running=5):
    found = {"event": event, "value": value, "ops": ops, "enabled_ns": 5, "running_ns": running,
             "reason": None}
    return {**found, "base_value": base, "base_ops": base_ops} if base is not None else found


HEADER = {"emulated": "QEMU 7.2 virt cortex-a57, 1 CPUs, icount shift 2, lab seed 1, Linux 6.1",
          "started": "2026-01-01T00:00:01Z",
          "build": {"revision": "0123abc", "dirty": False, "sha256": "ab" * 32,
                    "compiler": "gcc 12", "cflags": "-O2"}}


def run(user, kernel=1000, key="b/i/same-pu/x", status="ok", reason=None):
    sample = {"key": key, "status": status, "round": 0, "reason": reason, "counters": [
        counter("instructions:u", 100 + 400 * user, 400, 100 + 200 * user, 200),
        counter("instructions:k", kernel, 400, 0, 200)] if status == "ok" else []}
    return types.SimpleNamespace(samples=[sample], header=HEADER)


def test_an_op_is_the_difference_of_two_passes():
    assert threadlab_records.per_op(run(61).samples[0], "instructions:u") == 61
    assert threadlab_records.per_op({"counters": [counter("e", 100, 50)]}, "e") == 2
    assert threadlab_records.per_op({"counters": [counter("e", 100, 50, running=4)]}, "e") is None
    assert threadlab_records.per_op({"counters": []}, "e") is None


def test_one_instruction_is_seen():
    text, status = lab_counts.compared([run(61), run(61)], [run(62), run(62)])
    assert status == 1 and text.startswith("MORE +1.000 ") and "61 -> 62" in text
    text, status = lab_counts.compared([run(61), run(61)], [run(60.5), run(60.5)])
    assert status == 0 and text.startswith("fewer -0.500")


def test_the_same_counts_are_one_line():
    text, status = lab_counts.compared([run(61), run(61)], [run(61), run(61)])
    assert status == 0 and "\n" not in text and "1 cells the same, 0 more" in text


def test_what_is_not_steady_claims_nothing():
    text, status = lab_counts.compared([run(61), run(63)], [run(70), run(70)])
    assert status == 0 and text.startswith("unsteady") and "61 .. 63 -> 70" in text


def test_kernel_instructions_alone_claim_nothing():
    text, status = lab_counts.compared([run(61), run(61)], [run(61, 9000), run(61, 7000)])
    assert status == 0 and text.startswith("user instructions per op: 1 cells the same")


def test_what_head_cannot_count_is_an_error_and_what_neither_can_is_nothing():
    broken = run(0, status="crashed", reason="SIGSEGV in set-up")
    text, status = lab_counts.compared([run(61), run(61)], [run(61), broken])
    assert status == 2 and text.startswith("FAILED") and "crashed: SIGSEGV in set-up" in text
    refused = run(0, status="unsupported", reason="no")
    assert lab_counts.compared([refused], [refused])[1] == 2  # nothing to compare
    two = types.SimpleNamespace(samples=run(61).samples + run(7, key="c").samples)
    text, status = lab_counts.compared([run(61)], [two])
    assert status == 0 and "1 in one build only" in text
    half = types.SimpleNamespace(samples=run(62).samples + broken.samples)
    half.samples[1]["key"] = "c"
    assert lab_counts.compared([two], [half])[1] == 1  # a regression is said first


def test_repeated():
    text, same = lab_counts.repeated([run(61), run(61)])
    assert same and len({line.split()[-1] for line in text.splitlines()[:2]}) == 1
    text, same = lab_counts.repeated([run(61), run(61, 1001)])
    assert not same and "1 events differ" in text
    assert len({line.split()[-1] for line in text.splitlines()[1:3]}) == 2
    assert not lab_counts.repeated([types.SimpleNamespace(samples=[])])[1]


def test_report_shows_whole_numbers_whole():
    assert [report_emulated.per_op(v) for v in (None, 61.0, 3306.28)] == ["\N{EN DASH}", "61",
                                                                         "3,306.280"]


def test_without_qemu_one_line_and_status_2(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "scripts/lab", "run"], capture_output=True,
                          env={"PATH": str(tmp_path)}, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "make deps-lab" in done.stderr


LAB = ROOT / "scripts/lab"


def lab_script():
    loader = importlib.machinery.SourceFileLoader("lab_script", str(LAB))
    spec = importlib.util.spec_from_loader("lab_script", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def comparison(monkeypatch, capsys):
    """compare() with a machine whose counts are given: {name of the driver: [of each boot]}."""
    def compare(counts, *arguments):
        script = lab_script()
        booted = []

        def counted(name, _drivers, seed, *_):
            booted.append((name, seed))
            return run(counts[name][min(seed, len(counts[name]) - 1)])

        monkeypatch.setattr(script, "version", lambda: "0")
        monkeypatch.setattr(script, "make_driver", lambda *_: pathlib.Path("driver"))
        monkeypatch.setattr(script, "built", pathlib.Path)
        monkeypatch.setattr(script, "counted", counted)
        return script.compare(["--lab", *arguments]), booted, capsys.readouterr().out
    return compare


def test_same_counts_need_no_second_look(comparison):
    status, booted, text = comparison({"a": [61], "b": [61]}, "base", "head")
    assert (status, booted) == (0, [("a", 0), ("b", 0), ("a", 1), ("b", 1)]) and "1 cells" in text


def test_a_difference_is_counted_again_before_it_is_claimed(comparison):
    status, booted, text = comparison({"a": [61], "b": [62]}, "base")
    assert status == 1 and len(booted) == 8 and text.startswith("MORE +1.000")
    status, booted, text = comparison({"a": [61], "b": [62, 62, 61]}, "base", "--lab-seeds=2")
    assert status == 0 and len(booted) == 8 and text.startswith("unsteady")


def test_options_of_compare(comparison):
    script = lab_script()
    assert script.compare_options(["a", "--bench", "x,y", "--set=p=1", "b", "--junit", "j"]) == (
        ["a", "b"], ["--bench=x,y", "--set=p=1"], {"junit": pathlib.Path("j")}, False)
    with pytest.raises(script.Missing, match="never overwritten"):
        script.compare_options(["a", "--out", str(LAB)])
    for wrong in ([], ["a", "b", "c"], ["a", "--budget=1m"], ["a", "--aa"]):
        with pytest.raises(script.Missing):
            script.compare_options(wrong)


@pytest.mark.parametrize(("head", "status"), [(61, 0), (62, 1)])
def test_forms_of_compare(comparison, tmp_path, monkeypatch, head, status):
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    junit, out = tmp_path / "j.xml", tmp_path / "o.json"
    got, _, text = comparison({"a": [61], "b": [head]}, "base", "--junit", str(junit), "--out",
                              str(out), "--json")
    assert got == status and json.loads(text) == json.loads(out.read_text())
    assert ET.parse(junit).getroot().get("failures") == str(status)


def test_a_build_for_another_machine_is_refused(tmp_path):
    script = lab_script()
    with pytest.raises(script.Missing, match="not a program for aarch64"):
        script.built(sys.executable)
    there = tmp_path / "driver"
    there.write_bytes(b"\x7fELF" + bytes(14) + b"\xb7\x00")
    assert script.built(str(there)) == there


@pytest.mark.parametrize("script", ["compare", "driver"])
def test_compare_hands_over_to_the_lab(tmp_path, script):
    """Both ways in, where there is no QEMU."""
    driver = pathlib.Path(os.environ.get("THREADLAB", ROOT / "build/release/threadlab"))
    argv = [sys.executable, ROOT / "scripts/compare"] if script == "compare" else [
        driver.resolve(), "compare"]
    python = tmp_path / "python3"
    python.symlink_to(sys.executable)
    done = subprocess.run([*argv, "HEAD", "--lab"], capture_output=True, text=True, check=False,
                          env={"PATH": str(tmp_path)})
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("lab: qemu-system-aarch64 is not installed")


# ---- several commands, placements, a machine that hangs ------------------------------------------

def test_answers_of_several_commands():
    jobs = lab_jobs.Jobs({"one": ("check", ["a b"]), "two": ("list", [])})
    assert jobs.program == "/bin/sh" and "'a b'" in jobs.words[1]
    text = subprocess.run(["sh", *jobs.words], capture_output=True, text=True, check=True).stdout
    found = lab_jobs.Jobs.answers(text)
    assert [found[name][0] for name in ("one", "two")] == [127, 127]
    assert "/lab/a" in found["one"][1]
    # The machine was ended in the middle of the second.
    assert lab_jobs.Jobs.answers(text[:text.rindex("#### end")])["two"][0] is None


BOX = lab_machine.Topology("2x2x2,numa=2")


@pytest.mark.parametrize(("policy", "right", "wrong"), [
    ("same-pu", [3], [0, 1]), ("smt", [2, 3], [1, 2]), ("cross-l3", [0, 2], [0, 4]),
    ("cross-numa", [0, 4, 1, 5], [0, 4, 5, 1]), ("cross-package", [3, 4], [0, 2]),
    ("compact", [0, 1, 2, 3], [0, 1, 2, 4]), ("spread", [0, 4, 2, 6], [0, 2, 4, 5]),
    ("spread", [0, 4], [0, 2]), ("compact", [0, 1], [0, 8]),
])
def test_what_a_placement_must_be(policy, right, wrong):
    assert lab_places.possible(BOX, policy)
    assert not lab_places.wrong(BOX, policy, right)
    assert lab_places.wrong(BOX, policy, wrong)


def test_what_no_placement_can_be():
    one, eight = lab_machine.Topology("1"), lab_machine.Topology("8")
    assert {p for p in lab_places.POLICIES if lab_places.possible(one, p)} == {
        "same-pu", "compact", "spread"}
    assert {p for p in lab_places.POLICIES if lab_places.possible(eight, p)} == {
        "same-pu", "cross-l3", "compact", "spread"}


@pytest.mark.parametrize(("policy", "text", "ok"), [
    ("smt", "# place smt: PUs 0,1\nok 1 - nptl affinity.honoured\n", True),
    ("smt", "# place smt: PUs 0,1\nnot ok 1 - nptl affinity.honoured\n", False),
    ("smt", "# place smt: PUs 0,1\nok 1 - nptl affinity.honoured # SKIP why\n", False),
    ("smt", "# place smt: PUs 0,2\nok 1 - nptl affinity.honoured\n", False),
    ("same-pu", "# place same-pu: PUs 0\nok 1 - nptl affinity.honoured # SKIP why\n", True),
    ("smt", "threadlab: smt: no core has two PUs here\n", False),
    ("shared-l3", "threadlab: shared-l3: no L3 cache is reported here\n", True),
    ("shared-l3", "# place shared-l3: PUs 0,2\nok 1 - nptl affinity.honoured\n", False),
    ("smt", "", False),
])
def test_verdict_of_a_place(policy, text, ok):
    assert lab_places.verdict(BOX, policy, text, ["nptl"])[0] is ok


def torture_text(seed=None):
    failed = f"not ok 1 - clone torture.random\n  ---\n  seed: {seed}\n  ---\n" if seed else ""
    return f"1..1\n# seed 7\n{failed}# 16 programs, seeds 7 to 22\n"


@pytest.mark.parametrize(("sound", "race", "again", "right"), [
    (0, (1, torture_text(9)), (1, torture_text(9)), True),
    (0, (1, torture_text(9)), (1, torture_text(10)), False),  # it did not repeat
    (0, (0, torture_text()), (0, torture_text()), False),  # never lost
    (1, (1, torture_text(9)), (1, torture_text(9)), False),  # a sound one failed
    (0, (None, ""), (None, ""), False),  # the machine ended
])
def test_torture_repeats(sound, race, again, right, capsys):
    boots = iter([{"sound": (sound, torture_text()), "race": race}, {"race": again}])
    assert lab_trials.torture(lambda *_, **__: next(boots), seeds=[3]) is right
    assert "lab seed 3" in capsys.readouterr().out


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    """A QEMU that says one line and hangs."""
    qemu = tmp_path / "bin/qemu-system-aarch64"
    qemu.parent.mkdir()
    qemu.write_text('#!/bin/sh\nif [ "$1" = -version ]; then echo version 1; exit; fi\n'
                    'echo hello; exec sleep 100\n')
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", str(qemu.parent), prepend=":")
    return tmp_path


def test_a_hung_machine_ends_at_the_deadline(hanging):
    said = []
    with pytest.raises(TimeoutError):
        lab_machine.Machine("k", BOX).boot(hanging / "i", hanging, 1, said.append)
    assert said == ["hello"]


@pytest.mark.parametrize(("seconds", "ended"), [(9, False), (13, True)])
@pytest.mark.parametrize("where", ["console", "file"])
def test_a_machine_that_says_something_is_not_ended(tmp_path, monkeypatch, seconds, ended, where):
    """On its console, or into the file of its standard output; by a clock of its own."""
    clock, ends, file = [0], os.pipe(), tmp_path / "written"

    class Poll:
        def register(self, *_):
            pass

        def poll(self, _):
            clock[0] += 1
            speaks = clock[0] % seconds == 0
            if clock[0] == 40:
                os.close(ends[1])
            elif speaks and where == "console":
                os.write(ends[1], b"x\r\ny\rz")
            elif speaks:
                file.write_text("x" * clock[0])
            return clock[0] == 40 or (speaks and where == "console")

    monkeypatch.setattr(lab_machine.select, "poll", Poll)
    monkeypatch.setattr(lab_machine.time, "monotonic", lambda: clock[0])
    said = []
    with os.fdopen(ends[0], "rb") as pipe, (
            pytest.raises(TimeoutError) if ended else contextlib.nullcontext()):
        lab_machine.listen(pipe, file, 10, said.append)
    if ended:
        os.close(ends[1])
    elif where == "console":
        assert said == ["x", "y", "zx", "y", "zx", "y", "zx", "y", "z"]


@pytest.mark.parametrize("moment", ["listens", "waits"])
def test_a_signal_ends_the_machine_and_the_lab(hanging, moment):
    """Also while the lab waits for a machine that has closed its console."""
    if moment == "waits":
        qemu = hanging / "bin/qemu-system-aarch64"
        qemu.write_text("#!/bin/sh\necho $$ >pid\nexec >&- 2>&-\nexec sleep 100\n")
    else:
        qemu = hanging / "bin/qemu-system-aarch64"
        qemu.write_text("#!/bin/sh\necho $$ >pid\nexec sleep 100\n")
    code = (f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import lab_machine as m; "
            f"m.Machine('k', m.Topology('1')).boot({str(hanging / 'i')!r}, {str(hanging)!r}, 99, "
            "print)")
    lab = subprocess.Popen([sys.executable, "-c", code])
    try:
        while not (hanging / "pid").is_file() or not (hanging / "pid").read_text():
            assert lab.poll() is None
            time.sleep(0.01)
        time.sleep(0.2)
        lab.terminate()
        assert lab.wait(60) == 128 + signal.SIGTERM
    finally:
        lab.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(int((hanging / "pid").read_text()), 0)


def test_the_console_tells_how_far_the_machine_is(capsys):
    clock = [0.0]
    console = lab_console.Console("HEAD, seed 1", quiet=True, now=lambda: clock[0])
    for now, line in ((0, "86 cells (80 can run here) x 1 rounds, seed 1 -> r"),
                      (29, "\x1b[K  1% 1/86  0:00 elapsed, about 0:01 left  a/b"),
                      (31, "\x1b[K 50% 43/86  0:00 elapsed, about 0:01 left  a/b"),
                      (40, "\x1b[K 60% 52/86  0:00 elapsed, about 0:01 left  a/b"),
                      (41, "\x1b[K"), (42, "done")):
        clock[0] = now
        console(line)
    assert capsys.readouterr().err.splitlines() == [
        "lab: HEAD, seed 1: 80 cells to count, some seconds each: fewer by --bench, --impl or "
        "--set threads=2", "lab: HEAD, seed 1: 43 of 86 cells, 31 s, about 31 s left"]
    assert console.last == "done"


def test_a_hung_machine_is_one_line_and_status_2(hanging):
    kernel = hanging / "lab/kernel/boot/vmlinuz-1"
    kernel.parent.mkdir(parents=True)
    kernel.touch()
    (hanging / "lab/sysroot").mkdir()
    code = ("import sys, importlib.machinery, importlib.util as u; sys.argv = ['lab', 'list', "
            "'--lab-driver', '/bin/true', '--lab-deadline', '1']; "
            f"sys.path.insert(0, {str(ROOT / 'scripts')!r}); "
            f"loader = importlib.machinery.SourceFileLoader('lab', {str(ROOT / 'scripts/lab')!r}); "
            "lab = u.module_from_spec(u.spec_from_loader('lab', loader)); loader.exec_module(lab); "
            "lab.pack = lambda *_: b''; sys.exit(lab.main())")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          check=False, env={**os.environ, "THREADLAB_LAB": str(hanging / "lab")})
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith(
        "lab: the machine was ended after 1 s without a word"), done.stderr
