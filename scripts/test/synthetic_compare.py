"""Makes records of comparisons that no machine has measured, for the tests. Same seed, same record.

Samples have log-normal noise around a true ratio; verdicts follow from that ratio and the interval,
in a simple way: what decides them in earnest is tested with comparison.py.
"""

import math
import random

import comparisons
import numpy as np
import synthetic

import summary

SCREEN, CONFIRM = 16, 32


def record(ratios, noise=0.004, seed=7, failed=(), extra=None, **more):
    """Lines of a record. ratios: {key's threads: true ratio}; failed: those that crash in head.
    Round 0 is the pilot; a changed pair has CONFIRM rounds after SCREEN ones."""
    rand = random.Random(seed)
    base, head = comparisons.headers()
    runs = {"r1": [], "r2": []}
    pairs = []
    for at, (threads, true) in enumerate(ratios.items()):
        about = {"bench": "switch.yield", "impl": "green", "axes": {"threads": threads}}
        changed = abs(math.log(true)) > 0.008 and threads not in failed
        last = SCREEN + (CONFIRM if changed else 0)
        logs = {}
        for round_ in range(last + 1):
            middle = 100 * rand.lognormvariate(0, 0.01)  # what a round's two processes share
            ours, theirs = (middle * rand.lognormvariate(0, noise) for _ in range(2))
            lost = threads in failed
            a = synthetic.sample("r1", ns_per_op=ours, round_=round_, position=at, **about)
            b = synthetic.sample("r2", ns_per_op=theirs * true, round_=round_, position=at,
                                 status="crashed" if lost else "ok",
                                 reason="killed by SIGSEGV" if lost else None, **about)
            runs["r1"].append(a)
            runs["r2"].append(b)
            if not lost:
                logs[round_] = math.log(summary.process_value(b) / summary.process_value(a))
        pairs.append(_pair(a["key"], logs, changed))
    lines = [base, head]
    for name, samples in runs.items():
        part = synthetic.finish([{"type": "run", "run": name}, *samples])
        header = base if name == "r1" else head
        header["planned"] = part[0]["planned"]
        lines += part[1:]
    return [*lines, comparisons.comparison([*pairs, *(extra or ())], **more)]


def _pair(key, logs, changed):
    counted = [v for r, v in logs.items() if r > (SCREEN if changed else 0)]
    if not counted:
        return comparisons.pair("failed", key)
    found = summary.hodges_lehmann(counted)
    bound = math.log1p(0.01)
    verdict = ("slower" if found.low > bound else "faster" if found.high < -bound else
               "equivalent" if abs(found.low) < 0.02 and abs(found.high) < 0.02 else
               "inconclusive")
    return comparisons.pair(
        verdict, key, base_ns=100.0, reason="the interval reaches beyond delta"
        if verdict == "inconclusive" else None,
        ratio={"value": math.exp(found.value), "low": math.exp(found.low),
               "high": math.exp(found.high)},
        head_ns=100.0 * math.exp(float(np.median(counted))),
        rounds={"screen": SCREEN, "confirm": CONFIRM if changed else 0,
                "confirm_from": SCREEN + 1 if changed else None})
