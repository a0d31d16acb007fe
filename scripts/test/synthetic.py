"""Makes records that no machine has measured, for the tests. Same seed, same record."""

import json
import random

IMPLS = {
    "null": ("none", "runs the function inside create"),
    "nptl": ("1:1", "glibc pthreads"),
    "clone": ("1:1", "raw clone() and futex"),
    "green": ("M:1", "user-level threads, hand-written switch"),
    "ucontext": ("M:1", "user-level threads over swapcontext"),
}
# ns per op by implementation: create, yield, hand-over, mutex, signal
COST = {
    "null": (4, 2, 3, 1, 900),
    "nptl": (19300, 1208, 2584, 5.6, 2500),
    "clone": (15100, 1190, 2400, 4.4, 2450),
    "green": (24, 8, 18, 2.5, 2600),
    "ucontext": (600, 230, 260, 2.6, 2700),
}


def histogram(random_state, middle, count):
    """Log-linear buckets as the driver's, of a distribution with a second, slow mode."""
    values = sorted(
        int(middle * random_state.lognormvariate(0, 0.15) * random_state.choice([1] * 49 + [12]))
        + 1
        for _ in range(count)
    )
    buckets = {}
    for value in values:
        width = max(1, 1 << max(value.bit_length() - 6, 0))
        low = value // width * width
        edge = (low, min(low + width, values[-1] + 1))
        buckets[edge] = buckets.get(edge, 0) + 1
    return {
        "unit": "ns", "count": count, "min": values[0], "max": values[-1], "sum": sum(values),
        "buckets": [[low, high, n] for (low, high), n in sorted(buckets.items())],
    }


def key(bench, impl, policy, axes, params):
    """As the driver names a cell."""
    settings = ",".join(f"{k}={v}" for k, v in {**axes, **params}.items())
    return f"{bench}/{impl}/{policy}" + (f"/{settings}" if settings else "")


def sample(run="r1", bench="demo.one", impl="nptl", policy="same-pu", cpus=(0,), relation="same-pu",
           axes=None, params=None, ns_per_op=100.0, status="ok", reason=None, signal=None,
           distrust=(), round_=0, position=0, hists=None, metrics=None, batches=4):
    axes, params = axes or {}, params or {}
    ok = status == "ok"
    ops = max(int(2e6 / max(ns_per_op, 0.01)), 1)
    return {
        "type": "sample", "run": run, "key": key(bench, impl, policy, axes, params),
        "round": round_, "position": position, "at_ns": 1000 * position, "bench": bench,
        "bench_version": 1, "impl": impl, "params": params, "axes": axes,
        "place": {"policy": policy, "relation": relation, "cpus": list(cpus)},
        "status": status, "reason": reason, "signal": signal,
        "trusted": (not distrust) if ok else None, "distrust": list(distrust),
        "batches": [
            {"ns": int(ns_per_op * ops * (1 + 0.02 * at)), "ops": ops} for at in range(batches)
        ] if ok else [],
        "hists": hists or {}, "metrics": metrics or {}, "counts": {"handovers": ops} if ok else {},
        "expect": {"switches_per_op": {"min": 0.0, "max": 0.1, "seen": 0.0, "reason": None}},
        "usage": {
            "voluntary_switches": 3, "involuntary_switches": 1, "minor_faults": 120,
            "major_faults": 0, "user_ns": 8000000, "system_ns": 1000000, "max_rss_bytes": 4194304,
        } if ok else None,
        "noise": {
            "steal_ns": 0, "foreign_ns": None, "tick_ns": 10000000, "psi_some_us": 12,
            "frequency_hz": None,
            "unknown": {"foreign_ns": "no such file", "frequency_hz": "no cpufreq"},
        },
        "counters": [
            {"event": "cycles:u", "value": None, "reason": "no PMU", "enabled_ns": None,
             "running_ns": None, "ops": 0},
            {"event": "task-clock", "value": 123456, "reason": None, "enabled_ns": 1000,
             "running_ns": 1000, "ops": ops},
        ],
        "linearity": {"ratio": 1.01, "n": ops} if ok else {"ratio": None, "n": 0},
        "phases": {
            "spawn_ns": 900000, "setup_ns": 10000, "warmup_ns": 2000000, "timed_ns": 8000000,
            "counting_ns": 0, "teardown_ns": 5000, "wall_ns": 11500000,
        },
    }


def header(run="r1", host="testhost", rounds=3, seed=7, planned=0, benches=(), impls=IMPLS):
    return {
        "type": "run", "schema": {"name": "threadlab", "major": 1, "minor": 0}, "run": run,
        "host": host, "started": "2026-11-21T04:43:00Z", "started_unix_ns": 1795236180000000000,
        "preset": "standard", "seed": seed, "rounds": rounds, "budget_ns": 240000000000,
        "request": {"impl": ["*"], "bench": ["*"], "place": [], "events": ["cycles:u"], "set": {},
                    "plugins": [], "topology": None},
        "build": {"version": "0.1.0", "revision": "0123abc", "dirty": False, "sha256": "ab" * 32,
                  "compiler": "gcc 12.2.0", "cflags": "-O2 -g"},
        "environment": {
            "cpu": {"model": "Example CPU <9000>", "count": 2, "microcode": None},
            "kernel": {"release": "6.18.0", "cmdline": "quiet \"x\" & y"},
            "memory": {"total_bytes": 8589934592, "thp": "madvise"},
        },
        "unknown": {"cpu.microcode": "no such line in /proc/cpuinfo"},
        "clock": {"source": "tsc", "reason": None, "hz": 2450000000, "cost_ns": 9.5,
                  "resolution_ns": 0.41, "error_ppm": 0.3},
        "events": [
            {"event": "cycles:u", "available": False, "reason": "no PMU on this machine"},
            {"event": "task-clock", "available": True, "reason": None},
        ],
        "topology": {"sha256": "cd" * 32, "xml": "<topology/>"}, "cpus": {"allowed": [0, 1]},
        "planned": {"cells": planned // max(rounds, 1), "records": planned},
        "benches": {
            name: {"version": 1, "title": f"{name} <title>", "op": f"one op of {name}",
                   "unit": "ns", "rests_on": [], "axes": {"threads": "threads that take turns"}}
            for name in benches
        },
        "impls": {
            name: {"model": model, "summary": summary, "traits": ["concurrent"]}
            for name, (model, summary) in impls.items()
        },
    }


def finish(lines, complete=True, reason=None):
    """Adds the header's plan and the end."""
    samples = [line for line in lines if line["type"] == "sample"]
    by_status = {}
    for line in samples:
        by_status[line["status"]] = by_status.get(line["status"], 0) + 1
    lines[0]["planned"] = {"cells": len({s["key"] for s in samples}), "records": len(samples)}
    lines.append({
        "type": "end", "run": lines[0]["run"], "records": len(samples), "by_status": by_status,
        "untrusted": sum(s["trusted"] is False for s in samples), "wall_ns": 100000000000,
        "timed_ns": 81000000000, "harness_share": 0.19, "complete": complete, "reason": reason,
    })
    return lines


def full(run="r1", host="testhost", rounds=3, seed=7, impls=IMPLS, pus=2):
    """Every shape of benchmark that the report knows."""
    rand = random.Random(seed)
    plan = []  # (bench, impl, policy, relation, cpus, axes, params, ns, extra)

    def add(bench, impl, ns, axes=None, params=None, policy="same-pu", relation="same-pu",
            cpus=(0,), **extra):
        plan.append((bench, impl, policy, relation, cpus, axes or {}, params or {}, ns, extra))

    cross = {"policy": "cross-l3", "relation": "cross-l3", "cpus": (0, 1)}
    for impl in impls:
        create, give, hand, mutex, signal = COST[impl]
        user = impl in ("green", "ucontext")
        for recycle in ("none", "stack", "thread") if impl == "clone" else (None,):
            params = {} if recycle is None else {"recycle": recycle}
            part = {None: 1, "none": 1, "stack": 0.8, "thread": 0.28}[recycle]
            add("create.join", impl, create * part, {"stack": 65536}, params)
        for threads in (2, 16, 1000, 100000):
            for tls in ("errno", "full") if user else (None,):
                params = {} if tls is None else {"tls": tls}
                if impl == "null":
                    add("switch.yield", impl, 0, {"threads": threads}, params, status="invalid",
                        reason="0 of 2 threads were alive at once")
                elif impl in ("nptl", "clone") and threads > 50000:
                    add("switch.yield", impl, 0, {"threads": threads}, params,
                        status="unsupported", reason="threads-max is 31741")
                else:
                    slow = 1.3 if tls == "full" else 1
                    add("switch.yield", impl, give * slow * (1 + 0.1 * len(str(threads))),
                        {"threads": threads}, params)
        for where in ({}, cross):
            add("switch.sem", impl, hand * (6 if where and not user else 1), **where)
        add("lock.uncontended", impl, mutex, {"kind": "block"})
        for kind in ("spin", "block", "adaptive"):
            for cs in (0, 100, 1000, 10000, 100000):
                if user or impl == "null":
                    continue
                cost = {"spin": cs * 2.2 + 30, "block": cs + 3000 * (cs > 50) + 60,
                        "adaptive": cs * 1.3 + 45}[kind]
                add("lock.contended", impl, cost, {"kind": kind, "cs_ns": cs, "threads": 2},
                    metrics={"fairness": {"value": 0.93, "unit": "index"}},
                    hists={"wait": (cost, 400)}, **cross)
        for where in ({}, cross):
            if where and user:
                add("signal.thread", impl, 0, {"target": "running"}, status="unsupported",
                    reason="an M:1 thread is never on another CPU", **where)
            else:
                add("signal.thread", impl, signal * (4 if where else 1), {"target": "running"},
                    hists={"latency": (signal * (4 if where else 1), 3000)}, **where)
        for threads in (1, 16, 256):
            add("fork.threads", impl, 90000 + 30 * threads, {"threads": threads, "method": "fork"})
        if impl == "ucontext":
            add("create.batch", impl, 0, status="crashed", reason="killed by SIGSEGV",
                signal="SIGSEGV")
        elif impl == "clone":
            add("create.batch", impl, 0, status="timeout", reason="no answer within 10 s")
        else:
            add("create.batch", impl, create * 1.4,
                distrust=["linearity 1.8 is outside 0.8..1.25 <noisy>"] if impl == "green" else [])
    add("floor.switch", "-", 3.1)
    add("floor.syscall", "-", 210)
    for a in range(pus):
        for b in range(a + 1, pus):
            near = a // 4 == b // 4
            add("floor.cacheline", "-", 23 if near else 107, policy=f"cpus={a},{b}",
                relation="shared-l3" if near else "cross-l3", cpus=(a, b))
    lines = [header(run, host, rounds, seed, 0, sorted({p[0] for p in plan}), impls)]
    for round_ in range(rounds):
        order = list(range(len(plan)))
        rand.shuffle(order)
        for position, at in enumerate(order):
            bench, impl, policy, relation, cpus, axes, params, ns, extra = plan[at]
            extra = dict(extra)
            if "hists" in extra:
                extra["hists"] = {
                    name: histogram(rand, *args) for name, args in extra["hists"].items()
                }
            lines.append(sample(
                run, bench, impl, policy, cpus, relation, axes, params,
                ns * rand.lognormvariate(0.03, 0.03), round_=round_, position=position, **extra,
            ))
    return finish(lines)


def text(lines):
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)


def write(path, lines):
    path.write_text(text(lines), encoding="utf-8")
    return path
