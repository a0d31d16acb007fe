"""A driver that speaks protocol 1 of `threadlab serve` and measures nothing: its times are drawn
from a seed. Written to a file of its own by make()."""

import hashlib
import json
import os
import pathlib
import random
import sys

import synthetic

HERE = pathlib.Path(__file__).resolve().parent


def make(path, config):
    """Writes an executable that serves config:

        {"run": id, "cells": [{"bench", "impl", "policy", "cpus", "axes", "params", "ns", "noise",
         "status", "reason", "away", "version", "fail_from", "twin", "system"}...], "protocol": 1,
         "die_after": n, "header": {field: value}}
    """
    path.write_text(f"#!{sys.executable}\nimport sys\nsys.path[:0] = [{str(HERE)!r}]\n"
                    f"import fake_serve\nfake_serve.serve({config!r}, sys.argv[1:])\n")
    path.chmod(0o755)
    return path


def cell(bench, ns, impl="nptl", policy="same-pu", cpus=(0,), noise=0.01, **more):
    return {"bench": bench, "impl": impl, "policy": policy, "cpus": list(cpus), "axes": {},
            "params": {}, "ns": ns, "noise": noise, "away": [], **more}


def key_of(c):
    return synthetic.key(c["bench"], c["impl"], c["policy"], c["axes"], c["params"])


def serve(config, argv):
    if "serve" not in argv:
        sys.exit("threadlab: no verb")
    run = f"{config['run']}-{os.getpid()}"  # one for each process, as the driver's
    cells = {key_of(c): c for c in config["cells"]}
    benches = sorted({c["bench"] for c in cells.values()})
    header = synthetic.header(run, rounds=1000, benches=benches)
    for c in cells.values():
        header["benches"][c["bench"]]["version"] = c.get("version", 1)
    header.update(config.get("header", {}))
    say(header)
    say({"type": "ready", "protocol": config.get("protocol", 1),
         "seats": config.get("seats", 4), "cells": [
        {"key": key, "bench": c["bench"], "impl": c["impl"], "axes": c["axes"],
         "params": c["params"], "policy": c["policy"], "relation": c["policy"], "cpus": c["cpus"],
         "unsupported": c.get("unsupported"), "away": c["away"]} for key, c in cells.items()]})
    done = 0
    for line in sys.stdin:
        if config.get("die_after") == done:
            sys.exit("threadlab: out of luck")
        asked = json.loads(line)
        c, round_ = cells[asked["cell"]], asked["round"]
        say(sample(run, config["run"], c, round_, asked))
        done += 1
    say({"type": "end", "run": run, "records": done, "by_status": {"ok": done}, "untrusted": 0,
         "wall_ns": 1, "timed_ns": 1, "harness_share": 0.1, "complete": True, "reason": None})


def sample(run, name, c, round_, asked):
    # What all builds share in a round: the machine's mood. Then each process's own luck.
    mood = random.Random(f"{key_of(c)} {round_}").gauss(0, 10 * c["noise"])
    luck = random.Random(digest(name, key_of(c), round_, asked["position"])).gauss(0, c["noise"])
    ns = c["ns"] * 2.718281828 ** (mood + luck) * (1 + asked.get("slowdown", 0))
    status = c.get("status", "ok")
    if round_ >= c.get("fail_from", 10**9):
        status = "crashed"
    one = synthetic.sample(run, c["bench"], c["impl"], c["policy"], tuple(c["cpus"]), c["policy"],
                           c["axes"], c["params"], ns, status,
                           None if status == "ok" else c.get("reason", "it fell over"),
                           round_=round_, position=asked["position"])
    if "baton" in asked:
        one["baton"] = {"seats": asked["seats"], "alone": False, "wait_ns": 1000,
                        "idle_cpu_ns": 900 if c.get("spins") else 10, "partner_cpu_ns": 5}
    if "slowdown" in asked:
        one["slowdown"] = asked["slowdown"]
    for batch in one["batches"]:  # finer than whole nanoseconds of a short window
        batch["ops"] *= 1000
        batch["ns"] = int(ns * batch["ops"])
    if c.get("system") and one["usage"]:
        one["usage"].update(user_ns=1, system_ns=10**7)
    return one


def digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def say(line):
    print(json.dumps(line, separators=(",", ":")), flush=True)
