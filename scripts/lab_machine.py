"""The emulated machine of the lab: QEMU's command line, one boot, what came out.

Everything that could differ between two boots of the same image is pinned:

  time            -icount: one instruction takes 2 ns of the guest's time, in which all timers run;
                  sleep=off and clock=vm: the host's clock is never read, idle time is skipped
  order of CPUs   one host thread runs them in turn, so many instructions each
  devices         none that works by itself: no disk, no network; a serial line, and semihosting
                  (harness/lab/init.c), both of which are done within the guest's instruction
  randomness      dtb-randomness=off and -seed: no seeds from the host; no hardware generator, and
                  the kernel trusts none (random.trust_*): its pool is made of the guest's own time
  addresses       nokaslr (kernel), norandmaps (programs), randomize_kstack_offset=off (each system
                  call); the slab's random order is drawn from the pool above

What is not emulated is a counter of each CPU. QEMU's counter of instructions is that of the whole
machine (instructions_get_count in its target/arm/helper.c is icount_get_raw): a thread that is
counted on one CPU is charged with what the others execute while it runs. How much that is depends
on how its version shares out the time: 7.2 lets a CPU run up to the next timer before it is the
turn of the others, so that two busy loops at once are off by 0.1% with two CPUs and by 10% with
four, and one alone by some tenths of a per cent, for what the kernel does on the others. So counts
are right with one CPU; with more, `lab truth` says of each whether it was.
"""

import contextlib
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import time

from lab_packages import Missing

QEMU = "qemu-system-aarch64"
KERNEL_LINE = ("console=ttyAMA0 quiet loglevel=1 panic=-1 nokaslr norandmaps "
               "randomize_kstack_offset=off random.trust_cpu=off random.trust_bootloader=off")
TOPOLOGY = re.compile(r"(?:(\d+)|(\d+)x(\d+)x(\d+))(?:,numa=(\d+))?")
CPUS_MAX = 8  # what the machine's interrupt controller (GICv2) takes
BASE_SHIFT = 1


class Topology:
    """"4": one socket with four cores; "2x2x2,numa=2": sockets x cores x threads, two nodes."""

    def __init__(self, text):
        found = TOPOLOGY.fullmatch(text)
        if not found:
            raise ValueError(f"--lab-topology {text}: expected CPUS or SOCKETSxCORESxTHREADS, and "
                             "perhaps ,numa=NODES")
        flat, sockets, cores, threads, nodes = (int(n) if n else None for n in found.groups())
        self.text = text
        self.sockets, self.cores, self.threads = (1, flat, 1) if flat is not None else (
            sockets, cores, threads)
        self.cpus = self.sockets * self.cores * self.threads
        self.nodes = 1 if nodes is None else nodes
        if not 1 <= self.cpus <= CPUS_MAX or self.nodes < 1 or self.cpus % self.nodes:
            raise ValueError(f"--lab-topology {text}: 1 to {CPUS_MAX} CPUs, in nodes of equal size")

    def arguments(self, memory):
        line = ["-smp", f"{self.cpus},sockets={self.sockets},cores={self.cores},"
                        f"threads={self.threads}", "-m", f"{memory}M"]
        if self.nodes > 1:
            each, share = self.cpus // self.nodes, memory // self.nodes
            for node in range(self.nodes):
                line += ["-object", f"memory-backend-ram,id=m{node},size={share}M", "-numa",
                         f"node,nodeid={node},memdev=m{node},"
                         f"cpus={node * each}-{(node + 1) * each - 1}"]
        return line


def version():
    """QEMU's, or Missing."""
    if not shutil.which(QEMU):
        raise Missing(f"{QEMU} is not installed: `make deps-lab` installs it")
    text = subprocess.run([QEMU, "-version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\S+)", text)
    return found[1] if found else "unknown"


def variation(seed):
    """Seed 0 is the machine as it is; any other has its own speed (icount's shift: 2, 4 or 8 ns an
    instruction, which moves the timer's ticks) and its own number of instructions before the driver
    starts (which moves their phase). Returns (shift, spins)."""
    return BASE_SHIFT + seed % 3, seed * 7919 % 1000003


class Machine:
    def __init__(self, kernel, topology, *, memory=1024, seed=0):
        self.kernel, self.topology, self.memory, self.seed = kernel, topology, memory, seed

    def command(self, initramfs):
        shift, _ = variation(self.seed)
        return [QEMU, "-M", "virt,dtb-randomness=off", "-cpu", "cortex-a57",
                *self.topology.arguments(self.memory),
                "-icount", f"shift={shift},sleep=off", "-rtc", "base=2026-01-01,clock=vm",
                "-seed", str(42 + self.seed), "-nodefaults", "-no-user-config", "-display", "none",
                "-no-reboot", "-serial", "stdio",
                "-semihosting-config", "enable=on,target=native,userspace=on",
                "-kernel", str(self.kernel), "-initrd", str(initramfs), "-append", KERNEL_LINE]

    def boot(self, initramfs, out, deadline, console):
        """Runs the machine in the folder `out`, where its files come to lie. console(line): called
        for each line of its console, and for each text that is written over another one. Returns
        the command's status; None: it did not end well; TimeoutError: for so many seconds
        (deadline) nothing came out of it."""
        out, process, ended = pathlib.Path(out), None, False

        def end(*_):
            nonlocal ended
            ended = True
            if process:  # may interrupt a wait for it: killed and waited for below
                sys.exit(128 + signal.SIGTERM)

        before = signal.signal(signal.SIGTERM, end)
        try:
            # A session of its own, so that a key's signal is ours alone to pass on.
            process = subprocess.Popen(self.command(initramfs), cwd=out, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       start_new_session=True)
            if ended:
                end()
            listen(process.stdout, out / "stdout", deadline, console)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(deadline)
        finally:
            if process:
                process.kill()
                process.wait()
                process.stdout.close()
            signal.signal(signal.SIGTERM, before)
        status = out / "status"
        return int(status.read_text()) if status.is_file() else None


def listen(pipe, written, deadline, console):
    """Until the pipe's end. TimeoutError: for `deadline` seconds neither the pipe said anything nor
    the file `written` has grown."""
    heard, size, rest = time.monotonic(), 0, b""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while True:
        if poll.poll(min(1000, 1000 * deadline)):
            chunk = os.read(pipe.fileno(), 65536)
            if not chunk:
                break
            heard = time.monotonic()
            *lines, rest = re.split(rb"[\r\n]", rest + chunk)
            for line in filter(None, lines):
                console(line.decode(errors="replace"))
        now = written.stat().st_size if written.is_file() else 0
        if now != size:
            heard, size = time.monotonic(), now
        if time.monotonic() - heard > deadline:
            raise TimeoutError
    if rest:
        console(rest.decode(errors="replace"))
