"""`check_source`: is each stream of this source opened, brought without holes but for declared gaps, and ended?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from streamrnn.chunk import Chunk, Ended, Gap, Item, Note, Opened
from streamrnn.testing.law import LawBroken


@dataclass(slots=True)
class _Heard:
    opened: Opened
    expected: int = 0
    ended: bool = False


def check_source(make: Callable[[], Iterable[Item]]) -> list[Item]:
    """Run a source that ends by itself and hold what it says to the law; returns its items. Raises LawBroken.

    Each stream is Opened first and once, brings Chunks of float32 `(time, channels)` and Gaps that continue one another
    exactly, is Ended last, and says nothing after that. A Note has a state and a text. Samples may be anything:
    finiteness is checked by the engine.
    """
    items: list[Item] = []
    streams: dict[str, _Heard] = {}
    for item in make():
        items.append(item)
        if isinstance(item, Opened):
            _check_opened(item, streams)
            continue
        heard = streams.get(item.stream)
        if heard is None or heard.ended:
            when = "before it is opened" if heard is None else "after its end"
            raise LawBroken(f"a stream is opened first and ended last: {item.stream!r} brings {_name(item)} {when}")
        if isinstance(item, Ended):
            heard.ended = True
        elif isinstance(item, Note):
            if not item.state or not item.text:
                raise LawBroken(f"a note has a state and a text: {item}")
        elif isinstance(item, Gap):
            _check_gap(item, heard)
        else:
            _check_chunk(item, heard)
    if not streams:
        raise LawBroken("a source opens at least one stream: nothing came")
    still = sorted(name for name, heard in streams.items() if not heard.ended)
    if still:
        raise LawBroken(f"a stream is ended last: {', '.join(still)} never ended")
    return items


def _check_opened(item: Opened, streams: dict[str, _Heard]) -> None:
    if item.stream in streams and not streams[item.stream].ended:
        raise LawBroken(f"a stream is opened once: {item.stream!r} was opened again before its end")
    if item.rate < 1 or item.channels < 1:
        raise LawBroken(f"a stream has a rate and channels: {item}")
    streams[item.stream] = _Heard(item)


def _check_gap(item: Gap, heard: _Heard) -> None:
    if item.start != heard.expected or item.end <= item.start or not item.reason:
        raise LawBroken(
            f"a gap starts where the samples stopped, has a length and a reason: {item} at {heard.expected}"
        )
    heard.expected = item.end


def _check_chunk(item: Chunk, heard: _Heard) -> None:
    samples = item.samples
    if not isinstance(samples, np.ndarray) or samples.dtype != np.float32:
        raise LawBroken(f"samples are float32: {item.stream!r} at {item.start} brings {getattr(samples, 'dtype', '?')}")
    if samples.ndim != 2 or samples.shape[1] != heard.opened.channels or not len(samples):
        raise LawBroken(
            f"samples are (time, {heard.opened.channels}) and not empty: {item.stream!r} at {item.start} brings "
            f"{samples.shape}"
        )
    if item.start != heard.expected:
        raise LawBroken(
            f"samples continue or a gap is declared: {item.stream!r} brings {item.start}, {heard.expected} was next"
        )
    heard.expected = item.end


def _name(item: Item) -> str:
    return type(item).__name__
