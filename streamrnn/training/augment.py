"""What happens to sound on its way to a microphone: speed, rooms, equalisers and noise, drawn from a generator."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.random import Generator
from scipy.signal import fftconvolve

from streamrnn.training.pieces import Samples
from streamrnn.training.plan import WordsConfig

_NOISE_S = 20.0


def speed(sound: Samples, factor: float) -> Samples:
    """(time,) played `factor` times as fast: shorter, higher, and the voice of a smaller speaker."""
    faster: Samples = soxr.resample(sound, factor, 1.0).astype(np.float32)
    return faster


def equalise(sound: Samples, random: Generator, depth_db: float) -> Samples:
    """(time,) with a smooth random gain over frequency, `depth_db` at most at six points."""
    size = len(sound)
    spectrum = np.fft.rfft(sound, 2 * size)
    points = random.uniform(-depth_db, depth_db, 6)
    # Points evenly on a logarithmic axis of frequency, as ears and rooms are.
    place = np.log2(1 + np.arange(len(spectrum)) * 64 / len(spectrum)) / np.log2(65) * 5
    gain = 10.0 ** (np.interp(place, np.arange(6), points) / 20.0)
    result: Samples = np.fft.irfft(spectrum * gain)[:size].astype(np.float32)
    return result


def reverberate(sound: Samples, random: Generator, rate: int) -> Samples:
    """(time,) in a random room: the direct sound and a tail of noise that dies away; 0.15 s longer than it came."""
    length = int(random.uniform(0.08, 0.35) * rate)
    decay = np.exp(-6.9 * np.arange(length) / length)
    tail = random.standard_normal(length) * decay
    tail[: int(0.002 * rate)] = 0.0
    tail *= random.uniform(0.1, 0.8) / max(1e-9, float(np.sqrt(np.sum(tail * tail))))
    response = np.concatenate([[1.0], tail])
    padded = np.concatenate([sound, np.zeros(int(0.15 * rate), np.float32)])
    wet: Samples = fftconvolve(padded, response)[: len(padded)].astype(np.float32)
    return wet


def variant(sound: Samples, random: Generator, config: WordsConfig, rate: int) -> tuple[Samples, int]:
    """(time,) -> one random variant of it, and the sample at which what was said in it ends."""
    changed = speed(sound, random.uniform(config.speed.least, config.speed.most))
    end = len(changed)
    if random.random() < 0.8:
        changed = equalise(changed, random, config.equaliser_db)
    if random.random() < config.room:
        changed = reverberate(changed, random, rate)
    return changed / max(1e-4, float(np.sqrt(np.mean(changed[:end] ** 2)))), end


def noises(random: Generator, rate: int, speech: list[Samples]) -> list[Samples]:
    """Seconds of synthesised noise, each of unit power: coloured, humming, crackling, and a babble of voices."""
    size = int(_NOISE_S * rate)
    made = [_coloured(random, size, slope) for slope in (0.0, 0.5, 1.0, 1.0, 1.5, 2.0)]
    time = np.arange(size) / rate
    for base in (50.0, 60.0, 120.0):
        hum = sum(
            np.sin(2 * np.pi * base * k * time + random.uniform(0, 6)) / k for k in range(1, 20) if base * k < rate / 2
        )
        made.append(np.asarray(hum) + 0.1 * _coloured(random, size, 1.0))
    clicks = np.where(random.random(size) < 8.0 / rate, random.standard_normal(size) * 20, 0.0)
    made.append(
        fftconvolve(clicks, np.exp(-np.arange(int(0.01 * rate)) / (0.002 * rate)))[:size]
        + 0.2 * random.standard_normal(size)
    )
    made.extend(_babble(random, size, speech, voices) for voices in ((4, 8, 12) if speech else ()))
    return [(noise / max(1e-9, float(np.sqrt(np.mean(noise**2))))).astype(np.float32) for noise in made]


def _coloured(random: Generator, size: int, slope: float) -> Samples:
    spectrum = np.fft.rfft(random.standard_normal(size))
    spectrum *= np.maximum(np.arange(len(spectrum)), size / 400) ** (-slope / 2)
    coloured: Samples = np.fft.irfft(spectrum, size).astype(np.float32)
    return coloured / np.float32(np.std(coloured))


def _babble(random: Generator, size: int, speech: list[Samples], voices: int) -> Samples:
    """Voices over one another, each played backwards, so that no word can be made out and be a label."""
    total = np.zeros(size, np.float32)
    for _ in range(voices):
        at = int(random.integers(0, 4000))
        while at < size:
            clip = speech[int(random.integers(len(speech)))][::-1]
            count = min(len(clip), size - at)
            total[at : at + count] += clip[:count] / max(1e-4, float(np.sqrt(np.mean(clip**2))))
            at += count + int(random.integers(0, 2000))
    return total
