"""The statistics against scipy, and numbers as people read them."""

import math

import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import summary

SETTINGS = settings(max_examples=100, deadline=None)


def cell(values, key="a", impl="a", untrusted=()):
    made = summary.Cell(key, "b", impl, {}, {}, {"policy": "same-pu", "relation": "same-pu",
                                                  "cpus": [0]})
    for round_, value in enumerate(values):
        if value is None:
            made.samples.append(synthetic.sample(status="failed", reason="x", round_=round_))
            continue
        one = synthetic.sample(round_=round_, distrust=["x"] if round_ in untrusted else [])
        one["batches"] = [{"ns": int(value * 1000 * slow), "ops": 1000} for slow in (1.5, 1, 2)]
        made.samples.append(one)
    return made


def test_value_of_a_process_is_the_minimum_and_of_a_cell_the_median():
    made = cell([5, None, 9, 100], untrusted={2})
    assert made.values == [5, 9, 100] and made.value == 9
    assert (made.low, made.high, made.untrusted) == (5, 100, 1)
    assert cell([None]).value is None and not cell([None]).ok


@pytest.mark.parametrize("n", range(1, 15))
def test_signed_rank_distribution(n):
    counts = summary.signed_rank_counts(n)
    assert sum(counts) == 2**n and counts == counts[::-1]
    # scipy's exact p-value of a sample whose negative ranks sum to w
    for w in range(len(counts) // 2):
        left, signs = w, []
        for rank in range(n, 0, -1):
            negative = rank <= left
            left -= rank if negative else 0
            signs.append(-rank if negative else rank)
        p = stats.wilcoxon(signs, alternative="greater", mode="exact").pvalue
        assert sum(counts[: w + 1]) / 2**n == pytest.approx(p)


@SETTINGS
@given(st.lists(st.integers(-10**6, 10**6), min_size=6, max_size=11, unique=True))
def test_interval_inverts_the_signed_rank_test(values):
    found = summary.hodges_lehmann(values)
    walsh = sorted((a + b) / 2 for i, a in enumerate(values) for b in values[i:])
    assert found.value == pytest.approx(np.median(walsh))
    assert found.low <= found.value <= found.high
    # Just outside the interval the test rejects, just inside it does not (no ties there).
    step = min((b - a for a, b in zip(walsh, walsh[1:]) if b > a), default=1) / 4
    if len(set(walsh)) < len(walsh):
        return
    for end, outward in ((found.low, -1), (found.high, 1)):
        for side, rejected in ((outward, True), (-outward, False)):
            shifted = np.asarray(values) - (end + side * step)
            p = stats.wilcoxon(shifted, mode="exact").pvalue
            assert (p <= 0.05) == rejected


def test_interval_of_many_by_approximation_is_close_to_the_exact():
    values = np.random.default_rng(1).normal(size=61)
    near, exact = summary.hodges_lehmann(values), summary.hodges_lehmann(values[:60])
    assert not near.exact and exact.exact
    assert near.high - near.low == pytest.approx(exact.high - exact.low, rel=0.1)


def test_interval_covers_as_often_as_it_says():
    rng, hits = np.random.default_rng(2), 0
    for _ in range(1000):
        found = summary.hodges_lehmann(rng.normal(size=8))
        hits += found.low <= 0 <= found.high
    assert 930 <= hits <= 985


def test_ratio_is_paired_by_round():
    # Both drift by 10x; within a round it is always 2.
    drift = [1, 2, 4, 6, 8, 10]
    found = summary.ratio(cell([2 * d for d in drift]), cell(drift))
    assert found.level == summary.LEVEL and found.n == 6
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))


def test_ratio_of_few_rounds_has_an_interval_of_its_own_level():
    few = summary.ratio(cell([4, 5, 6]), cell([2, 2, 2]))
    assert few.level == 0.75 and (few.low, few.high) == pytest.approx((2, 3))
    apart = summary.ratio(cell([4, None]), cell([None, 2]))
    assert apart.low is None and apart.level is None and apart.value == 2
    assert summary.ratio(cell([None]), cell([1])) is None
    assert summary.ratio(cell([1, 1]), cell([0, 0])) is None


def test_the_same_cell_twice():
    # 10% and 25%; rounds 3 and 5, and two cells, are no pairs.
    found = summary.same_twice([cell([100, 110, 88, None, 77, None]), cell([9], key="b")])
    assert found.pairs == 2
    assert found.median == pytest.approx(100 * (math.sqrt(1.1 * 1.25) - 1))
    assert (found.p95, found.max) == pytest.approx((25, 25))
    assert summary.same_twice([cell([5, None, 5]), cell([0, 5])]) == summary.Twice(0, *[None] * 3)


@pytest.mark.parametrize("n", [1, 19, 20, 21, 39, 40, 100])
def test_the_95th_percentile_is_the_nearest_rank(n):
    # Pairs of 1 and 1 + i/100, each in a cell of its own: i per cent.
    found = summary.same_twice([cell([100, 100 + i]) for i in range(1, n + 1)])
    wanted = np.percentile(range(1, n + 1), 95, method="inverted_cdf")
    assert (found.pairs, found.p95, found.max) == pytest.approx((n, wanted, n))


def test_crossover():
    xs = [1, 10, 100, 1000]
    ((x, before, after),) = summary.crossover(xs, [1, 10, 100, 1000], [30, 30, 30, 30])
    assert (before, after) == (10, 100) and x == pytest.approx(30)
    assert summary.crossover(xs, [1, 2, 3, 4], [2, 3, 4, 5]) == []
    assert len(summary.crossover(xs, [1, 3, 1, 3], [2, 2, 2, 2])) == 3
    ((x, _, _),) = summary.crossover([0, 10], [1, 4], [2, 2])
    assert 0 < x < 10
    assert summary.crossover(xs, [1, 1, 1, 1], [1, 1, 1, 1]) == []


@SETTINGS
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=300), st.sampled_from([50, 90, 99]))
def test_percentiles_are_those_of_the_values_to_a_bucket(values, p):
    buckets = {}
    for value in values:
        width = max(1, 1 << max(value.bit_length() - 6, 0))
        low = value // width * width
        edge = (low, min(low + width, max(values) + 1))
        buckets[edge] = buckets.get(edge, 0) + 1
    merged = summary.Histogram.merge([{
        "unit": "ns", "count": len(values), "min": min(values), "max": max(values),
        "sum": sum(values), "buckets": [[a, b, n] for (a, b), n in sorted(buckets.items())],
    }])
    found = merged.percentile(p)
    if len(values) * (100 - p) < 100:
        assert found is None
        return
    exact = np.percentile(values, p, method="inverted_cdf")
    assert exact <= found <= exact * (1 + 1 / 32) + 1
    xs, fractions = merged.ecdf()
    assert xs == sorted(xs) and fractions[-1] == 1 and xs[-1] == max(values)


def test_histograms_merge():
    one = {"unit": "ns", "count": 2, "min": 1, "max": 64, "sum": 65,
           "buckets": [[1, 2, 1], [64, 65, 1]]}
    two = {"unit": "ns", "count": 1, "min": 64, "max": 65, "sum": 64, "buckets": [[64, 66, 1]]}
    none = {"unit": "ns", "count": 0, "min": 0, "max": 0, "sum": 0, "buckets": []}
    merged = summary.Histogram.merge([one, two, none])
    assert merged.buckets == [[1, 2, 1], [64, 66, 2]] and merged.count == 3 and merged.sum == 129
    assert summary.Histogram.merge([none]) is None


@pytest.mark.parametrize("value, text", [
    (0, "0 ns"), (0.01234, "0.0123 ns"), (9.996, "10.0 ns"), (5.4, "5.40 ns"), (123.4, "123 ns"),
    (999.4, "999 ns"), (999.6, "1.00 µs"), (1208, "1.21 µs"), (2.5e6, "2.50 ms"),
    (12.34e9, "12.3 s"), (1.5e13, "15 000 s"), (None, "–"), (-5.4, "−5.40 ns"),
    (1.7976931348623157e308, "180" + " 000" * 99 + " s"),
])
def test_quantities(value, text):
    plain = summary.quantity(value).replace("\N{NO-BREAK SPACE}", " ")
    assert plain.replace("\N{NARROW NO-BREAK SPACE}", " ") == text


@SETTINGS
@given(st.floats(1e-6, 1e15))
def test_three_significant_digits(value):
    text = summary.significant(value).replace("\N{NARROW NO-BREAK SPACE}", "")
    assert float(text) == pytest.approx(value, rel=0.00501)
    digits = text.replace(".", "").lstrip("0")
    assert len(digits) == 3 or (len(digits) > 3 and set(digits[3:]) == {"0"})


def test_order_and_names():
    assert sorted(["a10", "a9", "b"], key=summary.natural) == ["a9", "a10", "b"]
    for names in (["a1", "a01"], ["a01", "a1"]):  # in any order
        assert sorted(names, key=summary.natural) == ["a01", "a1"]
    assert summary.integer(65536).endswith("Ki") and summary.integer("on") == "on"
    assert summary.integer(100000).replace("\N{NARROW NO-BREAK SPACE}", "") == "100000"
    assert math.isfinite(summary.scale(1e300)[0])
