"""A journal on disk: framed records in segment files, whole after a crash, and never larger than it may be.

A directory holds segments, `<number>-<run>-<first>.journal`: each belongs to one run and begins with the record
`first`. A record is a header (marker, number, length, CRC-32 of the payload, CRC-32 of the header) and its payload. The
marker is no UTF-8 and so occurs in no payload: after a damaged header the next record is found again, and a flipped bit
costs exactly the record that it is in.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamrnn import disk
from streamrnn.errors import DeviceError

MAGIC = b"SRJRNL1\n"
MARKER = b"\xff\xfeSR"
LONGEST = 1 << 20  # bytes of a payload
_HEADER = struct.Struct("<4sQII")  # marker, number, length, CRC-32 of the payload; its own CRC-32 follows
_SIZE = _HEADER.size + 4
_SEGMENTS = 8  # that the allowed size is divided into: the oldest goes when another is begun
_NAME = re.compile(r"(\d{8,})-([a-z0-9_.-]+)-(\d{12,})\.journal")


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A file of the journal: its number, whose run it is, and the number of its first record."""

    number: int
    run: str
    first: int

    @property
    def name(self) -> str:
        """Its file's name."""
        return f"{self.number:08d}-{self.run}-{self.first:012d}.journal"


@dataclass(frozen=True, slots=True)
class Record:
    """What was appended, and where its frame ends in the file."""

    number: int
    payload: bytes
    end: int


class Journal:
    """Appends records of one run, which is one thread's; any thread may read those of all runs meanwhile."""

    def __init__(self, directory: Path, run: str, size: int) -> None:
        """Take the directory, and cut off what a crash left half written. Raises DeviceError.

        `size` is how many bytes all segments together may have.
        """
        self.directory = directory
        self.cut = 0  # bytes of a torn tail that were cut off at the start
        self.unreadable: set[tuple[str, int]] = set()  # damaged stretches that were met: file and offset
        self._run, self._limit = run, max(1 << 16, size // _SEGMENTS)
        self._size = self._limit * _SEGMENTS
        self._file = self._end = -1
        self._lock = disk.claim(directory, "journal")
        try:
            self._mend()
        except OSError as error:
            os.close(self._lock)
            raise DeviceError(f"journal {directory}: {error.strerror or error}; is the folder yours?") from None

    def append(self, number: int, payload: bytes) -> None:
        """Write a record behind the others, wholly or not at all. Raises OSError if the disk does not take it."""
        frame = encode(number, payload)
        if len(MAGIC) + len(frame) > self._limit:
            raise OSError(f"a record of {len(payload)} bytes is larger than a segment, {self._limit} bytes")
        if self._file < 0 or self._end + len(frame) > self._limit:
            self._rotate(number)
        try:
            written = 0
            while written < len(frame):
                written += os.write(self._file, frame[written:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._end)
                os.lseek(self._file, self._end, os.SEEK_SET)
            raise
        self._end += len(frame)

    def sync(self) -> None:
        """Let what was written outlast a loss of power. Raises OSError."""
        if self._file >= 0:
            os.fsync(self._file)

    def close(self) -> None:
        """Let the directory go."""
        with contextlib.suppress(OSError):
            self.sync()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        os.close(self._lock)

    def segments(self, run: str = "") -> list[Segment]:
        """The segments that are there, oldest first: of a run, or of all."""
        found = (_NAME.fullmatch(name) for name in os.listdir(self.directory))
        parsed = sorted(Segment(int(each[1]), each[2], int(each[3])) for each in found if each)
        return [each for each in parsed if run in ("", each.run)]

    def runs(self) -> list[str]:
        """The runs of which something is there, oldest first."""
        return list(dict.fromkeys(each.run for each in self.segments()))

    def records(self, run: str, first: int = 0) -> Iterator[Record]:
        """The records of a run from the number `first` on, in order; damaged ones are left out and told."""
        segments = self.segments(run)
        for i, each in enumerate(segments):
            if i + 1 < len(segments) and segments[i + 1].first <= first:
                continue
            try:
                data = (self.directory / each.name).read_bytes()
            except FileNotFoundError:  # it was the oldest, and its time has come
                continue
            damaged: list[int] = []
            for record in scan(data, damaged):
                if record.number >= first:
                    yield record
            self.unreadable.update((each.name, offset) for offset in damaged)

    def survey(self) -> None:
        """From any thread: read what the runs before have left, so that what is damaged is known and can be told."""
        with contextlib.suppress(OSError):  # a disk that cannot be read is told of by who writes to it
            for run in self.runs():
                if run != self._run:
                    deque(self.records(run), maxlen=0)

    def bytes(self) -> int:
        """How large all segments together are."""
        return sum(self._bytes(each) for each in self.segments())

    def _bytes(self, segment: Segment) -> int:
        try:
            return (self.directory / segment.name).stat().st_size
        except FileNotFoundError:
            return 0

    def _mend(self) -> None:
        """Cut off a torn tail; what was being made when we crashed goes."""
        for name in os.listdir(self.directory):
            if name.endswith(".new"):
                os.unlink(self.directory / name)
        for each in self.segments():
            # Those of a version before were readable for all.
            (self.directory / each.name).chmod(0o600)
        for last in self.segments()[-1:]:
            path = self.directory / last.name
            data = path.read_bytes()
            damaged: list[int] = []
            end = max((record.end for record in scan(data, damaged)), default=len(MAGIC))
            # A damaged record that is whole in length is told, and not cut off.
            end = max([end, *(_whole(data, offset) for offset in damaged)])
            if data[: len(MAGIC)] != MAGIC:
                self.cut += len(data)
                path.unlink()
            elif end < len(data):
                self.cut += len(data) - end
                os.truncate(path, end)

    def _rotate(self, first: int) -> None:
        """Begin a segment, which is there wholly or not at all; the oldest make room for it."""
        segments = self.segments()
        if self._file >= 0:
            self.sync()
            os.close(self._file)
            self._file = -1
        sizes = {each: self._bytes(each) for each in segments}
        while segments and sum(sizes[each] for each in segments) + self._limit > self._size:
            (self.directory / segments.pop(0).name).unlink(missing_ok=True)
        number = segments[-1].number + 1 if segments else 1
        segment = Segment(number, self._run, first)
        new = self.directory / f"{segment.name}.new"
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(file, MAGIC)
            os.fsync(file)
            os.replace(new, self.directory / segment.name)
            disk.sync(self.directory)
        except OSError:
            os.close(file)
            # Each record that finds the disk full tries anew: they must not each leave a file.
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise
        self._file, self._end = file, len(MAGIC)


def encode(number: int, payload: bytes) -> bytes:
    """The frame of a record. Raises OSError for a payload that is too long."""
    if len(payload) > LONGEST:
        raise OSError(f"a record of {len(payload)} bytes; {LONGEST} are allowed")
    header = _HEADER.pack(MARKER, number, len(payload), zlib.crc32(payload))
    return header + zlib.crc32(header).to_bytes(4, "little") + payload


def scan(data: bytes, damaged: list[int]) -> Iterator[Record]:
    """The records of a segment's bytes; the offsets of what cannot be read are appended to `damaged`.

    What is cut short at the end is no damage: it is being written, or a crash has torn it.
    """
    at = len(MAGIC)
    while at < len(data):
        header = _header(data, at)
        if header is None:
            # A damaged header: the next marker that heads a sound one goes on.
            following = data.find(MARKER, at + 1)
            while following >= 0 and _header(data, following) is None:
                following = data.find(MARKER, following + 1)
            if following < 0:
                return
            damaged.append(at)
            at = following
            continue
        number, length, check = header
        begin, end = at + _SIZE, at + _SIZE + length
        if end > len(data):
            return
        payload = data[begin:end]
        if zlib.crc32(payload) == check:
            yield Record(number, payload, end)
        else:
            damaged.append(at)
        at = end


def _header(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Number, length and checksum of the record at an offset; None if no sound header is there."""
    if data[at : at + 4] != MARKER or at + _SIZE > len(data):
        return None
    header = data[at : at + _HEADER.size]
    if zlib.crc32(header) != int.from_bytes(data[at + _HEADER.size : at + _SIZE], "little"):
        return None
    _, number, length, check = _HEADER.unpack(header)
    return number, length, check


def _whole(data: bytes, at: int) -> int:
    """Where the frame at an offset ends, if it is all there; else 0."""
    header = _header(data, at)
    end = at + _SIZE + header[1] if header else 0
    return end if end <= len(data) else 0
