"""What a daemon and its workers say to one another: orders down, reports up, MessagePack behind its length."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from streamrnn.events import BundleRef, Event
from streamrnn.wire import BODIES

_LENGTH = struct.Struct("<Q")


class _Order(msgspec.Struct, frozen=True, array_like=True, tag_field="kind"):
    """Something that is to be done with a stream, by the method of the engine that is called so."""

    stream: str


class Open(_Order, frozen=True, tag="open"):
    """A stream begins, or goes on without its memory, at sample `start`; `bundles` may be none: all."""

    rate: int
    channels: int
    bundles: tuple[str, ...]
    epoch: int
    start: int


class Restore(_Order, frozen=True, tag="restore"):
    """A stream goes on where an encoded snapshot was taken."""

    snapshot: bytes
    bundles: tuple[str, ...]


class Push(_Order, frozen=True, tag="push"):
    """Samples of a stream, the channels of each together, float32 of this machine."""

    start: int
    channels: int
    samples: memoryview

    @property
    def values(self) -> int:
        """How many numbers there are."""
        return self.samples.nbytes // 4


class Lose(_Order, frozen=True, tag="lose"):
    """The samples up to `end` never came."""

    end: int
    reason: str


class Forget(_Order, frozen=True, tag="forget"):
    """What was heard is forgotten."""

    reason: str


class Finish(_Order, frozen=True, tag="finish"):
    """The stream is over."""


class Keep(_Order, frozen=True, tag="keep"):
    """A snapshot of the stream is wanted."""


Order = Open | Restore | Push | Lose | Forget | Finish | Keep


class Given(msgspec.Struct, frozen=True):
    """A bundle to serve: its file and where that was, the recognizer that serves it, encoded, and the backend."""

    file: bytes
    path: str
    recognizer: bytes
    backend: str


class Serve(msgspec.Struct, frozen=True, tag="serve"):
    """Serve these bundles from now on, in rounds of so many streams and seconds; on `core`, on any if below 0."""

    bundles: tuple[Given, ...]
    rows_a_call: int
    round_s: float
    core: int


class Turn(msgspec.Struct, frozen=True, tag="turn"):
    """What came since the turn before, in order."""

    orders: tuple[Order, ...]


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """How far an open stream is, as its engine counts; all that was lost before sample `untold` is told."""

    stream: str
    expected: int
    untold: int
    epoch: int
    heard: int
    lost: int
    duplicates: int


class Called(msgspec.Struct, frozen=True, array_like=True):
    """One call of a bundle's network: how many frames, and how many seconds it took."""

    bundle: str
    frames: int
    seconds: float


class _Told(msgspec.Struct, frozen=True, array_like=True):
    kind: str
    stream: str
    bundle: BundleRef
    epoch: int
    sample: int
    rate: int
    readiness: str
    id: str
    body: msgspec.Raw


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The bundles are proved, and turns are taken."""


class Report(msgspec.Struct, frozen=True, tag="report"):
    """What came of a turn, or of the first part of it if there is `more`.

    At its end: what of it could not be done, of each stream in it how far it is, or was when it ended, and snapshots,
    encoded, of those that were wanted and are settled.
    """

    events: tuple[_Told, ...]
    calls: tuple[Called, ...] = ()
    seconds: float = 0.0
    more: bool = False
    fault: str = ""
    standings: tuple[Standing, ...] = ()
    snapshots: dict[str, bytes] = {}


_ORDERS = msgspec.msgpack.Decoder(Serve | Turn)
_REPORTS = msgspec.msgpack.Decoder(Ready | Report)
_RAW = msgspec.msgpack.encode


def told(events: Iterable[Event]) -> tuple[_Told, ...]:
    """Events, to be sent."""
    return tuple(
        _Told(
            each.kind,
            each.stream,
            each.bundle,
            each.epoch,
            each.sample,
            each.rate,
            each.readiness,
            each.id,
            msgspec.Raw(_RAW(each.body)),
        )
        for each in events
    )


def heard(report: Report) -> list[Event]:
    """The events of a report."""
    return [
        Event(
            each.kind,
            each.stream,
            each.bundle,
            each.epoch,
            each.sample,
            each.rate,
            each.readiness,
            each.id,
            _body(each),
        )
        for each in report.events
    ]


def _body(told_: _Told) -> Any:
    return msgspec.msgpack.decode(told_.body, type=BODIES[told_.kind])


def encode(message: Serve | Turn | Ready | Report) -> bytes:
    """A message as it is sent."""
    data = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(data)) + data


def receive(read: Callable[[int], bytes]) -> bytes:
    """The next message, encoded; `read` gives so many bytes, fewer at the end. b"" where no whole one comes."""
    head = read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return b""
    (length,) = _LENGTH.unpack(head)
    data = read(length)
    return data if len(data) == length else b""


class Arrived:
    """What has come of messages that are not whole yet."""

    def __init__(self) -> None:
        self._data = bytearray()

    def whole(self, data: bytes) -> list[bytes]:
        """The messages, encoded, that are whole with this."""
        self._data += data
        messages = []
        while len(self._data) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._data)[0]
            if len(self._data) < end:
                break
            messages.append(bytes(self._data[_LENGTH.size : end]))
            del self._data[:end]
        return messages


def order(data: bytes) -> Serve | Turn:
    """What a daemon sent."""
    decoded: Serve | Turn = _ORDERS.decode(data)
    return decoded


def report(data: bytes) -> Ready | Report:
    """What a worker sent."""
    decoded: Ready | Report = _REPORTS.decode(data)
    return decoded
