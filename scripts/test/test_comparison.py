"""The procedure of a comparison: its statistics against scipy and by simulation with fixed
seeds."""

import math
import random

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import comparison
import summary

PROFILE = settings(max_examples=60, deadline=None, derandomize=True, database=None)
# Of 1/1024, so that sums are exact and a tie does not come or go with a shift.
VALUES = st.lists(st.integers(-500, 500).map(lambda v: v / 1024), min_size=6, max_size=40)


@PROFILE
@given(VALUES)
def test_rank_test_is_scipys(values):
    rest = [v for v in values if v != 0]
    if not rest:
        assert comparison.rank_test(values) == 1
        return
    tied = len({abs(v) for v in rest}) < len(rest)
    wanted = scipy.stats.wilcoxon(rest, method="approx" if tied else "exact").pvalue
    assert comparison.rank_test(values) == pytest.approx(wanted)


@PROFILE
@given(VALUES, st.integers(-100, 100).map(lambda v: v / 1024))
def test_rank_test_moves_with_its_shift_and_turns_with_the_sign(values, shift):
    moved = [v + shift for v in values]
    assert comparison.rank_test(moved, shift) == comparison.rank_test(values)
    assert comparison.rank_test([-v for v in values], 0, "less") == pytest.approx(
        comparison.rank_test(values, 0, "greater"))


@PROFILE
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.3))
def test_holm_rejects_what_the_step_down_procedure_rejects(ps, alpha):
    order = sorted(range(len(ps)), key=ps.__getitem__)
    rejected = set()
    for done, at in enumerate(order):
        if ps[at] * (len(ps) - done) > alpha:
            break
        rejected.add(at)
    adjusted = comparison.holm(ps)
    assert {at for at, p in enumerate(adjusted) if p <= alpha} == rejected
    assert all(p >= q for p, q in zip(adjusted, ps))


@PROFILE
@given(VALUES, st.floats(0.001, 0.1))
def test_change_test_is_hard_to_convince(values, delta):
    """No change beyond delta is never less likely than no change at all in that direction."""
    p = comparison.change_test(values, delta)
    assert p >= min(comparison.rank_test(values, 0, "greater"),
                    comparison.rank_test(values, 0, "less")) - 1e-12


def play(shares, noise, seed, rounds=10_000, **how):
    """Runs the procedure on pairs with these true changes; noise: of one log ratio, Gaussian."""
    rng = np.random.default_rng(seed)
    s = comparison.Settings(**how)
    procedure = comparison.Procedure([comparison.Pair(s.delta, s.equivalence) for _ in shares], s)
    made = 0
    while (wanted := procedure.wanted()) and made < rounds:
        for at in wanted:
            procedure.add(at, math.log1p(shares[at]) + noise * rng.standard_normal())
        procedure.end_round()
        made += 1
    if made == rounds:
        procedure.stop("the budget was used up")
    return procedure


def verdicts(procedure):
    return [pair.verdict for pair in procedure.pairs]


def test_a_clear_change_is_found_and_the_rest_is_equivalent():
    procedure = play([0.05, -0.05, 0, 0.3], 0.02, 1)
    assert verdicts(procedure) == ["slower", "faster", "equivalent", "slower"]
    slower = procedure.pairs[0]
    assert slower.estimate().low > math.log(1.01)
    assert slower.confirm_p <= 0.01 and len(slower.confirm) >= 32
    assert abs(slower.estimate().value - math.log(1.05)) < 0.02


def test_what_confirms_is_not_what_made_it_a_candidate():
    s = comparison.Settings()
    procedure = comparison.Procedure([comparison.Pair(s.delta, s.equivalence)], s)
    for _ in range(s.screen_rounds):
        procedure.add(0, 0.1 + random.Random(1).random() / 100)
        procedure.end_round()
    assert procedure.pairs[0].family == 0 and procedure.wanted() == [0]
    rng = random.Random(2)
    while procedure.wanted():  # it was luck: nothing is there
        procedure.add(0, rng.gauss(0, 0.01))
        procedure.end_round()
    assert verdicts(procedure) == ["equivalent"]


def test_equal_builds_are_hardly_ever_claimed_to_differ():
    """alpha is 1% of suites; noise of 8% makes delta no help."""
    claims = sum(any(v in ("slower", "faster") for v in verdicts(play([0] * 5, 0.08, seed)))
                 for seed in range(120))
    assert claims <= 4  # P(more | 1%) is below 1%, and the seeds are fixed


def test_noise_hides_but_does_not_convince():
    procedure = play([0.02] * 6, 0.5, 3)
    assert set(verdicts(procedure)) <= {"inconclusive", "equivalent"}
    assert all(pair.reason for pair in procedure.pairs if pair.verdict == "inconclusive")


def test_a_change_below_delta_is_none():
    found = [v for seed in range(30) for v in verdicts(play([0.005] * 4, 0.004, seed))]
    assert "slower" not in found and found.count("equivalent") > 100


def test_two_per_cent_is_found_in_quiet_pairs():
    found = [v for seed in range(20) for v in verdicts(play([0.02] * 5, 0.02, seed))]
    assert found.count("slower") >= 80


@pytest.mark.parametrize("rounds", [1, 5, 6, 15, 16, 17, 30, 47, 48, 60, 90])
def test_whenever_time_is_up_every_pair_gets_a_verdict(rounds):
    procedure = play([0, 0.03, 0.2, -0.1, 0], 0.05, 5, rounds)
    for pair in procedure.pairs:
        assert pair.verdict in comparison.VERDICTS
        if pair.verdict == "inconclusive":
            assert any(word in pair.reason for word in ("budget", "not confirmed", "after"))
    if rounds < comparison.Settings().screen_rounds:
        assert not {"slower", "faster"} & set(verdicts(procedure))


def test_an_early_end_claims_no_more_than_a_late_one():
    claims = 0
    for seed in range(100):
        procedure = play([0] * 5, 0.08, seed, 16 + seed % 60)
        claims += any(v in ("slower", "faster") for v in verdicts(procedure))
    assert claims <= 4


def test_undecided_pairs_get_a_second_chance():
    """A pair that 16 rounds leave open is screened on and may still be confirmed, in family 1."""
    found = [play([0.04], 0.06, seed).pairs[0] for seed in range(60)]
    late = [pair for pair in found if pair.family == 1 and pair.verdict == "slower"]
    assert late and all(len(pair.screen) > 16 for pair in late)


def test_a_failed_pair_is_out_of_the_way():
    s = comparison.Settings()
    procedure = comparison.Procedure(
        [comparison.Pair(s.delta, s.equivalence) for _ in range(2)], s)
    procedure.fail(0, "head: crashed")
    while procedure.wanted():
        assert procedure.wanted() == [1]
        procedure.add(1, 0.0001 * random.Random(len(procedure.pairs[1].screen)).random())
        procedure.end_round()
    assert verdicts(procedure) == ["failed", "equivalent"]


def test_a_confirmed_pair_lets_the_others_go_on():
    procedure = play([0.5, 0.02], 0.03, 8)
    fast, slow = procedure.pairs
    assert fast.verdict == "slower" and len(fast.confirm) == 32
    assert len(slow.confirm) > 32


def test_thresholds_count_for_each_pair():
    s = comparison.Settings()
    rng = np.random.default_rng(1)
    procedure = comparison.Procedure([comparison.Pair(0.01, 0.02), comparison.Pair(0.10, 0.20)], s)
    while wanted := procedure.wanted():
        for at in wanted:
            procedure.add(at, math.log(1.05) + 0.01 * rng.standard_normal())
        procedure.end_round()
    assert verdicts(procedure) == ["slower", "equivalent"]


def test_self_agreement():
    assert comparison.self_agreement([[], [0.1] * 5], [0.01, 0.01]) is None
    still = comparison.self_agreement([[0.001, -0.001] * 8, [0.05 + i / 1000 for i in range(16)]],
                                      [0.01, 0.01])
    assert still["pairs"] == 2 and still["claims"] == 1
    assert 0 < still["half_width"]["median"] <= still["half_width"]["max"]


@PROFILE
@given(st.floats(-3, 3))
def test_percent_change_reads_back(log_ratio):
    text = comparison.percent_change(log_ratio)
    ratio = float(text[:-1]) if text.endswith("x") else 1 + float(text[:-1]) / 100
    assert ratio == pytest.approx(math.exp(log_ratio), rel=0.05, abs=0.006)


def test_settings_hold_together():
    s = comparison.Settings()
    assert s.screen_rounds >= summary.SMALLEST_N and s.delta < s.equivalence
    assert sum(s.families) == pytest.approx(1) == sum(s.spending)
    assert len(s.looks) == len(s.spending) and list(s.looks) == sorted(s.looks)
    assert (s.screen_most - s.screen_rounds) % s.screen_step == 0
