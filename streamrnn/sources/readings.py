"""Numbers as devices write them: a line of text, or a message in JSON or CSV, becomes samples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streamrnn.chunk import NO_TIMES, Samples, Times
from streamrnn.grid import GridConfig
from streamrnn.instants import nanoseconds

SPOILED = "malformed"  # the reason of the gap where something could not be read
LARGEST = 1 << 16  # bytes of a message, and values in it
COUNTED = GridConfig()
_SEPARATOR = re.compile(rb"[,;\s]+")


class MalformedError(ValueError):
    """What came is not the numbers that were declared; says in a few words why, and never what it was."""


class Row(NamedTuple):
    """One sample as it was written, and its time in nanoseconds, 0 where rows are counted."""

    values: list[float]
    time: int = 0


class Reading(NamedTuple):
    """Samples `(time, channels)`, and the time of each; none where rows are counted."""

    samples: Samples
    times: Times


def words_of(line: bytes) -> list[bytes]:
    """What stands in a line between commas, semicolons or blanks."""
    return _SEPARATOR.split(line.strip())


def of_line(line: bytes, channels: int, grid: GridConfig = COUNTED) -> Row:
    """The numbers of a line, and before them its time if rows carry one. Raises MalformedError."""
    words = words_of(line)
    if len(words) != channels + grid.timed:
        raise MalformedError(f"{len(words)} values, {channels + grid.timed} were declared")
    time = _time(words.pop(0), grid) if grid.timed else 0
    try:
        # Python reads 1_000 as a number; no device writes it.
        return Row([float(word if b"_" not in word else b"") for word in words], time)
    except ValueError:
        raise MalformedError("not a number") from None


def of_csv(payload: bytes, channels: int, fields: Sequence[str], grid: GridConfig = COUNTED) -> Reading:
    """A message of lines as samples. Raises MalformedError."""
    return reading([of_line(line, channels, grid) for line in payload.splitlines() if line.strip()], channels, grid)


def of_json(payload: bytes, channels: int, fields: Sequence[str], grid: GridConfig = COUNTED) -> Reading:
    """A message in JSON as samples. Raises MalformedError.

    One sample is a number, a list of numbers, or an object of which `fields` name the numbers; several are a list of
    such objects or lists. Where rows carry times, a list begins with its time, and an object has it in the field that
    the grid names; of such an object a field that is null or not there is no number, and the others are read.
    """
    try:
        document = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise MalformedError("not JSON") from None
    several = isinstance(document, list) and bool(document) and isinstance(document[0], list | dict)
    return reading([_of_value(each, fields, grid) for each in (document if several else [document])], channels, grid)


def reading(rows: list[Row], channels: int, grid: GridConfig = COUNTED) -> Reading:
    """Rows as float32 `(time, channels)`. Raises MalformedError; where rows carry times, NaN is a value as any."""
    if not rows or len(rows) * channels > LARGEST:
        raise MalformedError("no values" if not rows else f"more than {LARGEST} values")
    if any(len(row.values) != channels for row in rows):
        raise MalformedError(f"{channels} values a sample were declared")
    with np.errstate(over="ignore"):
        made = np.array([row.values for row in rows], np.float64).astype(np.float32)
    # Of a row with a time it is known where it belongs: the channels that are there tell which one is not.
    if np.isinf(made).any() if grid.timed else not np.isfinite(made).all():
        raise MalformedError("not a finite number")
    return Reading(made, np.array([row.time for row in rows], np.int64) if grid.timed else NO_TIMES)


def _of_value(value: Any, fields: Sequence[str], grid: GridConfig) -> Row:
    time = 0
    if isinstance(value, dict):
        if not fields or (not grid.timed and any(name not in value for name in fields)):
            raise MalformedError(f"an object without {' and '.join(fields) or 'fields that the config names'}")
        time = _time(value.get(grid.time), grid) if grid.timed else 0
        value = [value.get(name) for name in fields]
        if grid.timed:
            value = [float("nan") if number is None else number for number in value]
    elif grid.timed:
        if not isinstance(value, list) or not value:
            raise MalformedError("no time before the values")
        time, value = _time(value[0], grid), value[1:]
    numbers = value if isinstance(value, list) else [value]
    # To JSON and Python true is a number of its own; an integer may be longer than any float.
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        raise MalformedError("not a number")
    try:
        return Row([float(number) for number in numbers], time)
    except OverflowError:
        raise MalformedError("not a finite number") from None


def _time(value: Any, grid: GridConfig) -> int:
    try:
        if isinstance(value, bytes | int | float) and not isinstance(value, bool):
            return nanoseconds(value, grid.unit)
    except ValueError:
        pass
    raise MalformedError("its time is no number")


class Complaints:
    """What could not be read: counted, and told ever more rarely: the first, the second, the fourth, the eighth."""

    def __init__(self) -> None:
        self.count = 0

    def told(self, reason: str) -> tuple[str, ...]:
        """One more; the line for people, if it is time for one."""
        self.count += 1
        return () if self.count & (self.count - 1) else (f"{reason}; {self.count} so far",)
