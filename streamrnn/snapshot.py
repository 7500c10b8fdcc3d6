"""A snapshot of a stream: all that an engine remembers of it, as data, from which another engine goes on.

It is taken of a stream that has been heard as far as its samples go. What is kept of each input (a rate and a number of
channels that bundles take) is what its resampler needs to go on and the samples that do not fill a hop yet; of each
bundle its hidden state, the memory of its decoder and how far it is.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.chunk import Samples
from streamrnn.errors import StreamError, plain
from streamrnn.events import Lost
from streamrnn.resampling import Primer
from streamrnn.table import State

SCHEMA = 1
_DTYPES = ("float32", "float64", "int64", "int32", "bool")


class InputMemory(msgspec.Struct, frozen=True):
    """An input: what its resampler goes on from, and a tape of `end` samples with those that wait, `(time, channels)`.

    The tape's first sample lies at source sample `begin` of the stream.
    """

    rate: int
    channels: int
    begin: int
    primer: Primer
    end: int
    waiting: Samples


class Remark(msgspec.Struct, frozen=True):
    """A gap that is to be told once `frames` have been heard."""

    frames: int
    epoch: int
    sample: int
    lost: Lost


class ListenerMemory(msgspec.Struct, frozen=True):
    """A bundle on the stream: what it is, the frames heard since tape sample `origin`, and its memory, `(1, ...)`."""

    bundle: str
    sha: str
    decoder: bytes
    origin: int
    place: int
    frames: int
    restored: int
    remarks: tuple[Remark, ...]
    state: State
    track: State


class Snapshot(msgspec.Struct, frozen=True):
    """A stream at source sample `expected`, the one that continues it; its present epoch began at `start`."""

    schema: int
    stream: str
    rate: int
    channels: int
    epoch: int
    start: int
    expected: int
    heard: int
    lost: int
    duplicates: int
    untold: tuple[Lost, ...]
    in_gap: bool
    overlapping: bool
    inputs: tuple[InputMemory, ...]
    listeners: tuple[ListenerMemory, ...]


class _Array(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data: bytes


def encode(snapshot: Snapshot) -> bytes:
    """A snapshot as bytes."""
    return msgspec.msgpack.encode(snapshot, enc_hook=_pack)


def decode(data: bytes) -> Snapshot:
    """The snapshot of such bytes. Raises StreamError if they are none, or of another schema."""
    try:
        snapshot: Snapshot = msgspec.msgpack.decode(data, type=Snapshot, dec_hook=_unpack)
    except (msgspec.MsgspecError, ValueError, UnicodeDecodeError, RecursionError) as error:
        raise StreamError(f"no snapshot of a stream: {plain(error)}") from None
    if snapshot.schema != SCHEMA:
        raise StreamError(f"{snapshot.stream}: snapshot of schema {snapshot.schema}, this reads {SCHEMA}")
    return snapshot


def size(snapshot: Snapshot) -> int:
    """Bytes of its arrays, which are nearly all that it takes."""
    heard = sum(each.nbytes for one in snapshot.listeners for each in (*one.state.values(), *one.track.values()))
    return heard + sum(each.waiting.nbytes + each.primer.samples.nbytes for each in snapshot.inputs)


def same_make(memory: State, initial: State) -> bool:
    """Whether a saved state or track has the names, shapes and types of an initial one, and is finite."""
    if memory.keys() != initial.keys():
        return False
    return all(
        memory[name].shape == array.shape
        and memory[name].dtype == array.dtype
        and bool(np.isfinite(memory[name]).all())
        for name, array in initial.items()
    )


def _pack(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(f"{type(value).__name__} is no part of a snapshot")
    return _Array(str(value.dtype), value.shape, np.ascontiguousarray(value).tobytes())


def _unpack(kind: Any, value: Any) -> NDArray[Any]:
    array = msgspec.convert(value, _Array)
    if array.dtype not in _DTYPES:
        raise ValueError(f"array of {array.dtype}")
    return np.frombuffer(array.data, array.dtype).reshape(array.shape).copy()
