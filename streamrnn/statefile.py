"""The state file: what a daemon remembers of its streams, on disk, whole or not at all, whenever it is killed.

A file `streams.state` is a line that names its schema, the sha256 of the rest, and the rest, MessagePack. It is written
beside the old one, made durable and put in its place; a reader sees one or the other. One that is damaged, too large or
of another schema is announced and put aside as `streams.state.bad`, and the daemon starts without it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from streamrnn import disk, snapshot
from streamrnn.errors import DeviceError, plain
from streamrnn.recognizer import Positive
from streamrnn.snapshot import Snapshot

NAME = "streams.state"
MAGIC = b"SRSTATE1\n"
LARGEST = 256 << 20  # bytes
_NAMES = 64  # of runs that are remembered
_SEAL = len(disk.seal(MAGIC, b""))


class StateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keep the state of streams in `directory` ("": nowhere), written every `every_s` seconds and at a stop.

    After a start a stream that was kept is waited for `grace_s` seconds, and then it is over.
    """

    directory: str = ""
    every_s: Positive = 5.0
    grace_s: Positive = 30.0


class KeptStream(msgspec.Struct, frozen=True):
    """A stream that may go on: the run within which its samples are counted, and its snapshot, encoded."""

    run: str
    snapshot: bytes


class Kept(msgspec.Struct, frozen=True):
    """What is in the file: how many daemons have run on it, the streams by name, and the names of the last runs."""

    runs: Annotated[int, Meta(ge=0, le=2**40)] = 0
    streams: dict[str, KeptStream] = {}
    names: tuple[str, ...] = ()


Fresh = dict[str, tuple[str, Snapshot]]
"""By stream: its run and the snapshot of now."""


class StateFile:
    """Opened at start-up by one daemon; then written by a thread of its own, so that no disk holds up the engine."""

    def __init__(self, config: StateConfig, before: Callable[[], None] = lambda: None) -> None:
        """`before` is called, by the writing thread, before each write: a state may not be ahead of the journal.

        For what it has heard is not heard again, and who missed what was said of it has only the journal to ask.
        """
        self.every_s = config.every_s
        self.place = config.directory  # "" if nothing is kept
        self.trouble = ""  # why the file could not be read or the last write failed, for people
        self._directory = Path(config.directory)
        self.unreadable = 0  # files that were damaged and put aside
        self.damage = ""  # that is told as trouble
        self.runs: tuple[str, ...] = ()  # before this one, the oldest first
        self._names: tuple[str, ...] = ()  # those, and this one
        self._lock = -1
        self._before = before
        self._writer = threading.Thread(target=lambda: None)

    def open(self, run: str = "") -> Kept:
        """What the daemon before has left, our `run` counted. Raises DeviceError if nothing can be kept there."""
        if not self.place:
            return Kept()
        self._lock = disk.claim(self._directory, "state")
        kept = self._read()
        # Counted before anything is served: epochs of this run are never those of one before, however it ended.
        self.runs, self._names = kept.names, (*kept.names, *([run] if run else []))[-_NAMES:]
        counted = Kept(kept.runs + 1, kept.streams, self._names)
        try:
            _write(self._directory, msgspec.msgpack.encode(counted))
        except OSError as error:
            self._let_go()
            raise DeviceError(f"state {self.place}: {error.strerror}; choose a directory it may write to") from None
        return counted

    @property
    def idle(self) -> bool:
        """Whether there is a file and its last write is done."""
        return bool(self.place) and not self._writer.is_alive()

    def save(self, kept: Kept, fresh: Fresh) -> None:
        """While idle: write what was kept, and fresh snapshots in place of those of the same streams.

        A write that fails leaves the file as it was and says so in `trouble`.
        """
        self._writer = threading.Thread(target=self._save, args=(kept, fresh), name="state", daemon=True)
        self._writer.start()

    def finish(self, kept: Kept, fresh: Fresh, seconds: float) -> list[str]:
        """Write for the last time, within `seconds`, and let the directory go; what went wrong, for people."""
        if not self.place:
            return []
        until = time.monotonic() + seconds
        self._join(seconds)
        if self.idle:
            self.save(kept, fresh)
            self._join(until - time.monotonic())
        late = [] if self.idle else [f"state {self.place}: could not be written in time"]
        self._let_go()
        return late or ([self.trouble] if self.trouble else [])

    def close(self) -> None:
        """Let the directory go."""
        self._let_go()

    def _join(self, seconds: float) -> None:
        if self._writer.ident is not None:
            self._writer.join(max(0.0, seconds))

    def _save(self, kept: Kept, fresh: Fresh) -> None:
        streams = dict(kept.streams)
        for stream, (run, taken) in fresh.items():
            streams[stream] = KeptStream(run, snapshot.encode(taken))
        data = msgspec.msgpack.encode(Kept(kept.runs, streams, self._names))
        if len(data) > LARGEST:
            self.trouble = f"state {self.place}: {len(data)} bytes are too many; serve fewer streams or bundles"
            return
        self._before()
        try:
            _write(self._directory, data)
            self.trouble = ""
        except OSError as error:
            self.trouble = f"state {self.place}: cannot be written: {error.strerror}; the file before is kept"

    def _read(self) -> Kept:
        path = self._directory / NAME
        try:
            if path.stat().st_size > LARGEST + _SEAL:
                raise ValueError("too large")
            kept: Kept = msgspec.msgpack.decode(disk.unseal(MAGIC, path.read_bytes()), type=Kept)
        except FileNotFoundError:
            return Kept()
        except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            self.unreadable = 1
            self.trouble = f"state {path}: {plain(error)}; put aside, and every stream begins anew"
            with contextlib.suppress(OSError):
                path.replace(path.with_name(f"{NAME}.bad"))
            return Kept()
        return kept

    def _let_go(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _write(directory: Path, data: bytes) -> None:
    """Raises OSError; the file is then the one before."""
    partial = directory / f"{NAME}.new"
    disk.write_out(partial, disk.seal(MAGIC, data))
    partial.replace(directory / NAME)
    disk.sync(directory)
