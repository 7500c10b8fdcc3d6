"""The signal of the load, on which any bundle says something once a second, and the thresholds with which it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from streamrnn.backends import Step
from streamrnn.bundle import Bundle
from streamrnn.decoders import SmoothedConfig
from streamrnn.recognizer import BACKGROUND

_PERIODS = 5  # until what a network remembers of the beginning is gone


def signal(path: Path, rate: int, chunk: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    """A second, in whole chunks: a tenth of it noise and the rest next to none; written as int16."""
    samples = max(1, round(rate / chunk)) * chunk
    noise = np.random.default_rng(0).standard_normal(samples)
    loud = np.where(np.arange(samples) < samples // 10, 0.2, 0.001)
    made = np.rint(np.clip(noise * loud, -1, 1) * 32767).astype("<i2")
    made.tofile(path)
    return made


def thresholds(bundle: Bundle, step: Step, beat: np.ndarray[Any, np.dtype[np.int16]]) -> dict[str, float]:
    """Settings of the bundle's decoder with which the label that follows the beat best crosses them once a period.

    `beat` is of the recognizer's rate. A decoder that knows no thresholds is left as it is: {}.
    """
    recognizer = bundle.recognizer
    if not isinstance(recognizer.config.decoder, SmoothedConfig):
        return {}
    hops = len(beat) // recognizer.hop
    samples = np.tile(beat[: hops * recognizer.hop].astype(np.float32) / np.float32(32768.0), _PERIODS)
    posteriors, _ = step(
        np.repeat(samples[None, :, None], recognizer.channels, axis=2), {k: v.copy() for k, v in bundle.initial.items()}
    )
    steady = posteriors[0, -hops:]
    labels = [i for i, column in enumerate(recognizer.columns) if column != BACKGROUND]
    low, high = steady.min(axis=0), steady.max(axis=0)
    best = max(labels, key=lambda i: float(high[i]))
    # Above what all others reach, so that it alone says something.
    floor = max([float(low[best]), *(float(high[i]) for i in labels if i != best)])
    floor = floor if floor < high[best] else float(low[best])
    span = float(high[best]) - floor
    return {
        "smooth_ms": 0.0,
        "min_frames": 1,
        "enter": floor + 0.6 * span,
        "leave": floor + 0.4 * span,
    }
