"""Texts spoken: takes run by two threads, their sounds resampled and cut to the speech."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.random import Generator

from streamrnn.resampling import resample
from streamrnn.speech.engines import Engine, EspeakNg, Take
from streamrnn.speech.espeak import Samples

_WORKERS = 2
# Below this share of the peak, speech has not begun or is over.
_QUIET = 0.01
ESPEAK_NG = EspeakNg()


def speak(texts: Sequence[str], random: Generator, rate: int, engine: Engine = ESPEAK_NG) -> list[Samples]:
    """Each text in a voice drawn for it: (time,) at `rate` Hz, cut to the speech. Raises SpeechError.

    Equal texts that follow one another get different voices. A text may hold phonemes in double brackets, as
    `near_misses` gives them.
    """
    spoken: list[Samples] = [np.zeros(0, np.float32)] * len(texts)
    for take, sounds in perform(engine.deal(texts, random), rate):
        for place, sound in zip(take.places, sounds, strict=True):
            spoken[place] = sound
    return spoken


def perform(takes: Sequence[Take], rate: int) -> Iterator[tuple[Take, list[Samples]]]:
    """Every take, in their order, with its sounds: (time,) at `rate` Hz. Raises SpeechError."""
    pool = ThreadPoolExecutor(_WORKERS)
    try:
        said = pool.map(lambda take: _said(take, rate), takes)
        yield from zip(takes, said, strict=True)
    finally:
        # After a mistake, or when nobody wants the rest, it is not spoken.
        pool.shutdown(cancel_futures=True)


def trim(sound: Samples) -> Samples:
    """(time,) without the quiet before and after what is said."""
    loud = np.flatnonzero(np.abs(sound) > _QUIET * np.abs(sound).max(initial=1e-6))
    return sound[loud[0] : loud[-1] + 1] if len(loud) else sound


def _said(take: Take, rate: int) -> list[Samples]:
    sounds, made_at = take.say()
    # The resampler swings a little beyond the loudest sample.
    return [trim(resample(sound[:, None], made_at, rate)[:, 0].clip(-1.0, 1.0)) for sound in sounds]
