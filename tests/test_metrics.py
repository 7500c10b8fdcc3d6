"""Metrics: intervals that hold their value, the clip rule, and scores that agree with counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.evaluation import metrics

counts = st.integers(1, 2000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))
confusions = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), st.integers(0, 50), min_size=1
).filter(lambda confusion: sum(confusion.values()) > 0)


@given(counts)
def test_an_interval_holds_its_share_and_mirrors(pair: tuple[int, int]) -> None:
    count, of = pair
    here, mirrored = metrics.share(count, of), metrics.share(of - count, of)
    assert 0.0 <= here.low <= here.value <= here.high <= 1.0
    assert here.low == pytest.approx(1.0 - mirrored.high)


def test_wilson_as_published() -> None:
    """Newcombe (1998), table I: 81 of 263 and 0 of 20."""
    estimate = metrics.share(81, 263)
    assert (estimate.low, estimate.high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    assert metrics.share(0, 20).high == pytest.approx(0.1611, abs=1e-4)


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.39)])
def test_poisson_is_near_the_exact_interval(count: int, low: float, high: float) -> None:
    estimate = metrics.rate_per_hour(count, 1.0)
    assert estimate.low == pytest.approx(low, rel=0.02, abs=0.02)
    assert estimate.high == pytest.approx(high, rel=0.01)


@given(st.integers(0, 500), st.floats(0.01, 1000.0))
def test_a_rate_scales_with_time(count: int, hours: float) -> None:
    one, many = metrics.rate_per_hour(count, 1.0), metrics.rate_per_hour(count, hours)
    assert one.low <= one.value <= one.high
    assert many.high == pytest.approx(one.high / hours)


@pytest.mark.parametrize(("count", "of"), [(0, 0), (2, 1), (-1, 3)])
def test_no_share_of_nothing(count: int, of: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        metrics.share(count, of)


@pytest.mark.parametrize(
    ("heard", "right"),
    [(["one"], True), ([], False), (["one", "one"], False), (["two"], False), (["one", "two"], False)],
)
def test_the_clip_rule(heard: list[str], *, right: bool) -> None:
    assert metrics.clip_is_right("one", heard) is right


@given(confusions)
def test_scores_agree_with_counting_trials_one_by_one(confusion: dict[tuple[str, str], int]) -> None:
    trials = [pair for pair, count in confusion.items() for _ in range(count)]
    said, heard = np.array([t[0] for t in trials]), np.array([t[1] for t in trials])
    scores = metrics.class_scores(confusion)
    assert set(scores) == set(said)
    for label, score in scores.items():
        both = float(np.sum((said == label) & (heard == label)))
        assert score.recall == pytest.approx(both / np.sum(said == label))
        assert score.precision == pytest.approx(both / max(1, np.sum(heard == label)))
    assert metrics.accuracy(confusion).value == pytest.approx(float(np.mean(said == heard)))
    assert 0.0 <= metrics.macro_f1(confusion) <= 1.0
    assert metrics.count_pairs(said.tolist(), heard.tolist()) == {p: n for p, n in confusion.items() if n}


def test_macro_f1_counts_rare_classes_as_much_as_common_ones() -> None:
    confusion = {("common", "common"): 98, ("rare", "common"): 2}
    assert metrics.macro_f1(confusion) == pytest.approx((2 * 98 / (98 + 100) + 0.0) / 2)


def test_quantiles_of_delays() -> None:
    assert metrics.quantiles([]) == {}
    assert metrics.quantiles([0.1] * 99 + [1.0])["p50"] == pytest.approx(0.1)


units = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 20)), min_size=2, max_size=30)


@given(units)
def test_units_that_are_alike_spread_little_and_a_single_one_not_at_all(pairs: list[tuple[int, int]]) -> None:
    counts, of = [float(count) for count, _ in pairs], [float(total) for _, total in pairs]
    spread = metrics.over_units(counts, of)
    rates = [count / total for count, total in zip(counts, of, strict=True)]
    assert min(rates) - 1e-9 <= spread.low <= spread.high <= max(rates) + 1e-9
    alone = metrics.over_units(counts[:1], of[:1])
    assert (alone.low, alone.high, alone.units) == (pytest.approx(rates[0]), pytest.approx(rates[0]), 1)


def test_words_of_few_sources_are_less_certain_than_as_many_sources() -> None:
    few = metrics.over_units([50.0, 0.0, 0.0, 0.0], [50.0] * 4)
    many = metrics.over_units([1.0] * 50 + [0.0] * 150, [1.0] * 200)
    wilson = metrics.share(50, 200)
    assert few.high - few.low > 2 * (many.high - many.low)
    assert many.high - many.low == pytest.approx(wilson.high - wilson.low, rel=0.15)


def test_no_unit_no_spread() -> None:
    with pytest.raises(ValueError, match="no unit"):
        metrics.over_units([0.0], [0.0])


@given(st.floats(0.01, 100))
def test_none_in_so_many_hours_proves_the_rule_of_three(hours: float) -> None:
    below = metrics.proven_per_hour(hours)
    assert np.exp(-below * hours) == pytest.approx(0.05, abs=0.001)
