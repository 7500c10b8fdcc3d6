"""espeak-ng as a command: what it would say of texts in phonemes, and the sound of many texts from one process.

A text may hold phonemes in double square brackets, `[[dZ'A@v@s]]`, with | between two that would be read as one.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamrnn.errors import SpeechError

ENGINE = "espeak-ng"
INSTALL = "apt-get install espeak-ng"
Samples = NDArray[np.float32]
# Phonemes of each word of a text.
Pronunciation = tuple[tuple[str, ...], ...]

# Between two texts of a process; pauses within one are up to 0.83 s in the slowest manner, echoes die away in less.
_BREAK_S = 2.0
_APART_S = 1.4
# Below this share of the loudest sample, speech has not begun or is over.
_SILENT = 0.003
# What espeak-ng writes between phonemes: pauses, and a mark of joining.
_NO_SOUND = ("", ";", "_", "_:", "_!", "_|")
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Utterance:
    """A text and how it is said: the mark of its melody, and rate, pitch and pitch range in percent of the voice's own.

    `ending` is one of `! ? , :` or "", which is as in the middle of a sentence; a text's own mark comes before it.
    """

    text: str
    ending: str = ""
    rate: int = 100
    pitch: int = 100
    range: int = 100


def available() -> bool:
    """Whether the engine is installed."""
    return shutil.which(ENGINE) is not None


def version() -> str:
    """The engine's own line about its version, for a passport. Raises SpeechError."""
    return _run(["--version"], b"").decode(errors="replace").split("Data at")[0].strip()


def variants() -> list[str]:
    """The names of the vocal tracts that come with the engine. Raises SpeechError."""
    lines = _run(["--voices=variant"], b"").decode(errors="replace").splitlines()
    return [match[1] for line in lines if (match := re.search(r"!v/(\S+)", line))]


def pronounce(texts: Sequence[str], voice: str = "en-us") -> list[Pronunciation]:
    """What a voice makes of each text: its words as phonemes. Raises SpeechError."""
    # A text is a line in and a line out: what ends a clause would end the line.
    lines = [_one_clause(text) for text in texts]
    if not lines:
        return []
    command = ["-q", "-x", "--sep=|", "-v", voice]
    said = [line for line in _run(command, _lines(lines)).decode(errors="replace").splitlines() if line.strip()]
    if len(said) != len(lines):
        # Some of them are no words, or too long for a clause.
        said = [" ".join(_run(command, _lines([line])).decode(errors="replace").split()) for line in lines]
    return [
        tuple(tuple(sound for sound in word.split("|") if sound not in _NO_SOUND) for word in line.split())
        for line in said
    ]


def render(options: Sequence[str], utterances: Sequence[Utterance]) -> tuple[list[Samples], int]:
    """The sound (time,) of each text by one process with a voice's options, and its rate in Hz. Raises SpeechError."""
    sound, rate = _sound(options, utterances)
    parts = _parts(sound, rate)
    if len(parts) == len(utterances):
        return parts, rate
    if len(utterances) == 1:
        if not parts:
            raise SpeechError(f"{utterances[0].text!r}: {ENGINE} says nothing for it; write words")
        return [sound], rate
    return [part for each in utterances for part in render(options, [each])[0]], rate


def _sound(options: Sequence[str], utterances: Sequence[Utterance]) -> tuple[Samples, int]:
    # A tag must not follow phonemes at once: it would be read as some.
    said = f'<break time="{round(1000 * _BREAK_S)}ms"/>'.join(
        f'<prosody rate="{each.rate}%" pitch="{each.pitch}%" range="{each.range}%">{escape(_ended(each))} </prosody>'
        for each in utterances
    )
    wave = _run(["--stdout", "-m", *options], f"<speak>{said}</speak>\n".encode())
    try:
        samples, rate = soundfile.read(io.BytesIO(wave), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise SpeechError(f"{ENGINE} {' '.join(options)}: {error}; try it in a shell") from None
    return samples, rate


def _ended(each: Utterance) -> str:
    return each.text if each.text[-1:] in tuple(".!?,:;") else each.text + each.ending


def _parts(sound: Samples, rate: int) -> list[Samples]:
    """The stretches of sound between long silences."""
    level = np.abs(sound)
    loud = np.flatnonzero(level > _SILENT * level.max(initial=1e-6))
    if not len(loud):
        return []
    cuts = np.flatnonzero(np.diff(loud) > _APART_S * rate)
    starts = [loud[0], *loud[cuts + 1]]
    ends = [*loud[cuts], loud[-1]]
    return [sound[start : end + 1] for start, end in zip(starts, ends, strict=True)]


def _path() -> str:
    found = shutil.which(ENGINE)
    if found is None:
        raise SpeechError(f"{ENGINE} is not installed, and it makes speech from text here; {INSTALL}")
    return found


def _run(words: list[str], given: bytes) -> bytes:
    order = [_path(), *words]
    try:
        done = subprocess.run(order, input=given, capture_output=True, check=False, timeout=_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise SpeechError(f"{ENGINE}: {error}; try it in a shell: {' '.join([ENGINE, *words])}") from None
    if done.returncode:
        told = " ".join(done.stderr.decode(errors="replace").split()) or f"exit code {done.returncode}"
        raise SpeechError(f"{ENGINE}: {told}; try it in a shell: {' '.join([ENGINE, *words])}")
    return done.stdout


def _one_clause(text: str) -> str:
    """A text without marks of punctuation; phonemes in brackets stay as they are."""
    parts = re.split(r"(\[\[.*?\]\])", text)
    return " ".join(part if part.startswith("[[") else re.sub(r"[^\w' ]+", " ", part) for part in parts if part)


def _lines(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
