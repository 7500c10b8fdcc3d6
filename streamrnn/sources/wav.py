"""A sound file as a stream: WAV, FLAC or OGG of any rate and depth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streamrnn.chunk import Samples
from streamrnn.files import sound
from streamrnn.recognizer import Name
from streamrnn.registry import register
from streamrnn.sources import PacedConfig
from streamrnn.sources.paced import PacedSource

_BLOCK_S = 10  # seconds of sound that are decoded at once


@register("source", "streamrnn.sources.wav:WavSource")
class WavConfig(PacedConfig, frozen=True, kw_only=True, tag="wav"):
    """Play a sound file of any rate, depth and number of channels."""

    path: str
    stream: Name


class WavSource(PacedSource):
    """The file is checked when it is opened and read while it is played."""

    def __init__(self, config: WavConfig) -> None:
        """Raises RecordingError if the file is missing, empty, cut short or not readable."""
        self._path = Path(config.path)
        header = sound.header(self._path)
        super().__init__(config, config.path, config.stream, header.rate, header.channels)

    def blocks(self) -> Iterator[Samples]:
        """Ten seconds at a time. Raises RecordingError where the file cannot be read on."""
        yield from sound.blocks(self._path, _BLOCK_S * self.rate)
