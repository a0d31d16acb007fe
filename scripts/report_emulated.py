"""What a report says of a run in the lab (scripts/lab): instructions per op, and nothing that was
taken from a clock, for the emulator's is that of no machine."""

import threadlab_records
from report_render import Bullets, Heading, Table, Text
from summary import fact

DASH = "\N{EN DASH}"
EVENTS = (("user", "instructions:u"), ("kernel", "instructions:k"))


def per_op(value):
    """As exactly as it is known: a whole number where it is one."""
    return DASH if value is None else f"{value:,.3f}".removesuffix(".000")


def rows(run):
    """[benchmark, cell, user, kernel], a row a cell that was counted or could not be."""
    found = []
    for sample in run.samples:
        if sample["round"] > 0:
            continue
        bench, _, rest = sample["key"].partition("/")
        counts = [threadlab_records.per_op(sample, event) for _, event in EVENTS]
        total = None if None in counts else sum(counts)
        why = "" if total is not None else sample["reason"] or "not counted"
        found.append([bench, rest, *map(per_op, [*counts, total]), why])
    return sorted(found)


def blocks(run):
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
