"""Voices of espeak-ng: which there are, which are held out from all training, and drawing one at random."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from numpy.random import Generator

from streamrnn.speech import espeak

Group = Literal["training", "held-out", "all"]
GROUPS: tuple[str, ...] = get_args(Group)

ENGLISH = (
    "en-us",
    "en-gb",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
    "en-us-nyc",
)
# They speak English phonemes as speech.accents puts them in theirs: the vowels, the rhythm and the melody of others.
FOREIGN = ("de", "nl", "fr-fr", "it", "es", "sv", "pl", "hi", "tr", "ga")
_FOREIGN_SHARE = 0.15
# Words a minute of phrases that are said alone: "jarvis" then takes 0.4 to 1.1 s, in recordings of people 0.6 to 0.9.
# Talk is faster.
ALONE, FLUENT = (80, 185), (115, 200)

# Vocal tracts. Left out: whispers, echoes and robots, what is nearly the same as another (less than 1.3 dB apart in the
# mean and the spread of 24 mel bands over a sentence), and what the shipped digits recognizer hardly made out.
_TRAINING = (
    "", "m1", "m2", "m3", "m4", "m6", "m7", "f1", "f2", "f3", "f4", "klatt", "klatt2", "klatt3", "Alex", "Andy",
    "Denis", "Diogo", "Gene", "Jacky", "Michael", "Nguyen", "Storm", "Tweaky", "antonio", "aunty", "belinda",
    "benjamin", "boris", "david", "edward", "grandma", "grandpa", "iven2", "iven4", "linda", "marcelo",
    "max", "miguel", "norbert", "pablo", "rob", "steph2", "zac",
)  # fmt: skip
# No training ever hears these; f5 speaks in the demo. Each is at least 1.8 dB, most 3 dB and more from every one above.
_HELD_OUT = (
    "f5", "m8", "klatt4", "Alicia", "Andrea", "Annie", "ed", "paul", "quincy", "sandro", "shelby", "travis", "victor",
)  # fmt: skip
# Women and children are fewer among them than among people.
_HIGH = (
    "f1", "f2", "f3", "f4", "f5", "Alicia", "Andrea", "Annie", "aunty", "belinda", "grandma", "linda", "shelby",
    "steph2", "zac",
)  # fmt: skip
_HIGH_SHARE = 0.45


@dataclass(frozen=True, slots=True)
class Voice:
    """An accent, a vocal tract and a manner: words a minute, pitch 0 to 99, pause between words in 10 ms, amplitude."""

    accent: str
    tract: str
    words_per_minute: int
    pitch: int
    gap: int
    amplitude: int

    @property
    def name(self) -> str:
        """What espeak-ng calls it, as `en-us+f3`: who is speaking, whatever the manner."""
        return f"{self.accent}+{self.tract}" if self.tract else self.accent

    @property
    def options(self) -> list[str]:
        """It in the words of espeak-ng's command line."""
        manner = {"-s": self.words_per_minute, "-p": self.pitch, "-g": self.gap, "-a": self.amplitude}
        return ["-v", self.name, *(word for option, value in manner.items() for word in (option, str(value)))]


def is_held_out(voice: Voice) -> bool:
    """Whether no training ever hears it."""
    return voice.tract in _HELD_OUT


def draw(random: Generator, group: Group, pace: tuple[int, int] = ALONE) -> Voice:
    """A voice of a group, within a range of words a minute. Raises SpeechError if espeak-ng is missing."""
    foreign, high = random.random() < _FOREIGN_SHARE, random.random() < _HIGH_SHARE
    return Voice(
        accent=_one(random, FOREIGN if foreign else ENGLISH),
        tract=_one(random, [tract for tract in tracts(group) if (tract in _HIGH) == high]),
        words_per_minute=int(random.integers(*pace)),
        pitch=int(random.integers(20, 81)),
        gap=int(random.choice([0, 0, 0, 1, 2, 4])),
        amplitude=int(random.integers(35, 86)),
    )


def tracts(group: Group) -> tuple[str, ...]:
    """The vocal tracts of a group that are installed: espeak-ng speaks in its plain voice where one is missing."""
    wanted = {"training": _TRAINING, "held-out": _HELD_OUT, "all": _TRAINING + _HELD_OUT}[group]
    there = _installed()
    return tuple(tract for tract in wanted if not tract or tract in there)


@functools.cache
def _installed() -> frozenset[str]:
    return frozenset(espeak.variants())


def _one(random: Generator, choices: Sequence[str]) -> str:
    return choices[int(random.integers(len(choices)))]
