"""What the emulated machine is to do: commands of the driver, the files that they read and write,
and what of them comes out."""

import collections
import datetime
import pathlib
import shlex

from lab_packages import Missing

DEFAULTS = {"run": {"--preset": "quick", "--seed": "1", "--rounds": "1", "--ops": "200",
                    "--events": "instructions:u,instructions:k", "--budget": "60s",
                    "--set": "threads=2",
                    "--bench": "create.join,switch.yield,switch.sem,floor.syscall"},
            "check": {"--seed": "1"}}
# Around what each of several commands says.
BEGIN, END = "#### begin ", "#### end "


class Job:
    """One command of the driver, with the files that it names."""

    def __init__(self, verb, arguments, driver="a"):
        self.program, self.words = f"/lab/{driver}", [verb]
        self.inputs = {}  # path in the machine: file of the host
        self.outputs = {}  # name in /lab/out: file of the host
        options = dict(DEFAULTS.get(verb, {}))
        if "--resume" in arguments:
            raise Missing("--resume: a run of the lab is repeated, not resumed")
        rest = collections.deque(arguments)
        while rest:
            word = rest.popleft()
            name, equals, value = word.partition("=")
            options.pop(name, None)
            if name == "--bench":
                options.pop("--set", None)  # that of the default benchmarks
            if name not in ("--out", "--junit", "--expect", "--plugin"):
                self.words.append(word)
                continue
            value = value if equals else rest.popleft() if rest else ""
            self.file(name, value)
        if verb == "run" and "--out" not in self.words and "--dry-run" not in self.words:
            self.file("--out", "results/lab/")
        for name, value in options.items():
            self.words += [name, value]

    def file(self, option, value):
        if not value:
            raise Missing(f"{option}: a name is missing")
        path = pathlib.Path(value)
        if option == "--out":
            if value.endswith("/"):
                stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
                path = path / stamp / f"lab.{stamp}.jsonl"
            if path.exists():
                raise Missing(f"{path} exists: records are never overwritten; choose another name")
            inside = "record.jsonl"
            self.outputs[inside] = path
        elif option == "--junit":
            inside = "junit.xml"
            self.outputs[inside] = path
        elif option == "--expect":
            inside = "/lab/expect"
            for file in sorted(path.glob("*/conformance.expected")):
                self.inputs[f"{inside[1:]}/{file.parent.name}/{file.name}"] = file
        else:
            inside = f"/lab/{path.name}"
            self.inputs[inside[1:]] = path
        self.words += [option, inside]


class Jobs:
    """Several commands in one boot, one after the other; what they say comes as one text, which
    `answers` takes apart. commands: {name: (verb, arguments)}."""

    def __init__(self, commands):
        jobs = {name: Job(verb, arguments) for name, (verb, arguments) in commands.items()}
        self.program, self.outputs, self.inputs = "/bin/sh", {}, {}
        for job in jobs.values():
            self.inputs |= job.inputs
        self.words = ["-c", "".join(
            f"echo '{BEGIN}{name}'; {shlex.join([job.program, *job.words])} 2>&1; "
            f"echo '{END}'$?\n" for name, job in jobs.items())]

    @staticmethod
    def answers(text):
        """{name: (status, text)}; status is None where the machine ended first."""
        found = {}
        for part in text.split(BEGIN)[1:]:
            name, _, said = part.partition("\n")
            said, end, status = said.rpartition(END)
            found[name] = (int(status), said) if end else (None, status)
        return found
