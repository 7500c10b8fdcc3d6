"""Phonemes in English letters, for people and for engines that know no phonemes: [[dZ|'A@|m|I|s]], jarmis."""

from __future__ import annotations

import re

from streamrnn.speech.accents import read
from streamrnn.speech.phonemes import bare, plain

_LETTERS = {
    "tS": "ch", "dZ": "j", "T": "th", "D": "th", "S": "sh", "Z": "zh", "N": "ng", "j": "y", "?": "", "x": "ch",
    "i:": "ee", "i": "ee", "I": "i", "E": "e", "a": "a", "aa": "a", "A:": "ah", "0": "o", "O:": "aw", "U": "oo",
    "u:": "oo", "V": "u", "@": "a", "3:": "er", "3": "er", "A@": "ar", "O@": "or", "U@": "oor", "e@": "air",
    "i@": "eea",
    "eI": "ay", "aI": "ie", "aU": "ow", "oU": "oh", "OI": "oy", "aI@": "ire",
}  # fmt: skip


def spelled(text: str) -> str:
    """A text with what is in double brackets spelled out."""
    return re.sub(r"\[\[.*?\]\]", lambda found: _spelled(found[0]), text)


def _spelled(brackets: str) -> str:
    words = ("".join(_LETTERS.get(bare(sound), bare(sound)) for sound in plain(word)) for word in read(brackets))
    return " ".join(words)
