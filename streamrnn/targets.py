"""Targets: how labelled spans of a recording become what each frame should say. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamrnn.recognizer import Recognizer, RecognizerConfig, label_of

Targets = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Span:
    """A label from `start` to `end`, in samples at the recognizer's rate; `label` counts the labels from 0."""

    start: int
    end: int
    label: int


def label_index(config: RecognizerConfig, name: str) -> int:
    """The number of the published label that a name in the data stands for, or -1 for background."""
    label = label_of(config, name)
    labels = list(config.labels)
    return labels.index(label) if label in labels else -1


def targets(recognizer: Recognizer, frames: int, spans: Sequence[Span]) -> tuple[Targets, Targets]:
    """Spans -> target `(frames, labels)` and teaches `(frames,)`, by the recognizer's targets config."""
    config = recognizer.config
    target = np.zeros((frames, len(config.labels)), np.float32)
    teaches = np.ones(frames, np.float32)
    place = config.targets
    before, after, unsure = (
        round(ms * config.rate / 1000.0) for ms in (place.before_ms, place.after_ms, place.ignore_ms)
    )
    if place.place == "instant":
        teaches[:] = 0.0
        # The last frame that is out when the label is due is the one that answers, so that is when teaching ends too.
        spans = [Span(span.start + after, span.start + after, span.label) for span in spans]
        after, unsure = 0, 0
    one_of = config.head.__struct_config__.tag == "classes"
    for span in spans:
        begin = (span.start if place.place == "whole" else span.end) - before
        positive = _decided(begin, span.end + after, recognizer.hop)
        doubtful = _decided(max(begin - unsure, span.start), begin, recognizer.hop)
        teaches[doubtful] = 0.0
        teaches[positive] = 1.0
        if one_of:
            target[positive] = 0.0
        target[positive, span.label] = 1.0
    return target, teaches


def _decided(after: int, until: int, hop: int) -> slice:
    """The frames that are decided in samples `(after, until]`: what is in when frame f is ends at (f + 1) * hop."""
    return slice(max(0, after // hop), max(0, until // hop))
