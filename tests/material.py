"""What streams are composed of in tests: tone words, talk that is now and then taken for them, a noise and a room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from tones import RATE

from streamrnn.testing.signals import chirp, noise, tone, tone_word


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16")


def material(folder: Path, seed: int = 0, words: int = 4, talk: int = 12) -> Path:
    """Words at two rates, talk (glides, and tones of words under noise) of which one is long, a noise and a room."""
    random = np.random.default_rng(seed)
    for i in range(words):
        for label in ("low", "high"):
            rate = (RATE, 2 * RATE)[i % 2]
            write(folder / label / f"{i}.wav", tone_word(label, rate, random), rate)
    for i in range(talk):
        glide = chirp(700 + 90 * i, 1500, 2.0, 2 * RATE)
        mistaken = tone((340.0, 2200.0)[i % 2], 0.4, 2 * RATE, 0.2) + noise(0.4, 2 * RATE, random, 0.02 + 0.015 * i)
        write(folder / "_talk" / f"{i}.wav", np.concatenate([glide, mistaken, glide[::-1]]), 2 * RATE)
    write(folder / "_talk" / "long.wav", noise(150.0, RATE, random, 0.02))
    write(folder / "_noise" / "a.wav", noise(3.0, RATE, random, 0.3))
    room = np.zeros((2000, 1))
    room[37], room[900] = 0.5, 0.2
    write(folder / "_impulse_response" / "hall.wav", room)
    return folder
