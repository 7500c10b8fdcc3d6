"""Two bundles on the same recordings: what each does, the difference, and whether chance alone would do as much."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.engine import Serving
from streamrnn.errors import ConfigError
from streamrnn.evaluation import metrics
from streamrnn.evaluation.metrics import Confusion
from streamrnn.evaluation.run import Result, Stream

_DRAWS = 500
_CHANCE = 0.05
_EXACT = 2000  # falls of a coin that are summed one by one
_TITLES = {
    "accuracy": "clips right",
    "miss_rate": "words missed in streams",
    "false_accepts_per_hour": "false accepts an hour",
    "macro_f1": "macro F1 of frames",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """The first minus the second, with its 95 % interval.

    `only_first` and `only_second` count the trials, of `of`, that one alone has; `chance` is the probability that two
    equally good bundles differ as much, two-sided.
    """

    value: float
    low: float
    high: float
    only_first: int
    only_second: int
    of: float
    chance: float


def compare(first: Result, second: Result, against: Serving) -> dict[str, Any]:
    """The judgements of the same recordings side by side, as a JSON document: `second` is by the bundle `against`.

    Clips and words are paired (McNemar's exact test), false accepts are counts over the same hours, frames are drawn
    anew by recording. Raises ConfigError if the two bundles were not asked for the same labels.
    """
    if _asked(first) != _asked(second):
        raise ConfigError(
            f"--against {against.name}: knows other labels ({', '.join(against.recognizer.config.labels)}), so these "
            "recordings tell nothing of the two; give a bundle of the same labels"
        )
    compared: dict[str, Any] = {}
    if first.clips:
        right = [[metrics.clip_is_right(clip.said, clip.heard) for clip in each.clips] for each in (first, second)]
        compared["accuracy"] = _shares(*right)
    missed = [_missed(each.streams) for each in (first, second)]
    if missed[0]:
        compared["miss_rate"] = _shares(*missed)
    if first.streams:
        compared["false_accepts_per_hour"] = _rates(first.streams, second.streams)
    frames = [[each.confusion for each in result.frames] for result in (first, second)]
    if any(any(confusion.values()) for confusion in frames[0]):
        compared["macro_f1"] = _frames(*frames)
    return {"bundle": {"name": against.name, "sha": against.sha}, "compared": compared}


def lines(document: dict[str, Any]) -> list[str]:
    """A comparison as text for people, a line each."""
    bundle = document["bundle"]
    return [
        f"against {bundle['name']} ({bundle['sha'][:12]}), on the same recordings",
        *compared_lines(document["compared"]),
    ]


def compared_lines(compared: dict[str, Any]) -> list[str]:
    """A line for each measure: both values, their difference, and whether it may be chance."""
    return [f"  {_TITLES[name]:<30} {_line(name, each)}" for name, each in compared.items()]


def paired(only_first: int, only_second: int, both: int, neither: int) -> Difference:
    """The difference of two shares of the same trials.

    Its interval is Newcombe's, squared and added with a continuity correction (1998, method 10), its chance McNemar's
    (1947) by the exact binomial. Raises ValueError for no trial.
    """
    of = only_first + only_second + both + neither
    first, second = metrics.share(both + only_first, of), metrics.share(both + only_second, of)
    correlation = _correlation(both, only_first, only_second, neither)
    value = (only_first - only_second) / of
    low = _added(first.value - first.low, second.high - second.value, correlation)
    high = _added(first.high - first.value, second.value - second.low, correlation)
    chance = even_chance(only_first, only_second)
    return Difference(value, max(-1.0, value - low), min(1.0, value + high), only_first, only_second, of, chance)


def even_chance(one: int, other: int) -> float:
    """The two-sided probability that a fair coin falls as unevenly as `one` to `other`, or more so."""
    fewer, of = min(one, other), one + other
    if of > _EXACT:
        # The normal distribution, with half a fall of continuity: exact sums of so many take minutes.
        return math.erfc(max(0.0, abs(one - other) - 1) / math.sqrt(2 * of))
    return min(1.0, float(2 * sum(math.comb(of, k) for k in range(fewer + 1)) / 2**of))


def _asked(result: Result) -> list[Any]:
    """What was judged, and for which labels."""
    return [
        [(clip.recording.path, clip.recording.segments, clip.said) for clip in result.clips],
        [(stream.recording.path, stream.recording.segments, stream.said) for stream in result.streams],
        [(each.recording.path, each.recording.segments) for each in result.frames],
    ]


def _missed(streams: Sequence[Stream]) -> list[bool]:
    return [place in stream.matching.missed for stream in streams for place in range(len(stream.said))]


def _shares(first: Sequence[bool], second: Sequence[bool]) -> dict[str, Any]:
    pairs = list(zip(first, second, strict=True))
    counted = [pairs.count(pair) for pair in ((True, False), (False, True), (True, True), (False, False))]
    of = len(pairs)
    return _document(metrics.share(sum(first), of), metrics.share(sum(second), of), paired(*counted))


def _rates(first: Sequence[Stream], second: Sequence[Stream]) -> dict[str, Any]:
    """Counts of the same hours; given their sum, each is binomial (Przyborowski and Wilenski 1940)."""
    hours = sum(stream.recording.seconds for stream in first) / 3600
    one, other = (sum(len(stream.matching.false) for stream in streams) for streams in (first, second))
    value = (one - other) / hours
    # As for shares: the distances to the bounds of the two intervals, squared and added (Zou and Donner 2008).
    a, b = metrics.rate_per_hour(one, hours), metrics.rate_per_hour(other, hours)
    low = value - _added(a.value - a.low, b.high - b.value, 0.0)
    high = value + _added(a.high - a.value, b.value - b.low, 0.0)
    return _document(a, b, Difference(value, low, high, one, other, hours, even_chance(one, other)))


def _frames(first: Sequence[Confusion], second: Sequence[Confusion]) -> dict[str, Any]:
    """Macro F1, and the spread of its difference when the recordings are drawn anew; chance is how often it turns."""
    this, other = (metrics.over_recordings(confusions, metrics.macro_f1) for confusions in (first, second))
    value = this.value - other.value
    low, high, chance = -1.0, 1.0, 1.0
    if len(first) > 1:
        scores = [_f1_of(confusions) for confusions in (first, second)]
        random = np.random.default_rng(0)
        drawn = random.multinomial(len(first), [1 / len(first)] * len(first), _DRAWS)
        apart = np.array([scores[0](weights) - scores[1](weights) for weights in drawn])
        low, high = (float(bound) for bound in np.quantile(apart, [0.025, 0.975]))
        chance = min(1.0, 2 * float(min((apart <= 0).mean(), (apart >= 0).mean())))
    return _document(this, other, Difference(value, min(low, value), max(high, value), 0, 0, this.of, chance))


def _f1_of(confusions: Sequence[Confusion]) -> Callable[[NDArray[Any]], float]:
    """(recordings,) how often each is drawn -> macro F1 of them all; 0 where none of them has a labelled frame."""
    pairs = sorted({pair for confusion in confusions for pair in confusion})
    counts = np.array([[confusion.get(pair, 0) for pair in pairs] for confusion in confusions], np.int64)

    def score(weights: NDArray[Any]) -> float:
        total = weights @ counts
        return metrics.macro_f1(dict(zip(pairs, total.tolist(), strict=True))) if total.any() else 0.0

    return score


def _correlation(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Of two paired yes-or-no outcomes, drawn towards 0 by Newcombe's correction."""
    around = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if not around:
        return 0.0
    product: float = both * neither - only_first * only_second
    if product > 0:
        product = max(0.0, product - (both + only_first + only_second + neither) / 2)
    return product / math.sqrt(around)


def _added(one: float, other: float, correlation: float) -> float:
    """The distance to a bound of a difference from those of its parts."""
    return math.sqrt(max(0.0, one**2 - 2 * correlation * one * other + other**2))


def _document(first: metrics.Estimate, second: metrics.Estimate, difference: Difference) -> dict[str, Any]:
    parts = {"this": first, "against": second, "difference": difference}
    return {name: msgspec.to_builtins(part) for name, part in parts.items()}


def _line(name: str, each: dict[str, Any]) -> str:
    form, unit, scale = ("{:.2f}", "", 1.0)
    if name in ("accuracy", "miss_rate"):
        form, unit, scale = ("{:.1f}", "%", 100.0)
    values = [f"{form.format(scale * each[which]['value'])}{unit}" for which in ("this", "against")]
    difference = each["difference"]
    bounds = [form.replace(":", ":+").format(scale * difference[bound]) for bound in ("value", "low", "high")]
    more = f"; {difference['only_first']} only here, {difference['only_second']} only there" if unit else ""
    verdict = "more than chance" if difference["chance"] < _CHANCE else "may be chance"
    chance = f"p {difference['chance']:.3f}" if difference["chance"] >= 0.001 else "p < 0.001"
    return f"{values[0]} here, {values[1]} there: {bounds[0]} ({bounds[1]} to {bounds[2]}{more}), {verdict} ({chance})"
