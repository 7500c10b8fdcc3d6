"""Numbers with their uncertainty: shares, rates an hour, confusions of frames and clips, quantiles of delays."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of a normal distribution, for 95 %.
Z95 = 1.959964
_DRAWS = 500

Confusion = Mapping[tuple[str, str], int]
"""(what was said, what was heard) -> how often."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value with its 95 % interval; `count` of `of` were counted (clips, words, frames, or hours)."""

    value: float
    low: float
    high: float
    count: int
    of: float


def share(count: int, of: int) -> Estimate:
    """A share of `of` independent trials, with Wilson's interval (1927). Raises ValueError for no trial."""
    if not 0 <= count <= of or of == 0:
        raise ValueError(f"{count} of {of} is no share")
    return Estimate(count / of, *wilson(count / of, of), count, float(of))


def wilson(p: float, n: float) -> tuple[float, float]:
    """Wilson's interval, of 95 %, of a share `p` of `n` trials."""
    middle = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    reach = Z95 / (1 + Z95**2 / n) * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    # Rounding must not push the interval off the value at 0 and 1.
    return max(0.0, min(middle - reach, p)), min(1.0, max(middle + reach, p))


def rate_per_hour(count: int, hours: float, z: float = Z95) -> Estimate:
    """Events an hour, with the interval of a Poisson count in Byar's approximation. Raises ValueError for no time.

    `z` of a normal distribution says how wide: 1.959964 for 95 %, 1.644854 for 90 %.
    """
    if count < 0 or not hours > 0:
        raise ValueError(f"{count} in {hours} h is no rate")
    low = 0.0
    if count:
        low = count * max(0.0, 1 - 1 / (9 * count) - z / (3 * math.sqrt(count))) ** 3
    above = count + 1
    high = above * (1 - 1 / (9 * above) + z / (3 * math.sqrt(above))) ** 3
    return Estimate(count / hours, low / hours, high / hours, count, hours)


def clip_is_right(said: str, heard: Sequence[str]) -> bool:
    """The clip rule: exactly one detection, of the right label."""
    return len(heard) == 1 and heard[0] == said


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How well one class is found: precision, recall, F1, and the number of its trials."""

    precision: float
    recall: float
    f1: float
    said: int


def class_scores(confusion: Confusion) -> dict[str, ClassScore]:
    """Scores of each class that was said; what was only heard shows as lost precision and recall of the others."""
    said: Counter[str] = Counter()
    heard: Counter[str] = Counter()
    for (truth, guess), count in confusion.items():
        said[truth] += count
        heard[guess] += count
    scores: dict[str, ClassScore] = {}
    for label in sorted(label for label, count in said.items() if count):
        right = confusion.get((label, label), 0)
        precision = right / heard[label] if heard[label] else 0.0
        recall = right / said[label]
        f1 = 2 * right / (said[label] + heard[label])
        scores[label] = ClassScore(precision, recall, f1, said[label])
    return scores


def macro_f1(confusion: Confusion) -> float:
    """The mean F1 of the classes that were said, each counting the same. Raises ValueError if none was."""
    scores = class_scores(confusion)
    if not scores:
        raise ValueError("nothing was said")
    return sum(score.f1 for score in scores.values()) / len(scores)


def accuracy(confusion: Confusion) -> Estimate:
    """The share of the trials in which what was heard was said. Raises ValueError for no trial."""
    return share(sum(n for (said, heard), n in confusion.items() if said == heard), sum(confusion.values()))


def count_pairs(said: Iterable[str], heard: Iterable[str]) -> Counter[tuple[str, str]]:
    """The confusion of two sequences of equal length. Raises ValueError for unequal ones."""
    return Counter(zip(said, heard, strict=True))


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 of some delays; empty for none."""
    if not values:
        return {}
    points = np.quantile(np.asarray(values), [0.5, 0.95, 0.99])
    return dict(zip(("p50", "p95", "p99"), (float(point) for point in points), strict=True))


def over_recordings(confusions: Sequence[Confusion], measure: Callable[[Confusion], float]) -> Estimate:
    """A measure of frames, with the interval that drawing the recordings anew gives (bootstrap, 500 times, one seed).

    Frames of one recording are alike and so no independent trials. A single recording says nothing of others: its
    interval is all of [0, 1]. Raises ValueError for no frame.
    """
    pairs = sorted({pair for confusion in confusions for pair in confusion})
    counts = np.array([[confusion.get(pair, 0) for pair in pairs] for confusion in confusions], np.int64)
    if not counts.sum():
        raise ValueError("no frame was judged")

    def measured(total: NDArray[np.int64]) -> float:
        return measure(dict(zip(pairs, total.tolist(), strict=True)))

    value = measured(counts.sum(axis=0))
    low, high = 0.0, 1.0
    if len(confusions) > 1:
        drawn = [total for total in _draws(counts) if total.sum()]
        low, high = (float(bound) for bound in np.quantile([measured(total) for total in drawn], [0.025, 0.975]))
    right = sum(int(n) for (said, heard), n in zip(pairs, counts.sum(axis=0), strict=True) if said == heard)
    return Estimate(value, min(low, value), max(high, value), right, float(counts.sum()))


def drawn_anew(counts: NDArray[Any], measure: Callable[[NDArray[Any]], float]) -> list[float]:
    """A measure of the sum of counts (units, kinds), for 500 drawings of as many units with replacement (one seed).

    The bootstrap of Efron (1979) over units that are independent of one another, such as recordings.
    """
    return [measure(total) for total in _draws(counts)]


def _draws(counts: NDArray[Any]) -> NDArray[Any]:
    """(units, kinds) -> (500, kinds): sums over units that were drawn anew."""
    units = len(counts)
    drawn: NDArray[Any] = np.random.default_rng(0).multinomial(units, [1 / units] * units, _DRAWS) @ counts
    return drawn


@dataclass(frozen=True, slots=True)
class Spread:
    """The 95 % interval of a bootstrap over `units`; a single one spreads over nothing: its bounds are the value."""

    low: float
    high: float
    units: int


def over_units(counts: Sequence[float], of: Sequence[float]) -> Spread:
    """The spread of `sum(counts) / sum(of)` when the units are drawn anew. Raises ValueError if all of `of` is 0."""
    table = np.array([counts, of], np.float64).T
    if not table[:, 1].sum() > 0:
        raise ValueError("no unit was judged")
    values = [n / total for n, total in _draws(table) if total > 0]
    low, high = np.quantile(values, [0.025, 0.975])
    return Spread(float(low), float(high), len(table))


def proven_per_hour(hours: float) -> float:
    """The rate an hour that no event in `hours` rules out with 95 %: 3 / hours, as -ln 0.05 is 3.0 (rule of three)."""
    return 3.0 / hours
