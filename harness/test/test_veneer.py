"""End to end: programs compiled through the veneer, and run as checks."""

import json
import shutil
import subprocess

import jsonschema
import pytest
from driver import BINARY, ROOT, lines, one_clear_line, threadlab

IMPLS = sorted(path.stem for path in (BINARY.parent / "veneer").glob("*.o"))
SCHEMA = json.loads((ROOT / "results/schema/threadlab-1.schema.json").read_text())
WORKERS = """
#include <pthread.h>
#include <stdio.h>
static __thread int mine;
static void *work(void *arg) { mine += (int)(long)arg; return (void *)(long)(mine * 2); }
int main(int argc, char **argv)
{
    pthread_t t[3];
    void *value;
    long sum = 0;
    for (long i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, work, (void *)(i + 1));
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], &value);
        sum += (long)value;
    }
    printf("%d %s %ld\\n", argc, argc > 1 ? argv[1] : "", sum);
}
"""


def compile_program(tmp_path, text, impl, *args, verb="cc", name="prog.c"):
    source = tmp_path / name
    source.write_text(text)
    program = tmp_path / f"prog.{impl}"
    result = threadlab(verb, "--impl", impl, *args, source, "-o", program)
    assert result.returncode == 0, result.stderr
    return program


def test_each_implementation_but_the_control_has_a_veneer():
    assert {"nptl", "clone", "green", "ucontext"} <= set(IMPLS)
    assert "null" not in IMPLS


@pytest.mark.parametrize("impl", IMPLS)
def test_a_program_runs(tmp_path, impl):
    program = compile_program(tmp_path, WORKERS, impl, "-Wall", "-Werror")
    result = subprocess.run([program, "word"], capture_output=True, text=True, timeout=60)
    # main falls off its end: 0, as C11 has it
    assert (result.returncode, result.stdout) == (0, "2 word 12\n"), result.stderr


WAITS = """
#include <atomic>
#include <barrier>
#include <latch>
#include <semaphore>
#include <thread>
#include <vector>
int main()
{
    std::atomic<int> turn{0};
    std::latch begin{4};
    std::barrier meet{4};
    std::counting_semaphore<4> two{2};
    std::binary_semaphore gate{0};
    std::atomic<int> sum{0};
    std::vector<std::jthread> threads;

    for (int i = 0; i < 4; i++)
        threads.emplace_back([&, i] {
            begin.arrive_and_wait();
            for (int now; (now = turn.load()) != i;)
                turn.wait(now);
            turn = i + 1;
            turn.notify_all();
            for (int round = 0; round < 50; round++) {
                two.acquire();
                sum++;
                two.release();
                meet.arrive_and_wait();
            }
            if (i == 3)
                gate.release();
        });
    gate.acquire();
    return gate.try_acquire_for(std::chrono::milliseconds(2)) || sum != 200;
}
"""


@pytest.mark.parametrize("impl", IMPLS)
def test_waits_of_cxx20_are_the_implementations(tmp_path, impl):
    program = compile_program(tmp_path, WAITS, impl, "-std=c++20", verb="c++", name="waits.cc")
    assert subprocess.run([program], timeout=60).returncode == 0


STACK_AGAIN = """
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
static sem_t done;
static int broken;
static void *leave(void *arg)
{
    volatile unsigned char mine[512];
    memset((void *)mine, (int)(intptr_t)arg, sizeof mine);
    sem_post(&done);
    for (int i = 0; i < 20; i++)
        sched_yield();
    for (unsigned i = 0; i < sizeof mine; i++)
        broken |= mine[i] != ((intptr_t)arg & 255);
    return arg;
}
int main(void)
{
    enum { SIZE = 1 << 17 };
    void *stack;
    pthread_attr_t attr;
    pthread_t t;
    sem_init(&done, 0, 0);
    if (posix_memalign(&stack, 1 << 16, SIZE))
        return 2;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstack(&attr, stack, SIZE);
    for (intptr_t i = 0; i < 500; i++) {
        if (pthread_create(&t, &attr, leave, (void *)i))
            return 3;
        sem_wait(&done);
    }
    return broken;
}
"""


@pytest.mark.parametrize("impl", sorted(set(IMPLS) - {"nptl"}))  # with the C library's: undefined
def test_a_stack_is_left_before_it_is_used_again(tmp_path, impl):
    program = compile_program(tmp_path, STACK_AGAIN, impl)
    assert subprocess.run([program], timeout=60).returncode == 0


C_FRAMES = """
#include <pthread.h>
extern void note(char), ends(void);
static void noted(void *name) { note(*(char *)name); }
void c_frame(void (*next)(void), char name)
{
    pthread_cleanup_push(noted, &name);
    next();
    pthread_cleanup_pop(0);
}
void no_tables(void (*next)(void)) { next(); note('?'); }
"""
CXX_FRAMES = """
#include <cstring>
#include <pthread.h>
extern "C" void note(char), c_frame(void (*)(), char), no_tables(void (*)());
static char order[16], *at = order;
void note(char name) { *at++ = name; }
struct object { char name; ~object() { note(name); } };
static void ends() { pthread_exit(NULL); }
static void inner() { object d = {'d'}; c_frame(ends, 'e'); }
static void tables(void (*next)()) { next(); }
static void gap() { GAP(inner); }
static void middle() { object b = {'b'}; c_frame(gap, 'c'); }
static void *outer(void *) { object a = {'A'}; c_frame(middle, 'a'); return NULL; }
int main()
{
    pthread_t t;
    pthread_create(&t, NULL, outer, NULL);
    pthread_join(t, NULL);
    return strcmp(order, RIGHT);
}
"""


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("gap", [False, True])
def test_frames_of_c_and_cxx_are_left_in_their_order(tmp_path, impl, gap):
    """Handlers of C beyond a frame without tables still run, objects beyond it do not end."""
    if gap and impl == "nptl":
        pytest.skip("the C library's own way: it unwinds again from the next handler")
    (tmp_path / "c.c").write_text(C_FRAMES)
    flags = ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"] if gap else []
    made = threadlab("cc", "--impl", impl, *flags, "-O1", "-c", tmp_path / "c.c", "-o",
                     tmp_path / "c.o")
    assert made.returncode == 0, made.stderr
    right = "eca" if gap else "edcbaA"
    program = compile_program(tmp_path, CXX_FRAMES, impl, f'-DRIGHT="{right}"', "-O1",
                              "-DGAP=no_tables" if gap else "-DGAP=tables", tmp_path / "c.o",
                              verb="c++", name="frames.cc")
    assert subprocess.run([program], timeout=60).returncode == 0


def test_objects_and_programs_apart(tmp_path):
    (tmp_path / "a.c").write_text(WORKERS)
    for args in (["-c", tmp_path / "a.c", "-o", tmp_path / "a.o"],
                 [tmp_path / "a.o", "-o", tmp_path / "a"]):
        result = threadlab("cc", "--impl", "clone", *args)
        assert result.returncode == 0, result.stderr
    assert subprocess.run([tmp_path / "a"], timeout=60).returncode == 0


def test_show_prints_the_command():
    shown = threadlab("cc", "--impl", "green", "--show", "a.c", "-o", "a").stdout
    assert "green.o" in shown and "green.wrap" in shown and "-isystem" in shown
    assert "green.o" not in threadlab("cc", "--impl", "green", "--show", "-c", "a.c").stdout


@pytest.mark.parametrize("words, linked", [
    (("-x", "c", "-", "-o", "a"), True), (("--shared", "a.c"), False), (("-E", "-"), False),
    (("@program",), True), (("@object",), False), (("@outer",), False), (("@none",), True),
    (("--version",), False), (("-o", "a.c"), False)])
def test_what_ends_in_a_program_is_linked(tmp_path, words, linked):
    (tmp_path / "program").write_text("-DA='-c' a.c\\ \n-o\ta")
    (tmp_path / "object").write_text('"-c" a.c')
    (tmp_path / "outer").write_text("a.c @object\n")
    shown = subprocess.run([BINARY, "cc", "--impl", "green", "--show", *words], cwd=tmp_path,
                           capture_output=True, text=True, timeout=60, check=True).stdout
    assert ("green.wrap" in shown) == linked


def test_a_program_from_standard_input_runs(tmp_path):
    subprocess.run([BINARY, "cc", "--impl", "green", "-x", "c", "-", "-o", "a"], input=WORKERS,
                   cwd=tmp_path, text=True, timeout=60, check=True)
    assert b"__wrap_main" in (tmp_path / "a").read_bytes()
    assert subprocess.run([tmp_path / "a"], timeout=60).returncode == 0


def test_pkg_config_and_make_have_the_same(tmp_path):
    if not shutil.which("pkg-config"):
        pytest.skip("no pkg-config here")
    (tmp_path / "a.c").write_text(WORKERS)
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "threadlab-green"], text=True,
                           capture_output=True, check=True,
                           env={"PKG_CONFIG_PATH": str(BINARY.parent / "veneer"),
                                "PATH": "/usr/bin:/bin"}).stdout.split()
    subprocess.run(["cc", tmp_path / "a.c", "-o", tmp_path / "a", *flags], check=True)
    assert subprocess.run([tmp_path / "a"], timeout=60).returncode == 0
    made = (BINARY.parent / "veneer/green.mk").read_text()
    assert all(flag in made for flag in flags)


@pytest.mark.parametrize("args, word", [(["cc", "--impl", "nosuch", "a.c"], "nosuch"),
                                        (["cc", "a.c"], "--impl")])
def test_without_an_implementation_one_line(args, word):
    result = threadlab(*args)
    assert result.returncode == 2
    assert word in one_clear_line(result)


# ---- programs as checks -------------------------------------------------------------------------

VERDICTS = {"pass": ("return 0;", "ok", None), "fail": ('puts("why"); return 1;', "not ok", "why"),
            "unresolved": ("return 2;", "not ok", "unresolved"),
            "unsupported": ("return 4;", "ok", None), "untested": ("return 5;", "ok", None),
            "other": ("return 99;", "not ok", "exit status 99"),
            "signal": ("raise(SIGSEGV); return 0;", "not ok", "SIGSEGV"),
            "hang": ("for (;;) pause(); return 0;", "not ok", "killed after"),
            "broken": ("return nosuch;", "not ok", "does not compile")}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    for name, (body, _, _) in VERDICTS.items():
        (folder / f"{name}.c").write_text(
            f"/* {name}.c - promises {name} */\n#include <signal.h>\n#include <stdio.h>\n"
            f"#include <unistd.h>\nint main(void) {{ {body} }}\n")
    (folder / "part.c").write_text("int no_program;\n")
    record = folder / "record.jsonl"
    result = threadlab("check", "--impl", "clone", "--deadline", "5s", "--programs", folder,
                       "--out", record)
    assert result.returncode == 1, result.stderr
    return result.stdout, lines(record)


@pytest.mark.parametrize("name", VERDICTS)
def test_exit_status_is_the_verdict(verdicts, name):
    _, word, reason = VERDICTS[name]
    found = [line for line in verdicts[0].splitlines() if line.endswith(f"clone program.{name}")
             or f"clone program.{name} #" in line]
    assert len(found) == 1 and found[0].startswith(word + " ")
    if reason:
        at = verdicts[0].splitlines().index(found[0])
        assert reason in verdicts[0].splitlines()[at + 3]


def test_sources_find_headers_elsewhere(tmp_path):
    for name in ("tests", "a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.h").write_text(f"#define IN_{name} 0\n")
    (tmp_path / "tests/one.c").write_text(
        '#include <a.h>\n#include "b.h"\nint main(void) { return IN_a + IN_b; }\n')
    wanted = ("check", "--impl", "clone", "--programs", tmp_path / "tests", "-I", tmp_path / "a")
    assert "does not compile" in threadlab(*wanted).stdout
    result = threadlab(*wanted, "--include", tmp_path / "b")
    assert result.returncode == 0, result.stdout + result.stderr
    assert threadlab(*wanted, "-I", tmp_path / "none").returncode != 0
    assert threadlab("check", "--impl", "clone", "-I", tmp_path).returncode != 0


def test_verdicts_are_in_the_record(verdicts):
    validator = jsonschema.Draft202012Validator(SCHEMA)
    checks = {}
    for line in verdicts[1]:
        assert not list(validator.iter_errors(line)), line
        if line["type"] == "check":
            checks[line["property"]] = line["status"]
    assert len(checks) == len(VERDICTS)  # the part without main is none
    assert checks["program.unresolved"] == "invalid"
    assert checks["program.untested"] == "unsupported"
    assert checks["program.hang"] == "timeout"
    assert checks["program.signal"] == "crashed"


def test_a_compiled_program_knows_its_implementation(tmp_path):
    program = compile_program(tmp_path, WORKERS, "green")
    result = threadlab("check", "--program", program)
    assert result.returncode == 0 and "ok 1 - green program.prog" in result.stdout
    plain = tmp_path / "plain"
    subprocess.run(["cc", "-x", "c", "-", "-o", plain], input="int main(void) { return 0; }",
                   text=True, check=True)
    refused = threadlab("check", "--program", plain)
    assert refused.returncode == 2 and "threadlab cc" in one_clear_line(refused)


TELLS = """#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
int main(void) {
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    printf("%d %s\\n", CPU_COUNT(&set), getenv("THREADLAB_PARAMS"));
    return 4;
}
"""


@pytest.mark.parametrize("impl, given, wanted", [
    ("green", {"policy": "lifo"}, {"policy": "lifo", "preempt": "cputime", "tls": "full"}),
    ("hybrid", {"lwps": "2", "detector": "none"}, {"lwps": "2", "detector": "none"}),
    ("clone", {}, {"recycle": "stack"})])
def test_the_record_tells_what_a_program_ran_with(tmp_path, monkeypatch, impl, given, wanted):
    source, record = tmp_path / "tells.c", tmp_path / "r.jsonl"
    source.write_text(TELLS)
    monkeypatch.setenv("THREADLAB_PARAMS", "detector=proc,recycle=none" if "lwps" in given else "")
    sets = [word for pair in given.items() for word in ("--set", "=".join(pair))]
    result = threadlab("check", "--impl", impl, "--program", source, "--place", "same-pu",
                       "--out", record, *sets)
    assert result.returncode == 0, result.stdout + result.stderr
    line, = [line for line in lines(record) if line["type"] == "check"]
    cpus, said = line["reason"].split(" ")
    assert cpus == "1"
    told = dict(pair.split("=") for pair in said.split(","))
    assert told == {name: str(value) for name, value in line["params"].items()}
    assert wanted.items() <= told.items()
    assert told["recycle"] == ("none" if "lwps" in given else "stack")


@pytest.mark.parametrize("options, word", [
    (["--programs", "empty"], "main"), (["--program", "prog", "--impl", "clone"], "for green"),
    (["--program", "a.c", "--impl", "nosuch"], "nosuch"), (["--program", "closed"], "denied"),
    (["--program", "a.c", "--set", "policy=nosuch"], "policy"),
    (["--program", "a.c", "program.b"], "program.a"), (["--program", "none"], "none"),
    (["--program", "a.c", "--place", "cpus=9999"], "9999")])
def test_what_cannot_be_run_is_one_line(tmp_path, monkeypatch, options, word):
    compile_program(tmp_path, "int main(void) { return 0; }\n", "green").rename(tmp_path / "prog")
    (tmp_path / "a.c").write_text("int main(void) { return 0; }\n")
    (tmp_path / "closed").write_bytes((tmp_path / "prog").read_bytes())
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/part.c").write_text("int no_program;\n")
    monkeypatch.chdir(tmp_path)
    result = threadlab("check", *options)
    assert result.returncode == 2 and result.stdout == ""
    assert word in one_clear_line(result)


# ---- our own programs ---------------------------------------------------------------------------

def test_own_programs_pass_without_us(tmp_path):
    """With the C library's own threads each passes: they check what POSIX promises, not us."""
    if not shutil.which("cc"):
        pytest.skip("no cc here")
    for source in sorted((ROOT / "suites/programs").glob("*/*.c*")):
        program = tmp_path / source.stem
        subprocess.run(["cc" if source.suffix == ".c" else "c++", "-Wall", "-Wextra", "-Werror",
                        source, "-o", program], check=True)
        result = subprocess.run([program], capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, (source.name, result.stdout, result.stderr)


@pytest.mark.parametrize("impl", IMPLS)
def test_own_programs_end_as_expected(impl):
    result = threadlab("check", "--impl", impl, "--deadline", "60s", "--expect", ROOT / "impls",
                       "--programs", ROOT / "suites/programs", timeout=900)
    assert result.returncode == 0, "\n".join(
        line for line in result.stdout.splitlines() if line.startswith("not ok"))


def test_no_function_of_the_c_librarys_threads_is_reached():
    result = subprocess.run([ROOT / "scripts/veneer-proof"], capture_output=True, text=True,
                            env={"THREADLAB": str(BINARY), "PATH": "/usr/bin:/bin"}, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
