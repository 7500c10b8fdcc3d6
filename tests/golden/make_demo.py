"""Makes the demo recording again: twenty digits in four voices that configs/digits.yaml never hears, over faint noise.

python tests/golden/make_demo.py streamrnn/recordings   (apt-get install flite espeak-ng)
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 16000
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
# Three voices of flite, which that config leaves out, and one of espeak-ng that training does not draw from.
VOICES = (
    ("flite", "-voice", "slt", "-t", "{word}", "-o", "{path}"),
    ("flite", "-voice", "rms", "-t", "{word}", "-o", "{path}"),
    ("flite", "-voice", "awb", "-t", "{word}", "-o", "{path}"),
    ("espeak-ng", "-v", "en-us+f5", "-w", "{path}", "{word}"),
)
NOISE_DB = -55.0


def spoken(word: str, voice: tuple[str, ...]) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "word.wav"
        subprocess.run([part.format(word=word, path=path) for part in voice], check=True)
        samples, rate = soundfile.read(path, dtype="float32")
    samples = soxr.resample(samples, rate, RATE)
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    word_only = samples[loud[0] : loud[-1] + 1]
    return word_only * (0.5 / np.abs(word_only).max())


def main(folder: Path) -> None:
    random = np.random.default_rng(7)
    order = np.concatenate([random.permutation(10), random.permutation(10)])
    parts, rows, at = [], [], 0
    for i, digit in enumerate(order):
        pause = np.zeros(int(random.uniform(0.4, 0.8) * RATE), np.float32)
        word = spoken(WORDS[digit], VOICES[i // 5])
        at += len(pause)
        rows.append((f"{at / RATE:.3f}", f"{(at + len(word)) / RATE:.3f}", WORDS[digit]))
        at += len(word)
        parts += [pause, word]
    sound = np.concatenate([*parts, np.zeros(RATE, np.float32)])
    sound = sound + random.standard_normal(len(sound)).astype(np.float32) * np.float32(10 ** (NOISE_DB / 20))
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "demo.flac", sound, RATE, subtype="PCM_16")
    with (folder / "demo.labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("start", "end", "label"), *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
