"""The ingest wire: headers of streams that clients bring, their payloads and the answers. No sockets here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from streamrnn import limits
from streamrnn.chunk import Chunk, Opened, Samples
from streamrnn.errors import StreamError
from streamrnn.instants import LARGEST_TIME
from streamrnn.wire import NOBODY, Name, Natural, WireError, parse

ENDPOINT = "tcp://127.0.0.1:5561"
LARGEST_HEADER = 1 << 12  # bytes of the JSON part
LARGEST_CHUNK, LARGEST_MESSAGE, MOST_CHANNELS = limits.LARGEST_CHUNK, limits.LARGEST_MESSAGE, limits.MOST_CHANNELS
DTYPES: dict[str, np.dtype[Any]] = {"int16": np.dtype("<i2"), "float32": np.dtype("<f4")}
_SCALE = np.float32(1.0 / 32768.0)
_TIME = np.dtype("<i8")
ChannelName = Annotated[str, Meta(min_length=1, max_length=64)]
Names = Annotated[tuple[ChannelName, ...], Meta(min_length=1, max_length=MOST_CHANNELS)]
RunName = Annotated[str, Meta(pattern=r"^[a-z0-9_.-]{0,64}\Z")]


class _Header(msgspec.Struct, frozen=True, tag_field="kind"):
    """The first part of an ingest message; `kind` tells which."""


class Start(_Header, frozen=True, tag="start", forbid_unknown_fields=True):
    """A client opens a stream of `rate` Hz; `dtype` is that of its payloads, little-endian, channels interleaved.

    `run` is drawn by a client when it begins to count: of the same stream and run, sample n is the same sample. With a
    run, the first credit tells where to go on; `first` is the first sample that the client can still send. "" is a
    stream that begins at 0 and can never go on after an interruption. With `times` of "ns" each data has a third part,
    the time of each sample in nanoseconds as a little-endian int64. `names` are those of the channels, if it has any.
    """

    stream: Name
    rate: Annotated[int, Meta(ge=1, le=1_000_000)]
    channels: Annotated[int, Meta(ge=1, le=MOST_CHANNELS)] = 1
    dtype: str = "int16"
    run: RunName = ""
    first: Natural = 0
    # Not sent where they say nothing: a daemon of before would not know them.
    times: Literal["ns"] | UnsetType = UNSET
    names: Names | UnsetType = UNSET


class Data(_Header, frozen=True, tag="data", forbid_unknown_fields=True):
    """A client brings `n` samples, the first of which has the index `start` in the stream."""

    stream: Name
    start: Natural
    n: Annotated[int, Meta(ge=1, le=LARGEST_CHUNK)]


class End(_Header, frozen=True, tag="end"):
    """A client closes a stream of `total` samples, left out or not; the daemon says it back when all is taken."""

    stream: Name
    total: Natural | UnsetType = UNSET


class Credit(_Header, frozen=True, tag="credit"):
    """The daemon takes `n` samples more of a stream; 0 only asks whether the client is still there.

    The first one that answers a start with a `run` carries `next`, the sample from which the daemon wants the stream:
    0 if it does not know it, and where it stopped if it kept its memory.
    """

    stream: Name
    n: Natural
    next: Natural | UnsetType = UNSET


class Error(_Header, frozen=True, tag="error"):
    """The daemon did not take a message: `code` for programs, `text` for people, of `stream` ("": none readable)."""

    code: str
    text: str
    stream: str = ""


Request = Start | Data | End
Answer = Credit | Error | End


def encode_header(header: Request | Answer) -> bytes:
    """The JSON part of an ingest message."""
    return msgspec.json.encode(header)


def decode_request(parts: Sequence[bytes]) -> tuple[Request, bytes]:
    """Header and payload of what a client sent; times are the last part of the payload.

    Raises WireError with the code `parts`, `too_large`, `malformed`, `name`, `names`, `dtype` or `size`.
    """
    if len(parts) not in (1, 2, 3):
        raise WireError("parts", f"{len(parts)} parts; send [json header, payload], and the times of a timed stream")
    if len(parts[0]) > LARGEST_HEADER:
        raise WireError("too_large", f"{len(parts[0])} bytes of header; it has {LARGEST_HEADER} at most")
    header: Request = parse(parts[0], Request)
    if header.stream == NOBODY:
        raise WireError("name", f"stream {NOBODY!r} stands for no stream; choose another name")
    if isinstance(header, Start) and header.dtype not in DTYPES:
        raise WireError("dtype", f"{header.dtype!r} is none of {', '.join(DTYPES)}")
    if isinstance(header, Start) and header.names and not len(header.names) == len({*header.names}) == header.channels:
        raise WireError("names", f"{len(header.names)} names for {header.channels} channels; name each of them once")
    payload = parts[1] if len(parts) == 2 else b"".join(parts[1:])
    if payload and not isinstance(header, Data):
        raise WireError("size", f"{len(payload)} bytes of payload; only data has one")
    return header, payload


class _Named(msgspec.Struct, frozen=True):
    stream: Name


def stream_of(parts: Sequence[bytes]) -> str:
    """The stream that a message names which is otherwise against the rules; "" if none can be read."""
    try:
        # A header beyond its size is not read at all, not even for this.
        named: _Named = parse(parts[0][: LARGEST_HEADER + 1] if parts else b"", _Named)
    except WireError:
        return ""
    return named.stream


def checked(start: Start) -> Start:
    """The same header, once it is known to keep the rules of the wire. Raises StreamError."""
    try:
        decode_request([encode_header(start)])
    except WireError as error:
        raise StreamError(f"{start.stream}: {error.text}") from None
    return start


def decode_answer(parts: Sequence[bytes]) -> Answer:
    """What the daemon answered a client. Raises WireError with the code `parts` or `malformed`."""
    if len(parts) != 1:
        raise WireError("parts", f"{len(parts)} parts; an answer is [json header]")
    answer: Answer = parse(parts[0], Answer)
    return answer


def opened(start: Start) -> Opened:
    """The stream that a client opens."""
    return Opened(
        start.stream,
        start.rate,
        start.channels,
        start.first,
        start.run,
        timed=start.times == "ns",
        names=start.names or (),
        full_scale=1.0 if start.dtype == "int16" else 0.0,
    )


def chunk(start: Start, data: Data, payload: bytes) -> Chunk:
    """The samples of a data message of a stream. Raises WireError `size`, or `times` for those beyond 2^61."""
    if start.times is UNSET:
        return Chunk(data.stream, data.start, unpack(payload, data.n, start.channels, start.dtype))
    cut = data.n * start.channels * DTYPES[start.dtype].itemsize
    samples = unpack(payload[:cut], data.n, start.channels, start.dtype)
    if len(payload) != cut + data.n * _TIME.itemsize:
        raise WireError("size", f"{len(payload) - cut} bytes of times; {data.n} in int64 are {data.n * _TIME.itemsize}")
    times = np.frombuffer(payload, _TIME, offset=cut).astype(np.int64)
    if ((times <= -LARGEST_TIME) | (times >= LARGEST_TIME)).any():
        raise WireError("times", "one lies beyond 2^61 ns; count from another moment")
    return Chunk(data.stream, data.start, samples, times)


def pack(samples: Samples, dtype: str) -> bytes:
    """Samples `(time, channels)` as a payload; int16 takes [-1, 1] and clips beyond it."""
    if dtype == "int16":
        samples = np.clip(np.rint(samples * np.float32(32768.0)), -32768, 32767)
    return samples.astype(DTYPES[dtype]).tobytes()


def unpack(payload: bytes, n: int, channels: int, dtype: str) -> Samples:
    """A payload as samples `(n, channels)`; int16 becomes [-1, 1). Raises WireError `size`."""
    kind = DTYPES[dtype]
    wanted = n * channels * kind.itemsize
    if len(payload) != wanted:
        raise WireError(
            "size", f"{len(payload)} bytes of payload; {n} samples of {channels} channels in {dtype} are {wanted}"
        )
    samples = np.frombuffer(payload, kind).astype(np.float32)
    if dtype == "int16":
        # A power of two, by which a product is as exact as a quotient.
        samples *= _SCALE
    return samples.reshape(n, channels)
