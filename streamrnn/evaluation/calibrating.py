"""From a bundle and labelled recordings to its DET: hours are composed, heard and counted; training calls it too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from streamrnn import operating
from streamrnn.bundle import Bundle, with_own_thresholds
from streamrnn.engine import serving
from streamrnn.errors import ConfigError
from streamrnn.evaluation import alarming
from streamrnn.evaluation.composing import Recipe, compose
from streamrnn.evaluation.recordings import Recording
from streamrnn.evaluation.run import choose_split
from streamrnn.evaluation.stock import gather
from streamrnn.evaluation.sweep import measure, to_be_heard
from streamrnn.operating import Det
from streamrnn.watching import WatchConfig

BUDGETS = (0.1, 0.5, 1.0, 5.0)  # false accepts an hour that people ask for
_STREAM_HOURS = 0.5


@dataclass(frozen=True, slots=True)
class Calibration:
    """What to compose of: recordings out of data `folders`, for so many `hours`, from a `seed`."""

    recordings: tuple[Recording, ...]
    folders: tuple[Path, ...]
    hours: float = 24.0
    seed: int = 0
    recipe: Recipe = field(default_factory=Recipe)


def calibrate(
    bundle: Bundle, calibration: Calibration, heard: Callable[[float, float], object] = lambda share, of: None
) -> Det:
    """The DET of a bundle, to be written into it (`bundle.write(path, bundle.measured(...))`).

    `heard` is told of the seconds of streams that were heard, and of how many there are. Raises RecordingError for
    data without words or without negatives, ConfigError for a bundle that cannot be measured so.
    """
    served = serving(with_own_thresholds(bundle))
    if isinstance(served.recognizer.config.decoder, WatchConfig):
        seconds = sum(each.seconds for each in calibration.recordings)
        return alarming.measure(served, calibration.recordings, lambda part: heard(part, seconds))
    stock = gather(calibration.recordings, served.recognizer.config)
    count = max(1, round(calibration.hours / _STREAM_HOURS))
    streams = compose(stock, calibration.recipe, 3600 * calibration.hours / count, count, calibration.seed)
    total = to_be_heard(streams)
    return measure(served, streams, calibration.folders, lambda seconds: heard(seconds, total))


def in_split(recordings: Sequence[Recording], split: str) -> tuple[Recording, ...]:
    """The recordings of a split and those of none, such as noises and rooms; all for "". Raises RecordingError."""
    if not split:
        return tuple(recordings)
    return tuple(choose_split(recordings, split)) + tuple(each for each in recordings if not each.split)


def promises(det: Det) -> dict[str, dict[str, Any]]:
    """What the DET says of each of the budgets that people ask for: the point that keeps it, or why it is `refused`."""
    told: dict[str, dict[str, Any]] = {}
    for budget in BUDGETS:
        try:
            told[f"{budget:g}"] = msgspec.to_builtins(operating.choose(det, budget))
        except ConfigError as error:
            told[f"{budget:g}"] = {"refused": str(error).partition(": ")[2]}
    return told


def lines(det: Det) -> list[str]:
    """The same as a table for people, and what it was measured on."""
    parts = ", ".join(f"{name or 'elsewhere'} {seconds / 60:.1f}" for name, seconds in det.sources.items())
    written = [
        f"{det.said} words in {det.hours:.3g} h, of {det.distinct_minutes:.1f} min of different material ({parts})",
        f"  {'budget':<8} {'enter':<8} {'words missed':<26} false accepts an hour",
    ]
    for budget, told in promises(det).items():
        if "refused" in told:
            written.append(f"  {budget + '/h':<8} refused: {told['refused']}")
            continue
        missed = f"{told['miss_rate']:.1%} ({told['miss_low']:.1%} to {told['miss_high']:.1%})"
        false = f"{told['per_hour']:.2g} ({told['per_hour_low']:.2g} to {told['per_hour_high']:.2g})"
        written.append(f"  {budget + '/h':<8} {told['enter']:<8.4g} {missed:<26} {false}")
    return written
