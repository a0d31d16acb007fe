"""How two builds are compared: from log ratios, round by round, to verdicts. Pure.

Each value that comes in is ln(head / base) of one round: the values of two fresh processes that ran
one right after the other, in random order. Under no change the sign of such a value is a coin's,
whatever the machine did meanwhile: so Wilcoxon's signed rank test keeps its level also beside a
noisy neighbour.

Screening measures every pair; after screen_rounds a pair is plainly the same, or a candidate (p <
screen_p and the interval reaches beyond delta), or undecided. Confirmation takes fresh rounds of
the candidates only; what screening saw is not used again, so that choosing the candidates by it
costs nothing. At each look the candidates are tested for a change beyond delta, corrected for their
number (Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure") and for the number of
looks (each has a share of alpha). Then the undecided ones are screened on, up to screen_most
rounds, and what becomes a candidate there is confirmed in the same way as a second family, with its
own share of alpha. The chance that a comparison of equal builds claims any change at all is so at
most alpha, and in practice far below: a change must exceed delta.

Stopping early because a pair is the same, or because time is up, makes no claim and costs no level.
"""

import dataclasses
import math

import numpy as np
import scipy.stats

import summary

SLOWER, FASTER, EQUIVALENT, INCONCLUSIVE, FAILED = VERDICTS = (
    "slower", "faster", "equivalent", "inconclusive", "failed")
WORST_FIRST = (SLOWER, FAILED, INCONCLUSIVE, FASTER, EQUIVALENT)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Shares are natural: 0.01 is 1%. Rounds count the values of one pair."""

    alpha: float = 0.01  # chance of any false claim, at most, per comparison
    delta: float = 0.01  # a smaller change is none
    equivalence: float = 0.02  # an interval within +- this says "equivalent"
    level: float = summary.LEVEL
    screen_p: float = 0.10
    screen_rounds: int = 16
    screen_step: int = 8  # then looked at again after so many
    screen_most: int = 48
    looks: tuple = (32, 64, 128, 256, 384)  # rounds of the confirmation
    spending: tuple = (0.1, 0.15, 0.2, 0.25, 0.3)  # of alpha by each: small changes need late ones
    families: tuple = (0.75, 0.25)  # their shares of alpha


def rank_test(values, shift=0.0, alternative="two-sided"):
    """p of Wilcoxon's signed rank test that the values are symmetric around shift.

    Exact up to 50 values without ties, else by the normal approximation (scipy.stats.wilcoxon);
    1 where nothing differs from shift.
    """
    rest = np.asarray(values, dtype=float) - shift
    rest = rest[rest != 0]
    if len(rest) == 0:
        return 1.0
    tied = len(np.unique(np.abs(rest))) < len(rest)
    method = "exact" if len(rest) <= 50 and not tied else "approx"
    return float(scipy.stats.wilcoxon(rest, alternative=alternative, method=method).pvalue)


def change_test(values, delta):
    """p that the centre lies within +- delta (as ratios: 1/(1+delta) .. 1+delta), two-sided."""
    beyond = math.log1p(delta)
    return min(1.0, 2 * min(rank_test(values, beyond, "greater"),
                            rank_test(values, -beyond, "less")))


def holm(ps):
    """Adjusted p-values: each at most alpha exactly where Holm's procedure rejects at alpha."""
    adjusted, running = [0.0] * len(ps), 0.0
    for done, at in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        running = max(running, min(1.0, ps[at] * (len(ps) - done)))
        adjusted[at] = running
    return adjusted


class Pair:
    """One benchmark in two builds. Invariants: `family` is None until it is a candidate; `confirm`
    is empty until its family is being confirmed."""

    def __init__(self, delta, equivalence):
        self.delta, self.equivalence = delta, equivalence
        self.screen, self.confirm = [], []
        self.family = None
        self.verdict = self.reason = None
        self.screen_p = self.confirm_p = None

    @property
    def values(self):
        """What the estimate rests on: where there are fresh rounds only those."""
        return self.confirm or self.screen

    def estimate(self, level=summary.LEVEL):
        """Hodges-Lehmann estimate of ln(head / base), or None without values."""
        return summary.hodges_lehmann(self.values, level) if self.values else None

    def decide(self, verdict, reason=None):
        self.verdict, self.reason = verdict, reason

    def is_within(self, found, share):
        bound = math.log1p(share)
        return found.low is not None and -bound < found.low and found.high < bound


class Procedure:
    """Asks for rounds and takes their values, until every pair has its verdict.

        while (wanted := procedure.wanted()):
            for index in wanted: procedure.add(index, log_ratio)
            procedure.end_round()
        (or procedure.stop(why) when there is no time left)
    """

    def __init__(self, pairs, settings):
        self.pairs, self.settings = pairs, settings
        self.family = 0  # that new candidates belong to
        self.confirming = None  # family; None: screening
        self.look = 0  # of that confirmation: how many were made

    def _open(self, screening):
        return [at for at, pair in enumerate(self.pairs) if pair.verdict is None
                and (pair.family is None if screening else
                     pair.family is not None and pair.family == self.confirming)]

    def wanted(self):
        """Indexes of the pairs to be measured in the next round; none: it is over."""
        return self._open(screening=self.confirming is None)

    def add(self, index, value):
        pair = self.pairs[index]
        (pair.screen if self.confirming is None else pair.confirm).append(value)

    def fail(self, index, reason):
        self.pairs[index].decide(FAILED, reason)

    def end_round(self):
        s = self.settings
        open_pairs = [self.pairs[at] for at in self.wanted()]
        if self.confirming is None:
            for pair in open_pairs:
                n = len(pair.screen)
                if n >= s.screen_rounds and (n - s.screen_rounds) % s.screen_step == 0:
                    self._screen(pair, n >= s.screen_most)
            first = self.family == 0 and all(len(p.screen) >= s.screen_rounds for p in open_pairs)
            if first or not self.wanted():
                self._begin_confirmation()
        elif open_pairs and min(len(p.confirm) for p in open_pairs) >= s.looks[self.look]:
            self._confirm(last=self.look == len(s.looks) - 1)
        if self.confirming is not None and not self.wanted():
            self.confirming = None  # on with the undecided ones

    def _begin_confirmation(self):
        self.confirming, self.look = self.family, 0
        self.family += 1

    def stop(self, why):
        """No more rounds: decides by what is there."""
        s = self.settings
        if self.confirming is not None and self.look < len(s.looks) and all(
                len(self.pairs[at].confirm) >= summary.SMALLEST_N for at in self.wanted()):
            self._confirm(last=False)
        for pair in self.pairs:
            if pair.verdict is None:
                if pair.family is None and len(pair.screen) >= summary.SMALLEST_N:
                    self._screen(pair, last=False)
                if pair.verdict is None:
                    self._leave(pair, pair.estimate(), why + (
                        " before it was confirmed" if pair.family is not None else
                        f" after {len(pair.screen)} rounds"))

    def _screen(self, pair, last):
        s = self.settings
        found = pair.estimate(s.level)
        pair.screen_p = rank_test(pair.screen)
        if pair.screen_p < s.screen_p and not pair.is_within(found, pair.delta):
            pair.family = self.family
        elif pair.is_within(found, pair.equivalence):
            pair.decide(EQUIVALENT)
        elif last:
            pair.decide(INCONCLUSIVE, f"{_interval(found)} after {len(pair.screen)} rounds")

    def _confirm(self, last):
        s = self.settings
        family = [p for p in self.pairs if p.family == self.confirming and p.verdict != FAILED]
        ps = [0.0 if pair.verdict in (SLOWER, FASTER) else
              1.0 if pair.verdict is not None else change_test(pair.confirm, pair.delta)
              for pair in family]
        spent = s.families[self.confirming] * s.spending[self.look]  # share of alpha
        for pair, p in zip(family, holm(ps)):
            if pair.verdict is not None:
                continue
            pair.confirm_p = min(1.0, p / spent)
            found = pair.estimate(s.level)
            if pair.confirm_p <= s.alpha:
                pair.decide(SLOWER if found.value > 0 else FASTER)
            elif pair.is_within(found, (pair.delta + pair.equivalence) / 2):  # else look on
                pair.decide(EQUIVALENT)
            elif last:
                self._leave(pair, found, f"not confirmed in {len(pair.confirm)} rounds")
        self.look += 1

    def _leave(self, pair, found, why):
        if found is not None and pair.is_within(found, pair.equivalence):
            pair.decide(EQUIVALENT)
        else:
            pair.decide(INCONCLUSIVE, f"{_interval(found)}: {why}")


def _interval(found):
    if found is None:
        return "nothing measured"
    if found.low is None:
        return f"{percent_change(found.value)}, no interval from {found.n} rounds"
    return f"{percent_change(found.low)} to {percent_change(found.high)}"


def percent_change(log_ratio):
    """"+3.1%" of ln(head / base); "12x" where that reads better."""
    ratio = math.exp(log_ratio)
    return f"{ratio:.3g}x" if ratio >= 3 else f"{100 * (ratio - 1):+.2g}%" \
        if abs(ratio - 1) >= 0.1 else f"{100 * (ratio - 1):+.1f}%"


def self_agreement(series, deltas):
    """What the machine shows where there is nothing to see: {pairs, claims, half_width}, or None.

    series: for each pair the values ln(base / base) of two fresh processes, measured as base and
    head are. `pairs` had enough for an interval; `claims` counts 95% intervals wholly beyond delta
    (where noise exceeds delta one in 20 is to be expected: that is why a claim has to be
    confirmed). """
    claims, widths = 0, []
    for values, delta in zip(series, deltas):
        found = summary.hodges_lehmann(values) if values else None
        if found is None or found.low is None:
            continue
        bound = math.log1p(delta)
        claims += found.low > bound or found.high < -bound
        widths.append((found.high - found.low) / 2)
    if not widths:
        return None
    return {"pairs": len(widths), "claims": claims,
            "half_width": {"median": float(np.median(widths)), "max": max(widths)}}
