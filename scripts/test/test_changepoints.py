"""Change points: the statistic against its definition; what is found in series of known steps.

All series are seeded, so that each test has one outcome.
"""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

import changepoints

RUNS = 30
NOISE = 0.01
FIVE_PERCENT = math.log(1.05)
SEEDS = range(100)


def noise(seed, runs=RUNS):
    return np.random.default_rng(seed).normal(0, NOISE, runs)


def steps(values, **options):
    """What `track steps` looks for: significant, and of 1% or more."""
    points = changepoints.e_divisive(values, **options)
    return [point.at for point in changepoints.of_size(values, points, math.log(1.01))]


def near(found, wanted):
    return len(found) == len(wanted) and all(abs(a - b) <= 1 for a, b in zip(found, wanted))


# ---- the statistic -------------------------------------------------------------------------------


def direct(x, y):
    """Equations 5 and 6 of Matteson and James 2014, as they stand there."""
    n, m = len(x), len(y)
    between = sum(abs(a - b) for a in x for b in y)
    within = [sum(abs(a - b) for a, b in itertools.combinations(z, 2)) for z in (x, y)]
    energy = 2 / (m * n) * between - within[0] / math.comb(n, 2) - within[1] / math.comb(m, 2)
    return m * n / (m + n) * energy


def test_the_statistic_is_that_of_the_paper():
    values = np.random.default_rng(1).lognormal(0, 1, 23)
    taus, kappas, found = changepoints.split_statistics(changepoints.distances(values), 3)
    seen = 0
    for row, tau in enumerate(taus):
        for column, kappa in enumerate(kappas):
            if kappa - tau >= 3:
                wanted = direct(values[:tau], values[tau:kappa])
                assert found[row, column] == pytest.approx(wanted, abs=1e-9)
                seen += 1
            else:
                assert found[row, column] == -np.inf
    assert seen == sum(23 - tau - 2 for tau in range(3, 21))


def test_the_statistic_against_scipy():
    """scipy counts each value's distance to itself as well (a V-statistic)."""
    values = np.random.default_rng(2).normal(0, 1, 40)
    between = changepoints.distances(values)
    taus, kappas, found = changepoints.split_statistics(between, 5)
    for tau, kappa in ((5, 40), (17, 30), (35, 40)):
        x, y = values[:tau], values[tau:kappa]
        means = [changepoints.distances(z).mean() for z in (x, y)]
        n, m = len(x), len(y)
        unbiased = [mean * k / (k - 1) for mean, k in zip(means, (n, m))]
        wanted = scipy.stats.energy_distance(x, y) ** 2 + sum(means) - sum(unbiased)
        row, column = list(taus).index(tau), list(kappas).index(kappa)
        assert found[row, column] == pytest.approx(m * n / (m + n) * wanted, abs=1e-12)


def test_the_best_split_is_the_greatest():
    values = noise(3)
    values[12:] += 0.2
    statistic, tau = changepoints.best_split(changepoints.distances(values), 5)
    every = {(t, k): direct(values[:t], values[t:k])
             for t in range(5, RUNS - 4) for k in range(t + 5, RUNS + 1)}
    best = max(every, key=every.get)
    assert tau == best[0] == 12 and statistic == pytest.approx(every[best])


# ---- what is found -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [FIVE_PERCENT, -FIVE_PERCENT])
def test_a_step_of_five_percent_is_found(size):
    found = 0
    for seed in SEEDS:
        values, at = noise(seed), 8 + seed % 15
        values[at:] += size
        found += near(steps(values), [at])
    assert found >= 95


@pytest.mark.parametrize("runs", [12, RUNS, 60])
def test_an_unchanged_series_has_no_step(runs):
    assert sum(steps(noise(seed, runs)) == [] for seed in SEEDS) >= 99


def test_a_spike_is_no_step():
    quiet = 0
    for seed in SEEDS:
        values = noise(seed + 1000)
        values[seed % RUNS] += math.log(1.3)
        quiet += steps(values) == []
    assert quiet >= 99


def test_without_noise_a_step_is_exact_and_a_spike_is_none():
    values = np.zeros(RUNS)
    assert steps(values) == []
    values[11] = 0.3
    assert steps(values) == [] and steps(values, least=3) == []
    values = np.where(np.arange(RUNS) < 11, 0.0, 0.05)
    assert steps(values) == [11]


def test_two_steps_are_found():
    found = 0
    for seed in range(40):
        values = noise(seed, 45)
        values[15:] += FIVE_PERCENT
        values[30:] += FIVE_PERCENT
        found += near(steps(values), [15, 30])
    assert found >= 38


def test_there_and_back_is_two_steps():
    """The two sides of neither change differ, seen over the whole series (section 2.3)."""
    found = 0
    for seed in range(40):
        values = noise(seed, 40)
        values[16:24] += FIVE_PERCENT
        found += near(steps(values), [16, 24])
    assert found >= 38


def test_the_permutation_test_has_its_level():
    """Significant, however small: 400 unchanged series at 1 of 20 give 20, and rarely over 35."""
    found = sum(bool(changepoints.e_divisive(noise(seed, 20), level=0.05, permutations=99))
                for seed in range(400))
    assert 5 <= found <= 35


def test_the_same_series_has_the_same_steps():
    values = noise(7)
    values[15:] += FIVE_PERCENT
    first = changepoints.e_divisive(values)
    assert first == changepoints.e_divisive(values)
    assert all(1 / 600 <= point.p <= changepoints.LEVEL for point in first)


# ---- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", range(10))
def test_a_short_series_has_no_step(runs):
    values = np.arange(runs, dtype=float)
    assert changepoints.e_divisive(values) == []
    assert changepoints.best_split(changepoints.distances(values), 5) == (-np.inf, None)


@pytest.mark.parametrize("least", [3, 5, 8])
def test_no_segment_is_shorter_than_asked(least):
    values = np.random.default_rng(5).normal(0, 1, 40).cumsum()  # steps wherever they are let
    edges = [0, *(p.at for p in changepoints.e_divisive(values, least)), 40]
    assert len(edges) > 3
    assert min(b - a for a, b in zip(edges, edges[1:])) >= least


def test_a_segment_that_a_spike_could_fill_is_refused():
    with pytest.raises(ValueError, match="at least 3"):
        changepoints.e_divisive(noise(1), least=2)


def test_too_small_a_step_is_left_out():
    values = np.repeat([0.0, 0.004, 0.05, 0.056], 6)
    points = [changepoints.ChangePoint(at, 0.002) for at in (6, 12, 18)]
    kept = changepoints.of_size(values, points, 0.01)
    assert [point.at for point in kept] == [12]
    assert changepoints.of_size(values, points, 0.001) == points
    assert changepoints.of_size(values, points, 0.06) == []


def test_small_steps_that_add_up_are_one():
    """What the smallest separated is one segment, before the next is judged."""
    values = np.repeat([0.0, 0.008, 0.017], 6)
    points = [changepoints.ChangePoint(at, 0.002) for at in (6, 12)]
    assert [p.at for p in changepoints.of_size(values, points, 0.01)] == [12]
