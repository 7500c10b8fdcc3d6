"""What can be played and judged, and what is said about it: segments with labels, and noises that lie under it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from streamrnn.chunk import Samples


@dataclass(frozen=True, slots=True)
class Segment:
    """Samples `[start, end)` of a recording, at least one, and their label in the data folder; "_..." is background.

    `source` names the recording they were taken from, if this one was composed of others; "" if nobody says.
    """

    start: int
    end: int
    label: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Noise:
    """Samples `[start, end)` of a recording under a noise, `snr_db` below the speech; "" and infinity for none."""

    start: int
    end: int
    name: str
    snr_db: float


class Playable(Protocol):
    """What can be played and judged: a recording, or a stream that is composed of pieces of several."""

    @property
    def path(self) -> Path:
        """Where it lies, or the name of what lies nowhere."""
        ...

    @property
    def rate(self) -> int:
        """Samples a second, in Hz."""
        ...

    @property
    def channels(self) -> int:
        """Channels a sample."""
        ...

    @property
    def split(self) -> str:
        """Its part of the data, "" if none is said."""
        ...

    @property
    def group(self) -> str:
        """The speaker, subject or record, "" if unknown or several."""
        ...

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What is said in it, in order of time."""
        ...

    @property
    def labelled(self) -> Literal["events", "samples"]:
        """Whether the labels tell of events, outside of which is background, or of all samples."""
        ...

    @property
    def noises(self) -> tuple[Noise, ...]:
        """What lies under which part of it, in order of time; none where nobody says."""
        ...

    @property
    def length(self) -> int:
        """Its number of samples."""
        ...

    @property
    def seconds(self) -> float:
        """Its duration in seconds."""
        ...

    def samples(self) -> Samples:
        """All of it, float32 `(time, channels)`. Raises RecordingError."""
        ...

    def blocks(self, length: int) -> Iterator[Samples]:
        """The same in blocks of at most `length` samples, made or read as they are asked for."""
        ...
