"""What happens to sound on its way to a microphone: speed, rooms, equalisers and noise, drawn from a generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import soxr
from numpy.random import Generator
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import fftconvolve

from streamrnn.training.pieces import Samples, Span
from streamrnn.training.plan import WordsConfig
from streamrnn.training.sounds import Sound, levelled

_NOISE_S = 20.0
_OVERLAP_S, _SEARCH_S = 0.015, 0.008
_ROOM_S = 0.6  # of a recorded room; later echoes are weak, and long ones cost


def speed(sound: Samples, factor: float) -> Samples:
    """(time,) played `factor` times as fast: shorter, higher, and the voice of a smaller speaker."""
    faster: Samples = soxr.resample(sound, factor, 1.0).astype(np.float32)
    return faster


def stretch(sound: Samples, rate: int, factor: float) -> Samples:
    """(time,) `factor` times as fast with the same voice, overlapped where it is alike (Verhelst and Roelands 1993)."""
    size = int(_OVERLAP_S * rate) * 2
    half, reach = size // 2, int(_SEARCH_S * rate)
    window = np.hanning(size + 1)[:size].astype(np.float32)
    length = int(len(sound) / factor)
    padded = np.concatenate([np.zeros(half + reach, np.float32), sound, np.zeros(size + 2 * reach, np.float32)])
    result = np.zeros(length + 2 * size, np.float32)
    follows = padded[reach : reach + size]
    for k in range(length // half + 2):
        wanted = min(int(k * half * factor), len(padded) - size - 2 * reach)
        # Of the places near the one that is due, that which goes on most like what stands there already.
        likeness = np.correlate(padded[wanted : wanted + 2 * reach + size], follows, "valid")
        place = wanted + int(likeness.argmax())
        result[k * half : k * half + size] += padded[place : place + size] * window
        follows = padded[place + half : place + half + size]
        if len(follows) < size:
            break
    return result[half : half + length]


def equalise(sound: Samples, random: Generator, depth_db: float) -> Samples:
    """(time,) with a smooth random gain over frequency, `depth_db` at most at six points."""
    # Some lengths take a hundred times as long as their neighbours.
    size = next_fast_len(len(sound) + 256, real=True)
    spectrum = rfft(sound, size)
    points = random.uniform(-depth_db, depth_db, 6)
    # Points evenly on a logarithmic axis of frequency, as ears and rooms are.
    place = np.log2(1 + np.arange(len(spectrum)) * 64 / len(spectrum)) / np.log2(65) * 5
    gain = 10.0 ** (np.interp(place, np.arange(6), points) / 20.0)
    result: Samples = irfft(spectrum * gain, size)[: len(sound)].astype(np.float32)
    return result


def room(random: Generator, rate: int) -> Samples:
    """The impulse response of a random room: the direct sound and a tail of noise that dies away."""
    length = int(random.uniform(0.08, 0.35) * rate)
    decay = np.exp(-6.9 * np.arange(length) / length)
    tail = random.standard_normal(length) * decay
    tail[: int(0.002 * rate)] = 0.0
    tail *= random.uniform(0.1, 0.8) / max(1e-9, float(np.sqrt(np.sum(tail * tail))))
    response: Samples = np.concatenate([[1.0], tail]).astype(np.float32)
    return response


def measured_room(response: Samples, rate: int) -> Samples:
    """A recorded impulse response from its direct sound on, which is made 1, for as long as it matters."""
    peak = int(np.argmax(np.abs(response)))
    kept = response[peak : peak + int(_ROOM_S * rate)] / response[peak]
    fade = np.minimum(1.0, np.linspace(4.0, 0.0, len(kept)))
    result: Samples = (kept * fade).astype(np.float32)
    return result


def reverberate(sound: Samples, response: Samples, rate: int) -> Samples:
    """(time,) as heard in a room; 0.2 s longer than it came."""
    padded = np.concatenate([sound, np.zeros(int(0.2 * rate), np.float32)])
    wet: Samples = fftconvolve(padded, response)[: len(padded)].astype(np.float32)
    return wet


def variant(sound: Sound, random: Generator, config: WordsConfig, rate: int, rooms: Sequence[Samples]) -> Sound:
    """One random variant of a sound at loudness 1; `rooms` are recorded ones, used as often as invented ones."""
    factor = random.uniform(config.speed.least, config.speed.most)
    samples = speed(sound.samples, factor)
    if random.random() < config.stretched and len(samples) > rate * 4 * _OVERLAP_S:
        slower = random.uniform(config.stretch.least, config.stretch.most)
        samples, factor = stretch(samples, rate, slower), factor * slower
    spans = tuple(Span(int(s.start / factor), min(len(samples), int(s.end / factor)), s.label) for s in sound.spans)
    if random.random() < 0.8:
        samples = equalise(samples, random, config.equaliser_db)
    if random.random() < config.room:
        recorded = len(rooms) and random.random() < 0.5
        response = rooms[int(random.integers(len(rooms)))] if recorded else room(random, rate)
        samples = reverberate(samples, response, rate)
    return levelled(Sound(samples, spans), rate)


def noises(random: Generator, rate: int, speech: list[Samples], babbles: Sequence[int]) -> list[Samples]:
    """Seconds of made-up noise, each of unit power: coloured, humming, crackling, and `babbles` of so many voices."""
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
    made.extend(_babble(random, size, speech, voices) for voices in (babbles if speech else ()))
    return [(noise / max(1e-9, float(np.sqrt(np.mean(noise**2))))).astype(np.float32) for noise in made]


def another_noise(noise: Samples, random: Generator) -> Samples:
    """(time,) of a noise as another machine, room or crowd might make it: of another speed and another colour."""
    return equalise(speed(noise, float(np.exp(random.uniform(np.log(0.6), np.log(1.6))))), random, 12.0)


def scratches(random: Generator, rate: int, count: int) -> list[Samples]:
    """Seconds of noise, each of unit power, that comes and goes as fast as syllables: paper, pens, hands, breath."""
    return [_scratching(random, rate) for _ in range(count)]


def _scratching(random: Generator, rate: int) -> Samples:
    """A few layers, each of bursts of one colour that begin at random and die away."""
    size = int(_NOISE_S * rate)
    total = np.zeros(size, np.float32)
    for _ in range(int(random.integers(1, 4))):
        colour = equalise(_coloured(random, size, random.uniform(-0.5, 5.0)), random, 18.0)
        begins = random.random(size) < np.exp(random.uniform(np.log(0.5), np.log(14.0))) / rate
        loud = np.where(begins, 10 ** (random.normal(0, 7, size) / 20), 0.0)
        rise, fall = np.exp(random.uniform(np.log([0.002, 0.01]), np.log([0.06, 0.8])))
        time = np.arange(int(4 * fall * rate)) / rate
        burst = (1 - np.exp(-time / rise)) * np.exp(-time / fall)
        envelope = fftconvolve(loud, burst)[:size] + 10 ** random.uniform(-2.5, -1)
        layer = (colour * envelope).astype(np.float32)
        total += layer * np.float32(10 ** (random.uniform(-10, 0) / 20) / max(1e-9, float(np.std(layer))))
    return total / np.float32(np.std(total))


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
