"""Makes comparisons that no machine has measured, for the tests."""

import synthetic

HOSTILE = (
    'quote"s/and\'s/&amp;<b>x</b>]]>', "pipe|back`tick`/*star*_u_[l](x)", "two\nlines\r\nand\rmore",
    "back\\slash\\", "#hash # sign", "100%:,;::error::x", "nul\0esc\x1b[31m\x85\u2028end",
    "half\ud800pair", "\N{SNOWMAN}\U0001f600", "$(x) ${y} $z", " ", "a" * 5000,
)
FACTORS = {"slower": 1.031, "faster": 0.958, "equivalent": 1.001, "inconclusive": 1.012}


def pair(verdict="equivalent", key="switch.yield/green/same-pu/threads=2", bench=None, reason=None,
         base_ns=45.1, width=0.005, **more):
    ran = verdict != "failed"
    factor = FACTORS.get(verdict, 1)
    confirmed = verdict in ("slower", "faster")
    if reason is None and verdict in ("inconclusive", "failed"):
        reason = "the interval reaches beyond delta" if ran else "head: crashed: SIGSEGV"
    return {
        "key": key, "base_key": key, "bench": bench or key.split("/")[0], "impl": "green",
        "base_impl": "green", "verdict": verdict, "reason": reason, "delta": 0.01,
        "ratio": {"value": factor, "low": factor - width, "high": factor + width} if ran else None,
        "base_ns": base_ns, "head_ns": base_ns * factor if ran else None, "unit": "ns",
        "rounds": {"screen": 16, "confirm": 64 if confirmed else 0},
        "p": {"screen": 0.0004 if ran else None, "confirm": 0.00001 if confirmed else None},
        "trusted": 1.0 if ran else 0.5, "layout": None, **more,
    }


def comparison(pairs=(), **more):
    verdicts = dict.fromkeys(("slower", "faster", "equivalent", "inconclusive", "failed"), 0)
    for one in pairs:
        verdicts[one["verdict"]] += 1
    return {
        "type": "comparison", "run": "r2", "base": "r1", "mode": "builds", "base_name": "main",
        "head_name": "my-branch", "seed": 7, "started": "2026-11-21T12:00:00Z",
        "wall_ns": 41000000000, "budget_ns": 60000000000,
        "settings": {"alpha": 0.01, "delta": 0.01, "equivalence": 0.02, "screen_p": 0.1,
                     "screen_rounds": 16, "confirm_rounds": 64, "level": 0.95},
        "pairs": list(pairs),
        "aa": {"pairs": 12, "claims": 0, "half_width": {"median": 0.004, "max": 0.031}},
        "missing": {"base": [], "head": []}, "verdicts": verdicts,
        "noise": {"steal_share": 0.002, "foreign_share": None, "psi_some_share": 0.03},
        "exit_status": 1 if verdicts["slower"] else 2 if verdicts["failed"] else 0, **more,
    }


def headers():
    base, head = synthetic.header("r1"), synthetic.header("r2")
    head["build"] |= {"revision": "fedc987", "dirty": True}
    return [base, head]


def typical():
    """One of each verdict, and what may come with it."""
    paddings = [{"bytes": size, "ratio": {"value": 1.03, "low": 1.02, "high": 1.04}, "rounds": 32}
                for size in (64, 128)]
    return comparison([
        pair("equivalent", "lock.uncontended/nptl/same-pu/kind=block", trusted=0.98),
        pair("faster", "create.join/clone/same-pu/stack=65536,recycle=thread", base_ns=3704.2),
        pair("inconclusive", "switch.sem/nptl/cross-l3"),
        pair("failed", "fork.threads/green/same-pu/threads=16"),
        pair("slower", "switch.yield/green/same-pu/threads=2,tls=errno",
             layout={"reason": None, "moves": False, "paddings": paddings}),
        pair("equivalent", "lock.uncontended/green/same-pu/kind=block"),
    ], missing={"base": ["create.new/nptl/same-pu"], "head": []})


def hostile():
    """Every verdict with every hostile text where a record may hold text."""
    pairs = [pair(verdict, f"{text}/{verdict}", text, reason=text if verdict != "equivalent"
                  else None) for text in HOSTILE for verdict in (*FACTORS, "failed")]
    return comparison(pairs, base_name=HOSTILE[0], head_name=HOSTILE[2],
                      missing={"base": list(HOSTILE), "head": list(HOSTILE)})


def many(count):
    return comparison([pair(("equivalent", "slower", "inconclusive", "failed")[at % 4],
                            f"switch.yield/green/same-pu/threads={at},tls=errno")
                       for at in range(count)])
