"""Speech from text with espeak-ng: many voices, rates and pitches, for labels of which there are too few people."""

from __future__ import annotations

import io
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import soundfile
from numpy.random import Generator

from streamrnn.errors import RecordingError
from streamrnn.training.loading import resample
from streamrnn.training.pieces import Samples

_ENGINE = "espeak-ng"
_ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
_VARIANTS = ("", "+m1", "+m2", "+m3", "+m4", "+m6", "+m7", "+f1", "+f2", "+f3", "+f4", "+klatt", "+klatt2", "+klatt3")
# Below this share of the peak, speech has not begun or is over.
_QUIET = 0.02


def available() -> bool:
    """Whether the speech engine is installed."""
    return shutil.which(_ENGINE) is not None


def version() -> str:
    """The engine's own line about its version, for a passport."""
    said = subprocess.run([_ENGINE, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split("Data at")[0].strip()


def speak(texts: list[str], random: Generator, rate: int) -> list[Samples]:
    """Each text in a voice of its own: (time,) at `rate`, cut to the speech. Raises RecordingError."""
    orders = [
        [
            _ENGINE,
            "--stdout",
            "-v",
            str(random.choice(_ACCENTS)) + str(random.choice(_VARIANTS)),
            "-s",
            str(int(random.integers(110, 230))),
            "-p",
            str(int(random.integers(15, 86))),
            text,
        ]
        for text in texts
    ]
    with ThreadPoolExecutor(2) as pool:
        spoken = list(pool.map(_run, orders))
    return [trim(resample(samples[:, None], made_at, rate)[:, 0]) for samples, made_at in spoken]


def _run(order: list[str]) -> tuple[Samples, int]:
    try:
        done = subprocess.run(order, capture_output=True, check=True, timeout=60)
        samples, rate = soundfile.read(io.BytesIO(done.stdout), dtype="float32")
    except (OSError, subprocess.SubprocessError, soundfile.LibsndfileError) as error:
        raise RecordingError(f"{_ENGINE}: {error}; try it in a shell: {' '.join(order)}") from None
    return samples, rate


def trim(sound: Samples) -> Samples:
    """(time,) without the quiet before and after what is said."""
    loud = np.flatnonzero(np.abs(sound) > _QUIET * np.abs(sound).max(initial=1e-6))
    return sound[loud[0] : loud[-1] + 1] if len(loud) else sound
