"""Forecasts against what came, beside persistence and a linear autoregression: what a network must be better than."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine import Serving
from streamrnn.evaluation.playable import Playable
from streamrnn.evaluation.playing import posteriors
from streamrnn.evaluation.recordings import Recording
from streamrnn.recognizer import ForecastConfig, LagConfig, Recognizer
from streamrnn.watching import parts

LEARNT = "_learnt"  # a label over what is heard and not judged, since the network was trained on it
_ORDER = 48  # the last frames that the autoregression looks at
_RIDGE = 1e-3
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """Sums of squares over frames and channels, in the network's scale: of each forecaster, and how many there are."""

    squares: dict[str, float]
    inside: int  # what lay within 1.64 deviations of the forecast: 90 % of a Gaussian
    count: int


def document(serving: Serving, judged: Sequence[Playable], all_there_is: Sequence[Recording]) -> dict[str, Any]:
    """Mean square errors a frame, as a report has them.

    Errors are in deviations of the values of `train` recordings, from among `all_there_is`; the autoregression is
    fitted on them as well. Frames under `_learnt` are heard and not judged. Raises RecordingError.
    """
    recognizer = serving.recognizer
    train = [each for each in all_there_is if each.split in ("train", "")]
    learnt = [_values(recognizer, posteriors(serving, each)) for each in train]
    nothing = np.zeros((0, _head(recognizer).channels))
    weights = fit(learnt or [nothing], lags(recognizer), _head(recognizer).steps)
    values = np.concatenate(learnt) if learnt else np.zeros((0, 1))
    spread = values.std(axis=0) if len(values) else np.ones(1)
    sums: dict[str, float] = {}
    inside = count = 0
    for each in judged:
        one = _judged(recognizer, each, posteriors(serving, each), weights, np.maximum(spread, 1e-9))
        sums = {name: sums.get(name, 0.0) + square for name, square in one.squares.items()}
        inside, count = inside + one.inside, count + one.count
    if not count:
        return {"frames": 0}
    head = _head(recognizer)
    if not learnt:
        del sums["autoregression"]  # fitted on nothing it would stand for nothing
    return {
        "steps": head.steps,
        "frames": count // head.channels,
        "mean_square_error": {name: round(square / count, 6) for name, square in sums.items()},
        "within_90": round(inside / count, 4),
        "autoregression": {"lags": list(lags(recognizer)), "fitted_on": sum(map(len, learnt))},
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    if not found["frames"]:
        return ["  no frame was forecast and judged"]
    errors = ", ".join(f"{name} {value:.4g}" for name, value in found["mean_square_error"].items())
    ahead = f"{found['steps']} ahead, mean square"
    return [
        f"  {ahead:<30} {errors}; {found['frames']} frames",
        f"  {'within the band of 90 %':<30} {found['within_90']:.1%}",
    ]


def lags(recognizer: Recognizer) -> tuple[int, ...]:
    """What the autoregression looks at: the last frames, and those that the network's own lags look at."""
    far = (lag for each in recognizer.config.features if isinstance(each, LagConfig) for lag in each.frames)
    return tuple(sorted({*range(_ORDER), *far}))


def _head(recognizer: Recognizer) -> ForecastConfig:
    head = recognizer.config.head
    assert isinstance(head, ForecastConfig)
    return head


def fit(series: Sequence[Values], back: Sequence[int], steps: int = 1) -> Values:
    """(lags + 1, channels): least squares from the frames `back` to the one `steps` ahead, each channel by itself."""
    channels = series[0].shape[1] if series else 1
    size = len(back) + 1
    weights = np.zeros((size, channels))
    for channel in range(channels):
        gram, moment = _RIDGE * np.eye(size), np.zeros(size)
        for values in series:
            table = _table(values[:, channel], back, steps)
            wanted = values[steps:, channel]
            # What looks back beyond the begin is no example, where there are others.
            first = min(max(back), max(0, len(wanted) // 2))
            gram += table[first:].T @ table[first:]
            moment += table[first:].T @ wanted[first:]
        weights[:, channel] = np.linalg.solve(gram, moment)
    return weights


def _table(values: Values, back: Sequence[int], steps: int) -> Values:
    """(frames - steps, lags + 1): what stands so many frames before each, zeros before the begin, and a one."""
    frames = max(0, len(values) - steps)
    padded = np.concatenate([np.zeros(max(back)), values])
    columns = [padded[max(back) - lag : max(back) - lag + frames] for lag in back]
    return np.stack([*columns, np.ones(frames)], axis=1)


def _values(recognizer: Recognizer, said: NDArray[np.float32]) -> Values:
    """(frames, channels): what was seen, as the network scales it."""
    return parts(said, _head(recognizer).channels)[2]


def _judged(
    recognizer: Recognizer, recording: Playable, said: NDArray[np.float32], weights: Values, spread: Values
) -> Judged:
    head = _head(recognizer)
    count, steps = head.channels, head.steps
    # The zeros that follow a recording are no samples of it.
    whole = recording.length * recognizer.rate // recording.rate // recognizer.hop
    said = said[:whole]
    expected, deviation, seen, _, _ = parts(said, count)
    told = said[:, 1] > 0.5
    for segment in recording.segments:
        if segment.label == LEARNT:
            first, last = (
                each * recognizer.rate // recording.rate // recognizer.hop for each in (segment.start, segment.end)
            )
            told[first:last] = False
    linear = np.zeros_like(seen)
    persistence = np.zeros_like(seen)
    persistence[steps:] = seen[: max(0, len(seen) - steps)]
    for channel in range(count):
        back = lags(recognizer)
        linear[steps:, channel] = _table(seen[:, channel], back, steps) @ weights[:, channel]
    ways = {"network": expected, "autoregression": linear, "persistence": persistence}
    squares = {name: float(((((way - seen) / spread)[told]) ** 2).sum()) for name, way in ways.items()}
    inside = int((np.abs(seen - expected)[told] <= 1.6449 * deviation[told]).sum())
    return Judged(squares, inside, int(told.sum()) * count)
