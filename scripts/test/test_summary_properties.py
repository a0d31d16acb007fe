"""The statistics against a brute force, against scipy and numpy, and against their own algebra."""

import collections
import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

import summary

FEW, MANY = settings(max_examples=30), settings(max_examples=150)

# Integers, so that sums and halves are exact in floating point and ties are as they are written.
VALUES = st.lists(st.integers(-10**6, 10**6), min_size=1, max_size=25)
APART = st.lists(st.integers(-10**9, 10**9), min_size=6, max_size=25, unique=True)


def pairs(values):
    """The Walsh averages, doubled: integers."""
    return sorted(a + b for i, a in enumerate(values) for b in values[i:])


def rank_sums(n):
    """How often each sum of ranks 1..n comes about, over all subsets of them: a list."""
    found = collections.Counter(
        sum(rank for rank in range(1, n + 1) if chosen >> rank - 1 & 1) for chosen in range(2**n))
    return [found[total] for total in range(n * (n + 1) // 2 + 1)]


def ends(estimate):
    return estimate.low, estimate.value, estimate.high


# ---- the signed rank test ------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(0, 13))
def test_signed_rank_counts_by_brute_force(n):
    assert summary.signed_rank_counts(n) == rank_sums(n)


@pytest.mark.parametrize("n", [16, 25, 60])
def test_signed_rank_counts_have_the_moments_of_the_distribution(n):
    counts = summary.signed_rank_counts(n)
    total = sum(counts)
    assert total == 2**n and counts == counts[::-1]
    assert 4 * sum(w * c for w, c in enumerate(counts)) == n * (n + 1) * total
    assert 24 * sum((2 * w - n * (n + 1) // 2)**2 * c for w, c in enumerate(counts)) == (
        4 * n * (n + 1) * (2 * n + 1) * total)


@MANY
@given(VALUES)
def test_centre_is_the_median_of_the_walsh_averages(values):
    assert summary.hodges_lehmann(values).value == np.median(pairs(values)) / 2


@MANY
@given(APART, st.sampled_from([0.5, 0.9, 0.95, 0.99]), st.data())
def test_interval_is_what_the_test_does_not_reject(values, level, data):
    found = summary.hodges_lehmann(values, level)
    n = len(values)
    if found.low is None:
        assert 2 / 2**n > 1 - level  # even all signs alike do not reject
        return
    assert found.exact
    # Between two neighbouring averages, where no difference is 0 and no two are tied.
    walsh = pairs(values)
    gaps = [(a, b) for a, b in zip(walsh, walsh[1:]) if b > a]
    low, high = data.draw(st.sampled_from([
        (walsh[0] - 4, walsh[0]), *gaps, (walsh[-1], walsh[-1] + 4),
        *(gap for gap in gaps if 2 * found.low in gap or 2 * found.high in gap)]))
    part = data.draw(st.sampled_from([0.25, 0.5, 0.75]))
    centre = (low + (high - low) * part) / 2
    shifted = np.asarray(values) - centre
    if len(set(np.abs(shifted))) < n or not shifted.all():
        return
    p = stats.wilcoxon(shifted, method="exact").pvalue
    if math.isclose(p, 1 - level):
        return  # 1 - level is not exact where p is
    assert (p > 1 - level) == (found.low < centre < found.high)


@FEW
@given(st.lists(st.integers(-50, 50), min_size=6, max_size=10), st.integers(-110, 110))
def test_interval_against_all_signs(values, twice):
    """By the definition, ties and zeros included: all signs of the differences, brute force."""
    found = summary.hodges_lehmann(values)
    averages = pairs([2 * v - twice for v in values])
    # The statistic is the number of averages above the centre; one on it may count for either side.
    above, below = sum(a > 0 for a in averages), sum(a < 0 for a in averages)
    cumulated = list(itertools.accumulate(rank_sums(len(values))))
    least, most = (2 * cumulated[min(above, below) + on] / 2**len(values)
                   for on in (0, len(averages) - above - below))
    inside = found.low <= twice / 2 <= found.high
    if least > 0.05:
        assert inside
    if most <= 0.05:
        assert not inside


@MANY
@given(APART, st.integers(-10**9, 10**9), st.sampled_from([1, 2, 0.5, 8, 3]), st.randoms())
def test_interval_moves_with_the_values(values, shift, scale, shuffled):
    low, centre, high = ends(summary.hodges_lehmann(values))
    assert low <= centre <= high
    moved = ends(summary.hodges_lehmann([v + shift for v in values]))
    assert moved == (low + shift, centre + shift, high + shift)
    wider = ends(summary.hodges_lehmann([v * scale for v in values]))
    assert wider == (low * scale, centre * scale, high * scale)
    assert ends(summary.hodges_lehmann([-v for v in values])) == (-high, -centre, -low)
    shuffled.shuffle(values)
    assert ends(summary.hodges_lehmann(values)) == (low, centre, high)


@FEW
@given(APART, st.sampled_from([(0.5, 0.8), (0.8, 0.9), (0.9, 0.95), (0.95, 0.99)]))
def test_more_confidence_is_no_narrower(values, levels):
    less, more = (summary.hodges_lehmann(values, level) for level in levels)
    assert more.low is None or (more.low <= less.low and less.high <= more.high)


@pytest.mark.parametrize("draw", [
    lambda r: r.gauss(0, 1), lambda r: r.uniform(-1, 1),
    lambda r: r.expovariate(1) * r.choice((-1, 1)),
    lambda r: math.tan(math.pi * (r.random() - 0.5)), lambda r: r.gauss(0, r.choice((1, 20)))],
    ids=["normal", "uniform", "Laplace", "Cauchy", "mixed"])
def test_coverage_of_sixteen_symmetric_values(draw):
    """The level of the exact interval is known; what 1500 samples may miss it by as well."""
    n, times, rng = 16, 1500, random.Random(1)
    hits = 0
    for _ in range(times):
        found = summary.hodges_lehmann([draw(rng) for _ in range(n)])
        hits += found.low <= 0 <= found.high
    cumulated = list(itertools.accumulate(summary.signed_rank_counts(n)))
    level = 1 - 2 * max(c for c in cumulated if c <= 0.025 * 2**n) / 2**n
    assert 0.95 <= level < 0.96
    low, high = stats.binom.ppf([0.0005, 0.9995], times, level)
    assert low <= hits <= high


@FEW
@given(st.integers(61, 90), st.integers(0, 2**32))
def test_approximation_is_close_to_the_exact(n, seed):
    values = np.random.default_rng(seed).normal(size=n)
    found = summary.hodges_lehmann(values)
    assert not found.exact
    tail = np.cumsum([float(c) / 2**n for c in summary.signed_rank_counts(n)])
    walsh = np.sort(np.add.outer(values, values)[np.triu_indices(n)] / 2)
    at = int(np.searchsorted(walsh, found.low))
    assert abs(2 * tail[at] - 0.05) < 0.002


# ---- histograms ----------------------------------------------------------------------------------


def bounds(value):
    """The bucket of a value: of 1/32 relative width, as the driver's."""
    width = max(1, 1 << max(value.bit_length() - 6, 0))
    return value // width * width, value // width * width + width


def histogram(values):
    most = max(values, default=0)
    found = collections.Counter(map(bounds, values))
    return {"unit": "ns", "count": len(values), "min": bounds(min(values, default=0))[0],
            "max": most, "sum": sum(values),
            "buckets": [[a, min(b, most + 1), n] for (a, b), n in sorted(found.items())]}


TIMES = st.lists(st.one_of(st.integers(0, 200), st.integers(0, 2**63)), max_size=120)


@MANY
@given(st.lists(TIMES, min_size=1, max_size=4), st.one_of(
    st.sampled_from([0, 50, 90, 99, 99.9]), st.floats(0, 99.9)))
@example([[1] * 100], 99)
@example([list(range(1, 1001))], 99.9)
def test_merged_percentiles_are_those_of_all_values(parts, p):
    values = sorted(value for part in parts for value in part)
    merged = summary.Histogram.merge([histogram(part) for part in parts])
    if not values:
        assert merged is None
        return
    # One histogram of everything, but that a bucket may end earlier where a part ended in it.
    whole = histogram(values)
    assert (merged.count, merged.max, merged.sum) == (len(values), max(values), sum(values))
    assert merged.min == whole["min"]
    assert [[a, n] for a, _, n in merged.buckets] == [[a, n] for a, _, n in whole["buckets"]]
    assert all(high <= bounds(low)[1] for low, high, _ in merged.buckets)
    found = merged.percentile(p)
    if len(values) * (100 - p) < 100 - 1e-6:
        assert found is None
    elif len(values) * (100 - p) > 100 + 1e-6:
        # A rank that is an integer but for rounding may go either way.
        ranks = [max(math.ceil(len(values) * p / 100 + off), 1) for off in (-1e-6, 1e-6)]
        exact = [values[rank - 1] for rank in ranks]
        assert exact[0] <= found < bounds(exact[1])[1]
        expanded = np.asarray(values, dtype=np.uint64)
        assert np.percentile(expanded, p, method="inverted_cdf") in exact
    xs, fractions = merged.ecdf()
    assert xs == sorted(xs) and fractions == sorted(fractions) and fractions[-1] == 1


@FEW
@given(st.lists(TIMES, min_size=2, max_size=4), st.randoms())
def test_merging_is_in_any_order(parts, shuffled):
    made = [histogram(part) for part in parts]
    merged = summary.Histogram.merge(made)
    shuffled.shuffle(made)
    assert summary.Histogram.merge(made) == merged


# ---- order ---------------------------------------------------------------------------------------

NAMES = st.text("a1 09b=,-\N{SUPERSCRIPT TWO}", max_size=6) | st.text(max_size=4)


@MANY
@given(NAMES, NAMES, NAMES)
@example("a1", "a01", "a")
@example("1" * 299, "1" * 300, "1" * 301)
@example("", "0", "a")
def test_natural_order_is_a_total_order(a, b, c):
    x, y, z = map(summary.natural, (a, b, c))
    assert (x < y) + (x > y) + (a == b) == 1
    assert not (x < y and y < z) or x < z
    orders = {tuple(sorted(p, key=summary.natural)) for p in itertools.permutations((a, b, c))}
    assert len(orders) == 1


@MANY
@given(st.text("ab=,", max_size=4), st.integers(0, 10**12), st.integers(0, 10**12))
def test_natural_order_has_numbers_by_value(text, m, n):
    assert (summary.natural(f"{text}{m}") < summary.natural(f"{text}{n}")) == (m < n)
    assert (summary.natural(f"{text}{m}x") < summary.natural(f"{text}{n}x")) == (m < n)


# ---- numbers for people --------------------------------------------------------------------------


def plain(text):
    """A number that was written for people, back."""
    for char, other in ((summary._MINUS, "-"), ("\N{NARROW NO-BREAK SPACE}", "")):
        text = text.replace(char, other)
    assert "e" not in text.lower()
    return float(text)


UNITS = {"ns": 1, "\N{MICRO SIGN}s": 1e3, "ms": 1e6, "s": 1e9}
FINITE = st.floats(1e-12, 1e18) | st.floats(1e-280, 1e300) | st.integers(1, 2**64)


@MANY
@given(FINITE, st.booleans())
@example(999.5, False)
@example(0.9995, True)
@example(999499.99, False)
@example(5e-324, True)
def test_numbers_come_back_within_half_a_percent(value, negative):
    value = -value if negative else value
    close = pytest.approx(value, rel=0.005000001, abs=0)
    assert plain(summary.significant(value)) == close
    number, unit = summary.quantity(value).split("\N{NO-BREAK SPACE}")
    assert plain(number) * UNITS[unit] == close
    assert 1 <= abs(plain(number)) < 1000 or abs(value) < 1 or abs(value) >= 1e12
    number, unit = summary.quantity(value, "op").split("\N{NO-BREAK SPACE}")
    assert plain(number) == close and unit == "op"
    if abs(value) < 1e300:
        number, unit = summary.percent(value).split("\N{NO-BREAK SPACE}")
        assert plain(number) / 100 == close and unit == "%"


@MANY
@given(st.floats(1e-9, 1e15), st.floats(1e-9, 1e15))
def test_what_is_more_never_reads_as_less(a, b):
    a, b = sorted((a, b))
    assert plain(summary.significant(a)) <= plain(summary.significant(b))


@FEW
@given(st.integers(0, 2**62))
def test_counts_come_back_exactly(n):
    assert int(summary.count(n).replace("\N{NARROW NO-BREAK SPACE}", "")) == n
    number, *suffix = summary.integer(n).split("\N{NO-BREAK SPACE}")
    power = {"": 0, "Ki": 10, "Mi": 20, "Gi": 30}["".join(suffix)]
    assert int(number.replace("\N{NARROW NO-BREAK SPACE}", "")) << power == n


# ---- crossover -----------------------------------------------------------------------------------

HEIGHTS = st.integers(-3, 3).map(lambda power: 2.0**power)
CURVES = st.lists(st.tuples(st.integers(0, 10**6), HEIGHTS, HEIGHTS), min_size=1, max_size=8,
                  unique_by=lambda point: point[0]).map(sorted)


@MANY
@given(CURVES)
def test_crossovers_are_the_changes_of_sign(points):
    xs, upper, lower = map(list, zip(*points))
    found = summary.crossover(xs, upper, lower)
    signs = [(u > v) - (u < v) for u, v in zip(upper, lower)]
    strict = [(x, sign) for x, sign in zip(xs, signs) if sign]
    assert [(b, c) for _, b, c in found] == [
        (x, y) for (x, s), (y, t) in zip(strict, strict[1:]) if s != t]
    assert all(before <= x <= after for x, before, after in found)
    assert summary.crossover(xs, lower, upper) == found
    assert summary.crossover(xs, [2 * u for u in upper], [2 * v for v in lower]) == found


@MANY
@given(st.floats(1, 1e6), st.floats(-2, 2), st.floats(-2, 2), st.integers(2, 8))
def test_crossover_of_two_power_laws_is_where_they_meet(x, p, q, count):
    if abs(p - q) < 0.01:
        return
    xs = [10.0**k for k in range(-2, count)]
    upper, lower = ([(at / x)**power for at in xs] for power in (p, q))
    found = summary.crossover(xs, upper, lower)
    if xs[0] < x < xs[-1]:
        assert [f[0] for f in found] == [pytest.approx(x)]
    elif x > xs[-1]:
        assert found == []
