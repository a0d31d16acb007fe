"""Placements in the emulated machine: what a policy's PUs must be, from QEMU's command line alone
(the driver asks hwloc inside), and whether the threads ran there (affinity.honoured)."""

import itertools
import re

POLICIES = ("same-pu", "smt", "shared-l2", "shared-l3", "cross-l3", "cross-numa", "cross-package",
            "compact", "spread")
PLACE = re.compile(r"^# place (\S+): PUs ([\d,]+)$", re.M)
VERDICT = re.compile(r"^(ok|not ok) \d+ - (\S+) affinity\.honoured(?: # SKIP (.*))?$", re.M)


class PU:
    """Where QEMU puts a CPU: -smp counts threads first, then cores, then sockets; nodes are of
    equal size."""

    def __init__(self, topology, number):
        self.core = number // topology.threads
        self.package = self.core // topology.cores
        self.node = number // (topology.cpus // topology.nodes)


def possible(topology, policy):
    """The machine has caches, but does not say which: none counts as shared."""
    cores = {PU(topology, n).core for n in range(topology.cpus // topology.nodes)}
    return {"smt": topology.threads > 1, "shared-l2": False, "shared-l3": False,
            "cross-l3": len(cores) > 1, "cross-numa": topology.nodes > 1,
            "cross-package": topology.sockets > 1}.get(policy, True)


def wrong(topology, policy, pus):
    """Why these PUs are not what the policy promises; "": they are."""
    at = [PU(topology, n) for n in pus]
    pairs = list(itertools.pairwise(at))
    cores, packages = {p.core for p in at}, {p.package for p in at}
    rules = {
        "same-pu": (len(pus) == 1, "more than one PU"),
        "smt": (len(cores) == 1 < len(pus), "not siblings of one core"),
        "cross-l3": (pairs and all(a.core != b.core and a.node == b.node for a, b in pairs),
                     "not different cores of one node"),
        "cross-numa": (pairs and all(a.node != b.node for a, b in pairs), "neighbours on one node"),
        "cross-package": (pairs and all(a.package != b.package for a, b in pairs),
                          "neighbours on one package"),
        "compact": (len(cores) == -(-len(pus) // topology.threads), "more cores than are needed"),
        "spread": (len(cores) == min(len(pus), topology.sockets * topology.cores)
                   and len(packages) == min(len(pus), topology.sockets),
                   "less apart than they could be"),
    }
    if len(set(pus)) != len(pus) or not all(0 <= n < topology.cpus for n in pus):
        return "not PUs of this machine, each once"
    right, why = rules[policy]
    return "" if right else why


def verdict(topology, policy, text, impls):
    """(True, a line for people) where all is as it must be; text: what `check --place` said."""
    found = PLACE.search(text)
    if not found:
        last = (text.strip().splitlines() or ["it said nothing"])[-1]
        return not possible(topology, policy), last
    pus = [int(n) for n in found[2].split(",")]
    line = f"{policy}: PUs {found[2]}"
    why = wrong(topology, policy, pus) if possible(topology, policy) else "not possible here"
    if why:
        return False, f"{line}: {why}"
    if len(pus) == 1:
        return True, f"{line}: nowhere else to be"
    ran = {name for ok, name, skip in VERDICT.findall(text) if ok == "ok" and not skip}
    missing = [name for name in impls if name not in ran]
    if missing:
        return False, f"{line}: not kept to by {', '.join(missing)}"
    return True, f"{line}: {', '.join(impls)} ran there and nowhere else"
