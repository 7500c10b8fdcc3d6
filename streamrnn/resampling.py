"""Any sample rate in: streaming, anti-aliased resampling at the border, the same bits for any chunking.

The work is done by soxr at its medium quality: aliases below -119 dB, flat to 93 % of the lower Nyquist frequency, and
for 48 to 8 kHz half the wait of its high quality. Model sample `m` of an epoch lies exactly at source sample
`m * source_rate / rate` of it: soxr takes its filter's delay out again. What remains is waiting: a sample comes out
when up to `delay` source samples behind it are in, since soxr works in blocks. That is 40 to 130 ms for sound; a sensor
of 100 Hz resampled to 50 waits for 20 s, so let its rate be the recognizer's.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import soxr

from streamrnn.chunk import Samples
from streamrnn.errors import StreamError
from streamrnn.tape import Tape

_QUALITY = "MQ"
# How far the filter reaches back, in samples of the lower rate: measured on noise, 77 until it differs by less than
# 2e-6 from a stream that heard all.
_REACH = 128


@dataclass(frozen=True, slots=True)
class Primer:
    """What a resampler is primed with to go on: samples `(time, channels)` from `start` on, and how many came out."""

    start: int
    given: int
    samples: Samples


class Resampler(Protocol):
    """Samples of one unbroken run at another rate."""

    def push(self, samples: Samples) -> Samples:
        """(time, channels) at the source's rate -> what has come out by now, `(time', channels)`."""
        ...

    def finish(self) -> Samples:
        """What is still inside; in all `round(time * rate / source_rate)` samples have come out then."""
        ...

    def primer(self) -> Primer:
        """All that another needs to go on from here, as copies."""
        ...


class _Same:
    """The two rates are equal: samples pass as they are."""

    __slots__ = ("_channels",)

    def __init__(self, channels: int) -> None:
        self._channels = channels

    def push(self, samples: Samples) -> Samples:
        return samples

    def finish(self) -> Samples:
        return np.zeros((0, self._channels), np.float32)

    def primer(self) -> Primer:
        return Primer(0, 0, np.zeros((0, self._channels), np.float32))


@functools.cache
def _same(channels: int) -> _Same:
    """It remembers nothing: one is enough for all streams."""
    return _Same(channels)


class _Soxr:
    """soxr's stream; its memory is opaque, so what it may still need of the source is kept beside it.

    To go on from there another stream is fed that, and what has come out before is left out. It begins at a source
    sample on which one of the other rate lies, so that both count alike, and differs in the last bits only.
    """

    def __init__(self, source_rate: int, rate: int, channels: int) -> None:
        self._channels = channels
        self._rates = source_rate, rate
        self._pushed, self._given = 0, 0  # samples of the run that went in and came out
        self._left_out = 0  # of what will come out
        self._kept = Tape(channels, ["primer"])
        self._kept_from = 0
        try:
            self._stream = soxr.ResampleStream(source_rate, rate, channels, dtype="float32", quality=_QUALITY)
        except (ValueError, RuntimeError) as error:
            raise StreamError(
                f"{source_rate} Hz with {channels} channels cannot be resampled to {rate} Hz ({error}); "
                "choose another rate"
            ) from None

    def push(self, samples: Samples) -> Samples:
        out = self._out(self._stream.resample_chunk(np.ascontiguousarray(samples)))
        self._keep(samples)
        return out

    def finish(self) -> Samples:
        return self._out(self._stream.resample_chunk(np.zeros((0, self._channels), np.float32), last=True))

    def primer(self) -> Primer:
        return Primer(self._kept_from, self._given, self._kept.waiting())

    def prime(self, primer: Primer) -> Samples:
        """Go on where another was, if this one has heard nothing yet; what comes out now that did not there."""
        source_rate, rate = self._rates
        self._pushed = self._kept_from = primer.start
        self._left_out = primer.given - primer.start * rate // source_rate
        self._given = primer.given
        return self.push(primer.samples)

    def _out(self, resampled: Samples) -> Samples:
        left_out = min(self._left_out, len(resampled))
        self._left_out -= left_out
        out = resampled[left_out:]
        self._given += len(out)
        return out

    def _keep(self, samples: Samples) -> None:
        """Let go what no output to come depends on; of a long chunk the most is not even copied."""
        source_rate, rate = self._rates
        unit = source_rate // math.gcd(source_rate, rate)
        reach = -(-_REACH * source_rate // min(source_rate, rate))
        needed = max(self._kept_from, (self._given * source_rate // rate - reach) // unit * unit)
        skipped = min(needed, self._pushed) - self._kept_from
        self._kept.skip("primer", skipped)
        self._kept.append(samples[max(0, needed - self._pushed) :])
        self._pushed += len(samples)
        self._kept_from = needed


def open_resampler(source_rate: int, rate: int, channels: int) -> Resampler:
    """A resampler for a run that begins. Raises StreamError if soxr cannot do it."""
    return _same(channels) if source_rate == rate else _Soxr(source_rate, rate, channels)


def resume_resampler(source_rate: int, rate: int, channels: int, primer: Primer) -> tuple[Resampler, Samples]:
    """A resampler that goes on from a primer, and what it knows that the one before did not give yet."""
    if source_rate == rate:
        return _same(channels), primer.samples[:0]
    resampler = _Soxr(source_rate, rate, channels)
    return resampler, resampler.prime(primer)


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
