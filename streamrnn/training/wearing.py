"""How a recording of sensors would be if another wore them: turned a little, stronger, noisier, slower."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from streamrnn.training.pieces import Clip, Samples, Span
from streamrnn.training.plan import WholeConfig


def varied(clip: Clip, config: WholeConfig, random: Generator) -> Clip:
    """One random variant of a recording; it is the recording itself where the config changes nothing."""
    clip = at_speed(clip, random.uniform(config.speed.least, config.speed.most))
    samples = clip.samples
    if config.turn_degrees:
        samples = turned(samples, rotation(random, config.turn_degrees))
    if config.gain_db:
        samples = samples * np.float32(10.0 ** (random.uniform(-config.gain_db, config.gain_db) / 20.0))
    if config.noise:
        samples = samples + np.float32(random.uniform(0, config.noise)) * random.standard_normal(samples.shape, "f4")
    if config.starts == "anywhere":
        return from_anywhere(replace(clip, samples=samples), random)
    return replace(clip, samples=samples)


def at_speed(clip: Clip, factor: float) -> Clip:
    """A recording `factor` times as fast, between samples a straight line; labels move with it."""
    if factor == 1.0:
        return clip
    length = max(1, int(len(clip.samples) / factor))
    place = np.minimum(np.arange(length) * factor, len(clip.samples) - 1)
    below = place.astype(np.int64)
    above = np.minimum(below + 1, len(clip.samples) - 1)
    share = (place - below).astype(np.float32)[:, None]
    samples = clip.samples[below] * (1 - share) + clip.samples[above] * share
    spans = tuple(Span(int(s.start / factor), min(length, int(s.end / factor)), s.label) for s in clip.spans)
    known = tuple((int(start / factor), min(length, int(end / factor))) for start, end in clip.known)
    return replace(clip, samples=samples, spans=spans, known=known)


def rotation(random: Generator, most_degrees: float) -> NDArray[np.float32]:
    """A turn about a random axis by at most so many degrees, (3, 3), by the formula of Rodrigues (1840)."""
    axis = random.standard_normal(3)
    x, y, z = axis / np.linalg.norm(axis)
    angle = np.deg2rad(random.uniform(0, most_degrees))
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: NDArray[np.float32] = (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross).astype("f4")
    return turn


def turned(samples: Samples, turn: NDArray[np.float32]) -> Samples:
    """(time, channels) with every three channels as a vector that is turned: sensors of one box turn together."""
    vectors: Samples = samples.reshape(len(samples), -1, 3) @ turn.T
    return vectors.reshape(samples.shape)


def from_anywhere(clip: Clip, random: Generator) -> Clip:
    """The rest of a recording from a random sample on, a tenth of it at least."""
    first = int(random.integers(max(1, len(clip.samples) * 9 // 10)))
    spans = tuple(Span(max(0, s.start - first), s.end - first, s.label) for s in clip.spans if s.end > first)
    known = tuple((max(0, start - first), end - first) for start, end in clip.known if end > first)
    return replace(clip, samples=clip.samples[first:], spans=spans, known=known)
