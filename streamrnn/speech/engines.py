"""The engines that make speech from text, as one thing: they deal texts to voices, and each take is one process.

All that is random is drawn when texts are dealt, so the same seed gives the same takes in whatever order they are run.
espeak-ng, Pico and flite then give the same samples as well; Piper draws noise of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.random import Generator

from streamrnn.speech import accents, espeak, flite, pico, piper, spelling, voices
from streamrnn.speech.espeak import Samples, Utterance
from streamrnn.speech.voices import Group

# To start espeak-ng costs as much as eight short words; but few voices are worse than a second more.
_TEXTS_A_VOICE = 8
_VOICES_AT_LEAST = 64
# Piper loads a network of 60 MB for each process.
_TEXTS_A_MODEL = 24
# Said as such, called, asked, begun and announced. A full stop after phonemes would be read out.
_ENDINGS = ("", "!", "!", "?", ",", ":")
# Percent of a voice's own speed for phrases that are said alone and for talk: of about the length that people take.
_ALONE, _FLUENT = (66, 114), (85, 126)
# Formants and pitch beside the voice's own, as of a longer or a shorter vocal tract (women's are about a sixth shorter
# than men's): the few voices of an engine become more.
_TRACT = (0.87, 1.15)
# The loudest sample of a take.
_PEAK = (0.2, 0.85)


@dataclass(frozen=True, slots=True)
class Take:
    """What one voice says in one go: the `places` of its texts; `say` gives their sounds (time,) and the rate in Hz.

    `engine` is what `Engine.name` gives.
    """

    engine: str
    voice: str
    held_out: bool
    places: tuple[int, ...]
    say: Callable[[], tuple[list[Samples], int]]


class Engine(Protocol):
    """What makes speech from text. A text may hold phonemes in double brackets, as `near_misses` gives them."""

    def name(self) -> str:
        """The engine with its version or voice. Raises SpeechError if it is not there."""
        ...

    def deal(self, texts: Sequence[str], random: Generator) -> list[Take]:
        """Texts dealt to voices, round by round; equal ones that follow one another get different voices."""
        ...

    def one_voice(self, texts: Sequence[str], random: Generator) -> Take:
        """All of the texts in the same voice."""
        ...


@dataclass(frozen=True, slots=True)
class EspeakNg:
    """espeak-ng in the voices of a group: a voice for at most eight texts, each in a manner of its own."""

    group: Group = "training"

    def name(self) -> str:
        """The engine's own line about its version. Raises SpeechError."""
        return espeak.version()

    def deal(self, texts: Sequence[str], random: Generator) -> list[Take]:
        """Texts dealt to voices, up to 64 different ones for equal texts, and more for many."""
        name = self.name()
        count = min(len(texts), max(_VOICES_AT_LEAST, -(-len(texts) // _TEXTS_A_VOICE)))
        dealt = [tuple(range(first, len(texts), count)) for first in range(count)]
        return [self._take(name, voices.draw(random, self.group), places, texts, random) for places in dealt]

    def one_voice(self, texts: Sequence[str], random: Generator) -> Take:
        """All of the texts in the same voice, which talks fluently."""
        voice = voices.draw(random, self.group, voices.FLUENT)
        return self._take(self.name(), voice, tuple(range(len(texts))), texts, random)

    @staticmethod
    def _take(name: str, voice: voices.Voice, places: tuple[int, ...], texts: Sequence[str], random: Generator) -> Take:
        utterances = [_manner(texts[place], random) for place in places]

        def say() -> tuple[list[Samples], int]:
            given = accents.spoken_by([each.text for each in utterances], voice.accent)
            own = [replace(each, text=text) for each, text in zip(utterances, given, strict=True)]
            return espeak.render(voice.options, own)

        return Take(name, voice.name, voices.is_held_out(voice), places, say)


@dataclass(frozen=True, slots=True)
class _FewVoices:
    """An engine of a few voices: each text in one of a group, which is made another person, and in its manner."""

    group: Group = "training"

    def name(self) -> str:
        """The engine with its version. Raises SpeechError if it is not there."""
        raise NotImplementedError

    def deal(self, texts: Sequence[str], random: Generator) -> list[Take]:
        """Texts dealt to voices, each to one of its own."""
        name = self.name()
        return [self._take(name, (place,), texts, _ALONE, random) for place in range(len(texts))]

    def one_voice(self, texts: Sequence[str], random: Generator) -> Take:
        """All of the texts in the same voice, which talks fluently."""
        return self._take(self.name(), tuple(range(len(texts))), texts, _FLUENT, random)

    def _take(
        self, name: str, places: tuple[int, ...], texts: Sequence[str], pace: tuple[int, int], random: Generator
    ) -> Take:
        voice, person = self._draw(random), _Person.drawn(pace, random)
        manners = person.manners(len(places), random)
        ended = [_ended(texts[place], random) for place in places]
        return Take(
            name,
            f"{type(self).__name__.lower()}-{voice}",
            self._is_held_out(voice),
            places,
            lambda: person.voiced(self._said(voice, manners, ended)),
        )

    def _draw(self, random: Generator) -> str:
        """One of the group's voices."""
        raise NotImplementedError

    def _is_held_out(self, voice: str) -> bool:
        raise NotImplementedError

    def _said(
        self, voice: str, manners: Sequence[tuple[float, float]], texts: Sequence[str]
    ) -> list[tuple[Samples, int]]:
        """Each text by the voice itself, in its manner: rate in percent, pitch as a share of the voice's own."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Pico(_FewVoices):
    """SVOX Pico; its foreign voices are given the phonemes of English."""

    def name(self) -> str:
        """The engine with its version. Raises SpeechError if it is not there."""
        return pico.version()

    def _draw(self, random: Generator) -> str:
        return pico.draw(random, self.group)

    def _is_held_out(self, voice: str) -> bool:
        return voice in pico.HELD_OUT

    def _said(
        self, voice: str, manners: Sequence[tuple[float, float]], texts: Sequence[str]
    ) -> list[tuple[Samples, int]]:
        given = texts if voice in pico.ENGLISH else accents.in_phonemes(texts)
        made = [pico.Manner(round(rate), round(100 * pitch)) for rate, pitch in manners]
        return [pico.render(voice, manner, text) for manner, text in zip(made, given, strict=True)]


@dataclass(frozen=True, slots=True)
class Flite(_FewVoices):
    """flite."""

    def name(self) -> str:
        """The engine with its version. Raises SpeechError if it is not there."""
        return flite.version()

    def _draw(self, random: Generator) -> str:
        return flite.draw(random, self.group)

    def _is_held_out(self, voice: str) -> bool:
        return voice in flite.HELD_OUT

    def _said(
        self, voice: str, manners: Sequence[tuple[float, float]], texts: Sequence[str]
    ) -> list[tuple[Samples, int]]:
        made = [flite.Manner(round(100 / rate, 3), round(pitch * flite.PITCH_HZ[voice])) for rate, pitch in manners]
        return [flite.render(voice, manner, text) for manner, text in zip(made, texts, strict=True)]


@dataclass(frozen=True, slots=True)
class Piper:
    """Piper with voice models that are on this machine, each with all of its speakers."""

    models: tuple[Path, ...]

    def name(self) -> str:
        """Which voice models speak. Raises SpeechError if one is not there, or Piper is missing."""
        for model in self.models:
            piper.speakers(model)
        piper.check()
        return f"piper with {', '.join(model.stem for model in self.models)}"

    def deal(self, texts: Sequence[str], random: Generator) -> list[Take]:
        """Texts dealt to models and speakers, two dozen at most a process."""
        count = -(-len(texts) // _TEXTS_A_MODEL)
        return [self._take(tuple(range(first, len(texts), count)), texts, random) for first in range(count)]

    def one_voice(self, texts: Sequence[str], random: Generator) -> Take:
        """All of the texts by the same speaker."""
        return self._take(tuple(range(len(texts))), texts, random)

    def _take(self, places: tuple[int, ...], texts: Sequence[str], random: Generator) -> Take:
        model = self.models[int(random.integers(len(self.models)))]
        speaker = int(random.integers(piper.speakers(model)))
        # Piper's own settings, and a little to both sides of them.
        manner = piper.Manner(
            speaker=speaker,
            length_scale=round(random.uniform(0.8, 1.3), 2),
            noise_scale=round(random.uniform(0.5, 0.9), 2),
            noise_w=round(random.uniform(0.5, 1.0), 2),
        )
        given = [spelling.spelled(texts[place]) for place in places]
        voice = f"{model.stem}-{speaker}" if piper.speakers(model) > 1 else model.stem
        return Take(self.name(), voice, held_out=False, places=places, say=lambda: piper.render(model, manner, given))


def _manner(text: str, random: Generator) -> Utterance:
    """A text in a manner that differs a little from the voice's own."""
    return Utterance(
        text,
        ending=_ENDINGS[int(random.integers(len(_ENDINGS)))],
        rate=int(random.integers(88, 113)),
        pitch=int(random.integers(85, 116)),
        range=int(random.integers(50, 161)),
    )


def _ended(text: str, random: Generator) -> str:
    """A text with the mark of its melody; its own comes before it."""
    ending = _ENDINGS[int(random.integers(len(_ENDINGS)))]
    return text if text[-1:] in tuple(".!?,:;") else text + ending


@dataclass(frozen=True, slots=True)
class _Person:
    """Who an engine's voice is made: rate in percent, pitch and vocal tract as shares of its own, and the peak."""

    rate: float
    pitch: float
    tract: float
    peak: float

    @classmethod
    def drawn(cls, pace: tuple[int, int], random: Generator) -> _Person:
        return cls(random.uniform(*pace), random.uniform(0.85, 1.2), random.uniform(*_TRACT), random.uniform(*_PEAK))

    def manners(self, count: int, random: Generator) -> list[tuple[float, float]]:
        """Rate and pitch of each text, a little beside the person's own."""
        # What the tract makes faster is said more slowly.
        return [
            (self.rate / self.tract * random.uniform(0.9, 1.1), self.pitch * random.uniform(0.92, 1.08))
            for _ in range(count)
        ]

    def voiced(self, said: Sequence[tuple[Samples, int]]) -> tuple[list[Samples], int]:
        """The sounds of an engine, all of one rate, as the person's: as loud, and played as fast as the tract is."""
        gain = np.float32(self.peak / max(float(np.abs(sound).max()) for sound, _ in said))
        return [sound * gain for sound, _ in said], round(said[0][1] * self.tract)
