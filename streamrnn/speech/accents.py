"""English phonemes in the mouths of other accents and languages: what each voice makes of each of them.

A voice of another language knows its own phonemes and drops others silently. So every English phoneme has substitutes
here, the nearest first, as people take them who learn English; the first that the voice knows is spoken.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence

from streamrnn.speech import espeak
from streamrnn.speech.phonemes import Sounds, bare, is_vowel
from streamrnn.speech.voices import ENGLISH

# As espeak-ng writes American English; a substitute of several phonemes has | between them.
_SUBSTITUTES: dict[str, str] = {
    "I": "I i", "I2": "I i", "I#": "I i", "i": "i i:", "i:": "i: i", "E": "E e", "a": "a A", "aa": "a A",
    "V": "V a A", "U": "U u", "u:": "u: u", "0": "0 O o", "O2": "0 O o", "0#": "0 O o", "O:": "O: O o:",
    "A:": "A: a: A a",
    "@": "@ e E", "a#": "@ a A", "@2": "@ e E", "@-": "@ e E", "3": "@|r e|r E|r", "3:": "3: Y:|r @|r e|r E|r",
    "A@": "A:|r a:|r a|r A|r", "O@": "O:|r O|r o|r", "o@": "O:|r O|r o|r", "U@": "U|r u|r", "e@": "E|r e|r",
    "i@3": "i|r i:|r", "i@": "i|@ i|a i|A", "eI": "eI e|I e|i E|i", "aI": "aI a|I a|i A|i", "aU": "aU a|U a|u A|u",
    "oU": "oU o|U o|u O|u o", "OI": "OI O|I o|i O|i", "aI3": "aI|@|r a|i|@|r a|I|r a|i|r A|i|r",
    "aI@": "aI|@ a|i|@ a|I|a a|i|a A|i|a", "@L": "@|l e|l E|l", "n-": "@|n e|n E|n",
    "p": "p", "b": "b", "t": "t t[", "t#": "t t[", "t2": "t t[", "?": "t t[", "d": "d d[", "k": "k", "g": "g",
    "tS": "tS t|S tS;", "dZ": "dZ d|Z dZ; d|S", "f": "f", "v": "v b", "T": "T s", "D": "D d d[", "s": "s", "z": "z s",
    "S": "S S; s", "Z": "Z Z; S s", "h": "h x", "m": "m", "n": "n n[", "N": "N n|g n|k", "l": "l l[ l/", "r": "r R *",
    "r-": "r R *", "j": "j", "w": "w v u",
}  # fmt: skip


@functools.cache
def rendering(accent: str) -> Mapping[str, Sounds]:
    """English phoneme -> what the voice of an accent says for it. Raises SpeechError."""
    if accent in ENGLISH:
        return _heard(accent, tuple(_SUBSTITUTES))
    choices = {name: [tuple(choice.split("|")) for choice in said.split()] for name, said in _SUBSTITUTES.items()}
    parts = tuple(dict.fromkeys(part for each in choices.values() for choice in each for part in choice))
    # What it does not know it leaves out; what comes back under another name is its own way of saying it.
    known = {part for part, heard in _heard(accent, parts).items() if len(heard) == 1}
    return {name: next((choice for choice in each if known.issuperset(choice)), ()) for name, each in choices.items()}


def render(sounds: Sounds, accent: str) -> Sounds:
    """English phonemes as the voice of an accent says them, with their stress. Raises SpeechError."""
    return tuple(itertools.chain.from_iterable(_render(sound, accent) for sound in sounds))


@functools.lru_cache(maxsize=4096)
def _render(sound: str, accent: str) -> Sounds:
    name = bare(sound)
    stress = sound[: len(sound) - len(name)]
    return tuple(stress + part if i == 0 else part for i, part in enumerate(rendering(accent).get(name, (name,))))


def in_brackets(words: espeak.Pronunciation) -> str:
    """Phonemes of words as espeak-ng reads them in a text."""
    return f"[[{' '.join('|'.join(word) for word in words)}]]"


def read(text: str) -> espeak.Pronunciation:
    """The phonemes of a text that is all in brackets, word by word: what `in_brackets` wrote."""
    return tuple(tuple(word.split("|")) for word in text.removeprefix("[[").removesuffix("]]").split())


def in_phonemes(texts: Sequence[str]) -> list[str]:
    """English texts in American phonemes, for a voice that reads English letters as another language's."""
    return [in_brackets(words) if words else text for text, words in zip(texts, espeak.pronounce(texts), strict=True)]


def spoken_by(texts: Sequence[str], accent: str) -> list[str]:
    """English texts as a voice of the accent is given them: as they are, or in its phonemes. Raises SpeechError."""
    if accent in ENGLISH:
        return list(texts)
    return [
        in_brackets(tuple(render(word, accent) for word in words)) if words else text
        for text, words in zip(texts, espeak.pronounce(texts), strict=True)
    ]


def _heard(accent: str, phonemes: Sequence[str]) -> dict[str, Sounds]:
    """What becomes of each phoneme: a vowel between two consonants, and a consonant before a vowel, alone."""
    vowels = [is_vowel(phoneme) for phoneme in phonemes]
    texts = [
        f"[[p|'{phoneme}|t]]" if vowel else f"[[{phoneme}|'a]]" for phoneme, vowel in zip(phonemes, vowels, strict=True)
    ]
    heard = {}
    for phoneme, vowel, words in zip(phonemes, vowels, espeak.pronounce(texts, accent), strict=True):
        sounds = tuple(bare(sound) for word in words for sound in word)
        heard[phoneme] = sounds[1:-1] if vowel else sounds[:-1]
    return heard
