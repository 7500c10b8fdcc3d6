"""What brings the samples of one stream to a daemon, as many as it gives credit for."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

import zmq
from numpy.typing import ArrayLike

from streamrnn import ingest, wire
from streamrnn.client.connection import Connection
from streamrnn.detector import as_samples
from streamrnn.errors import DeviceError, StreamError
from streamrnn.ingest import Credit, Data, End, Error, Start

_NOTICE_S = 1.0  # after which a wait should be explained


class Pusher(Connection):
    """Brings one stream to a daemon: `push` samples, then `end`; as a context manager it ends by itself.

    The daemon gives credit for the samples that it has room for. Without credit `push` waits ("block") or leaves
    samples out ("drop"), which the daemon declares as a gap.
    """

    def __init__(
        self,
        endpoint: str = ingest.ENDPOINT,
        *,
        stream: str,
        rate: int,
        channels: int = 1,
        dtype: Literal["int16", "float32"] = "float32",
        when_full: Literal["block", "drop"] = "block",
        timeout: float = 5.0,
        waiting: Callable[[str], None] = lambda line: None,
        keys: str = "",
    ) -> None:
        """Start a stream; `timeout` in seconds is how long the daemon may take for any answer.

        `keys` is the path of a secret certificate of streamrnn keygen, for a daemon that asks for them.
        `waiting` is told, in a line for people, when its first answer takes more than a second. Raises StreamError if
        it refuses the stream or it cannot be described so, DeviceError if the daemon does not answer.
        """
        start = ingest.checked(Start(wire.check_name(stream), rate, channels, dtype))
        super().__init__(endpoint, zmq.DEALER, ingest.ENDPOINT, keys)
        self.stream, self.dropped = stream, 0
        self._start, self._when_full, self._timeout = start, when_full, timeout
        self._next = self._credit = 0
        self._ended = False
        self._largest = min(ingest.LARGEST_CHUNK, ingest.LARGEST_MESSAGE // (channels * ingest.DTYPES[dtype].itemsize))
        try:
            self._send(start, b"")
            if timeout > _NOTICE_S and not self._socket.poll(round(_NOTICE_S * 1000)):
                waiting(f"{endpoint}: no daemon answers yet; waiting {timeout:g} s for one")
            while not self._credit:
                self._heed(timeout, "no daemon answers; start `streamrnn serve` with a source of kind zeromq there")
        except BaseException:
            self._shut(0.0)
            raise

    def push(self, samples: ArrayLike) -> None:
        """Send the samples that come next, `(time,)` or `(time, channels)`, floats in [-1, 1] or integers.

        Raises StreamError if they have other channels or the daemon refuses them, DeviceError if it does not answer.
        """
        chunk = as_samples(samples)
        if chunk.shape[1] != self._start.channels:
            raise StreamError(f"{self.stream}: {chunk.shape[1]} channels; it was started with {self._start.channels}")
        while len(chunk):
            self._heed_all()
            n = min(len(chunk), self._credit, self._largest)
            if n:
                payload = ingest.pack(chunk[:n], self._start.dtype)
                self._send(Data(self.stream, self._next, n), payload)
                self._credit -= n
                self._next += n
                chunk = chunk[n:]
            elif self._when_full == "drop":
                self.dropped += len(chunk)
                self.skip(len(chunk))
                return
            else:
                self._heed(self._timeout, "the daemon takes no samples; is it stopped?")

    def skip(self, samples: int) -> None:
        """Leave out samples that were lost: the daemon declares a gap."""
        self._next += samples

    def end(self) -> None:
        """End the stream and wait until its last results are published. Raises StreamError or DeviceError."""
        self._send(End(self.stream), b"")
        while not self._ended:
            self._heed(self._timeout, "the daemon does not confirm the end; is it stopped?")
        self.close()

    def close(self) -> None:
        """Let the connection go; a stream that was not ended the daemon ends itself."""
        self._shut(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._shut(0.0)
            return
        if not self._ended:
            self.end()
        self.close()

    def _send(self, header: ingest.Request, payload: bytes) -> None:
        parts = [ingest.encode_header(header), payload] if payload else [ingest.encode_header(header)]
        if not self._socket.poll(math.ceil(self._timeout * 1000), zmq.POLLOUT):
            raise DeviceError(f"{self.endpoint}: nothing goes out; is the daemon running?")
        self._socket.send_multipart(parts)

    def _heed_all(self) -> None:
        while self._socket.poll(0):
            self._heed(0.0, "")

    def _heed(self, seconds: float, complaint: str) -> None:
        """Take one answer. Raises StreamError for an error, DeviceError with the complaint if none comes in time."""
        parts = self._receive(seconds)
        if not parts:
            raise DeviceError(f"{self.endpoint}: {complaint}")
        answer = ingest.decode_answer(parts)
        if isinstance(answer, Credit):
            self._credit += answer.n
        elif isinstance(answer, Error):
            raise StreamError(f"{self.stream}: {answer.text} ({answer.code})")
        else:
            self._ended = True
