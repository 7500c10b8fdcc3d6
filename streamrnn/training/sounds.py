"""The sounds that lanes are put together from: words with their labels, and what nothing may be recognised in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from streamrnn.training.pieces import Clip, Samples, Span

_BLOCK_S = 0.02
_FADE_S = 0.01
# Blocks this much weaker than the loudest are pauses, which say nothing of how loud the speaker is.
_PAUSE_DB = 20.0
# What is heard of a suspect at a time, and how far apart the windows of a long one begin.
_WINDOW_S, _APART_S = 2.5, 1.5
# How often a window comes that fooled nobody, by one that fooled wholly: there are hundreds of them for each of those.
_UNSUSPECTED = 0.02
_SHORTEST_CUT_S, _LONGEST_CUT_S = 0.5, 4.0


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples `(time,)` and the labelled spans in them: one of a word, any number of a talk, none of a negative."""

    samples: Samples
    spans: tuple[Span, ...] = ()

    @property
    def end(self) -> int:
        """Where the last labelled word ends; the end of the samples where there is none."""
        return self.spans[-1].end if self.spans else len(self.samples)


def levelled(sound: Sound, rate: int) -> Sound:
    """The same at a loudness of 1: the root mean square of the blocks in which something is said."""
    size = max(1, int(_BLOCK_S * rate))
    whole = sound.samples[: len(sound.samples) // size * size] if len(sound.samples) >= size else sound.samples
    power = np.mean(whole.reshape(-1, min(size, len(whole))) ** 2, axis=1)
    said = power[power >= power.max(initial=0.0) * 10 ** (-_PAUSE_DB / 10)]
    level = max(1e-4, float(np.sqrt(said.mean()))) if len(said) else 1.0
    return Sound(sound.samples / np.float32(level), sound.spans)


def words(clip: Clip, shortest: int, margin: int) -> list[Sound]:
    """Each labelled word of a clip with what was recorded up to `margin` samples around it, no other word in it."""
    cuts = []
    ends = [0, *(span.end for span in clip.spans)]
    starts = [*(span.start for span in clip.spans[1:]), len(clip.samples)]
    for span, before, after in zip(clip.spans, ends, starts, strict=False):
        if span.end - span.start >= shortest:
            # Words that overlap one another are cut at their own ends.
            start, end = max(before, span.start - margin), min(after, span.end + margin)
            cuts.append(cut(Sound(clip.samples[:, 0], (span,)), min(start, span.start), max(end, span.end)))
    return cuts


def cut(sound: Sound, start: int, end: int) -> Sound:
    """Samples `[start, end)` of a sound and the labels that lie wholly in them."""
    inside = (span for span in sound.spans if start <= span.start and span.end <= end)
    return Sound(sound.samples[start:end], tuple(Span(s.start - start, s.end - start, s.label) for s in inside))


def stretch(sound: Sound, start: int, end: int) -> Sound:
    """Samples `[start, end)` of a sound and its labels as far as they reach into them."""
    shared = (Span(max(s.start, start) - start, min(s.end, end) - start, s.label) for s in sound.spans)
    return Sound(sound.samples[start:end], tuple(span for span in shared if span.start < span.end))


def faded(samples: Samples, rate: int) -> Samples:
    """The same without a click where it was cut."""
    size = min(int(_FADE_S * rate), len(samples) // 2)
    ramp = (np.arange(size, dtype=np.float32) + 1) / np.float32(size + 1)
    result = samples.copy()
    result[:size] *= ramp
    result[len(result) - size :] *= ramp[::-1]
    return result


def half(word: Sound, random: Generator, rate: int) -> Sound:
    """A word broken off or begun in the middle: what is left of it is no word."""
    (span,) = word.spans
    share = random.uniform(0.35, 0.6)
    place = span.start + int((span.end - span.start) * share)
    kept = word.samples[:place] if random.random() < 0.5 else word.samples[place:]
    return Sound(faded(kept, rate))


class Suspects:
    """Sounds that hold no word, to draw cuts from; those that fooled the network are drawn more often."""

    def __init__(self, sounds: Sequence[Sequence[Sound]], rate: int) -> None:
        """`sounds`: each in its variants, the first of them as it was recorded."""
        self._sounds, self._rate = sounds, rate
        # (which sound, where in it as a share of its length): variants are of different lengths.
        self._windows: list[tuple[int, float]] = []
        for i, variants in enumerate(sounds):
            length = len(variants[0].samples)
            starts = range(0, max(1, length - int(_APART_S * rate)), int(_APART_S * rate))
            self._windows += [(i, start / max(1, length)) for start in starts]
        self.weigh(np.zeros(len(self._windows), np.float32))

    def __len__(self) -> int:
        """How many windows there are."""
        return len(self._windows)

    def weigh(self, scores: NDArray[np.float32]) -> None:
        """Draw windows by how much each fooled the network: scores `(windows,)` in [0, 1]."""
        self._sums = np.cumsum(_UNSUSPECTED + np.asarray(scores, np.float64))

    def draw(self, random: Generator) -> Sound:
        """A cut of half a second to four."""
        place = int(np.searchsorted(self._sums, random.random() * self._sums[-1], side="right"))
        which, share = self._windows[min(place, len(self._windows) - 1)]
        variants = self._sounds[which]
        samples = variants[int(random.integers(len(variants)))].samples
        length = int(random.uniform(_SHORTEST_CUT_S, _LONGEST_CUT_S) * self._rate)
        if length >= len(samples):
            return Sound(samples)
        # Begin before the window or in it, so that the same words are cut off at other places each time.
        at = int(share * len(samples) + random.uniform(-0.3, 0.2) * length)
        at = min(max(0, at), len(samples) - length)
        return Sound(faded(samples[at : at + length], self._rate))

    def windows(self) -> list[Samples]:
        """Each window as it was recorded, to be listened to."""
        length = int(_WINDOW_S * self._rate)
        heard = []
        for which, share in self._windows:
            samples = self._sounds[which][0].samples
            at = int(share * len(samples))
            heard.append(samples[at : at + length])
        return heard
