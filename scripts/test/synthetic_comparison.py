"""Makes records of comparisons that no machine has measured, for the tests."""

import datetime
import random

import comparisons
import synthetic

REFERENCE = "ef" * 32
BENCHES = {"switch.yield": 45.0, "create.join": 19300.0}
START = datetime.datetime(2026, 3, 1, 4, 30, tzinfo=datetime.timezone.utc)


def lines(number=0, factor=1.0, rounds=8, noise=0.01, host="testhost", impls=("green", "nptl"),
          reference=REFERENCE, head=None, revision=None, benches=None, start=START, mode="builds"):
    """The record of run `number`: one a day. factor: head/reference, or {key: that}."""
    rand = random.Random(number)
    base_id, head_id = f"b{number:04}", f"h{number:04}"
    started = (start + datetime.timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
    benches = BENCHES if benches is None else benches
    headers = {}
    for name, sha256, rev in (
        (base_id, reference, "0abc" + reference[:6]),
        (head_id, head or f"{number:064x}", revision or f"{number:04}feedbeef"),
    ):
        one = synthetic.header(name, host, rounds, benches=sorted(benches),
                               impls={impl: synthetic.IMPLS[impl] for impl in impls})
        one["started"] = started
        one["build"].update(sha256=sha256, revision=rev)
        headers[name] = one
    samples, pairs = [], {}
    for round_ in range(rounds + 1):
        for bench, cost in benches.items():
            for impl in impls:
                # Round 0 is the pilot, whose times say nothing.
                here = rand.lognormvariate(0, noise) * (1 if round_ else rand.lognormvariate(0, 2))
                for at, name in enumerate((base_id, head_id)):
                    key = synthetic.key(bench, impl, "same-pu", {"threads": 2}, {})
                    by = factor.get(key, 1.0) if isinstance(factor, dict) else factor
                    ns = cost * here * rand.lognormvariate(0, noise if round_ else 2) \
                        * (by if at else 1)
                    samples.append(synthetic.sample(
                        name, bench, impl, axes={"threads": 2}, ns_per_op=ns, round_=round_,
                        position=len(samples)))
                    pairs[key] = comparisons.pair(key=key, impl=impl, base_impl=impl)
    done = []
    for name, header in headers.items():
        done += synthetic.finish([header, *(s for s in samples if s["run"] == name)])
    ends = [line for line in done if line["type"] == "end"]
    return [*headers.values(), *samples, *ends, comparisons.comparison(
        pairs.values(), run=head_id, base=base_id, mode=mode, base_name="reference",
        head_name="head", started=started)]


def write(path, *args, **options):
    return synthetic.write(path, lines(*args, **options))
