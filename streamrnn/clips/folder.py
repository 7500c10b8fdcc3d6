"""The folder of clips: each is written whole or not at all, and the oldest go, by number, by bytes and by age."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from streamrnn import disk
from streamrnn.clips import ClipsConfig
from streamrnn.clips.clip import RECORD, STATE, STEM, Clip, id_of, told_at
from streamrnn.errors import DeviceError
from streamrnn.files import lossless

_PART = ".part"
_SUFFIXES = (RECORD, STATE, *lossless.SUFFIXES)
_DAY_S = 86_400.0


class Folder:
    """Opened by one daemon, and then used by the thread that writes. Files with other names are not touched."""

    def __init__(self, config: ClipsConfig) -> None:
        """Take the folder, count the clips in it and let those go that are too many. Raises DeviceError."""
        self.written, self.removed = 0, 0
        self._directory, self._config = Path(config.directory), config
        self._clips: dict[str, int] = {}  # by stem, in order: the bytes of its files
        self._lock = disk.claim(self._directory, "clips")
        try:
            self._tidy()
            self.sweep()
        except OSError as error:
            self.close()
            raise DeviceError(f"clips {self._directory}: {error.strerror}; choose another directory") from None

    @property
    def count(self) -> int:
        """How many clips there are."""
        return len(self._clips)

    @property
    def bytes(self) -> int:
        """How many bytes their files have."""
        return sum(list(self._clips.values()))

    def write(self, clip: Clip) -> None:
        """Write a clip, in the place of the oldest if need be; none if that of the same event is there already.

        Raises OSError: nothing of it is left then.
        """
        stem = clip.stem
        # An event that is told again after a restart is the same one, and what was heard before it then is gone now.
        if any(id_of(each) == id_of(stem) for each in self._clips):
            return
        suffix, data = lossless.encode(clip.samples, clip.rate)
        record = clip.record(stem + suffix)
        states = clip.states(record, data)
        size = len(data) + len(record) + sum(len(each) for each in states)
        if size > self._config.max_bytes:
            raise OSError(0, f"a clip has {size} bytes, more than max_bytes")
        self._let_go(1, size)
        # The record last: where it stands the samples do; samples alone were left by a daemon that was killed.
        named = [(suffix, data), *((STATE, each) for each in states), (RECORD, record)]
        files = [(self._directory / (stem + ending), contents) for ending, contents in named]
        try:
            for path, contents in files:
                disk.write_out(_part(path), contents)
            for path, _ in files:
                _part(path).replace(path)
            disk.sync(self._directory)
        except OSError:
            for path, _ in reversed(files):
                for each in (path, _part(path)):
                    with contextlib.suppress(OSError):
                        each.unlink(missing_ok=True)
            raise
        self._clips[stem] = size
        self._clips = dict(sorted(self._clips.items()))  # the clock may have been set back
        self.written += 1

    def sweep(self) -> None:
        """Count anew what is there, and let go what is too old or too much. Raises OSError."""
        found: dict[str, int] = {}
        with os.scandir(self._directory) as entries:
            for entry in entries:
                stem = _stem(entry.name)
                if stem and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):
                        found[stem] = found.get(stem, 0) + entry.stat(follow_symlinks=False).st_size
        self._clips = dict(sorted(found.items()))
        self._let_go(0, 0)

    def close(self) -> None:
        """Let the folder go."""
        os.close(self._lock)

    def _let_go(self, clips: int, size: int) -> None:
        """Make room for so many clips more, and bytes. Raises OSError if one that must go cannot."""
        oldest = time.time() - self._config.max_age_days * _DAY_S
        total = self.bytes + size
        for stem in list(self._clips):
            full = len(self._clips) + clips > self._config.max_clips or total > self._config.max_bytes
            if not full and told_at(stem) >= oldest:
                return
            # The record first: samples alone are tidied up, a record alone would name what is not there.
            for suffix in _SUFFIXES:
                (self._directory / (stem + suffix)).unlink(missing_ok=True)
            total -= self._clips.pop(stem)
            self.removed += 1

    def _tidy(self) -> None:
        """Take away what a daemon that was killed has left half done."""
        names = {entry.name for entry in os.scandir(self._directory) if entry.is_file(follow_symlinks=False)}
        for name in names:
            whole = name.removeprefix(".").removesuffix(_PART)
            half = name == f".{whole}{_PART}" and _stem(whole)
            if half or (_stem(name) and _stem(name) + RECORD not in names):
                (self._directory / name).unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}{_PART}")


def _stem(name: str) -> str:
    """The stem of a file of a clip by its name; "" of any other file."""
    stem, dot, suffix = name.rpartition(".")
    if f"{dot}{suffix}" not in _SUFFIXES or not STEM.fullmatch(stem):
        return ""
    try:
        told_at(stem)
    except ValueError:  # a date that no calendar has is not one of ours
        return ""
    return stem
