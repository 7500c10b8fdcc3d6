"""A clip: samples around an event, what is written of them beside, and the names of both files."""

from __future__ import annotations

import calendar
import hashlib
import re
import time
from dataclasses import dataclass

import msgspec

from streamrnn import disk, snapshot
from streamrnn.chunk import Samples
from streamrnn.snapshot import Snapshot
from streamrnn.wire import Message

SCHEMA = 1
# Why a clip is shorter than was asked for: the stream began or its samples were not kept before; samples were lost; the
# event was told too late; the stream ended; nothing came for a while.
START, GAP, LONGEST, END, IDLE = "start", "gap", "longest", "end", "idle"
RECORD, STATE = ".json", ".state"
MAGIC = b"SRCLIP1\n"
STEM = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[a-z0-9_.-]{1,64}-[0-9a-f]{16}")
_ID = 16  # letters of an event's id, with which every stem ends


class Record(msgspec.Struct, frozen=True):
    """What stands beside the samples: samples `[first, end)` of the source are in `file`.

    `cut_before` and `cut_after` tell why it does not reach as far as was asked for, "" if it does. `sha` is that of the
    bundle that told the `event`, which stands here as it was published. `state` is the file of what was remembered
    then, "" if there is none.
    """

    v: int
    file: str
    first: int
    end: int
    rate: int
    channels: int
    cut_before: str
    cut_after: str
    sha: str
    event: msgspec.Raw
    state: str = ""


class Memory(msgspec.Struct, frozen=True):
    """What is in the file `state`, sealed: a snapshot, encoded, of a sample from which on the event can be heard again.

    With it the sha256 of the two other files as they were written, and where the daemon has read its bundle from.
    """

    v: int
    record: bytes
    samples: bytes
    bundle: str
    snapshot: bytes


@dataclass(frozen=True, slots=True)
class Clip:
    """Samples `(time, channels)` from source sample `first` on, around the event of a message."""

    message: Message
    text: bytes  # the message, as it was published
    first: int
    rate: int
    samples: Samples
    cut_before: str
    cut_after: str
    snapshots: tuple[Snapshot, ...] = ()  # of what was remembered at a sample before the event was told, if it was kept
    bundle: str = ""  # where the one that told the event was read from

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        return self.samples.nbytes + sum(snapshot.size(each) for each in self.snapshots)

    @property
    def stem(self) -> str:
        """What its files are called before their endings: when it was told, its stream and its event's id."""
        seconds, rest = divmod(self.message.t.utc_ns, 1_000_000_000)
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
        return f"{stamp}.{rest // 1000:06d}Z-{self.message.stream}-{self.message.id}"

    def record(self, file: str) -> bytes:
        """The JSON that is written beside its samples in `file`."""
        length, channels = self.samples.shape
        made = Record(
            v=SCHEMA,
            file=file,
            first=self.first,
            end=self.first + length,
            rate=self.rate,
            channels=channels,
            cut_before=self.cut_before,
            cut_after=self.cut_after,
            sha=self.message.bundle.sha,
            event=msgspec.Raw(self.text),
            state=self.stem + STATE if self.snapshots else "",
        )
        return msgspec.json.encode(made) + b"\n"

    def states(self, record: bytes, samples: bytes) -> tuple[bytes, ...]:
        """What is written of its state beside a record and samples, as bytes; nothing if there is none."""
        return tuple(
            disk.seal(
                MAGIC,
                msgspec.msgpack.encode(
                    Memory(SCHEMA, digest(record), digest(samples), self.bundle, snapshot.encode(each))
                ),
            )
            for each in self.snapshots
        )


def digest(data: bytes) -> bytes:
    """By which a file of a clip is known again: the sha256 of its contents."""
    return hashlib.sha256(data).digest()


def told_at(stem: str) -> float:
    """When the event of a clip was told, by the name of its files: seconds since 1970."""
    stamp = stem.partition("Z")[0]
    return calendar.timegm(time.strptime(stamp.partition(".")[0], "%Y%m%dT%H%M%S")) + float(f"0.{stamp[-6:]}")


def id_of(stem: str) -> str:
    """The id of the event of a clip, by the name of its files."""
    return stem[-_ID:]
