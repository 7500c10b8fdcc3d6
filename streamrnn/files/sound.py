"""Sound files: what their headers say, and their samples, by range or in blocks (WAV, FLAC, OGG)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from streamrnn.chunk import Samples
from streamrnn.errors import RecordingError

SUFFIXES = (".wav", ".flac", ".ogg")

# In Hz. Below it nothing is sound, above it no converter works: a header that says so lies.
LOWEST_RATE = 20
HIGHEST_RATE = 1_000_000

# A program that writes a WAV into a pipe cannot know its length and writes (about) the largest one instead.
_UNKNOWN_LENGTH = 0x7FFFF000


_PADDING = 512  # bytes that some programs leave behind the end
_SEARCHED = 1 << 20  # bytes that are looked through for samples that are no silence


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself: sample rate in Hz, channels, the number of samples a channel, and channels' names."""

    rate: int
    channels: int
    length: int
    names: tuple[str, ...] = ()


def header(path: Path) -> Header:
    """Rate, channels and length of a sound file, without decoding it. Raises RecordingError."""
    import soundfile  # here, for a daemon without files needs no libsndfile

    try:
        with path.open("rb") as file:
            _check_length(path, file)
        info = soundfile.info(str(path))
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}; give the path of a recording") from None
    except soundfile.SoundFileError as error:
        raise _unreadable(path, error) from None
    if info.frames <= 0:
        raise RecordingError(f"{path}: 0 samples; record it again or take it out")
    if not LOWEST_RATE <= info.samplerate <= HIGHEST_RATE:
        raise RecordingError(
            f"{path}: the header says {info.samplerate} Hz, sound has {LOWEST_RATE} to {HIGHEST_RATE}; export it again"
        )
    return Header(info.samplerate, info.channels, info.frames)


def read(path: Path, start: int, end: int) -> Samples:
    """Samples `[start, end)` of a sound file as float32 `(time, channels)` in [-1, 1]. Raises RecordingError."""
    import soundfile

    try:
        with soundfile.SoundFile(str(path)) as file:
            file.seek(start)
            samples: Samples = file.read(end - start, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise _unreadable(path, error) from None
    if len(samples) != end - start:
        raise RecordingError(
            f"{path}: the header promises {end} samples or more, but only {start + len(samples)} can be read; "
            "export it again"
        )
    return samples


def blocks(path: Path, length: int) -> Iterator[Samples]:
    """All samples of a sound file in blocks of at most `length`, not checked for NaN. Raises RecordingError."""
    end = header(path).length
    for start in range(0, end, length):
        yield read(path, start, min(start + length, end))


def _check_length(path: Path, file: BinaryIO) -> None:
    """Refuse a WAV that promises more bytes than it has, or fewer: libsndfile takes what is there and does not tell."""
    if file.read(4) != b"RIFF":
        return
    size = file.seek(0, 2)
    place = 12
    while place + 8 <= size:
        file.seek(place)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            there = size - place - 8
            if there < length < _UNKNOWN_LENGTH:
                raise RecordingError(
                    f"{path}: the header promises {length} bytes of sound, the file holds {there}; export it again"
                )
            end = place + 8 + length + length % 2
            if length < _UNKNOWN_LENGTH and _is_sound(file, end, size):
                raise RecordingError(
                    f"{path}: the header promises {length} bytes of sound and {size - end} more stand behind them, as "
                    "when a recorder is ended in the middle; write it anew: ffmpeg -ignore_length 1 -i IN.wav OUT.wav"
                )
            return
        place += 8 + length + length % 2


def _is_sound(file: BinaryIO, place: int, size: int) -> bool:
    """Whether what stands behind the samples is none of the things that may: chunks, tags of players, padding."""
    file.seek(place)
    if file.read(3) in (b"TAG", b"ID3"):
        return False
    while place + 8 <= size:
        file.seek(place)
        name, length = struct.unpack("<4sI", file.read(8))
        if not (name.isascii() and name.decode().isprintable() and place + 8 + length <= size):
            file.seek(place)
            return size - place > _PADDING and any(file.read(_SEARCHED))
        place += 8 + length + length % 2
    return False


def _unreadable(path: Path, error: Exception) -> RecordingError:
    # libsndfile repeats the path in front of what it has to say.
    reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
    return RecordingError(f"{path}: not readable as sound ({reason}); export it as WAV or FLAC again")
