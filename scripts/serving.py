"""The other side of `threadlab serve` (protocol 1; see harness/verb_serve.c)."""

import json
import os
import subprocess
import tempfile

import threadlab_records

PROTOCOL = 1


class ServeError(Exception):
    """One line: which build, and what it said."""


class Baton:
    """What the cells of a round pass on, batch by batch (harness/baton.h). A context manager."""

    BYTES = 4096
    SEATS = 4

    def __enter__(self):
        self._fd = os.memfd_create("threadlab-baton")
        os.ftruncate(self._fd, self.BYTES)
        return self

    def __exit__(self, *_):
        os.close(self._fd)

    def renew(self):
        """Its path, after the processes of the last round have gone."""
        os.pwrite(self._fd, bytes(self.BYTES), 0)
        return f"/proc/{os.getpid()}/fd/{self._fd}"


class Server:
    """One build that measures on request. Use as a context manager.

    name: for messages. argv: the driver with --plugin options; options: of serve, so that two
    builds make the same plan. write: called with each raw line of the record that comes in (header,
    samples, end), bytes with newline; None where they are not kept.
    """

    def __init__(self, name, argv, options, write=None):
        self.name, self._write = name, write
        self._stderr = tempfile.TemporaryFile()
        # A session of its own: ^C is for us, and the end of its input is what stops it.
        self._process = subprocess.Popen(
            [*argv, "serve", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._stderr, start_new_session=True)
        self.header = self._line("run", keep=True)
        ready = self._line("ready")
        if ready.get("protocol") != PROTOCOL:
            raise ServeError(f"{name}: speaks protocol {ready.get('protocol')} of serve, "
                             f"this compare knows {PROTOCOL}")
        self.seats = ready.get("seats", 0)  # of a baton; 0: it knows none
        self.cells = {cell["key"]: cell for cell in ready["cells"]}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _line(self, kind, keep=False):
        raw = self._process.stdout.readline()
        if not raw.endswith(b"\n"):
            raise ServeError(f"{self.name}: {self._last_words()}")
        try:
            line = threadlab_records.parse_line(raw)
        except threadlab_records.RecordError as error:
            raise ServeError(f"{self.name}: {error}") from None
        if line.get("type") == "refused":
            raise ServeError(f"{self.name}: refused: {line.get('reason')}")
        if line.get("type") != kind:
            raise ServeError(f"{self.name}: answered {line.get('type')!r} where {kind!r} was due")
        if keep and self._write is not None:
            self._write(raw)
        return line

    def _last_words(self):
        self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode("utf-8", errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        if any("no verb 'serve'" in line for line in said):
            return "this build is too old: its driver has no verb `serve`"
        return said[-1].removeprefix("threadlab: ") if said else \
            f"the driver ended with status {self._process.returncode}"

    def ask(self, key, round_number, target_ns, *, position=0, n=0, batches=0, slowdown=0.0,
            baton=None):
        """Asks for one measurement in a fresh process; take() has the answer. Times: ns. baton:
        (path, seat, seats), or None."""
        request = {"cell": key, "round": round_number, "position": position,
                   "target_ns": int(target_ns), "n": int(n), "batches": batches}
        if slowdown:
            request["slowdown"] = slowdown
        if baton:
            request.update(zip(("baton", "seat", "seats"), baton))
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise ServeError(f"{self.name}: {self._last_words()}") from None

    def take(self):
        """The sample that was asked for."""
        return self._line("sample", keep=True)

    def close(self):
        """Ends it; its `end` line is kept. May be called twice."""
        if self._process.poll() is None:
            try:
                self._process.stdin.close()
                raw = self._process.stdout.read()
                if self._write is not None and raw.endswith(b"\n"):
                    self._write(raw)
            except OSError:
                pass
            self._process.wait()
        self._process.stdout.close()
        self._stderr.close()
