"""Sensor rows as a stream: a CSV with a header and a time column first, or an NPZ with `x` and `fs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from streamrnn.chunk import NO_TIMES, Samples
from streamrnn.files import arrays
from streamrnn.recognizer import Count, Name
from streamrnn.registry import register
from streamrnn.sources import Rate, SensorConfig
from streamrnn.sources.paced import PacedSource


@register("source", "streamrnn.sources.csv:CsvSource")
class CsvConfig(SensorConfig, frozen=True, kw_only=True, tag="csv"):
    """Play the rows of a CSV or NPZ file; `rate` 0 takes the rate that the file tells.

    With a `grid` the rows lie at their times: of a CSV those of its first column, of an NPZ its array `t`.
    """

    path: str
    stream: Name
    rate: Rate = 0
    pace: Literal["realtime", "fastest"] = "realtime"
    chunk: Count = 16


class CsvSource(PacedSource):
    """The file is read and checked when it is opened: sensors are slow and their files small."""

    def __init__(self, config: CsvConfig) -> None:
        """Raises RecordingError if the file cannot be read as numbers."""
        path, place = Path(config.path), config.path
        times, names = NO_TIMES, tuple[str, ...]()
        if path.suffix.lower() == ".npz":
            header = arrays.npz_header(path)
            rate, self._samples = header.rate, arrays.read_npz(path, 0, header.length)
            if config.grid.timed:
                times = arrays.npz_times(path, config.grid.unit)
        elif config.grid.timed:
            rows = arrays.read_rows(path)
            self._samples, times, names = rows.samples, rows.times(config.grid.unit), rows.names
            rate = config.rate or rows.rate(times)
        else:
            table = arrays.read_csv(path, config.rate)
            rate, self._samples, names = table.rate, table.samples, table.names
            if rate * table.step_s > 1.5:
                place = f"{place} (rows {table.step_s:.4g} s apart, {rate} counted as a second)"
        super().__init__(config, place, config.stream, config.rate or rate, self._samples.shape[1])
        self.times, self.names = times, names

    def blocks(self) -> Iterator[Samples]:
        """All rows at once."""
        yield self._samples
