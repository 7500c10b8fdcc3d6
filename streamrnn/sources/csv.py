"""Sensor rows as a stream: a CSV with a header and a time column first, or an NPZ with `x` and `fs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streamrnn.chunk import Samples
from streamrnn.files import arrays
from streamrnn.recognizer import Count, Name
from streamrnn.registry import register
from streamrnn.sources import PacedConfig, Rate
from streamrnn.sources.paced import PacedSource


@register("source", "streamrnn.sources.csv:CsvSource")
class CsvConfig(PacedConfig, frozen=True, kw_only=True, tag="csv"):
    """Play the rows of a CSV or NPZ file; `rate` 0 takes the rate that the file tells."""

    path: str
    stream: Name
    rate: Rate = 0
    chunk: Count = 16


class CsvSource(PacedSource):
    """The file is read and checked when it is opened: sensors are slow and their files small."""

    def __init__(self, config: CsvConfig) -> None:
        """Raises RecordingError if the file cannot be read as numbers."""
        path, place = Path(config.path), config.path
        if path.suffix.lower() == ".npz":
            header = arrays.npz_header(path)
            rate, self._samples = header.rate, arrays.read_npz(path, 0, header.length)
        else:
            table = arrays.read_csv(path, config.rate)
            rate, self._samples = table.rate, table.samples
            if rate * table.step_s > 1.5:
                place = f"{place} (rows {table.step_s:.4g} s apart, {rate} counted as a second)"
        super().__init__(config, place, config.stream, config.rate or rate, self._samples.shape[1])

    def blocks(self) -> Iterator[Samples]:
        """All rows at once."""
        yield self._samples
