"""Lanes: each is one endless stream made of pieces, cut into unrolls of equal length for truncated backpropagation.

A stream that begins anew does so at a multiple of a fraction of the unroll: the network is run from one such place to
the next, so that `where(first, initial, state)` happens between two calls, and no clip is padded to the longest.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamrnn.recognizer import Recognizer
from streamrnn.training.pieces import Material, Piece, Samples


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a lane is: its next piece, and how many frames of it are used up."""

    piece: int = 0
    frame: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """Frames `[start, end)` of an unroll that run through without a stream beginning; `first` `(lanes,)` begin here."""

    start: int
    end: int
    first: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Unroll:
    """What one backward pass sees: samples (lanes, time, channels), target (lanes, frames, labels), teaches, parts."""

    samples: Samples
    target: Samples
    teaches: Samples
    segments: tuple[Segment, ...]
    after: tuple[Cursor, ...]


class Lanes:
    """Streams over a material, each with its cursor; the cursors are all that has to be saved of them."""

    def __init__(
        self, material: Material, recognizer: Recognizer, cursors: Sequence[Cursor], unroll: int, parts: int
    ) -> None:
        """`unroll`: frames a backward pass; a stream begins anew at a multiple of a `parts`-th of it."""
        self._material = material
        self._hop, self._channels = recognizer.hop, recognizer.channels
        self._labels = len(recognizer.config.labels)
        self._grid = max(1, unroll // parts)
        self.unroll = unroll
        self.cursors = list(cursors)
        self._pieces: dict[int, tuple[int, Piece]] = {}

    def next(self) -> Unroll:
        """The next unroll of every lane; the cursors move on."""
        lanes = len(self.cursors)
        samples = np.zeros((lanes, self.unroll * self._hop, self._channels), np.float32)
        target = np.zeros((lanes, self.unroll, self._labels), np.float32)
        teaches = np.zeros((lanes, self.unroll), np.float32)
        begins = np.zeros((lanes, self.unroll), np.bool_)
        for lane in range(lanes):
            self.cursors[lane] = self._fill(lane, samples[lane], target[lane], teaches[lane], begins[lane])
        places = np.flatnonzero(begins.any(axis=0))
        edges = sorted({0, self.unroll, *places.tolist()})
        segments = tuple(Segment(a, b, begins[:, a]) for a, b in itertools.pairwise(edges))
        return Unroll(samples, target, teaches, segments, tuple(self.cursors))

    def _fill(
        self, lane: int, samples: Samples, target: Samples, teaches: Samples, begins: NDArray[np.bool_]
    ) -> Cursor:
        cursor, at = self.cursors[lane], 0
        while at < self.unroll:
            piece = self._piece(lane, cursor.piece)
            if cursor.frame == 0 and piece.anew:
                at = -(-at // self._grid) * self._grid
                if at >= self.unroll:
                    break
                begins[at] = True
            count = min(self.unroll - at, piece.frames - cursor.frame)
            source = slice(cursor.frame, cursor.frame + count)
            samples[at * self._hop : (at + count) * self._hop] = piece.samples[
                source.start * self._hop : source.stop * self._hop
            ]
            target[at : at + count] = piece.target[source]
            teaches[at : at + count] = piece.teaches[source]
            at += count
            done = source.stop == piece.frames
            cursor = Cursor(cursor.piece + 1, 0) if done else Cursor(cursor.piece, source.stop)
        return cursor

    def _piece(self, lane: int, index: int) -> Piece:
        kept = self._pieces.get(lane)
        if kept is None or kept[0] != index:
            kept = (index, self._material.piece(lane, index))
            self._pieces[lane] = kept
        return kept[1]
