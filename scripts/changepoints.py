"""Change points of a series: where its distribution changed, how many times is not given. Pure.

E-divisive means: Matteson and James 2014, "A Nonparametric Approach for Multiple Change Point
Analysis of Multivariate Data", Journal of the American Statistical Association 109(505), sections
2.2 to 2.4, for one dimension and exponent 1. The series is bisected where the energy distance of
the two sides is greatest, then each side again, as long as a permutation test says that the newest
change point is none of chance. It assumes no distribution, only that the runs are independent.

What it finds is then asked for its size: a change too small to matter is no step.
"""

import dataclasses
import functools

import numpy as np

MIN_SEGMENT = 5  # runs; a spike of four runs at most is no step
LEAST_SEGMENT = 3  # below, one spike can be a segment's majority
LEVEL = 0.005  # of the permutation test; of 100 unchanged series at most 1 is to have a step
PERMUTATIONS = 599  # so that p = LEVEL is 3 of 600
BATCH = 50000  # distances in hand at once: fits a level 2 cache, found by trying 10^4 to 10^6
SEED = 20140301  # any; fixed, so that the same history always has the same steps


@dataclasses.dataclass(frozen=True)
class ChangePoint:
    """`at`: the first value of the new segment. p: of the permutation test."""

    at: int
    p: float


def distances(values):
    values = np.asarray(values, dtype=float)
    return np.abs(values[:, None] - values[None, :])


@functools.lru_cache(maxsize=256)
def _weights(n, least):
    """(taus, kappas, and the factors of the three sums of distances that Q[tau, kappa] is made of).

    With t = tau and s = kappa - tau values on the sides, and sums over ordered pairs, Q is
    t s / (t + s) * (2 between / (t s) - left / (t (t - 1)) - right / (s (s - 1))).
    """
    taus, kappas = np.arange(least, n - least + 1), np.arange(2 * least, n + 1)
    t, s = taus[:, None].astype(float), kappas[None, :] - taus[:, None].astype(float)
    allowed = s >= least
    s = np.where(allowed, s, least)
    scale = t * s / (t + s)
    factors = 2 / (t * s) * scale, scale / (t * (t - 1)), scale / (s * (s - 1))
    return taus, kappas, factors, np.where(allowed, 0, -np.inf)


def split_statistics(between, least):
    """(taus, kappas, Q[tau, kappa]): Q compares [0, tau) with [tau, kappa); -inf: not allowed.

    Q is m n / (m + n) times the energy statistic 2 E|X-Y| - E|X-X'| - E|Y-Y'| (equations 5 and 6).
    The right side may end before the end of the series, else a change there and back again hides
    both (section 2.3). Sums of distances are taken from one table of prefix sums, so that all pairs
    cost O(n^2) together. between: distances, or a stack of such matrices, which gives a stack of Q.
    """
    n = between.shape[-1]
    taus, kappas, (across, left, right), forbidden = _weights(n, least)
    prefix = between.cumsum(-1).cumsum(-2)  # [i, j]: of the first i + 1 with the first j + 1
    first = prefix[..., taus - 1, taus - 1][..., :, None]
    whole = prefix[..., kappas - 1, kappas - 1][..., None, :]
    # The sum over both sides is first + right + 2 * between, and this is first + between.
    corner = prefix[..., least - 1:n - least, 2 * least - 1:]
    return taus, kappas, ((across + 2 * right) * corner - (across + left + right) * first
                          - right * whole + forbidden)


def best_split(between, least):
    """(Q, tau) of the greatest Q; (-inf, None) where the series is too short to be split."""
    if len(between) < 2 * least:
        return -np.inf, None
    taus, _, statistic = split_statistics(between, least)
    row, column = np.unravel_index(np.argmax(statistic), statistic.shape)
    return float(statistic[row, column]), int(taus[row])


def _significance(clusters, found, least, level, permutations, random):
    """p where the split is significant, else None. Values are permuted within each cluster.

    Stops as soon as so many permutations reached `found` that p cannot become small enough
    (Besag and Clifford 1991, "Sequential Monte Carlo p-values", Biometrika 78(2)).
    """
    reached, left = 0, permutations
    batch = max(1, BATCH // max(cluster.size for cluster in clusters))
    while left:
        count = min(batch, left)
        left -= count
        greatest = np.full(count, -np.inf)
        for between in clusters:
            orders = random.permuted(np.tile(np.arange(len(between)), (count, 1)), axis=1)
            permuted = between[orders[:, :, None], orders[:, None, :]]
            _, _, statistic = split_statistics(permuted, least)
            greatest = np.maximum(greatest, statistic.max(axis=(-2, -1)))
        # The same sum in another order differs in its last bits, and counts as reached.
        reached += int(np.count_nonzero(greatest >= found - 1e-9 * abs(found)))
        if reached + 1 > level * (permutations + 1):
            return None
    return (reached + 1) / (permutations + 1)


def e_divisive(values, least=MIN_SEGMENT, level=LEVEL, permutations=PERMUTATIONS, seed=SEED):
    """The change points of values, in order."""
    if least < LEAST_SEGMENT:
        raise ValueError(f"a segment has at least {LEAST_SEGMENT} values, not {least}")
    random = np.random.default_rng(seed)
    between = distances(values)
    found, edges = [], [0, len(values)]
    while True:
        clusters = [between[a:b, a:b] for a, b in zip(edges, edges[1:]) if b - a >= 2 * least]
        starts = [a for a, b in zip(edges, edges[1:]) if b - a >= 2 * least]
        splits = [best_split(cluster, least) for cluster in clusters]
        if not splits:
            break
        at = max(range(len(splits)), key=lambda i: splits[i][0])
        p = _significance(clusters, splits[at][0], least, level, permutations, random)
        if p is None:
            break
        found.append(ChangePoint(starts[at] + splits[at][1], p))
        edges = sorted([*edges, found[-1].at])
    return sorted(found, key=lambda point: point.at)


def of_size(values, points, effect, centre=np.median):
    """Those of the points where the centre of the values changes by at least `effect`.

    The smallest goes first, and what it separated is then one segment.
    """
    points = list(points)
    while points:
        edges = [0, *(point.at for point in points), len(values)]
        centres = [centre(values[a:b]) for a, b in zip(edges, edges[1:])]
        sizes = [abs(after - before) for before, after in zip(centres, centres[1:])]
        smallest = min(range(len(sizes)), key=sizes.__getitem__)
        if sizes[smallest] >= effect:
            break
        del points[smallest]
    return points
