"""Runs a comparison: servers of the builds, rounds, layout re-test, the `comparison` line.

The decisions are comparison.py's; this measures what they ask for and writes all of it down.
"""

import dataclasses
import json
import math
import random
import time

import numpy as np

import builds
import comparison
import serving
import summary

BATCHES = 16  # of a process: 8 of n and 8 of 2n. With 32 or 8 the ratios vary more
SERVE_ROUNDS = 1000  # more than any comparison makes
TWIN_EVERY = 2  # screening rounds: 8 A/A ratios a pair for 16 rounds, a quarter more processes
FIRST_ROUND = 2  # after those of the pilot
IDLE_SHARE = 0.2  # of the time of the others' turns: a cell that computes then is measured alone
LAYOUT_ROUNDS = 24
BAD_SHARE = 0.25  # of a pair's rounds without a value: then something is wrong with it


@dataclasses.dataclass
class Item:
    """One pair to be compared and what was measured of it."""

    base_key: str
    head_key: str
    base_cell: dict
    head_cell: dict
    n: int = 0  # run()'s n in every process
    turns: bool = True  # base and head take turns, batch by batch; else one after the other
    first: tuple = ()  # samples of the pilot: base, head
    base_values: list = dataclasses.field(default_factory=list)  # ns per op, by round
    head_values: list = dataclasses.field(default_factory=list)
    twins: list = dataclasses.field(default_factory=list)  # ln(base once more / base), by round
    samples: int = 0
    trusted: int = 0
    lost: int = 0  # rounds without a value
    user_ns: int = 0  # CPU time of base's processes in their windows
    system_ns: int = 0
    confirm_from: int | None = None
    layout: dict | None = None


def pairs_of_builds(base, head, every_cell):
    """([Item], {"base": [...], "head": [...]}) from two servers: keys in both that can be run.
    missing["base"] are the keys that base lacks."""
    def wanted(server):
        return {key for key, cell in server.cells.items()
                if not cell["unsupported"] and (every_cell or not cell["away"])}

    ours, theirs = wanted(base), wanted(head)
    both = sorted(ours & theirs, key=summary.natural)
    return ([Item(key, key, base.cells[key], head.cells[key]) for key in both],
            {"base": sorted(theirs - ours), "head": sorted(ours - theirs)})


def pairs_of_impls(server, base_impl, head_impl, every_cell):
    """The same from one server: cells of two implementations that ask the same question. Parameters
    that only one of them has are left at their first value."""
    def question(cell, common):
        return (cell["bench"], cell["policy"], tuple(sorted(cell["axes"].items())),
                tuple((name, cell["params"][name]) for name in common))

    cells = [c for c in server.cells.values() if not c["unsupported"]]
    a = [c for c in cells if c["impl"] == base_impl]
    b = [c for c in cells if c["impl"] == head_impl]
    items, missing = [], {"base": [], "head": []}
    if not a or not b:
        return items, missing
    common = sorted(set(a[0]["params"]) & set(b[0]["params"]))

    def by_question(cells):
        return {question(c, common): c for c in cells
                if all(every_cell and (name in c["axes"] or name in common)
                       for name in c["away"])}

    a, b = by_question(a), by_question(b)
    for asked in sorted(set(a) | set(b), key=str):
        if asked in a and asked in b:
            items.append(Item(a[asked]["key"], b[asked]["key"], a[asked], b[asked]))
        else:
            missing["head" if asked in a else "base"].append((a.get(asked) or b[asked])["key"])
    return items, missing


class Session:
    """A comparison under way.

    base, head: servers of the two builds; twin: another one of base's build, for A/A. options:
    seed, budget (seconds), target_ns (timed windows of a process) and slowdown(key) (share that
    head is made slower by). say: takes a line of progress.
    """

    def __init__(self, items, base, head, twin, options, say):
        self.items, self.base, self.head, self.twin = items, base, head, twin
        self.options, self.say = options, say
        self.random = random.Random(options.seed)
        self.started = time.monotonic()
        self.round = 0
        self.noise = []  # (noise object, PUs) of each sample
        self.spent, self.ran = 0.0, 0  # seconds in which so many processes ran

    # ---- time ----------------------------------------------------------------------------------

    def elapsed(self):
        return time.monotonic() - self.started

    def has_time(self, processes):
        """Whether so many processes fit into what is left of the budget."""
        each = self.spent / self.ran if self.ran else 0.01
        return self.elapsed() + each * processes <= self.options.budget

    # ---- one pair, one round --------------------------------------------------------------------

    def measure(self, item, position, *, twin=False, servers=None, round_number=None):
        """All of a pair, in turns or one right after the other, in random order. Returns their
        samples: base, head, and, if asked for, base once more."""
        base, head = servers or (self.base, self.head)
        runs = [(base, item.base_key, 0.0),
                (head, item.head_key, self.options.slowdown(item.head_key))]
        if twin:
            runs.append((self.twin, item.base_key, 0.0))
        seats = list(range(len(runs)))
        self.random.shuffle(seats)
        by_seat = sorted(range(len(runs)), key=seats.__getitem__)
        round_of = self.round if round_number is None else round_number
        start = time.monotonic()
        with serving.Baton() as baton:
            found = [None] * len(runs)
            path = baton.renew()
            for which in by_seat:
                server, key, slowdown = runs[which]
                server.ask(key, round_of, self.options.target_ns, n=item.n, slowdown=slowdown,
                           position=position + seats[which], batches=BATCHES if item.n else 0,
                           baton=(path, seats[which], len(runs)) if item.turns and item.n else None)
                if not item.turns or not item.n:
                    found[which] = server.take()
            for which in by_seat:
                found[which] = found[which] or runs[which][0].take()
        self.spent += time.monotonic() - start
        self.ran += len(runs)
        self.noise += [(s["noise"], len(s["place"]["cpus"])) for s in found if s.get("noise")]
        return found

    def pilot(self, missing):
        """Rounds 0 and 1: finds n, which cells can take turns, and leaves out what turns out to be
        unsupported in base."""
        kept = []
        can_turn = all(s.seats >= 3 for s in (self.base, self.head, self.twin))
        for at, item in enumerate(self.items):
            base, head = self.measure(item, 2 * at, round_number=0)
            item.first = (base, head)
            if base["status"] == "unsupported":
                if head["status"] != "unsupported":
                    missing["base"].append(item.head_key)
                continue
            kept.append(item)
            if base["status"] == head["status"] == "ok":
                window = float(np.median([b["ns"] for b in base["batches"][0::2]]))
                wanted = self.options.target_ns / (1.5 * BATCHES)
                item.n = max(1, round(base["linearity"]["n"] * wanted / max(window, 1)))
                item.turns = can_turn and not all(busy_while_waiting(s)
                                     for s in self.measure(item, 2 * at, round_number=1))
        self.items = kept
        self.round = FIRST_ROUND

    def run_round(self, procedure, wanted):
        order = list(wanted)
        self.random.shuffle(order)
        for place, at in enumerate(order):
            item = self.items[at]
            confirming = procedure.confirming is not None
            if confirming and item.confirm_from is None:
                item.confirm_from = self.round
            twin = not confirming and self.round % TWIN_EVERY == 1
            base, head, *again = self.measure(item, 3 * place, twin=twin)
            self.note(item, base, head)
            a, b = summary.process_value(base), summary.process_value(head)
            c = summary.process_value(again[0]) if again else None
            if a and c:
                item.twins.append(math.log(c / a))
            if a and b:
                item.base_values.append(a)
                item.head_values.append(b)
                procedure.add(at, math.log(b / a))
                continue
            item.lost += 1
            bad = "base" if not a else "head"
            sample = base if not a else head
            if item.lost > BAD_SHARE * max(len(item.base_values), 8):
                procedure.fail(at, f"{bad}: {sample['status']} in {item.lost} rounds: "
                                   f"{sample['reason']}")
        self.round += 1

    def note(self, item, base, head):
        for sample in (base, head):
            item.samples += 1
            item.trusted += sample["trusted"] is True
        usage = base.get("usage") or {}
        item.user_ns += usage.get("user_ns") or 0
        item.system_ns += usage.get("system_ns") or 0

    def run(self, procedure):
        """All rounds after the pilot. Returns why it stopped early, or None."""
        for at, item in enumerate(self.items):
            for name, sample in zip(("base", "head"), item.first):
                if sample["status"] != "ok" and procedure.pairs[at].verdict is None:
                    procedure.fail(at, f"{name}: {sample['status']}: {sample['reason']}")
        while wanted := procedure.wanted():
            if not self.has_time(2 * len(wanted)):
                procedure.stop("the budget was used up")
                return "budget"
            stage = "screening" if procedure.confirming is None else "confirming"
            self.say(f"round {self.round}: {stage} {len(wanted)} of {len(self.items)} pairs, "
                     f"{self.elapsed():.0f} s")
            self.run_round(procedure, wanted)
            procedure.end_round()
        return None

    # ---- layout ---------------------------------------------------------------------------------

    def retest_layout(self, item, pair, padded):
        """padded: {bytes: (server of base, server of head)}. Fills item.layout; returns whether the
        change stays behind every padding."""
        found = {n: [] for n in padded}
        for round_number in range(LAYOUT_ROUNDS):
            order = list(padded)
            self.random.shuffle(order)
            for place, n in enumerate(order):
                base, head = self.measure(item, 2 * place, servers=padded[n],
                                          round_number=round_number)
                a, b = summary.process_value(base), summary.process_value(head)
                if a and b:
                    found[n].append(math.log(b / a))
        estimates = {n: summary.hodges_lehmann(v) for n, v in found.items() if v}
        bound = math.log1p(pair.delta)
        stays = len(estimates) == len(padded) and all(e.value > bound for e in estimates.values())
        item.layout = {"reason": None, "moves": not stays, "paddings": [
            {"bytes": n, "ratio": ratio_json(e), "rounds": e.n} for n, e in estimates.items()]}
        return stays


def busy_while_waiting(sample):
    """Whether threads of this cell compute while it is another's turn: they would slow that one."""
    baton = sample.get("baton")
    return baton is not None and baton["idle_cpu_ns"] > IDLE_SHARE * baton["wait_ns"]


def ratio_json(found):
    def exp(value):
        return None if value is None else math.exp(value)
    return None if found is None else {"value": exp(found.value), "low": exp(found.low),
                                       "high": exp(found.high)}


def no_layout(reason):
    return {"reason": reason, "moves": None, "paddings": []}


def check_layout(session, procedure, base_build, head_build, measured, serve):
    """Re-tests each confirmed regression that is spent in user space behind the paddings.

    measured: the two builds whose binaries were measured, copies of those of base_build and
    head_build, which must not have changed since. serve: Build -> Server, which is closed here. A
    regression that moves with the layout becomes inconclusive.
    """
    owed = [(i, p) for i, p in zip(session.items, procedure.pairs)
            if p.verdict == comparison.SLOWER]
    testable = []
    for item, pair in owed:
        spent = item.user_ns + item.system_ns
        if spent and item.system_ns > item.user_ns:
            item.layout = no_layout(
                f"{100 * item.system_ns / spent:.0f}% of its time is the kernel's, which no "
                "padding of ours moves")
        else:
            testable.append((item, pair))
    if not testable:
        return
    try:
        session.say(f"layout: linking both builds behind {len(builds.PADDINGS)} paddings")
        bases, heads = base_build.padded(), head_build.padded()
        for build, copy in zip((base_build, head_build), measured):
            if build.identity() != copy.identity():
                raise builds.BuildError(f"{build.name} was built anew in the meantime")
    except builds.BuildError as error:
        for item, _ in testable:
            item.layout = no_layout(str(error))
        return
    servers = {}
    try:
        for n in builds.PADDINGS:
            servers[n] = (serve(bases[n]), serve(heads[n]))
        for item, pair in testable:
            session.say(f"layout: {item.head_key}")
            if not session.retest_layout(item, pair, servers):
                moved = ", ".join(comparison.percent_change(math.log(p["ratio"]["value"]))
                                  for p in item.layout["paddings"])
                was = comparison.percent_change(pair.estimate().value)
                pair.decide(comparison.INCONCLUSIVE,
                            f"{was} as built, but {moved} behind paddings: it moves with the place "
                            "of the code")
    finally:
        for pair_of_servers in servers.values():
            for server in pair_of_servers:
                server.close()


def noise_json(noise):
    """Shares of the time of the PUs used (PSI: of the wall time) over all samples; null where
    nothing was known. noise: (noise object of a sample, number of its PUs)."""
    def share(name, unit_ns, by_pu):
        known = [(n[name] * unit_ns, n["wall_ns"] * (pus if by_pu else 1)) for n, pus in noise
                 if n.get(name) is not None and n.get("wall_ns")]
        total = sum(time_ns for _, time_ns in known)
        return max(0.0, sum(part for part, _ in known) / total) if total else None
    return {"steal_share": share("steal_ns", 1, True),
            "foreign_share": share("foreign_ns", 1, True),
            "psi_some_share": share("psi_some_us", 1000, False)}


def exit_status(pairs, mode):
    """0: no regression; 1: one; 2: something could not be compared, and nothing is slower. Between
    implementations slower is an answer, not a regression; what is ignored fails nothing."""
    verdicts = {pair["verdict"] for pair in pairs if pair["ignored"] is None}
    if comparison.SLOWER in verdicts and mode != "impls":
        return 1
    return 2 if comparison.FAILED in verdicts else 0


def line(session, procedure, limits, mode, names, missing, started):
    """The `comparison` line of the record, as a dict."""
    pairs = []
    for item, pair, limit in zip(session.items, procedure.pairs, limits):
        bench = session.head.header["benches"].get(item.head_cell["bench"], {})
        pairs.append({
            "key": item.head_key, "base_key": item.base_key, "bench": item.head_cell["bench"],
            "impl": item.head_cell["impl"], "base_impl": item.base_cell["impl"],
            "verdict": pair.verdict, "reason": pair.reason, "delta": pair.delta,
            "ratio": ratio_json(pair.estimate()),
            "base_ns": float(np.median(item.base_values)) if item.base_values else None,
            "head_ns": float(np.median(item.head_values)) if item.head_values else None,
            "unit": bench.get("unit") or "ns", "n": item.n, "turns": item.turns,
            "rounds": {"screen_from": FIRST_ROUND, "screen": len(pair.screen),
                       "confirm": len(pair.confirm),
                       "confirm_from": item.confirm_from, "lost": item.lost},
            "p": {"screen": pair.screen_p, "confirm": pair.confirm_p},
            "trusted": item.trusted / item.samples if item.samples else None,
            "layout": item.layout, "ignored": limit.why if limit.ignore else None,
        })
    verdicts = {v: sum(p["verdict"] == v for p in pairs) for v in comparison.VERDICTS}
    return {
        "type": "comparison", "run": session.head.header["run"],
        "base": session.base.header["run"], "twin": session.twin.header["run"], "mode": mode,
        "base_name": names[0], "head_name": names[1], "seed": session.options.seed,
        "started": started, "wall_ns": int(session.elapsed() * 1e9),
        "budget_ns": int(session.options.budget * 1e9),
        "settings": {**dataclasses.asdict(procedure.settings),
                     "target_ns": session.options.target_ns},
        "pairs": pairs,
        "aa": comparison.self_agreement([i.twins for i in session.items],
                                        [p.delta for p in procedure.pairs]),
        "missing": missing, "verdicts": verdicts, "noise": noise_json(session.noise),
        "exit_status": exit_status(pairs, mode),
    }


def write_line(line_dict):
    return json.dumps(line_dict, allow_nan=False, separators=(",", ":")).encode() + b"\n"
