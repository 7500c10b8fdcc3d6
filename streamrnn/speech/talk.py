"""Talk that goes on: recordings of many sentences in one voice, as long as is asked for, without certain phrases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from streamrnn.speech.engines import Engine, Take
from streamrnn.speech.espeak import Samples
from streamrnn.speech.sentences import sentences
from streamrnn.speech.speaking import perform

_SHORTEST_S, _LONGEST_S = 20.0, 60.0
_AT_ONCE = 200
_PAUSE_S = (0.15, 1.2)
# The quickest voices say so many letters a second, and pause so long between sentences; what is not needed is left.
_LETTERS_A_SECOND, _LEAST_PAUSE_S = 22.0, 0.3


@dataclass(frozen=True, slots=True)
class Talk:
    """A recording that is planned: who says what, its length, and the pauses between sentences, in seconds."""

    take: Take
    seconds: float
    pauses: tuple[float, ...]


def plan(seconds: float, random: Generator, avoid: Sequence[str], engine: Engine) -> list[Talk]:
    """Recordings of 20 to 60 s that last so long together, or a single shorter one. Raises SpeechError."""
    talks = []
    texts: list[str] = []
    for length in _lengths(seconds, random):
        own: list[str] = []
        left = length
        while left > 0:
            texts = texts or sentences(random, _AT_ONCE, avoid)
            own.append(texts.pop())
            left -= len(own[-1]) / _LETTERS_A_SECOND + _LEAST_PAUSE_S
        pauses = tuple(float(pause) for pause in random.uniform(*_PAUSE_S, len(own)))
        talks.append(Talk(engine.one_voice(own, random), length, pauses))
    return talks


def tell(talks: Sequence[Talk], rate: int) -> Iterator[tuple[Talk, Samples]]:
    """Every talk with its sound, (time,) at `rate` Hz. Raises SpeechError."""
    for talk, (_, sounds) in zip(talks, perform([talk.take for talk in talks], rate), strict=True):
        yield talk, _joined(talk, sounds, rate)


def _joined(talk: Talk, sounds: Sequence[Samples], rate: int) -> Samples:
    parts: list[Samples] = []
    length, wanted = 0, round(talk.seconds * rate)
    for sound, pause in zip(sounds, talk.pauses, strict=True):
        parts += [sound, np.zeros(round(pause * rate), np.float32)]
        length += len(parts[-2]) + len(parts[-1])
        if length >= wanted:
            break
    return np.concatenate(parts)[:wanted]


def _lengths(seconds: float, random: Generator) -> list[float]:
    """Lengths of 20 to 60 s that add up to all of it; what is shorter than 20 s in all stays one."""
    lengths: list[float] = []
    left = seconds
    while left > _LONGEST_S:
        # What remains must be enough for another one.
        lengths.append(float(random.uniform(_SHORTEST_S, min(_LONGEST_S, left - _SHORTEST_S))))
        left -= lengths[-1]
    return [*lengths, left]
