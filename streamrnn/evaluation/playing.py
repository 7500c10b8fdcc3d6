"""Plays recordings through the engine, many at once, and through the bare step for their posteriors."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, cycle

import msgspec
import numpy as np

from streamrnn.backends import Array, ArrayState
from streamrnn.chunk import Samples
from streamrnn.engine import Engine, Serving
from streamrnn.errors import RecordingError
from streamrnn.evaluation.playable import Playable
from streamrnn.events import Event, Heard
from streamrnn.pool import ending
from streamrnn.resampling import open_resampler
from streamrnn.stretch import mixed

# Enough for a full batch; more would only keep more recordings open.
_STREAMS_AT_ONCE = 64
# How much of a recording is handed over at once unless somebody asks for chunks: it has no meaning for the result.
BLOCK_S = 5.0
# How often somebody may look at the state of what is played. Chunks end there as well, so that it is the state after
# the same samples for any chunks.
LOOK_S = 5.0
_APART_S = 240.0
# No less is read at once: chunks of one sample must not be reads of one sample.
_SMALLEST_READ = 1 << 16


@dataclass(frozen=True, slots=True)
class Play:
    """A recording that is to be played, with `margin` samples of silence before and after it, or its first seconds."""

    recording: Playable
    margin: int
    longest_s: float = math.inf


def check_channels(serving: Serving, recording: Playable) -> None:
    """Raises RecordingError if a recording has not the channels that a bundle takes; one channel is the mean of any."""
    wanted = serving.recognizer.channels
    if wanted not in (1, recording.channels):
        raise RecordingError(
            f"{recording.path}: {recording.channels} channels, {serving.name} takes {wanted}; give it the same ones"
        )


def play(
    serving: Serving,
    plays: Sequence[Play],
    chunk_s: float | Sequence[float],
    ended: Callable[[Play], None] = lambda each: None,
    heard_s: Callable[[float], object] = lambda seconds: None,
    *,
    look: Callable[[int, float, ArrayState], object] = lambda place, seconds, state: None,
) -> list[list[Event]]:
    """The events of each recording, in the order of `plays`; `ended` is told of each as it ends, `heard_s` of seconds.

    They are those of a live stream, whatever `chunk_s` is: the seconds of every chunk, or of several in turn. `look` is
    shown which of the plays it is, seconds since its begin, and its state then: after every LOOK_S of them. Raises
    RecordingError where samples cannot be read.
    """
    engine = Engine([serving])
    heard: list[list[Event]] = [[] for _ in plays]
    # Neighbours of one length fill a batch from begin to end.
    waiting = iter(sorted(range(len(plays)), key=lambda place: plays[place].recording.seconds))
    active: dict[int, tuple[int, Iterator[Samples]]] = {}
    while True:
        while len(active) < _STREAMS_AT_ONCE and (place := next(waiting, None)) is not None:
            recording = plays[place].recording
            check_channels(serving, recording)
            engine.open(str(place), recording.rate, recording.channels)
            seconds = [chunk_s] if isinstance(chunk_s, (int, float)) else chunk_s
            chunks = _chunks(plays[place], [max(1, round(each * recording.rate)) for each in seconds])
            active[place] = 0, _cut(chunks, count(every := _look_every(recording), every))
        if not active:
            return heard
        seen = []
        for place, (start, chunks) in list(active.items()):
            samples = next(chunks, None)
            if samples is None:
                engine.finish(str(place))
                del active[place]
                ended(plays[place])
            else:
                engine.push(str(place), start, samples)
                active[place] = start + len(samples), chunks
                heard_s(len(samples) / plays[place].recording.rate)
                seen += [] if active[place][0] % _look_every(plays[place].recording) else [place]
        for event in engine.run():
            heard[int(event.stream)].append(event)
        for place in seen:
            look(place, active[place][0] / plays[place].recording.rate, engine.states(str(place))[serving.name])


def play_apart(
    serving: Serving,
    recording: Playable,
    edges: Sequence[int],
    heard_s: Callable[[float], object] = lambda seconds: None,
) -> list[Event]:
    """The events of a recording whose stretches between `edges` (samples, rising) are each heard with a fresh state.

    Each is a stream of its own, with an end; what was heard in it is told at its place in the recording. Raises
    RecordingError where samples cannot be read.
    """
    check_channels(serving, recording)
    starts = [0, *(edge for edge in edges if 0 < edge < recording.length)]
    engine, heard = Engine([serving]), list[Event]()
    at, waiting, number = 0, 0.0, -1
    for part in _cut(recording.blocks(_SMALLEST_READ), starts[1:]):
        if number + 1 < len(starts) and at == starts[number + 1]:
            if at:
                engine.finish(str(number))
            number += 1
            engine.open(str(number), recording.rate, recording.channels)
        engine.push(str(number), at - starts[number], part)
        at += len(part)
        waiting += len(part) / recording.rate
        heard_s(len(part) / recording.rate)
        # Stretches that wait together are heard side by side.
        if waiting >= _APART_S:
            heard += engine.run()
            waiting = 0.0
    engine.finish(str(number))
    moved = [_moved(event, starts[int(event.stream)]) for event in [*heard, *engine.run()]]
    return sorted(moved, key=lambda event: event.sample)


def _moved(event: Event, by: int) -> Event:
    body = event.body
    if isinstance(body, Heard):
        body = msgspec.structs.replace(body, start=body.start + by, end=body.end + by)
    return msgspec.structs.replace(event, sample=event.sample + by, body=body)


def posteriors(serving: Serving, recording: Playable, longest_s: float = math.inf, margin: int = 0) -> Array:
    """What the bare step says of a recording and the zeros of its delay, from the initial state, `(frames, columns)`.

    `margin` samples of silence stand before and after it. Of a recording longer than `longest_s` seconds it is what
    the bare step says of these, and no zeros follow. Frame `i` is said after `(i + 1) * hop` samples at the
    recognizer's rate. Raises RecordingError.
    """
    recognizer = serving.recognizer
    said = list(_stepped(serving, _whole(serving, recording, longest_s, margin)))
    return np.concatenate([part[0] for part in said]) if said else np.zeros((0, len(recognizer.columns)), np.float32)


def _whole(serving: Serving, recording: Playable, longest_s: float, margin: int) -> Iterator[Samples]:
    """(1, time, channels) block by block, and after the end of the recording the zeros of the delay."""
    recognizer = serving.recognizer
    yield from _resampled(serving, [recording], longest_s, margin)
    if recording.seconds <= longest_s:
        yield np.zeros((1, recognizer.delay + recognizer.hop - 1, recognizer.channels), np.float32)


def posteriors_together(serving: Serving, recordings: Sequence[Playable]) -> Iterator[Array]:
    """The same of several recordings of one rate and length, in parts `(recordings, frames, columns)`, to the end.

    The end is the engine's: the last hop filled up and the zeros that network and decoder want. Of less than a hop
    nothing is said. Raises RecordingError.
    """
    recognizer, heard = serving.recognizer, 0

    def blocks() -> Iterator[Samples]:
        nonlocal heard
        for block in _resampled(serving, recordings):
            heard += block.shape[1]
            yield block
        if heard >= recognizer.hop:
            count = -heard % recognizer.hop + ending(serving) * recognizer.hop
            yield np.zeros((len(recordings), count, recognizer.channels), np.float32)

    return _stepped(serving, blocks())


def _resampled(
    serving: Serving, recordings: Sequence[Playable], longest_s: float = math.inf, margin: int = 0
) -> Iterator[Samples]:
    """(recordings, time, channels) block by block, at the recognizer's rate; they have one rate and length."""
    recognizer = serving.recognizer
    for recording in recordings:
        check_channels(serving, recording)
    resamplers = [open_resampler(each.rate, recognizer.rate, recognizer.channels) for each in recordings]
    rate = recordings[0].rate
    size = max(_SMALLEST_READ, round(BLOCK_S * rate))
    for blocks in zip(*(_around(each, size, longest_s, margin) for each in recordings), strict=True):
        yield np.stack(
            [
                resampler.push(mixed(block, recognizer.channels))
                for resampler, block in zip(resamplers, blocks, strict=True)
            ]
        )
    if recordings[0].seconds <= longest_s:
        yield np.stack([resampler.finish() for resampler in resamplers])


def _stepped(serving: Serving, blocks: Iterator[Samples]) -> Iterator[Array]:
    """Samples (batch, time, channels) in any blocks -> posteriors (batch, frames, columns), from the initial state."""
    hop, state = serving.recognizer.hop, serving.initial
    rest = np.zeros((1, 0, serving.recognizer.channels), np.float32)
    for block in blocks:
        if len(block) != len(rest):
            rest = np.repeat(rest, len(block), axis=0)
            state = {name: np.repeat(array, len(block), axis=0) for name, array in state.items()}
        rest = np.concatenate([rest, block], axis=1)
        whole = rest.shape[1] // hop * hop
        if whole:
            said, state = serving.step(np.ascontiguousarray(rest[:, :whole]), state)
            yield said
            rest = rest[:, whole:]


def _chunks(play: Play, lengths: Sequence[int]) -> Iterator[Samples]:
    """The recording between its margins in chunks of these lengths in turn, and a last one of what is left."""
    silence = np.zeros((play.margin, play.recording.channels), np.float32)
    rest, at, turn = silence[:0], 0, cycle(lengths)
    length = next(turn)
    recorded = _first(play.recording, max(*lengths, _SMALLEST_READ), play.longest_s)
    for block in chain([silence], recorded, [silence]):
        rest, at = np.concatenate([rest[at:], block]), 0
        while at + length <= len(rest):
            yield rest[at : at + length]
            at, length = at + length, next(turn)
    if at < len(rest):
        yield rest[at:]


def _look_every(recording: Playable) -> int:
    """In samples of it."""
    return max(1, round(LOOK_S * recording.rate))


def _cut(chunks: Iterable[Samples], edges: Iterable[int]) -> Iterator[Samples]:
    """The same chunks, parted where they reach over an edge; edges rise."""
    at, rising = 0, iter(edges)
    edge = next(rising, sys.maxsize)
    for chunk in chunks:
        start = 0
        while start < len(chunk):
            part = chunk[start : start + edge - at]
            yield part
            at, start = at + len(part), start + len(part)
            if at == edge:
                edge = next(rising, sys.maxsize)


def _around(recording: Playable, length: int, longest_s: float, margin: int) -> Iterator[Samples]:
    """The blocks of a recording, or of its first seconds, with silence before them and after the end of all of it."""
    silence = np.zeros((margin, recording.channels), np.float32)
    whole = recording.seconds <= longest_s
    yield from ([silence] if margin else [])
    yield from _first(recording, length, longest_s)
    yield from ([silence] if margin and whole else [])


def _first(recording: Playable, length: int, longest_s: float) -> Iterator[Samples]:
    """The blocks of a recording's first seconds."""
    left = recording.length if recording.seconds <= longest_s else max(1, round(longest_s * recording.rate))
    for block in recording.blocks(length):
        yield block[:left]
        left -= len(block)
        if left <= 0:
            return
