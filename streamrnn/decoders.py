"""Posteriors into detections and segments: array folds whose memory is a dict of numpy arrays, dim 0 the stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamrnn import registry
from streamrnn.errors import ConfigError
from streamrnn.recognizer import BACKGROUND, Count, NotNegative, Recognizer
from streamrnn.registry import PlugConfig, register

Track = dict[str, NDArray[Any]]
Score = Annotated[float, Meta(gt=0, le=1)]


@dataclass(frozen=True, slots=True)
class Found:
    """What a decoder found, in frames of its own count: row of the batch, column, run `[start, end)`, when, and how sure."""

    row: int
    kind: str  # "detection" or "segment"
    column: int
    start: int
    end: int
    frame: int  # the frame that brought the decision; no event leaves before it
    score: float


class Decoder(Protocol):
    """A fold over posteriors that obeys the law: `found, track = decoder(posteriors, track)`; arguments are not written."""

    delay: int

    def initial_track(self, batch: int) -> Track:
        """Memory of `batch` streams that have heard nothing."""
        ...

    def __call__(self, posteriors: NDArray[np.float32], track: Track) -> tuple[list[Found], Track]:
        """(batch, frames, columns), track -> what was found, by row and frame, and the track after it."""
        ...


def build(config: PlugConfig, recognizer: Recognizer) -> Decoder:
    """The decoder that a config describes, for a recognizer's columns and frame rate."""
    decoder: Decoder = registry.of(config).load()(config, recognizer)
    return decoder
