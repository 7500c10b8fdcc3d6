"""How well alarms fit labelled anomalies, by whole sequences and point by point; nothing is adjusted in their favour.

By sequences: Hundman et al. (2018), Detecting spacecraft anomalies using LSTMs and nonparametric dynamic thresholding.
Point by point: Katser and Kozitsin (2020), Skoltech anomaly benchmark. "Point adjustment", which counts all of an
anomaly as found for one point in it, is left out: a random score looks excellent by it (Kim et al. 2022).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]
"""Samples `[start, end)`."""


@dataclass(frozen=True, slots=True)
class Sequences:
    """Anomalies that were found, alarms that overlap none, and anomalies that no alarm overlaps."""

    found: int = 0
    false: int = 0
    missed: int = 0

    def __add__(self, other: Sequences) -> Sequences:
        """The counts of both."""
        return Sequences(self.found + other.found, self.false + other.false, self.missed + other.missed)

    @property
    def precision(self) -> float:
        """Of what was found or false, the share found; 0 without an alarm."""
        return self.found / max(1, self.found + self.false)

    @property
    def recall(self) -> float:
        """The share of the anomalies that was found; 0 without any."""
        return self.found / max(1, self.found + self.missed)


def sequences(said: Sequence[Span], heard: Sequence[Span]) -> Sequences:
    """The counts of one series, as the published code makes them.

    An alarm finds the first anomaly that it overlaps and no other; further alarms in a found one count for nothing.
    """
    found: set[int] = set()
    false = 0
    for start, end in heard:
        touched = [i for i, (first, last) in enumerate(said) if start < last and first < end]
        if touched:
            found.add(touched[0])
        else:
            false += 1
    return Sequences(len(found), false, len(said) - len(found))


@dataclass(frozen=True, slots=True)
class Points:
    """Points by what they are and what was said of them."""

    hit: int = 0
    false: int = 0
    missed: int = 0
    quiet: int = 0

    def __add__(self, other: Points) -> Points:
        """The counts of both."""
        return Points(
            self.hit + other.hit, self.false + other.false, self.missed + other.missed, self.quiet + other.quiet
        )

    @property
    def f1(self) -> float:
        """Of precision and recall the harmonic mean; 0 where nothing was hit."""
        return 2 * self.hit / max(1, 2 * self.hit + self.false + self.missed)

    @property
    def false_alarm_rate(self) -> float:
        """The share of the usual points in which there is an alarm."""
        return self.false / max(1, self.false + self.quiet)

    @property
    def missed_alarm_rate(self) -> float:
        """The share of the anomalous points in which there is none."""
        return self.missed / max(1, self.missed + self.hit)


def points(said: Sequence[Span], heard: Sequence[Span], length: int) -> Points:
    """The counts of one series of `length` samples."""
    truth, told = marked(said, length), marked(heard, length)
    hit, false, missed = (int(each.sum()) for each in (truth & told, ~truth & told, truth & ~told))
    return Points(hit, false, missed, length - hit - false - missed)


def marked(spans: Iterable[Span], length: int) -> NDArray[np.bool_]:
    """(length,): true in the spans."""
    inside = np.zeros(length, np.bool_)
    for start, end in spans:
        inside[max(0, start) : max(0, end)] = True
    return inside


def document(by_sequence: Sequences, by_point: Points) -> dict[str, Any]:
    """Both as they stand in a report."""
    return {
        "sequences": {
            "found": by_sequence.found,
            "false": by_sequence.false,
            "missed": by_sequence.missed,
            "precision": round(by_sequence.precision, 4),
            "recall": round(by_sequence.recall, 4),
        },
        "points": {
            "f1": round(by_point.f1, 4),
            "false_alarm_rate": round(by_point.false_alarm_rate, 4),
            "missed_alarm_rate": round(by_point.missed_alarm_rate, 4),
        },
    }
