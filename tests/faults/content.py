"""What the producers say: tone words without end, and which events a daemon without faults makes of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from tones import HOP, RATE

import streamrnn
from streamrnn import ingest
from streamrnn.chunk import Samples
from streamrnn.events import Event, Heard
from streamrnn.testing.signals import sentence

CHUNK = 4 * HOP  # so that what is lost begins and ends with a frame, and frames after it are those of before
_SAID = ("low", "high", "high", "low", "high", "low", "low")


class Content:
    """Samples by their index in a stream, the same sentence over and over, counted from `first`."""

    def __init__(self, seed: int = 0, first: int = 0) -> None:
        assert first % CHUNK == 0
        spoken, _ = sentence(_SAID, RATE, np.random.default_rng(seed))
        whole = spoken[: len(spoken) // CHUNK * CHUNK]
        # To int16 and back, so that every path carries the same bits.
        self.sentence = ingest.unpack(ingest.pack(whole, "int16"), len(whole), 1, "int16")
        self.first = first

    def samples(self, start: int, end: int) -> Samples:
        """Samples `[start, end)` of the stream, `(time, 1)`."""
        places = np.arange(start - self.first, end - self.first) % len(self.sentence)
        return self.sentence[places]

    def wanted(self, bundle: Path, stream: str, end: int) -> list[Event]:
        """The events of the samples up to `end`, as `detect` finds them in one piece.

        Of very many sentences a few are heard: the memory of the bundle is shorter than one, so they are all the same.
        """
        period, length = len(self.sentence), end - self.first
        more = max(0, length // period - 4)
        samples = self.samples(self.first, end - more * period)
        found = streamrnn.load(bundle).detect(samples, RATE, stream)
        heads = [event for event in found if event.body.start < 2 * period]
        inner = [event for event in heads if event.body.start >= period]
        tails = [_later(event, more * period) for event in found if event.body.start >= 2 * period]
        again = [_later(event, i * period) for i in range(1, more + 1) for event in inner]
        return [_later(event, self.first) for event in (*heads, *again, *tails)]


def _later(event: Event, by: int) -> Event:
    body = event.body
    assert isinstance(body, Heard)
    moved = Heard(body.label, body.start + by, body.end + by, body.rate, body.score)
    return Event(**{**_fields(event), "sample": event.sample + by, "body": moved})


def _fields(event: Event) -> dict[str, object]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


@dataclasses.dataclass
class Produced:
    """What became of a stream on the side that brought it: samples `[first, end)`, and those that never left it."""

    stream: str
    first: int
    end: int
    lost: list[tuple[int, int]]
