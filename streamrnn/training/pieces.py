"""A piece of a lane: samples with a target for every frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamrnn.targets import Span, label_index, targets

__all__ = ["Clip", "Material", "Piece", "Samples", "Span", "Supply", "label_index", "targets"]

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clip:
    """Samples `(time, channels)` at the recognizer's rate, what is said in them, by whom, and where that is `known`.

    `background` is the name of what it is instead, where no published label is in it.
    """

    samples: Samples
    spans: tuple[Span, ...]
    group: str
    name: str
    background: str
    known: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples `(frames * hop, channels)`, targets `(frames, labels)`, and which frames teach `(frames,)`.

    `anew`: the stream begins with this piece, its state is the initial one.
    """

    samples: Samples
    target: Samples
    teaches: Samples
    anew: bool

    @property
    def frames(self) -> int:
        """Frames of targets."""
        return len(self.target)


@dataclass(frozen=True, slots=True)
class Supply:
    """What a material has to know of the training that it supplies: the seed and the number of lanes."""

    seed: int
    lanes: int


class Material(Protocol):
    """An endless supply of pieces for each lane; piece k of a lane depends on the seed, the lane and k alone."""

    def piece(self, lane: int, index: int) -> Piece:
        """The piece `index` of `lane`."""
        ...

    def judged(self, clips: Sequence[Clip]) -> list[Piece]:
        """Pieces to judge a network on: these clips, unchanged."""
        ...

    def suspects(self, step: int) -> Iterator[Samples]:
        """Sounds `(time,)` in which nothing may be recognised, as lanes bring them; none if it has no such.

        Always the same in the same order; what lies under each may be another at another step of the training.
        """
        ...

    def weigh(self, scores: Samples) -> None:
        """How much each of the suspects fooled the network `(suspects,)`: what did comes more often from now on."""
        ...
