"""What a report says of a run in the lab (scripts/lab), or of one that valgrind counted:
instructions per op, and nothing that was taken from a clock, for it means nothing there."""

import threadlab_records
from report_render import Bullets, Heading, Table, Text
from summary import fact

DASH = "\N{EN DASH}"
EVENTS = (("user", "instructions:u"), ("kernel", "instructions:k"))


def per_op(value):
    """As exactly as it is known: a whole number where it is one."""
    return DASH if value is None else f"{value:,.3f}".removesuffix(".000")


def events(run):
    """(name, event) of the columns: callgrind sees no kernel."""
    return EVENTS[:1] if run.header.get("counts") == "callgrind" else EVENTS


def rows(run):
    """[benchmark, cell, user, kernel, both], a row a cell that was counted or could not be."""
    found = []
    for sample in run.samples:
        if sample["round"] > 0:
            continue
        bench, _, rest = sample["key"].partition("/")
        counts = [threadlab_records.per_op(sample, event) for _, event in events(run)]
        total = None if None in counts else sum(counts)
        why = sample["reason"] or _why(sample)
        if total is not None:
            why = _turns(sample) if run.header.get("counts") == "callgrind" else ""
        if len(counts) > 1:
            counts.append(total)
        found.append([bench, rest, *map(per_op, counts), why])
    return sorted(found)


CONSTANT = 2000  # instructions of a window that do not depend on its ops, at the most


def _turns(sample):
    """What to say of a count that is not of the code alone: N and 2 N ops took different turns."""
    for c in sample["counters"]:
        each = threadlab_records.per_op(sample, c["event"])
        if each is not None and c.get("base_ops"):
            constant = c["base_value"] - each * c["base_ops"]
            if not -1 <= constant <= CONSTANT:
                return (f"the threads raced: {per_op(c['base_value'] / c['base_ops'])} an op in "
                        f"the smaller window, {per_op(c['value'] / c['ops'])} in the larger")
    return ""


def _why(sample):
    return next((c["reason"] for c in sample["counters"] if c["reason"]), "not counted")


def _by_callgrind(run):
    return [
        Text("Counted by callgrind: instructions in user mode. Its windows are short, and no time "
             "of this run stands in any table.", "warning"),
        Heading(2, "Instructions per op", "instructions"),
        Table(["benchmark", "cell", "user", ""], rows(run), left=2),
        Heading(2, "How these numbers were made", "method"),
        Bullets([
            "Two processes executed N and 2 N ops under valgrind; an op is the difference by N. "
            "What a window costs whatever its size is not in it.",
            "Valgrind executes the program itself, one thread at a time: a count is of the code, "
            "and of the turns that threads take there; where these were not the same in both "
            "windows, the last column says so. What the kernel executes is not in it, nor what "
            "children of the process do.",
            "The counts are of this machine's instruction set, compiler and C library: they are "
            "compared with those of another build here, never with a time.",
        ]),
    ]


def blocks(run):
    if run.header.get("counts") == "callgrind":
        return _by_callgrind(run)
    table = rows(run)
    several = len(run.header["cpus"]["allowed"]) > 1
    return [
        Text(f"Emulated: {run.header['emulated']}. No time of this run means anything: it is the "
             "emulator's, and stands in no table.", "warning"),
        *([Text("This machine has several CPUs, and the emulator one counter for all of them: a "
                "cell whose threads run at the same time is charged with each other's "
                "instructions. Such counts repeat, but are no costs; with one CPU they are.",
                "warning")] if several else []),
        Heading(2, "Instructions per op", "instructions"),
        Table(["benchmark", "cell", *(name for name, _ in EVENTS), "both", ""], table, left=2),
        Heading(2, "How these numbers were made", "method"),
        Bullets([
            "Two processes counted N and 2 N ops; an op is the difference by N. What a window "
            "costs whatever its size is not in it.",
            "The machine reads no clock of its host and nothing random: the same binary gives the "
            "same counts in every boot, so that any difference between two builds is one of the "
            "code.",
            "Kernel instructions hold the timer's ticks that fell into the window, and what the "
            "kernel does to count at each switch of threads.",
            f"Kernel {fact(run.header, 'kernel', 'release', 'version')}.",
        ]),
    ]
