"""`threadlab serve`, protocol 1, and `threadlab compare` with the real driver: what does not depend
on how fast anything is."""

import json
import os
import shutil
import subprocess

import pytest
from driver import BINARY, EXAMPLE, one_clear_line, threadlab

KEY = ("switch.yield/green/same-pu/threads=2,recycle=stack,tls=errno,policy=fifo,preempt=off,"
       "quantum=10000")
SELECT = ("--impl", "green,nptl", "--bench", "switch.yield,lock.uncontended", "--preset", "quick",
          "--rounds", "20", "--seed", "5")


def serve(*requests, argv=SELECT):
    text = "".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in requests)
    done = subprocess.run([str(BINARY), "serve", *argv], input=text, capture_output=True, text=True,
                          timeout=120, check=False)
    return done, [json.loads(line) for line in done.stdout.splitlines()]


def ask(key=KEY, round_=0, **more):
    return {"cell": key, "round": round_, "position": 0, "target_ns": 2_000_000, **more}


def test_header_cells_samples_end():
    done, lines = serve(ask(), ask(round_=7, n=1234))
    assert done.returncode == 0 and done.stderr == ""
    assert [line["type"] for line in lines] == ["run", "ready", "sample", "sample", "end"]
    header, ready, first, second, end = lines
    assert ready["protocol"] == 1 and header["seed"] == 5
    assert {line["run"] for line in (header, first, second, end)} == {header["run"]}
    assert first["status"] == "ok" and first["round"] == 0 and "slowdown" not in first
    assert second["linearity"]["n"] == 1234 and second["round"] == 7
    assert end["records"] == 2 and end["complete"] is True


def test_cells_say_what_is_not_at_its_first_value():
    _, (_, ready, _) = serve()
    away = {cell["key"]: cell["away"] for cell in ready["cells"]}
    assert away[KEY] == []
    assert away[KEY.replace("threads=2,", "threads=1000,")] == ["threads"]
    _, (_, ready, _) = serve(argv=(*SELECT, "--set", "threads=1000"))
    assert {tuple(c["away"]) for c in ready["cells"] if c["bench"] == "switch.yield"} == {()}


def test_a_slowdown_is_recorded():
    _, lines = serve(ask(slowdown=0.05))
    assert lines[2]["slowdown"] == 0.05


@pytest.fixture
def baton():
    """The path of one; short, as protocol 1 wants it."""
    fd = os.memfd_create("baton")
    os.ftruncate(fd, 4096)
    yield f"/proc/{os.getpid()}/fd/{fd}"
    os.close(fd)


def test_two_builds_take_turns(baton):
    """Each batch has its turn, nobody waits alone, and what the partner used is known."""
    argv = [str(BINARY), "serve", *SELECT]
    sides = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
             for _ in range(2)]
    for seat, side in enumerate(sides):
        request = ask(n=20000, batches=16, baton=baton, seat=seat, seats=2)
        side.stdin.write(json.dumps(request) + "\n")
        side.stdin.flush()
    found = []
    for side in sides:
        out, _ = side.communicate(timeout=120)
        found.append([json.loads(line) for line in out.splitlines()][2])
    for sample in found:
        assert sample["status"] == "ok" and len(sample["batches"]) == 16
        assert sample["baton"]["seats"] == 2 and not sample["baton"]["alone"]
        assert sample["baton"]["wait_ns"] > 0 and sample["baton"]["partner_cpu_ns"] > 0


def test_a_partner_that_never_comes_is_not_waited_for(baton):
    _, lines = serve(ask(n=1000, baton=baton, seat=1, seats=2))
    assert lines[2]["status"] == "ok" and lines[2]["baton"]["alone"]


def test_a_baton_that_is_not_there_fails_the_sample():
    _, lines = serve(ask(n=1000, baton="/nonexistent", seat=0, seats=2))
    assert lines[2]["status"] == "failed" and "baton" in lines[2]["reason"]


@pytest.mark.parametrize("request_, says", [
    (ask(baton="/tmp/x", seat=0, seats=2), "n"), (ask(baton="/" * 64, n=1), "63"),
    (ask(batches=65), "range"), (ask("no/such/cell"), "no such cell"),
    (ask(round_=20), "round"), (ask(round_=-1), "round"),
    (ask(target_ns=0), "out of range"), (ask(slowdown=-1), "out of range"), (ask(n=-1), "range"),
    ("nonsense\n", "expected"), ({"cell": KEY}, "round"), ("[]\n", "object"),
])
def test_what_makes_no_sense_is_refused_and_the_rest_is_served(request_, says):
    done, lines = serve(request_, ask())
    assert done.returncode == 0
    assert [line["type"] for line in lines] == ["run", "ready", "refused", "sample", "end"]
    assert says in lines[2]["reason"]


def test_a_cell_is_measured_once_a_round():
    _, lines = serve(ask(), ask())
    assert lines[3] == {"type": "refused", "reason": "that cell has been measured in that round"}


def test_a_refused_cell_is_unsupported():
    argv = ("--impl", "green", "--set", "kind=spin", "--bench", "lock.*", "--place", "cpus=0,1",
            "--seed", "1", "--preset", "quick")
    done, lines = serve(argv=argv)
    if done.returncode:
        pytest.skip("one CPU: nothing can be placed on two")
    key = next(cell["key"] for cell in lines[1]["cells"] if cell["unsupported"])
    _, lines = serve(ask(key), argv=argv)
    assert lines[2]["type"] == "sample" and lines[2]["status"] == "unsupported"


def test_plugins_are_measured():
    done, lines = serve(argv=("--plugin", str(EXAMPLE), "--bench", "example.*"))
    assert done.returncode == 0 and lines[1]["cells"]


def test_bad_options_are_one_line():
    one_clear_line(threadlab("serve", "--impl", "nothing"))
    one_clear_line(threadlab("serve", "--resume", "x"))
    assert "compare comes first" in one_clear_line(threadlab("--seed", "1", "compare", "x"))


def test_compare_is_found_from_the_driver(tmp_path):
    done = threadlab("compare", "--help")
    assert done.returncode == 0 and "BASE" in done.stdout
    other = tmp_path / "threadlab"
    shutil.copy2(BINARY, other)
    lost = subprocess.run([str(other), "compare", "x"], capture_output=True, text=True, check=False)
    assert lost.returncode == 2 and "scripts" in lost.stderr


def test_compare_of_the_driver_with_its_copy(tmp_path):
    """The whole way with the real driver; the verdicts are the machine's business."""
    copy = tmp_path / "copy"
    shutil.copy2(BINARY, copy)
    env = {**os.environ, "GITHUB_ACTIONS": "", "GITHUB_STEP_SUMMARY": ""}
    same = threadlab("compare", copy, cwd=tmp_path, env=env)
    assert same.returncode == 0 and "same code" in same.stdout
    done = threadlab("compare", copy, "--aa", "--json", "--cell", KEY, "--bench", "switch.yield",
                     "--impl", "green", "--budget", "3s", "--out", "r.jsonl", cwd=tmp_path, env=env)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    assert found["mode"] == "aa" and [p["key"] for p in found["pairs"]] == [KEY]
    assert found["pairs"][0]["rounds"]["screen"] > 0
    assert (tmp_path / "r.jsonl").exists()


def test_plugins_are_compared_by_what_they_bring(tmp_path):
    for name in ("old.so", "new.so"):
        shutil.copy2(EXAMPLE, tmp_path / name)
    same = threadlab("compare", "old.so", "new.so", cwd=tmp_path)
    assert same.returncode == 0 and "same code" in same.stdout
    done = threadlab("compare", "old.so", "new.so", "--aa", "--json", "--budget", "3s", "--bench",
                     "switch.yield,example.*", "--out", "r.jsonl", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)["pairs"]
    assert found and all("example" in p["bench"] or "example" in p["impl"] for p in found)
