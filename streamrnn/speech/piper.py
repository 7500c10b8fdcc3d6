"""Piper as a command: the sound of many texts from one process, in the voice of a model that lies on this machine.

Three programs have the name: the C++ one, piper-tts up to 1.2, and piper1-gpl. What is used here all of them know:
texts as lines on standard input, underscores in the names of options, and a WAV file a line, named by the time.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import soundfile

from streamrnn.errors import SpeechError
from streamrnn.speech.espeak import Samples

ENGINE = "piper"
INSTALL = "pip install piper-tts"
_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Manner:
    """Who of a model speaks, how slowly (1 is its own rate), and how much sounds and their lengths vary."""

    speaker: int
    length_scale: float
    noise_scale: float
    noise_w: float


def check() -> None:
    """Raises SpeechError if the engine is missing."""
    if shutil.which(ENGINE) is None:
        raise SpeechError(f"{ENGINE} is not installed; {INSTALL}, or use --engine espeak-ng")


def speakers(model: Path) -> int:
    """How many people a model can be, from the config beside it. Raises SpeechError if one of the two is missing."""
    config = model.with_name(f"{model.name}.json")
    for path in (model, config):
        if not path.is_file():
            raise SpeechError(
                f"{path}: no such file; give a voice VOICE.onnx of Piper with its VOICE.onnx.json beside it"
            )
    try:
        count = json.loads(config.read_text(encoding="utf-8")).get("num_speakers", 1)
        return max(1, int(count))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SpeechError(f"{config}: not the config of a Piper voice ({error}); download the voice again") from None


def render(model: Path, manner: Manner, texts: Sequence[str]) -> tuple[list[Samples], int]:
    """The sound (time,) of each text and its rate in Hz, by one process. Raises SpeechError."""
    check()
    with tempfile.TemporaryDirectory(prefix="streamrnn-piper-") as folder:
        settings = [word for name, value in asdict(manner).items() for word in (f"--{name}", str(value))]
        order = [ENGINE, "--model", str(model), *settings, "--output_dir", folder]
        try:
            given = "".join(f"{' '.join(text.split())}\n" for text in texts).encode()
            done = subprocess.run(order, input=given, capture_output=True, check=False, timeout=_TIMEOUT_S)
        except (OSError, subprocess.SubprocessError) as error:
            raise SpeechError(f"{ENGINE}: {error}; try it in a shell: {' '.join(order)}") from None
        # Their names count nanoseconds, so the longer number is the later one.
        waves = sorted(Path(folder).glob("*.wav"), key=lambda path: (len(path.stem), path.stem))
        if done.returncode or len(waves) != len(texts):
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            told = " ".join(last) or f"{len(waves)} recordings of {len(texts)} texts"
            raise SpeechError(f"{ENGINE}: {told}; is it the speech engine Piper ({INSTALL})? it was: {' '.join(order)}")
        try:
            read = [soundfile.read(str(wave), dtype="float32", always_2d=True) for wave in waves]
        except soundfile.LibsndfileError as error:
            raise SpeechError(f"{ENGINE}: {error}; try it in a shell: {' '.join(order)}") from None
    return [samples[:, 0] for samples, _ in read], read[0][1]
