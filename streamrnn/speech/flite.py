"""flite as a command: the sound of a text in one of the four people that come with it.

A text may hold phonemes in double square brackets, as espeak-ng reads them. flite itself reads none within a text, so
each such word gets a name and an entry in a lexicon of its own, with its stress.
"""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import soundfile
from numpy.random import Generator

from streamrnn.errors import SpeechError
from streamrnn.speech.accents import read
from streamrnn.speech.espeak import Samples
from streamrnn.speech.phonemes import STRESSES, Sounds, bare, is_vowel, plain
from streamrnn.speech.voices import Group

ENGINE = "flite"
INSTALL = "apt-get install flite"
# kal says the same as kal16 at 8 kHz. rms is the most natural of the men, so he is who judges.
TRAINING, HELD_OUT = ("slt", "awb", "kal16"), ("rms",)
# Mean pitch in Hz as each speaks by himself; rms speaks at his own whatever is asked for.
PITCH_HZ = {"slt": 170, "awb": 125, "kal16": 95, "rms": 100}
_TIMEOUT_S = 60.0
_SYLLABLES = ("ba", "da", "fa", "ga", "ka", "la", "ma", "na", "pa", "ra")

_PHONES = {
    "p": "p", "b": "b", "t": "t", "d": "d", "k": "k", "g": "g", "tS": "ch", "dZ": "jh", "f": "f", "v": "v",
    "T": "th", "D": "dh", "s": "s", "z": "z", "S": "sh", "Z": "zh", "x": "k", "h": "hh", "m": "m", "n": "n",
    "N": "ng", "l": "l", "r": "r", "j": "y", "w": "w", "?": "",
    "i:": "iy", "i": "iy", "I": "ih", "E": "eh", "a": "ae", "aa": "ae", "A:": "aa", "0": "aa", "O:": "ao", "U": "uh",
    "u:": "uw", "V": "ah", "@": "ax", "3:": "er", "3": "er", "A@": "aa r", "O@": "ao r", "U@": "uh r", "e@": "eh r",
    "i@": "ih", "eI": "ey", "aI": "ay", "aU": "aw", "oU": "ow", "OI": "oy", "aI@": "ay er",
    "e": "ey", "o": "ow", "O": "ao", "A": "aa", "u": "uw", "y": "uw", "Y:": "er", "W": "eh",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Manner:
    """How a text is said: how long its sounds last, 1 as the voice does, and the mean pitch in Hz."""

    stretch: float
    pitch: int


def available() -> bool:
    """Whether the engine is installed."""
    return shutil.which(ENGINE) is not None


def version() -> str:
    """The engine with its version, for a passport. Raises SpeechError."""
    said = re.search(r"version: (\S+)", _run(["--version"]))
    return said[1] if said else ENGINE


def draw(random: Generator, group: Group) -> str:
    """A voice of a group."""
    voices = {"training": TRAINING, "held-out": HELD_OUT, "all": TRAINING + HELD_OUT}[group]
    return voices[int(random.integers(len(voices)))]


def render(voice: str, manner: Manner, text: str) -> tuple[Samples, int]:
    """The sound (time,) of a text and its rate in Hz. Raises SpeechError."""
    spoken, lexicon = _named(text)
    with tempfile.TemporaryDirectory(prefix="streamrnn-flite-") as folder:
        wave, entries = Path(folder) / "said.wav", Path(folder) / "lexicon"
        entries.write_text(lexicon, encoding="ascii")
        how = ["--setf", f"duration_stretch={manner.stretch}", "--setf", f"int_f0_target_mean={manner.pitch}"]
        order = ["-voice", voice, *how, "-add_lex", str(entries), "-t", spoken, "-o", str(wave)]
        _run(order)
        try:
            samples, rate = soundfile.read(str(wave), dtype="float32")
        except soundfile.LibsndfileError as error:
            raise SpeechError(f"{ENGINE}: {error}; try it in a shell: {ENGINE} -voice {voice} -t {text!r}") from None
    if not samples.any():
        raise SpeechError(f"{text!r}: {ENGINE} says nothing for it; write words")
    return samples, rate


def _named(text: str) -> tuple[str, str]:
    """The text with a name for each word in brackets, and the lexicon that says how those are spoken."""
    entries: list[str] = []

    def name(word: Sounds) -> str:
        # Letters that look like a word, or it would be spelled out.
        own = "zo" + "".join(_SYLLABLES[int(digit)] for digit in str(len(entries)))
        entries.append(f"{own} nil : {_phones(word)}\n")
        return own

    spoken = re.sub(r"\[\[.*?\]\]", lambda found: " ".join(map(name, read(found[0]))), text)
    return spoken, "".join(entries)


def _phones(word: Sounds) -> str:
    said: list[str] = []
    for sound in plain(word):
        phones = _PHONES.get(bare(sound), "").split()
        if phones and is_vowel(sound):
            phones[0] += "1" if sound[0] in STRESSES else "0"
        said += phones
    # A vowel that ends in r often stands before another.
    return " ".join(phone for phone, _ in itertools.groupby(said))


def _run(words: list[str]) -> str:
    if not available():
        raise SpeechError(f"{ENGINE} is not installed; {INSTALL}, or leave it out of the engines")
    try:
        done = subprocess.run([ENGINE, *words], capture_output=True, check=False, timeout=_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise SpeechError(f"{ENGINE}: {error}; try it in a shell") from None
    # To tell its version it ends as after a mistake.
    if done.returncode and words != ["--version"]:
        told = " ".join(done.stderr.decode(errors="replace").split()) or f"exit code {done.returncode}"
        raise SpeechError(f"{ENGINE}: {told}; try it in a shell")
    return done.stdout.decode(errors="replace")
