"""A recognizer in three lines, without a daemon: `streamrnn.load("digits").detect(samples, rate)`, or a live stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamrnn.chunk import Samples
from streamrnn.engine import Engine, Serving, serving
from streamrnn.errors import StreamError
from streamrnn.events import Event

# What is on its way into the engine at once: it bounds the memory for a recording of any length.
_PIECE = 2**18


def load(name: str | Path, backend: str = "auto", max_false_accepts_per_hour: float = 0.0) -> Detector:
    """The detector of a bundle: its path, or the name of one that is shipped.

    `max_false_accepts_per_hour` above 0 is a budget that chooses the decoder's thresholds. Raises BundleError, and
    ConfigError where the bundle has no evidence for the budget.
    """
    from streamrnn.bundle import locate, read, with_budget

    return Detector(serving(with_budget(read(locate(str(name))), max_false_accepts_per_hour), backend))


class Detector:
    """Hears arrays and live streams with one bundle; calls and streams know nothing of one another."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    @property
    def labels(self) -> tuple[str, ...]:
        """What it can hear."""
        return tuple(self._serving.recognizer.config.labels)

    @property
    def rate(self) -> int:
        """The sample rate in Hz at which nothing needs to be resampled."""
        return self._serving.recognizer.rate

    def detect(self, samples: ArrayLike, rate: int, name: str = "array") -> list[Event]:
        """All events of a whole recording, `(time,)` or `(time, channels)`, named `name` in them. Raises StreamError.

        Samples are what `as_samples` takes: floats as they are, integers scaled.
        """
        whole = as_samples(samples)
        stream = self.stream(rate, whole.shape[1], name)
        events: list[Event] = []
        for start in range(0, len(whole), _PIECE):
            events += stream.push(whole[start : start + _PIECE])
        return events + stream.finish()

    def stream(self, rate: int, channels: int = 1, name: str = "stream") -> LiveStream:
        """A stream to push samples to as they come. Raises StreamError if the bundle cannot hear such a stream."""
        return LiveStream(self._serving, rate, channels, name)


class LiveStream:
    """One stream of a detector: events come out as soon as the samples that decide them are in."""

    def __init__(self, serving: Serving, rate: int, channels: int, name: str) -> None:
        self._engine = Engine([serving])
        self._engine.open(name, rate, channels)
        self._name = name
        self._next = 0

    def push(self, samples: ArrayLike) -> list[Event]:
        """The samples that come next, any number, `(time,)` or `(time, channels)` -> events. Raises StreamError."""
        chunk = as_samples(samples)
        if len(chunk):
            self._engine.push(self._name, self._next, chunk)
            self._next += len(chunk)
        return self._engine.run()

    def lose(self, count: int, reason: str = "dropped") -> list[Event]:
        """Say that the next `count` samples never came: a gap, and a fresh state after it. Raises StreamError."""
        self._engine.lose(self._name, self._next + count, reason)
        self._next += count
        return self._engine.run()

    def finish(self) -> list[Event]:
        """The stream is over -> its last events; nothing can be pushed after it. Raises StreamError."""
        self._engine.finish(self._name)
        return self._engine.run()


def as_samples(samples: ArrayLike) -> Samples:
    """(time,) or (time, channels) -> float32 `(time, channels)`. Raises StreamError for other shapes and kinds.

    Floats stay as they are, sound within [-1, 1]. Integers are PCM and become that: int16 is divided by 32768, int8 by
    2^7, int32 by 2^31, and uint8, which is silent at 128, by 128. Raw counts of a sensor: convert them to float first.
    """
    array: NDArray[Any] = np.asarray(samples)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.shape[1]:
        raise StreamError(f"samples have shape {array.shape}; give (time,) or (time, channels)")
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(np.float32, copy=False)
    if array.dtype == np.uint8:
        return ((array.astype(np.float32) - 128) / 128).astype(np.float32)
    if array.dtype.kind == "i" and array.dtype.itemsize <= 4:
        return (array / 2.0 ** (8 * array.dtype.itemsize - 1)).astype(np.float32)
    raise StreamError(f"samples are {array.dtype}; give floats, or PCM of 8, 16 or 32 bits")
