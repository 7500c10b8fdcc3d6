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
