"""What the lab tries out by itself, for `lab topologies`, `lab torture` and `lab smoke`: that
threads run where a placement has them, and that a race that is lost is lost again.

ask(commands, **machine): boots once and returns {name: (status, text)} of the commands {name:
(verb, arguments)}; machine: topology="2x2x2,numa=2", seed=N (of the machine: --lab-seed)."""

import pathlib
import re

import lab_places
from lab_machine import Topology

EXPECTED = pathlib.Path(__file__).resolve().parent.parent / "impls"
TOPOLOGIES = ("1", "2", "8", "2x2x2,numa=2")
PARALLEL = ("nptl", "clone", "hybrid")
# A wait in two steps: whether a signal falls between them depends on the interleaving alone.
RACE = "cond-waits-in-two-steps"
CHECKED = "nptl,clone,green,hybrid"
CHECKS = ["join.waits", "join.cancelled-joiner", "mutex.exclusion", "cond.timed", "sem.count",
          "cancel.blocked-sleep", "handler.during-switch", "fp.environment", "stack.alignment*"]
# One at a time: eight programs a batch, and a machine that plays others beside is no other race.
PROGRAMS = ["--seed", "7", "--deadline", "60s", "--jobs", "1", "torture.random"]


def place_commands():
    return {f"place {policy}": ("check", ["--place", policy, "--impl", ",".join(PARALLEL),
                                          "affinity.honoured"])
            for policy in lab_places.POLICIES}


def places(text, answers):
    """Prints a line for each policy; True: all as it must be."""
    topology, right = Topology(text), True
    for policy in lab_places.POLICIES:
        ok, line = lab_places.verdict(topology, policy, answers.get(f"place {policy}", (2, ""))[1],
                                      PARALLEL)
        print(f"{'ok' if ok else 'not ok'} - {text}: {line}", flush=True)
        right = right and ok
    return right


def topologies(ask, texts=TOPOLOGIES):
    return all([places(text, ask(place_commands(), topology=text)) for text in texts])


def summary(text):
    """Which programs failed, in a few words."""
    seeds = re.findall(r"^  seed: (\d+)$", text, re.M)
    played = re.search(r"^# (\d+) programs, seeds (\d+) to (\d+)$", text, re.M)
    return (f"{played[1]} programs, seeds {played[2]} to {played[3]}" if played else "no end") + (
        f"; failed with seed {', '.join(seeds)}" if seeds else "; all passed")


def torture(ask, seeds=(0, 1, 2), time="300ms", impls="clone,green,hybrid"):
    """Sound implementations pass in each of the machine's interleavings; one with a race fails, and
    where the machine has the same seed again, it says the same again, to the last byte."""
    commands = {"sound": ("check", ["--torture", time, *PROGRAMS, "--impl", impls]),
                "race": ("check", ["--torture", time, *PROGRAMS, "--impl", "clone", "--mutant",
                                   RACE])}
    right, said = True, {}

    def tell(ok, line):
        nonlocal right
        print(f"{'ok' if ok else 'not ok'} - {line}", flush=True)
        right = right and ok

    for seed in seeds:
        answers = ask(commands, topology="2", seed=seed)
        status, text = answers.get("sound", (None, ""))
        tell(status == 0, f"lab seed {seed}, {impls}: {summary(text)}")
        if status != 0:
            print(text)
        said[seed] = answers.get("race", (None, ""))
        tell(said[seed][0] in (0, 1), f"lab seed {seed}, mutant {RACE}: {summary(said[seed][1])}")
    failing = [seed for seed in seeds if said[seed][0] == 1]
    tell(bool(failing), f"the race is lost with {len(failing)} of {len(seeds)} lab seeds")
    if failing:  # all of it: another command before it would be another interleaving
        again = ask(commands, topology="2", seed=failing[0]).get("race", (None, ""))
        tell(again == said[failing[0]], f"lab seed {failing[0]} again: {summary(again[1])}")
        if again != said[failing[0]]:
            print(said[failing[0]][1], again[1], sep="\n--\n")
    return right
