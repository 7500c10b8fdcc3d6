"""Whether a recognizer is as good in the last hour of a stream as in the first: two hours compared, and all of them.

Two hours are compared by the interval of the first, which is what people ask for and a weak test: where nothing drifts,
the last hour still lies outside of a 95 % interval of the first in about one of six streams, since it is a sample too.
So all hours are asked whether they rise or fall: the slope of the rate over the hours by weighted least squares, which
for shares is the trend test of Cochran (1954) and Armitage (1955). Where hours scatter more than independent events
would, as they do when the same recordings fire again and again, variances grow by that factor (quasi-likelihood,
McCullagh and Nelder 1989); they never shrink.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from streamrnn.evaluation.metrics import Z95
from streamrnn.evaluation.norms import change

_FEWEST = 3  # hours that have a trend
_CHANCE = 0.05
MEASURES = {"recall": "words found", "false_accepts_per_hour": "false accepts an hour"}


@dataclass(frozen=True, slots=True)
class Trend:
    """By how much a rate changes from the first hour to the last, on the line through all, with its 95 % interval.

    `chance` is how often no trend at all would give as much, two-sided; `scatter` how many times the variance of
    independent events the hours have around the line, at least 1.
    """

    change: float
    low: float
    high: float
    chance: float
    scatter: float


def drift(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What whole hours say (rows of `breakdown.hourly`); {} if there are fewer than two.

    For each of `recall` and `false_accepts_per_hour`: the `first` and `last` hour, whether the last lies `inside` the
    interval of the first, and the `trend` over all, null without one. `state_norms` is what `norms.change` says.
    """
    if len(rows) < 2:
        return {}
    found: dict[str, Any] = {}
    for name in MEASURES:
        those = [row for row in rows if name in row]
        if len(those) < 2:
            continue
        first, last = those[0], those[-1]
        found[name] = {
            "first": {"hour": first["hour"], **_bounds(first[name])},
            "last": {"hour": last["hour"], **_bounds(last[name])},
            "inside": first[name]["low"] <= last[name]["value"] <= first[name]["high"],
            "trend": msgspec.to_builtins(trend(those, name)),
        }
    found["state_norms"] = change([row["state_norms"] for row in rows if row["state_norms"]])
    return found


def trend(rows: Sequence[Mapping[str, Any]], name: str) -> Trend | None:
    """The trend of a measure over the hours that have it; None where there are too few, or all or nothing happened."""
    if len(rows) < _FEWEST:
        return None
    hours = np.array([row["hour"] for row in rows], np.float64)
    counts = np.array([row[name]["count"] for row in rows], np.float64)
    of = np.array([row[name]["of"] for row in rows], np.float64)
    rate = counts.sum() / of.sum()
    variance = rate * (1 - rate) if name == "recall" else rate
    if variance <= 0:
        return None
    centred = hours - (of @ hours) / of.sum()
    reach = of @ np.square(centred)
    slope = centred @ counts / reach
    expected = of * (rate + slope * centred)
    scatter = max(1.0, float(np.sum(np.square(counts - expected) / (of * variance))) / (len(rows) - 2))
    error = math.sqrt(scatter * variance / reach)
    span = float(hours[-1] - hours[0])
    return Trend(
        change=float(slope) * span,
        low=(float(slope) - Z95 * error) * span,
        high=(float(slope) + Z95 * error) * span,
        chance=math.erfc(abs(float(slope)) / error / math.sqrt(2)),
        scatter=scatter,
    )


def sentences(found: Mapping[str, Any]) -> list[str]:
    """The same in plain words, a sentence or two for each measure."""
    told = []
    for name, title in MEASURES.items():
        if name not in found:
            continue
        each, scale, unit = found[name], *((100.0, "%") if name == "recall" else (1.0, ""))
        first, last = each["first"], each["last"]
        within = "within" if each["inside"] else "outside"
        told.append(
            f"{title}: {_figure(last['value'], scale)}{unit} in hour {last['hour']}, {within} the interval of hour "
            f"{first['hour']} ({_figure(first['low'], scale)} to {_figure(first['high'], scale)}{unit})."
            + (_of_trend(each["trend"], scale, "points" if unit else "an hour") if each["trend"] else "")
        )
    for name, each in found.get("state_norms", {}).items():
        within = "within" if each["inside"] else "outside"
        told.append(
            f"norm of {name}: the median of the last hour is {each['ratio']:.3f} times that of the first, {within} its "
            "5 to 95 %."
        )
    return told


def _of_trend(trend: Mapping[str, float], scale: float, unit: str) -> str:
    drifts = trend["chance"] < _CHANCE
    chance = "p < 0.001" if trend["chance"] < 0.001 else f"p {trend['chance']:.2f}"
    change, low, high = (f"{scale * trend[bound]:+.1f}" for bound in ("change", "low", "high"))
    verdict = "more than chance would do" if drifts else "no more than chance does"
    return f" Over all hours it changes by {change} {unit} ({low} to {high}), {verdict} ({chance})."


def _figure(value: float, scale: float) -> str:
    return f"{scale * value:.1f}"


def _bounds(estimate: Mapping[str, float]) -> dict[str, float]:
    return {bound: estimate[bound] for bound in ("value", "low", "high")}
