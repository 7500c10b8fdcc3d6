"""SVOX Pico by the package ttspico: the sound of a text in the voice of one of six languages.

A text may hold phonemes in double square brackets, as espeak-ng reads them. The voices of other languages are given
English words in phonemes too (`speech.xsampa`): from English letters they would say words of their own. ttspico 0.3.2
never frees what it has said: 115 MB an hour of speech.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from streamrnn.errors import SpeechError
from streamrnn.speech import xsampa
from streamrnn.speech.accents import read
from streamrnn.speech.espeak import Samples
from streamrnn.speech.voices import Group

ENGINE = "pico"
INSTALL = "pip install 'streamrnn[speech]'"
RATE = 16000
# All of them are women.
TRAINING, HELD_OUT = ("en-US", "de-DE", "es-ES", "it-IT"), ("en-GB", "fr-FR")
ENGLISH = ("en-US", "en-GB")
_FOREIGN_SHARE = 0.25
_PACKAGE = "ttspico"
# At its own volume of 100 it clips.
_VOLUME = 40


@dataclass(frozen=True, slots=True)
class Manner:
    """How a text is said: rate and pitch in percent of the voice's own."""

    rate: int
    pitch: int


def available() -> bool:
    """Whether the engine is installed."""
    return importlib.util.find_spec(_PACKAGE) is not None


def version() -> str:
    """The engine with its version, for a passport. Raises SpeechError."""
    _check()
    return f"SVOX Pico ({_PACKAGE} {importlib.metadata.version(_PACKAGE)})"


def draw(random: Generator, group: Group) -> str:
    """The language of a voice of a group: English more often than those whose English has an accent."""
    voices = {"training": TRAINING, "held-out": HELD_OUT, "all": TRAINING + HELD_OUT}[group]
    foreign = random.random() < _FOREIGN_SHARE
    choices = [language for language in voices if (language not in ENGLISH) == foreign]
    return choices[int(random.integers(len(choices)))]


def render(language: str, manner: Manner, text: str) -> tuple[Samples, int]:
    """The sound (time,) of a text and its rate in Hz. Raises SpeechError."""
    _check()
    import ttspico

    # A new one for each text: what one has said before changes what it says next.
    engine = ttspico.TtsEngine(language, lang_dir=str(_voices()))
    # Its own properties close these marks after the text, and the last sounds are then said at full volume.
    marks = f"<speed level='{manner.rate}'><pitch level='{manner.pitch}'><volume level='{_VOLUME}'>"
    sound = np.frombuffer(engine.speak(marks + _marked(text, language)) or b"", "<i2").astype(np.float32) / np.float32(
        32768
    )
    if not sound.any():
        raise SpeechError(f"{text!r}: {ENGINE} says nothing for it; write words")
    return sound, RATE


def _check() -> None:
    if not available():
        raise SpeechError(f"{ENGINE} is not installed; {INSTALL}, or leave it out of the engines")


def _voices() -> Path:
    """Where the package has put the voices: not always where it looks for them itself."""
    for file in importlib.metadata.files(_PACKAGE) or ():
        if file.name == "en-US_ta.bin":
            return Path(str(file.locate())).resolve().parent
    raise SpeechError(f"{ENGINE}: the voices of {_PACKAGE} are missing; install it again")


def _marked(text: str, language: str) -> str:
    """The text as the engine reads it: phonemes as its markup, and no marks of markup beside them."""
    parts = re.split(r"(\[\[.*?\]\])", text)
    return "".join(
        _phonemes(part, language) if part.startswith("[[") else re.sub(r"[<>&]", " ", part) for part in parts
    )


def _phonemes(brackets: str, language: str) -> str:
    words = (xsampa.transcribed(word, language).replace('"', "&quot;") for word in read(brackets))
    return " ".join(f'<phoneme alphabet="xsampa" ph="{word}"/>' for word in words)
