"""Engines that speak together, and which of them are there: those that a config or a command names, or all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from numpy.random import Generator

from streamrnn.errors import SpeechError
from streamrnn.speech import espeak, flite, pico
from streamrnn.speech.engines import Engine, EspeakNg, Flite, Pico, Take
from streamrnn.speech.voices import Group

Name = Literal["espeak-ng", "pico", "flite"]
NAMES: tuple[Name, ...] = get_args(Name)

_MADE: dict[Name, Callable[[Group], Engine]] = {"espeak-ng": EspeakNg, "pico": Pico, "flite": Flite}


@dataclass(frozen=True, slots=True)
class Together:
    """Several engines as one: texts go to them in turn, so that of equal ones each says as many."""

    engines: tuple[Engine, ...]

    def name(self) -> str:
        """All of them with their versions. Raises SpeechError if one is not there."""
        return ", ".join(engine.name() for engine in self.engines)

    def deal(self, texts: Sequence[str], random: Generator) -> list[Take]:
        """Texts dealt to engines, and by them to voices."""
        takes = []
        for first, engine in enumerate(self.engines):
            own = range(first, len(texts), len(self.engines))
            dealt = engine.deal([texts[place] for place in own], random) if own else []
            takes += [replace(take, places=tuple(own[place] for place in take.places)) for take in dealt]
        return takes

    def one_voice(self, texts: Sequence[str], random: Generator) -> Take:
        """All of the texts in the same voice of one of them."""
        return self.engines[int(random.integers(len(self.engines)))].one_voice(texts, random)


def installed() -> tuple[Name, ...]:
    """The engines that are there. All need espeak-ng, whose phonemes they speak: none is there without it."""
    if not espeak.available():
        return ()
    there = {"pico": pico.available(), "flite": flite.available()}
    return tuple(name for name in NAMES if there.get(name, True))


def chosen(names: Sequence[Name], group: Group) -> tuple[Engine, ...]:
    """The engines of these names in the voices of a group, or all that are installed where none is named.

    Raises SpeechError for one that is missing, and without espeak-ng, whose phonemes all of them speak.
    """
    own = tuple(dict.fromkeys(names or installed() or NAMES[:1]))
    engines = tuple(_MADE[name](group) for name in own)
    # Before hours of work, not in the midst of them.
    for engine in (EspeakNg(), *engines):
        engine.name()
    return engines


def as_one(engines: Sequence[Engine]) -> Engine:
    """Several as one; one alone stays as it is, with the takes that it gives alone. Raises SpeechError for none."""
    if not engines:
        raise SpeechError("no engine is named to speak; name one")
    return engines[0] if len(engines) == 1 else Together(tuple(engines))


def named(names: Sequence[Name], group: Group) -> Engine:
    """The engines of these names, or all that are installed, as one. Raises SpeechError for one that is missing."""
    return as_one(chosen(names, group))
