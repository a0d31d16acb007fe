"""What the end-to-end tests share: run the driver, read a record, deny system calls.

The binary is $THREADLAB (default build/release/threadlab); its plugins lie beside it in plugin/.
"""

import ctypes
import json
import os
import pathlib
import platform
import signal
import struct
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("THREADLAB", ROOT / "build/release/threadlab")).resolve()
PLUGINS = BINARY.parent / "plugin"
MISBEHAVE = PLUGINS / "misbehave.so"
EXAMPLE = PLUGINS / "example.so"
BROKEN = PLUGINS / "broken.so"
SHORT = ("--rounds", "1", "--budget", "1s", "--seed", "7")


def threadlab(*args, timeout=120, **options):
    """Runs the driver; returns subprocess.CompletedProcess with text output."""
    return subprocess.run([str(BINARY), *map(str, args)], capture_output=True, text=True,
                          timeout=timeout, **options)


def start(*args, **options):
    """Starts the driver in the background in a session of its own; returns the Popen."""
    return subprocess.Popen([str(BINARY), *map(str, args)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, start_new_session=True, **options)


def lines(path):
    """The record's lines as dicts; raises if one is not JSON."""
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def samples(path):
    return [line for line in lines(path) if line["type"] == "sample"]


def children_of(pid):
    """PIDs whose parent is pid."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def alive(pid):
    """True if the process is there and not a zombie."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def one_clear_line(result):
    """Asserts exit status 2 and one line on stderr; returns it."""
    assert result.returncode == 2, (result.returncode, result.stderr)
    assert result.stderr.startswith("threadlab: ") and result.stderr.count("\n") == 1, result.stderr
    return result.stderr


# ---- seccomp: make a system call fail ----------------------------------------------------------

NUMBERS = {
    "x86_64": {"clone": 56, "clone3": 435, "perf_event_open": 298, "mmap": 9},
    "aarch64": {"clone": 220, "clone3": 435, "perf_event_open": 241, "mmap": 222},
}[platform.machine()]
CLONE_THREAD = 0x10000


def deny(*rules):
    """A preexec_fn that makes system calls fail in the process and all it starts.

    rules: (name, errno) or (name, errno, bits): only when the first argument has all these bits.
    """

    def instructions():
        load_nr, load_arg0 = (0x20, 0, 0, 0), (0x20, 0, 0, 16)  # seccomp_data.nr, .args[0] low
        allow = (0x06, 0, 0, 0x7FFF0000)
        for name, error, *bits in rules:
            fail = (0x06, 0, 0, 0x00050000 | error)
            yield load_nr
            if bits:
                yield (0x15, 0, 3, NUMBERS[name])  # jeq, else skip three
                yield load_arg0
                yield (0x45, 0, 1, bits[0])  # jset, else skip one
            else:
                yield (0x15, 0, 1, NUMBERS[name])
            yield fail
        yield allow

    program = b"".join(struct.pack("HBBI", *i) for i in instructions())

    def install():
        libc = ctypes.CDLL(None, use_errno=True)
        buffer = ctypes.create_string_buffer(program, len(program))
        fprog = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
        holder = ctypes.create_string_buffer(fprog, len(fprog))
        word = ctypes.c_ulong
        if (libc.prctl(38, word(1), word(0), word(0), word(0))  # PR_SET_NO_NEW_PRIVS
                or libc.prctl(22, word(2), word(ctypes.addressof(holder)))):  # PR_SET_SECCOMP
            raise OSError(ctypes.get_errno(), "seccomp")

    return install


def interrupt(process, number=signal.SIGINT):
    process.send_signal(number)
    return process.communicate(timeout=30)
