"""The Numenta Anomaly Benchmark's score: early alarms are worth most, false ones cost by how far off they are.

Lavin and Ahmad (2015), Evaluating real-time anomaly detection algorithms: the Numenta Anomaly Benchmark; version 1.1.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamrnn.errors import RecordingError

Scores = NDArray[np.float64]
_WINDOWS = Path("labels") / "combined_windows.json"
# The first rows of a series are for learning what is usual, and are not judged: a share of it, of at most so many rows.
_PROBATION, _PROBATION_ROWS = 0.15, 5000
_FAR = 3.0  # windows behind a window: there a false alarm costs all that one can


@dataclass(frozen=True, slots=True)
class Profile:
    """What an application pays: for each window found, false alarm and window missed."""

    hit: float
    false: float
    missed: float


PROFILES = {
    "standard": Profile(1.0, 0.11, 1.0),
    "reward_low_FP_rate": Profile(1.0, 0.22, 1.0),
    "reward_low_FN_rate": Profile(1.0, 0.11, 2.0),
}


@dataclass(frozen=True, slots=True)
class Series:
    """A series by name: its number of rows, and its windows in rows, `[first, last]` with both ends in them."""

    name: str
    rows: int
    windows: tuple[tuple[int, int], ...]

    @property
    def group(self) -> str:
        """The folder that it is in."""
        return self.name.rpartition("/")[0]

    @property
    def probation(self) -> int:
        """Rows that are not judged."""
        return probation(self.rows)


def probation(rows: int) -> int:
    """How many of the first rows of a series are not judged, and may be learnt from."""
    return math.floor(min(_PROBATION * rows, _PROBATION * _PROBATION_ROWS))


def read(folder: Path) -> list[Series]:
    """The series of a folder as the benchmark has it: CSV in `data`, windows in `labels`. Raises RecordingError."""
    path = folder / _WINDOWS
    try:
        windows: dict[str, list[list[str]]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path}: no windows of the benchmark ({error}); give the folder that holds it") from None
    return [_series(folder / "data" / name, name, spans) for name, spans in sorted(windows.items())]


def _series(path: Path, name: str, spans: Sequence[Sequence[str]]) -> Series:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            times = [row[0] for row in csv.reader(file)][1:]
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}; restore it") from None
    first: dict[str, int] = {}
    for row, time in enumerate(times):
        first.setdefault(time, row)
    try:
        # The windows are written with fractions of a second, the rows without.
        rows = tuple((first[start.partition(".")[0]], first[end.partition(".")[0]]) for start, end in spans)
    except KeyError as error:
        raise RecordingError(f"{path}: a window begins or ends at {error}, which is no row of it") from None
    return Series(name, len(times), rows)


def weights(series: Series) -> tuple[Scores, NDArray[np.int64]]:
    """What an alarm in each row is worth before its price, in [-1, 1], and the number of its window, -1 outside.

    In a window it falls from nearly 1 to 0, scaled so that 1 is an alarm as early as can be; behind one from 0 to -1.
    """
    worth = np.full(series.rows, -1.0)
    inside = np.full(series.rows, -1, np.int64)
    for number, (first, last) in enumerate(series.windows):
        width = last - first + 1
        place = np.arange(first, last + 1)
        worth[place] = _sigmoid((place - last - 1) / width) / _sigmoid(np.array([-1.0]))
        inside[place] = number
    for (first, last), (following, _) in pairwise([*series.windows, (series.rows, series.rows)]):
        place = np.arange(last + 1, following)
        off = (place - last) / max(1, last - first)
        worth[place] = np.where(off > _FAR, -1.0, _sigmoid(off))
    return worth, inside


def _sigmoid(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 1 far before an end of a window, 0 at it, to -1 behind it."""
    scaled: NDArray[np.float64] = 2.0 / (1.0 + np.exp(5.0 * np.asarray(place, np.float64))) - 1.0
    return scaled


def raw(series: Series, alarms: NDArray[np.bool_], profile: Profile) -> float:
    """The score of one series for the rows in which there is an alarm: the best one of each window counts."""
    worth, inside = weights(series)
    told = np.asarray(alarms, np.bool_).copy()
    if told.shape != (series.rows,):
        raise ValueError(f"{series.name}: {told.shape} alarms for {series.rows} rows")
    told[: series.probation] = False
    score = profile.false * float(worth[told & (inside < 0)].sum())
    for number, (_, last) in enumerate(series.windows):
        found = worth[told & (inside == number)]
        if found.size:
            score += profile.hit * float(found.max())
        elif last >= series.probation:
            score -= profile.missed
    return score


def score(corpus: Sequence[Series], alarms: Mapping[str, NDArray[np.bool_]], profile: Profile) -> float:
    """The score of a corpus, by name the rows with an alarm: 0 is to say nothing, 100 to be as good as can be."""
    windows = sum(len(series.windows) for series in corpus)
    if not windows:
        raise RecordingError("no window of an anomaly in the data; without one nothing can be found")
    nothing = -profile.missed * windows
    total = sum(raw(series, alarms[series.name], profile) for series in corpus)
    return 100.0 * (total - nothing) / (profile.hit * windows - nothing)


def scores(corpus: Sequence[Series], alarms: Mapping[str, NDArray[np.bool_]]) -> dict[str, float]:
    """The score by every profile, to 3 decimals."""
    return {name: round(score(corpus, alarms, profile), 3) for name, profile in PROFILES.items()}
