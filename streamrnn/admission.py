"""Who is let in: what a stream costs is measured at the start, and one for which there is no room is refused."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from streamrnn.daemon_config import LimitsConfig
from streamrnn.engine import Engine, Serving
from streamrnn.errors import StreamError
from streamrnn.hearing import Hearing
from streamrnn.summary import counted

_ROWS, _CHUNK_S, _ROUNDS = 16, 0.1, 6


def cost(serving: Serving) -> float:
    """The share of one core that a live stream takes of the engine, of some that are heard together.

    Chunks of 100 ms go through an engine of their own; the quickest of a few rounds counts, by this thread's own time,
    so that what else the machine does makes no stream dearer.
    """
    recognizer = serving.recognizer
    engine = Engine([serving])
    hops = max(1, recognizer.frames(1000.0 * _CHUNK_S))
    noise = 0.01 * np.random.default_rng(0).standard_normal((hops * recognizer.hop, recognizer.channels))
    samples = noise.astype(np.float32)
    for row in range(_ROWS):
        engine.open(str(row), recognizer.rate, recognizer.channels)
    took = []
    for turn in range(_ROUNDS):
        begun = time.thread_time()
        for row in range(_ROWS):
            engine.push(str(row), turn * len(samples), samples)
        engine.run()
        took.append(time.thread_time() - begun)
    return min(took) * recognizer.rate / (_ROWS * len(samples))


class Admission:
    """Streams come in while there are fewer than `max_streams`, and while what they cost is below `max_load`."""

    def __init__(self, limits: LimitsConfig, workers: int = 1) -> None:
        """So many `workers` share the streams, each on a core."""
        self.max_streams = limits.max_streams
        self._max_load, self._workers = limits.max_load, workers

    @property
    def _cores(self) -> str:
        return "a core" if self._workers == 1 else f"each of {self._workers} cores"

    def measured(self, serving: Serving) -> Serving:
        """A bundle with what a stream of it costs, if that limits anything."""
        return dataclasses.replace(serving, cost=cost(serving)) if self._max_load else serving

    def capacity(self, servings: Sequence[Serving]) -> int:
        """How many streams there is room for if all of these hear each."""
        each = sum(serving.cost for serving in servings)
        return min(self.max_streams, self._workers * max(1, int(self._max_load / each))) if each else self.max_streams

    def describe(self, servings: Sequence[Serving]) -> str:
        """The same, for people."""
        shared = f", in {self._workers} workers" if self._workers > 1 else ""
        return f"room for {counted(self.capacity(servings), 'stream')} in all bundles{shared}"

    def check(self, engine: Hearing, stream: str, bundles: Sequence[str]) -> None:
        """Raises StreamError, with the reason, if there is no room for a stream that these hear; none named: all."""
        there = len(engine.streams)
        if there >= self.max_streams:
            raise StreamError(f"{stream}: {self.max_streams} streams are open; raise max_streams")
        more = sum(each.cost for each in engine.servings if not bundles or each.named(bundles))
        # One is always let in: what is too slow for a single stream is for its source's policy.
        if engine.load and engine.load + more > self._max_load:
            raise StreamError(
                f"{stream}: the {there} streams that are open take {engine.load:.2f} of {self._cores}, which is all "
                f"that max_load {self._max_load:g} gives; end one, raise it or serve on a faster machine"
            )
