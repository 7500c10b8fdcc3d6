"""How far apart sounds of speech are, by how they are made, and how far sequences of them are.

Sounds have the names that espeak-ng gives them ("dZ'A@v@s"; a ' before a vowel is its stress). Consonants differ by
the articulatory features of Miller and Nicely, "An analysis of perceptual confusions among some English consonants",
JASA 27 (1955): voicing, nasality, friction, sibilance (their "duration") and place, to which approximants and laterals
are added from the chart of the International Phonetic Association (1999). Vowels differ by their first two formants, as
Peterson and Barney measured them, "Control methods used in a study of the vowels", JASA 24 (1952), in Bark (Traunmüller
1990). How much each feature weighs is a choice made here.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

Sounds = tuple[str, ...]
STRESSES = "',"  # before a vowel: primary and secondary stress


@dataclass(frozen=True, slots=True)
class Consonant:
    """How a consonant is made; `place` runs from the lips, 0, to the glottis, 1; friction of 0.5 is an affricate's."""

    place: float
    voiced: float
    nasal: float = 0.0
    friction: float = 0.0
    sibilant: float = 0.0
    approximant: float = 0.0
    lateral: float = 0.0


@dataclass(frozen=True, slots=True)
class Vowel:
    """First two formants in Hz, where it begins and where it ends; `r` as in "car"; `long` as in "see"."""

    begin: tuple[float, float]
    end: tuple[float, float]
    r: float = 0.0
    long: float = 0.0


CONSONANTS = {
    "p": Consonant(0.0, 0), "b": Consonant(0.0, 1), "t": Consonant(0.4, 0), "d": Consonant(0.4, 1),
    "k": Consonant(0.9, 0), "g": Consonant(0.9, 1), "?": Consonant(1.0, 0),
    "tS": Consonant(0.6, 0, friction=0.5, sibilant=1), "dZ": Consonant(0.6, 1, friction=0.5, sibilant=1),
    "f": Consonant(0.1, 0, friction=1), "v": Consonant(0.1, 1, friction=1),
    "T": Consonant(0.3, 0, friction=1), "D": Consonant(0.3, 1, friction=1),
    "s": Consonant(0.4, 0, friction=1, sibilant=1), "z": Consonant(0.4, 1, friction=1, sibilant=1),
    "S": Consonant(0.6, 0, friction=1, sibilant=1), "Z": Consonant(0.6, 1, friction=1, sibilant=1),
    "x": Consonant(0.9, 0, friction=1), "h": Consonant(1.0, 0, friction=1),
    "m": Consonant(0.0, 1, nasal=1), "n": Consonant(0.4, 1, nasal=1), "N": Consonant(0.9, 1, nasal=1),
    "l": Consonant(0.4, 1, approximant=1, lateral=1), "r": Consonant(0.5, 1, approximant=1),
    "j": Consonant(0.7, 1, approximant=1), "w": Consonant(0.2, 1, approximant=1),
}  # fmt: skip
_WEIGHTS = {
    "place": 0.4,
    "voiced": 0.25,
    "nasal": 0.35,
    "friction": 0.3,
    "sibilant": 0.2,
    "approximant": 0.35,
    "lateral": 0.2,
}
# Peterson and Barney's men; schwa is the resonance of an even tube, e and o lie between their neighbours.
_HZ = {
    "i": (270, 2290), "I": (390, 1990), "e": (430, 2060), "E": (530, 1840), "a": (660, 1720), "V": (640, 1190),
    "A": (730, 1090), "O": (570, 840), "o": (500, 840), "U": (440, 1020), "u": (300, 870), "3": (490, 1350),
    "@": (500, 1500),
}  # fmt: skip


def _vowel(begin: str, end: str = "", *, r: float = 0.0, long: float = 0.0) -> Vowel:
    return Vowel(_HZ[begin], _HZ[end or begin], r, long)


VOWELS = {
    "i:": _vowel("i", long=1), "i": _vowel("i"), "I": _vowel("I"), "E": _vowel("E"), "a": _vowel("a"),
    "aa": _vowel("a"), "A:": _vowel("A", long=1), "0": _vowel("A"), "O:": _vowel("O", long=1), "U": _vowel("U"),
    "u:": _vowel("u", long=1), "V": _vowel("V"), "@": _vowel("@"), "3:": _vowel("3", r=1, long=1),
    "3": _vowel("3", r=1), "A@": _vowel("A", r=1, long=1), "O@": _vowel("O", r=1, long=1), "U@": _vowel("U", "@", r=1),
    "e@": _vowel("E", "@", r=1), "i@": _vowel("i", "@"), "eI": _vowel("E", "I"), "aI": _vowel("V", "I"),
    "aU": _vowel("V", "U"), "oU": _vowel("O", "U"), "OI": _vowel("O", "I"), "aI@": _vowel("V", "@"),
    "e": _vowel("e"), "o": _vowel("o"), "O": _vowel("O"), "A": _vowel("A"), "u": _vowel("u"), "y": _vowel("i", "u"),
    "Y:": _vowel("3", long=1), "W": _vowel("E", "O"),
}  # fmt: skip
# Names of the same or nearly the same sound, and syllables that espeak-ng writes as one.
_ALIKE: dict[str, Sounds] = {
    "t#": ("t",), "t2": ("t",), "t[": ("t",), "d[": ("d",), "r-": ("r",), "R": ("r",), "w#": ("w",), "n-": ("@", "n"),
    "@L": ("@", "l"), "I2": ("I",), "I#": ("I",), "IR": ("I",), "VR": ("V",), "O2": ("0",), "0#": ("0",),
    "a#": ("@",), "@2": ("@",), "@-": ("@",), "@5": ("@",), "o@": ("O@",), "i@3": ("i", "3"), "aI3": ("aI", "3"),
    "aI2": ("aI",), "a:": ("A:",), "o:": ("O:",), "e:": ("eI",), "E:": ("E",), "*": ("r",), ";": (), "_": (), "_:": (),
}  # fmt: skip
_WEAK = {"@", "I", "i", "3", "U"}


def bare(sound: str) -> str:
    """A sound without its stress."""
    return sound.lstrip(STRESSES)


@functools.lru_cache(maxsize=1024)
def is_vowel(sound: str) -> bool:
    """Whether a sound can carry a syllable."""
    return any(bare(each) in VOWELS for each in plain((sound,)))


def plain(sounds: Iterable[str]) -> Sounds:
    """Sounds in the names of the tables above, with their stress; what nobody hears of is left out."""
    return tuple(itertools.chain.from_iterable(map(_plain, sounds)))


@functools.lru_cache(maxsize=1024)
def _plain(sound: str) -> Sounds:
    name = bare(sound)
    stress = sound[: len(sound) - len(name)]
    while name and name not in CONSONANTS and name not in VOWELS and name not in _ALIKE:
        name = name[:-1]  # marks of length and of varieties stand behind
    parts = _ALIKE.get(name, (name,) if name else ())
    return tuple(stress + part if i == 0 and part in VOWELS else part for i, part in enumerate(parts))


@functools.lru_cache(maxsize=65536)
def difference(one: str, other: str) -> float:
    """From 0, the same, to 1.2, a vowel and a consonant, for two sounds of the tables."""
    a, b = bare(one), bare(other)
    if a == b:
        return 0.0
    if a in CONSONANTS and b in CONSONANTS:
        first, second = CONSONANTS[a], CONSONANTS[b]
        apart = sum(w * abs(getattr(first, name) - getattr(second, name)) for name, w in _WEIGHTS.items())
        return min(1.0, float(apart))
    if a in VOWELS and b in VOWELS:
        v, w = VOWELS[a], VOWELS[b]
        bark = (_bark_apart(v.begin, w.begin) + _bark_apart(v.end, w.end)) / 2
        # Four Bark are from "see" to "sat".
        made = bark / 4.0 + 0.1 * abs(v.r - w.r) + 0.1 * abs(v.long - w.long)
        # Vowels without stress are reduced differently by everybody.
        return min(1.0, made) * (0.6 if one[0] not in STRESSES and other[0] not in STRESSES else 1.0)
    return 1.2


@functools.lru_cache(maxsize=1024)
def weight(sound: str) -> float:
    """What it costs to leave a sound out, or to put it in."""
    name = bare(sound)
    if name in CONSONANTS:
        return 0.4 if CONSONANTS[name].approximant or name in ("h", "?") else 0.6
    if sound[0] in STRESSES:
        return 1.0
    return 0.4 if name in _WEAK else 0.6


def total(sounds: Sounds) -> float:
    """What all of it weighs: its distance from silence."""
    return sum(weight(sound) for sound in sounds)


def distance(one: Sounds, other: Sounds) -> float:
    """The least cost of turning one sequence of plain sounds into another: Levenshtein's, weighted by the sounds."""
    row = [0.0]
    for sound in other:
        row.append(row[-1] + weight(sound))
    return _last_row(one, other, row)[-1]


def nearest(phrase: Sounds, speech: Sounds) -> float:
    """The least distance of a phrase from any stretch of speech (Sellers 1980), 0 if it is in it."""
    return min(_last_row(phrase, speech, [0.0] * (len(speech) + 1)))


def _last_row(one: Sounds, other: Sounds, row: list[float]) -> list[float]:
    weights = [weight(sound) for sound in other]
    for sound in one:
        gone = weight(sound)
        diagonal, row[0] = row[0], row[0] + gone
        for j, against in enumerate(other):
            best = min(row[j + 1] + gone, row[j] + weights[j], diagonal + difference(sound, against))
            diagonal, row[j + 1] = row[j + 1], best
    return row


def _bark_apart(one: tuple[float, float], other: tuple[float, float]) -> float:
    return math.dist([_bark(hz) for hz in one], [_bark(hz) for hz in other])


def _bark(hz: float) -> float:
    return 26.81 * hz / (1960.0 + hz) - 0.53
