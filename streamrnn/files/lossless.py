"""Samples as the bytes of a file that gives back every one of them: FLAC where that can be, else WAV, else NPZ."""

from __future__ import annotations

import io

import numpy as np

from streamrnn.chunk import Samples
from streamrnn.files.sound import HIGHEST_RATE, LOWEST_RATE

SUFFIXES = (".flac", ".wav", ".npz")
_FLAC_HZ = 1000, 192_000  # where every player takes it
_DEPTHS = {"PCM_16": 1 << 15, "PCM_24": 1 << 23}


def encode(samples: Samples, rate: int) -> tuple[str, bytes]:
    """The ending and the contents of a file of samples `(time, channels)` at `rate` Hz; `files.read` gives them back.

    One or two channels are sound: FLAC of 16 or 24 bits if that holds them exactly, else a WAV of floats. More
    channels, or a rate that no sound has, are an NPZ with `x` and `fs`.
    """
    import soundfile  # here, for a daemon that keeps no clips needs no libsndfile

    file = io.BytesIO()
    if samples.shape[1] > 2 or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        np.savez_compressed(file, x=samples, fs=np.array(rate))
        return ".npz", file.getvalue()
    if _FLAC_HZ[0] <= rate <= _FLAC_HZ[1]:
        for depth, steps in _DEPTHS.items():
            whole = samples * np.float32(steps)  # by a power of two, which is exact
            if ((whole == np.rint(whole)) & (whole >= -steps) & (whole < steps)).all():
                # As whole numbers: floats would be scaled once more.
                stored = whole.astype(np.int32) * np.int32((1 << 31) // steps)
                soundfile.write(file, stored, rate, format="FLAC", subtype=depth)
                return ".flac", file.getvalue()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return ".wav", file.getvalue()
