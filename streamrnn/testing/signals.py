"""Synthetic signals for tests: tones, chirps, noise, tone words easy to tell apart, and a data folder of them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from streamrnn.chunk import Samples

# Each word is a glide between two frequencies in Hz, below 3.4 kHz so that it fits a rate of 8 kHz.
TONE_WORDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"low": (300.0, 360.0), "mid": (900.0, 900.0), "high": (2400.0, 2100.0), "rise": (500.0, 1600.0)}
)
WORD_S = 0.3
_RAMP_S = 0.01


def silence(seconds: float, rate: int, channels: int = 1) -> Samples:
    """Zeros `(time, channels)`."""
    return np.zeros((round(seconds * rate), channels), np.float32)


def noise(
    seconds: float, rate: int, random: np.random.Generator, amplitude: float = 0.05, channels: int = 1
) -> Samples:
    """White noise `(time, channels)` with a deviation of `amplitude`."""
    return (amplitude * random.standard_normal((round(seconds * rate), channels))).astype(np.float32)


def chirp(low_hz: float, high_hz: float, seconds: float, rate: int, amplitude: float = 0.3) -> Samples:
    """A sine `(time, 1)` that glides evenly from one frequency to the other and swells in and out within 10 ms."""
    count = round(seconds * rate)
    hertz = np.linspace(low_hz, high_hz, count)
    wave = np.sin(2 * np.pi * np.cumsum(hertz) / rate)
    ramp = min(round(_RAMP_S * rate), count // 2)
    envelope = np.ones(count)
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / max(ramp, 1))
    envelope[:ramp] = rise
    envelope[count - ramp :] = rise[::-1]
    return (amplitude * wave * envelope)[:, None].astype(np.float32)


def tone(hz: float, seconds: float, rate: int, amplitude: float = 0.3) -> Samples:
    """A sine `(time, 1)` of one frequency that swells in and out within 10 ms."""
    return chirp(hz, hz, seconds, rate, amplitude)


def noise_bursts(
    count: int, rate: int, random: np.random.Generator, burst_s: float = 0.1, pause_s: float = 0.4
) -> tuple[Samples, list[tuple[int, int]]]:
    """Bursts of noise `(time, 1)` in silence, and where each starts and ends in samples."""
    burst, pause = round(burst_s * rate), round(pause_s * rate)
    parts, places, at = [silence(pause_s, rate)], [], pause
    for _ in range(count):
        parts += [noise(burst_s, rate, random, 0.2), silence(pause_s, rate)]
        places.append((at, at + burst))
        at += burst + pause
    return np.concatenate(parts), places


def tone_word(label: str, rate: int, random: np.random.Generator, pitch: float = 1.0) -> Samples:
    """One of TONE_WORDS `(time, 1)`, never twice the same: its length, loudness and frequency vary a little."""
    low, high = TONE_WORDS[label]
    shift = pitch * random.uniform(0.97, 1.03)
    seconds = WORD_S * random.uniform(0.85, 1.15)
    return chirp(low * shift, high * shift, seconds, rate, random.uniform(0.15, 0.4))


def sentence(
    labels: Sequence[str], rate: int, random: np.random.Generator, pause_s: float = 0.5, hiss: float = 0.002
) -> tuple[Samples, list[tuple[str, int, int]]]:
    """Tone words with pauses before, between and after, under a hiss: samples `(time, 1)` and `(label, start, end)`."""
    parts: list[Samples] = [silence(pause_s, rate)]
    places: list[tuple[str, int, int]] = []
    at = len(parts[0])
    for label in labels:
        word = tone_word(label, rate, random)
        places.append((label, at, at + len(word)))
        parts += [word, silence(pause_s * random.uniform(0.8, 1.5), rate)]
        at += len(parts[-2]) + len(parts[-1])
    samples = np.concatenate(parts)
    return samples + noise(len(samples) / rate, rate, random, hiss)[: len(samples)], places


def write_tone_words(
    folder: Path,
    *,
    words: Sequence[str] = ("low", "high"),
    speakers: Sequence[str] = ("ann", "bob", "cid"),
    clips: int = 6,
    rate: int = 8000,
    seed: int = 0,
) -> Path:
    """Write a data folder: `clips` recordings of each word by each speaker, and of noise; returns its manifest.

    The last third of the clips of each speaker is the split `dev`. `start` and `end` are the seconds of the word in its
    recording; noise is labelled `_noise` from end to end. A speaker is a pitch, within 6 % of one another.
    """
    import soundfile

    random = np.random.default_rng(seed)
    rows: list[list[str]] = []
    for place, speaker in enumerate(speakers):
        (folder / speaker).mkdir(parents=True, exist_ok=True)
        pitch = 1.0 + 0.06 * (place / max(len(speakers) - 1, 1) - 0.5)
        for clip in range(clips):
            split = "dev" if clip >= clips - clips // 3 else "train"
            for label in (*words, "_noise"):
                hiss = noise(1.0, rate, random, random.uniform(0.001, 0.01))
                start, end = 0, len(hiss)
                if label != "_noise":
                    word = tone_word(label, rate, random, pitch)
                    start = round(random.uniform(0.2, 0.4) * rate)
                    end = start + len(word)
                    hiss[start:end] += word
                path = f"{speaker}/{label.strip('_')}_{clip}.wav"
                soundfile.write(folder / path, hiss, rate, subtype="PCM_16")
                rows.append([path, label, speaker, split, f"{start / rate:.4f}", f"{end / rate:.4f}"])
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "speaker", "split", "start", "end"])
        writer.writerows(rows)
    return manifest
