"""What brings the samples of one stream to a daemon, as many as it gives credit for, and again after a restart."""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal

import msgspec
import numpy as np
import zmq
from msgspec import UNSET
from numpy.typing import ArrayLike

from streamrnn import ingest, wire
from streamrnn.client.backlog import Backlog
from streamrnn.client.connection import Connection
from streamrnn.detector import as_samples
from streamrnn.errors import DeviceError, StreamError
from streamrnn.ingest import Credit, Data, End, Error, Start

TIMEOUT_S = 30.0  # for a daemon that is started again, and as long as what was sent is kept
_TIME_COLUMNS = 2  # of 32 bits
_NOTICE_S = 1.0  # after which a wait should be explained
_AGAIN_S = 10.0  # and how often again
_ASK_S = 1.5  # how often a daemon that does not answer a start is asked again
_SILENT_S = 4.0  # a daemon that is there says so each second
_NO_DAEMON = "no daemon answers; start `streamrnn serve` with a source of kind zeromq there"
# After these the stream is not open, and was not refused: it is started again.
_GONE = ("unknown_stream", "closing")


class Pusher(Connection):
    """Brings one stream to a daemon: `push` samples, then `end`; as a context manager it ends by itself.

    The daemon gives credit for the samples that it has room for. Without credit `push` waits ("block"), or keeps what
    waits for `buffer_s` and leaves out the newest or oldest beyond ("drop_newest", "drop_oldest"), which the daemon
    declares as a gap. What was sent is kept for `buffer_s` as well: a daemon that was away is told the rest, from the
    sample that it asks for. With `times` of "ns" each sample comes with a time, and the daemon puts it onto its grid;
    `names` are those of the channels, in whatever order.
    """

    def __init__(
        self,
        endpoint: str = ingest.ENDPOINT,
        *,
        stream: str,
        rate: int,
        channels: int = 1,
        dtype: Literal["int16", "float32"] = "float32",
        when_full: Literal["block", "drop_newest", "drop_oldest"] = "block",
        buffer_s: float = 30.0,
        timeout: float = TIMEOUT_S,
        waiting: Callable[[str], None] = lambda line: None,
        keys: str = "",
        times: Literal["", "ns"] = "",
        names: Sequence[str] = (),
    ) -> None:
        """Start a stream; `timeout` in seconds is how long the daemon may take for any answer, or be away.

        `keys` is the path of a secret certificate of streamrnn keygen, for a daemon that asks for them.
        `waiting` is told, in a line for people, when its first answer takes more than a second, when it has gone, each
        10 s that it does not come, and when it is back.
        Raises StreamError if it refuses the stream or it cannot be described so, DeviceError if it does not answer.
        """
        run = secrets.token_hex(8)
        start = Start(
            wire.check_name(stream), rate, channels, dtype, run, times=times or UNSET, names=tuple(names) or UNSET
        )
        ingest.checked(start)
        if not 0 <= buffer_s < 86_400:
            raise StreamError(f"{stream}: buffer_s is {buffer_s:g}; give 0 up to a day")
        super().__init__(endpoint, zmq.DEALER, ingest.ENDPOINT, keys)
        self.stream, self.dropped, self.restarts = stream, 0, 0
        self._start, self._when_full, self._timeout, self._waiting = start, when_full, timeout, waiting
        self._most = round(buffer_s * rate)
        self._backlog = Backlog(channels + (_TIME_COLUMNS if times else 0), self._most)
        self._at = self._credit = 0  # the sample that is sent next, and how many may be
        self._room = 0  # how many the daemon lets be on their way
        self._taken = 0
        self._open = self._ending = self._ended = False
        self._heard = self._asked = self._gone = time.monotonic()
        self._say_at = self._gone + _NOTICE_S
        self._largest = min(ingest.LARGEST_CHUNK, ingest.LARGEST_MESSAGE // (channels * ingest.DTYPES[dtype].itemsize))
        try:
            self._send(start)
            while not self._open and not self._ended:
                self._wait(_NO_DAEMON)
        except BaseException:
            self._shut(0.0)
            raise

    @property
    def taken(self) -> int:
        """Up to which sample of the stream a daemon has said that it took it."""
        return self._taken

    def push(self, samples: ArrayLike, times: ArrayLike = ()) -> None:
        """Send the samples that come next, `(time,)` or `(time, channels)`, floats in [-1, 1] or integers.

        `times` are whole nanoseconds of the sensor's own clock, one a sample, of a pusher that was made with them.
        Raises StreamError if they have other channels or the daemon refuses them, DeviceError if it does not answer.
        """
        chunk = as_samples(samples)
        if chunk.shape[1] != self._start.channels:
            raise StreamError(f"{self.stream}: {chunk.shape[1]} channels; it was started with {self._start.channels}")
        moments = np.asarray(times, "<i8")
        if moments.shape != ((len(chunk),) if self._start.times else (0,)):
            wanted = "one time for each sample" if self._start.times else 'no times, or times="ns" from the start'
            raise StreamError(f"{self.stream}: {moments.size} times for {len(chunk)} samples; give {wanted}")
        if self._start.times:
            # What is kept to be sent again is kept as one: the halves of a time stand beside its sample.
            chunk = np.hstack([chunk, moments.view("<f4").reshape(-1, _TIME_COLUMNS)])
        for first in range(0, len(chunk), self._largest):
            piece = chunk[first : first + self._largest]
            self._attend()
            room = max(0, self._most + self._credit - self._backlog.waiting(self._at))
            if self._when_full == "drop_newest" and len(piece) > room:
                self._backlog.append(piece[:room])
                self._backlog.skip(len(piece) - room)
                self.dropped += len(piece) - room
            else:
                self._backlog.append(piece)
            self._send_on()
            excess = self._backlog.waiting(self._at) - self._most
            if self._when_full == "drop_oldest" and excess > 0:
                self._at = self._backlog.after(self._at, excess)
                self._backlog.drop(self._at)
                self.dropped += excess
            if self._when_full == "block":
                self._flush()
            # What the daemon has given no credit back for it has not heard: it is kept whatever `buffer_s` says.
            self._backlog.trim(self._at, self._room - self._credit)

    def skip(self, samples: int) -> None:
        """Leave out samples that were lost: the daemon declares a gap."""
        self._backlog.skip(samples)

    def end(self) -> None:
        """End the stream and wait until its last results are published. Raises StreamError or DeviceError."""
        while not self._ended:
            self._flush()
            if self._open and not self._ending:
                self._send(End(self.stream, self._backlog.end))
                self._ending = True
            self._wait("the daemon does not confirm the end; is it stopped?")
        self.close()

    def close(self) -> None:
        """Let the connection go; a stream that was not ended the daemon ends itself."""
        self._shut(1.0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._shut(0.0)
            return
        if not self._ended:
            self.end()
        self.close()

    def _flush(self) -> None:
        """Send all that waits, as credit comes."""
        while not self._ended:
            self._send_on()
            if self._open and not self._backlog.waiting(self._at):
                return
            self._wait("the daemon takes no samples; is it stopped?")

    def _send_on(self) -> None:
        """What there is credit for."""
        while self._open and self._credit and self._socket.poll(0, zmq.POLLOUT):
            start, samples = self._backlog.read(self._at, min(self._credit, self._largest))
            if not len(samples):
                return
            channels = self._start.channels
            payload = ingest.pack(samples[:, :channels], self._start.dtype)
            self._send(Data(self.stream, start, len(samples)), payload, samples[:, channels:].tobytes())
            self._at = start + len(samples)
            self._credit -= len(samples)

    def _send(self, header: ingest.Request, *payload: bytes) -> None:
        parts = [ingest.encode_header(header), *filter(None, payload)]
        # A queue that is full is one of a daemon that is gone: the silence will tell.
        with contextlib.suppress(zmq.Again):
            self._socket.send_multipart(parts, zmq.NOBLOCK)

    def _restart(self) -> None:
        """Ask a daemon that came back, or will, from where it wants the stream."""
        if self._open:
            self._open, self._ending, self._credit = False, False, 0
            self._gone = time.monotonic()
            self.restarts += 1
            self._waiting(f"{self.endpoint}: the daemon is away; waiting {_patience(self._timeout)} for it")
            self._say_at = self._gone + _AGAIN_S
        self._connect_again()
        self._asked = time.monotonic()
        self._send(msgspec.structs.replace(self._start, first=self._backlog.first))

    def _attend(self) -> None:
        """Heed what the daemon has said, and whether it is there. Raises StreamError or DeviceError."""
        while self._socket.poll(0):
            self._heed(self._socket.recv_multipart())
        self._look(_NO_DAEMON)

    def _wait(self, complaint: str) -> None:
        """Heed one answer. Raises StreamError for an error, DeviceError with the complaint if none comes in time."""
        parts = self._receive(min(self._timeout, 0.2))
        if parts:
            self._heed(parts)
        self._look(complaint)

    def _look(self, complaint: str) -> None:
        now = time.monotonic()
        since = self._heard if self._open else self._gone
        if now - since >= self._timeout:
            if self.restarts and not self._open:
                complaint = f"the daemon went away and none came back within {self._timeout:g} s; start it again"
            raise DeviceError(f"{self.endpoint}: {complaint}")
        if not self._open and now >= self._say_at:
            left = _patience(self._timeout if self._say_at <= since + _NOTICE_S else round(since + self._timeout - now))
            which = "the daemon is still away" if self.restarts else "no daemon answers yet"
            self._waiting(f"{self.endpoint}: {which}; waiting {left} for {'it' if self.restarts else 'one'}")
            self._say_at = now + _AGAIN_S
        silent_s = now - (self._heard if self._open else self._asked)
        if silent_s >= (_SILENT_S if self._open else _ASK_S):
            self._restart()

    def _heed(self, parts: list[bytes]) -> None:
        """One answer. Raises StreamError for an error."""
        self._heard = time.monotonic()
        try:
            answer = ingest.decode_answer(parts)
        except wire.WireError:
            return  # of a kind that is to come
        if isinstance(answer, Credit):
            self._take(answer)
        elif isinstance(answer, End):
            self._ended, self._taken = True, self._backlog.end
        elif isinstance(answer, Error) and answer.code in _GONE:
            if self._open:
                self._restart()
        else:
            raise StreamError(f"{self.stream}: {answer.text} ({answer.code})")

    def _take(self, credit: Credit) -> None:
        if self._open:
            self._credit += credit.n
            self._taken = max(self._taken, self._at - max(0, self._room - self._credit))
            return
        # The first answer to a start; one that only asks whether we are there is none.
        if credit.next is UNSET and not credit.n:
            return
        self._open, self._credit = True, credit.n
        self._room = max(self._room, credit.n)
        wanted = 0 if credit.next is UNSET else credit.next
        self._at, self._taken = max(self._backlog.first, wanted), max(self._taken, wanted)
        if self.restarts:
            away_s = time.monotonic() - self._gone
            self._waiting(f"{self.endpoint}: the daemon is back after {away_s:.1f} s; going on with sample {self._at}")


def _patience(seconds: float) -> str:
    return f"{seconds:g} s" if math.isfinite(seconds) else "as long as it takes"
