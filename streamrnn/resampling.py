"""Any sample rate in: streaming, anti-aliased resampling at the border, the same bits for any chunking.

The work is done by soxr at its medium quality: aliases below -119 dB, flat to 93 % of the lower Nyquist frequency, and
for 48 to 8 kHz half the wait of its high quality. Model sample `m` of an epoch lies exactly at source sample
`m * source_rate / rate` of it: soxr takes its filter's delay out again. What remains is waiting: a sample comes out
when up to `delay` source samples behind it are in, since soxr works in blocks. That is 40 to 130 ms for sound; a sensor
of 100 Hz resampled to 50 waits for 20 s, so let its rate be the recognizer's.
"""

from __future__ import annotations

import functools
from typing import Protocol

import numpy as np
import soxr

from streamrnn.chunk import Samples
from streamrnn.errors import StreamError

_QUALITY = "MQ"


class Resampler(Protocol):
    """Samples of one unbroken run at another rate."""

    def push(self, samples: Samples) -> Samples:
        """(time, channels) at the source's rate -> what has come out by now, `(time', channels)`."""
        ...

    def finish(self) -> Samples:
        """What is still inside; in all `round(time * rate / source_rate)` samples have come out then."""
        ...


class _Same:
    """The two rates are equal: samples pass as they are."""

    def __init__(self, channels: int) -> None:
        self._channels = channels

    def push(self, samples: Samples) -> Samples:
        return samples

    def finish(self) -> Samples:
        return np.zeros((0, self._channels), np.float32)


class _Soxr:
    """soxr's stream; its memory is opaque, so a run that breaks off is begun anew, never patched."""

    def __init__(self, source_rate: int, rate: int, channels: int) -> None:
        self._channels = channels
        try:
            self._stream = soxr.ResampleStream(source_rate, rate, channels, dtype="float32", quality=_QUALITY)
        except (ValueError, RuntimeError) as error:
            raise StreamError(
                f"{source_rate} Hz with {channels} channels cannot be resampled to {rate} Hz ({error}); "
                "choose another rate"
            ) from None

    def push(self, samples: Samples) -> Samples:
        resampled: Samples = self._stream.resample_chunk(np.ascontiguousarray(samples))
        return resampled

    def finish(self) -> Samples:
        rest: Samples = self._stream.resample_chunk(np.zeros((0, self._channels), np.float32), last=True)
        return rest


def open_resampler(source_rate: int, rate: int, channels: int) -> Resampler:
    """A resampler for a run that begins. Raises StreamError if soxr cannot do it."""
    return _Same(channels) if source_rate == rate else _Soxr(source_rate, rate, channels)


def resample(samples: Samples, rate: int, wanted: int) -> Samples:
    """(time, channels) at another rate, by the resampler that live streams go through."""
    if not len(samples):
        return samples
    resampler = open_resampler(rate, wanted, samples.shape[1])
    return np.concatenate([resampler.push(samples), resampler.finish()])


def to_source(sample: int, source_rate: int, rate: int) -> int:
    """The source sample at which sample `sample` of `rate` Hz lies, both counted from the run's begin; halves go up."""
    return (2 * sample * source_rate + rate) // (2 * rate)


@functools.lru_cache(maxsize=256)
def delay(source_rate: int, rate: int) -> int:
    """Source samples that wait inside at most, measured on silence: 0 if the rates are equal."""
    if source_rate == rate:
        return 0
    resampler = open_resampler(source_rate, rate, 1)
    piece = np.zeros((max(1, source_rate // 4000), 1), np.float32)
    # Several blocks of the slowest filter: soxr's are of about a thousand samples of the lower rate.
    total = 16_000 * max(1, -(-source_rate // rate))
    given, pushed, most = 0, 0, 0
    while pushed < total:
        given += len(resampler.push(piece))
        pushed += len(piece)
        most = max(most, pushed - given * source_rate // rate)
    return most
