"""`check_decoder`: does this decoder find the same events for every split of the posteriors and in every batch?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.decoders import Decoder, Found
from streamrnn.testing.law import LawBroken, Memory, Subject, X, check

Posteriors = Callable[[int, int, int, np.random.Generator], NDArray[np.float32]]
_SCORE = 1e-6
_LEAST = 12  # frames a cut of a trial at least: events take many frames


def walking_posteriors(batch: int, frames: int, columns: int, random: np.random.Generator) -> NDArray[np.float32]:
    """(batch, frames, columns) in [0, 1] that make detections: one column at a time is sure of itself, then another."""
    logits = np.cumsum(random.normal(0.0, 0.4, (batch, frames, columns)), axis=1)
    for row in range(batch):
        at = 0
        while at < frames:
            run = int(random.integers(1, max(25, frames // 4)))
            logits[row, at : at + run, int(random.integers(columns))] += random.uniform(2.0, 12.0)
            at += run + int(random.integers(0, 15))
    logits -= logits.max(axis=-1, keepdims=True)
    shares = np.exp(logits)
    # Columns that add to one, as a softmax's do; a single column alone is a sigmoid's.
    walked = shares / shares.sum(axis=-1, keepdims=True) if columns > 1 else 1 / (1 + np.exp(-_centred(logits, random)))
    return np.asarray(walked, np.float32)


def wandering_forecasts(batch: int, frames: int, columns: int, random: np.random.Generator) -> NDArray[np.float32]:
    """(batch, frames, 2 + 5 * channels), what a forecast head says: a mean of 0, a deviation of 1, and what was seen.

    That is noise of this deviation in which stretches lie far off, now and then.
    """
    channels = (columns - 2) // 5
    seen = random.normal(0.0, 1.0, (batch, frames, channels))
    for row in range(batch):
        for _ in range(1 + frames // 30):
            at = int(random.integers(frames))
            seen[row, at : at + int(random.integers(1, 24))] += random.choice([-1.0, 1.0]) * random.uniform(20.0, 60.0)
    made = np.zeros((batch, frames, columns), np.float32)
    made[:, 1:, 1] = 1.0  # of the first frame nobody has made a forecast
    made[..., 2 + channels : 2 + 2 * channels] = 1.0
    made[..., 2 + 2 * channels : 2 + 3 * channels] = seen
    made[..., 2 + 4 * channels :] = 1.0
    return made


def _centred(logits: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    walk = np.cumsum(random.normal(0.0, 1.5, logits.shape), axis=1)
    centred: NDArray[Any] = walk - walk.mean(axis=1, keepdims=True)
    return centred


def check_decoder(
    decoder: Decoder,
    columns: int,
    *,
    seed: int = 0,
    trials: int = 5,
    posteriors: Posteriors = walking_posteriors,
) -> None:
    """Hold a decoder to the law. Raises LawBroken with one sentence at the first law that it breaks.

    Equal events have the same row, kind, column, start, end and frame, and scores within 1e-6. An event leaves in the
    call that brings its `frame`, and `finish` says the same after every split and in every batch.
    `posteriors(batch, frames, columns, random)` makes the material; if nothing at all is found in it the decoder was
    not put to the test, which is an error as well.
    """
    subject = _Decoded(decoder, columns, posteriors)
    check(subject, np.random.default_rng(seed), trials)
    if not subject.found:
        raise LawBroken(f"a decoder must be seen to find something: nothing in {subject.heard} frames of posteriors")


class _Decoded(Subject[list[Found]]):
    def __init__(self, decoder: Decoder, columns: int, posteriors: Posteriors) -> None:
        self.decoder, self.columns, self.posteriors = decoder, columns, posteriors
        self.hop = 1
        self.found = 0
        self.heard = 0

    def fresh(self, batch: int) -> Memory:
        return self.decoder.initial_track(batch)

    def inputs(self, batch: int, hops: int, random: np.random.Generator) -> X:
        # A decoder that waits long is given long material.
        return self.posteriors(batch, hops * max(_LEAST, self.decoder.delay // 4), self.columns, random)

    def call(self, x: X, memory: Memory) -> tuple[list[Found], Memory]:
        return self.decoder(x, dict(memory))

    def end(self, memory: Memory) -> list[Found]:
        return self.decoder.finish(dict(memory))

    def check_output(self, y: list[Found], x: X, heard: int) -> None:
        self.found += len(y)
        self.heard += len(x) * x.shape[1]
        until = heard + x.shape[1]
        for found in y:
            if not (0 <= found.row < len(x) and 0 <= found.column < self.columns):
                raise LawBroken(f"an event names a row and a column there is: {found} in {x.shape}")
            if not heard <= found.frame < until:
                raise LawBroken(f"an event leaves with the frame that brings it: {found} in frames {heard} to {until}")
            if not 0 <= found.start < found.end <= found.frame + 1:
                raise LawBroken(f"an event starts before it ends and ends before it is told: {found}")
            if not 0.0 <= found.score <= 1.0:
                raise LawBroken(f"a score lies between 0 and 1: {found}")

    def join(self, parts: Sequence[list[Found]]) -> list[Found]:
        return [found for part in parts for found in part]

    def row(self, y: list[Found], row: int) -> list[Found]:
        return [replace(found, row=0) for found in y if found.row == row]

    def difference(self, left: list[Found], right: list[Found]) -> str:
        a, b = sorted(left, key=_order), sorted(right, key=_order)
        for one, other in zip(a, b, strict=False):
            if _order(one) != _order(other):
                return f"{one} against {other}"
            if abs(one.score - other.score) > _SCORE:
                return f"by {abs(one.score - other.score):.3g} in the score of {one}"
        return "" if len(a) == len(b) else f"{len(a)} events against {len(b)}"

    def memory_difference(self, left: NDArray[Any], right: NDArray[Any]) -> str:
        if left.dtype.kind == "f":
            same = np.allclose(left, right, rtol=1e-6, atol=1e-6, equal_nan=True)
        else:
            same = np.array_equal(left, right)
        return "" if same else "differs"


def _order(found: Found) -> tuple[int, int, int, int, int, str]:
    return (found.row, found.frame, found.column, found.start, found.end, found.kind)
