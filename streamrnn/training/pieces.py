"""A piece of a lane: samples with a target for every frame, and how labelled spans become targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamrnn.recognizer import Recognizer, RecognizerConfig, label_of

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Span:
    """A label from `start` to `end`, in samples at the recognizer's rate; `label` counts the labels from 0."""

    start: int
    end: int
    label: int


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

    def suspects(self) -> list[Samples]:
        """Sounds `(time,)` in which nothing may be recognised, always the same; none if it has no such."""
        ...

    def weigh(self, scores: Samples) -> None:
        """How much each of the suspects fooled the network `(suspects,)`: what did comes more often from now on."""
        ...


def label_index(config: RecognizerConfig, name: str) -> int:
    """The number of the published label that a name in the data stands for, or -1 for background."""
    label = label_of(config, name)
    labels = list(config.labels)
    return labels.index(label) if label in labels else -1


def targets(recognizer: Recognizer, frames: int, spans: Sequence[Span]) -> tuple[Samples, Samples]:
    """Spans -> target `(frames, labels)` and teaches `(frames,)`, by the recognizer's targets config."""
    config = recognizer.config
    target = np.zeros((frames, len(config.labels)), np.float32)
    teaches = np.ones(frames, np.float32)
    # The samples that are in when frame f is decided end at (f + 1) * hop.
    known = (np.arange(frames) + 1) * recognizer.hop
    place = config.targets
    before, after, unsure = (
        round(ms * config.rate / 1000.0) for ms in (place.before_ms, place.after_ms, place.ignore_ms)
    )
    one_of = config.head.__struct_config__.tag == "classes"
    for span in spans:
        begin = (span.end if place.place == "end" else span.start) - before
        positive = (known > begin) & (known <= span.end + after)
        doubtful = (known > max(begin - unsure, span.start)) & (known <= begin)
        teaches[doubtful] = 0.0
        teaches[positive] = 1.0
        if one_of:
            target[positive] = 0.0
        target[positive, span.label] = 1.0
    return target, teaches
