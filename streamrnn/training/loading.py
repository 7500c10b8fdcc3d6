"""Labelled recordings into clips in memory, at the recognizer's rate and channels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from streamrnn.errors import RecordingError
from streamrnn.evaluation.recordings import Recording
from streamrnn.recognizer import RecognizerConfig
from streamrnn.resampling import resample
from streamrnn.training.pieces import Clip, Samples, Span, label_index
from streamrnn.training.plan import ValidationConfig

CALIBRATION = "calibration"


def load(config: RecognizerConfig, recordings: Iterable[Recording]) -> list[Clip]:
    """Read and resample recordings. Raises RecordingError where one has other channels than the recognizer takes."""
    return [_clip(config, recording) for recording in recordings]


def _clip(config: RecognizerConfig, recording: Recording) -> Clip:
    samples = channels(recording.samples(), config.channels, str(recording.path))
    samples = resample(samples, recording.rate, config.rate)
    ratio = config.rate / recording.rate
    named = [(segment, label_index(config, segment.label)) for segment in recording.segments]
    spans = tuple(
        Span(round(segment.start * ratio), min(len(samples), round(segment.end * ratio)), label)
        for segment, label in named
        if label >= 0
    )
    background = "" if spans else (recording.segments[0].label if recording.segments else "_")
    known = _known(recording, len(samples), ratio) if recording.labelled == "samples" else ((0, len(samples)),)
    return Clip(samples, spans, recording.group, str(recording.path), background, known)


def _known(recording: Recording, length: int, ratio: float) -> tuple[tuple[int, int], ...]:
    return tuple((round(s.start * ratio), min(length, round(s.end * ratio))) for s in recording.segments)


def channels(samples: Samples, wanted: int, name: str) -> Samples:
    """(time, channels) with the wanted number of channels: one is the mean of all. Raises RecordingError otherwise."""
    if samples.shape[1] == wanted:
        return samples
    if wanted == 1:
        mixed: Samples = samples.mean(axis=1, keepdims=True, dtype=np.float32)
        return mixed
    raise RecordingError(f"{name}: {samples.shape[1]} channels where the recognizer takes {wanted}; convert it")


def apart(recordings: Sequence[Recording]) -> list[Recording]:
    """Those of the split `calibration`: nothing is trained or chosen on them, thresholds are measured on them."""
    return [recording for recording in recordings if recording.split == CALIBRATION]


def hold_out(recordings: Sequence[Recording], validation: ValidationConfig) -> tuple[list[Recording], list[Recording]]:
    """What to train on and what early stopping looks at; a share is chosen by the name, so it never changes.

    Raises RecordingError if nothing is left to train on or the validation split is empty.
    """
    train = [r for r in recordings if r.split in ("train", "")]
    if validation.split in ("train", ""):
        kept = [r for r in train if _fraction(r) >= validation.share]
        judged = [r for r in train if _fraction(r) < validation.share]
    else:
        kept, judged = train, [r for r in recordings if r.split == validation.split]
    splits = ", ".join(sorted({r.split or "(none)" for r in recordings}))
    if not kept:
        raise RecordingError(f"no recording is left to train on (splits: {splits}); name some `train`")
    if not judged and validation.split not in ("train", ""):
        raise RecordingError(f"validation.split: no recording is in {validation.split!r}; there are {splits}")
    if not judged:
        # So few recordings that the share rounds to none: judge on what is trained on, rather than on nothing.
        judged = kept
    return kept, judged


def _fraction(recording: Recording) -> float:
    name = f"{recording.path.parent.name}/{recording.path.name}:{recording.span[0]}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
