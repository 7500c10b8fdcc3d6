"""Numbers as devices write them: a line of text, or a message in JSON or CSV, becomes samples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from streamrnn.chunk import Samples

SPOILED = "malformed"  # the reason of the gap where something could not be read
LARGEST = 1 << 16  # bytes of a message, and values in it
_SEPARATOR = re.compile(rb"[,;\s]+")


class MalformedError(ValueError):
    """What came is not the numbers that were declared; says in a few words why, and never what it was."""


def of_line(line: bytes, channels: int) -> list[float]:
    """The numbers of a line, separated by commas, semicolons or blanks. Raises MalformedError."""
    words = _SEPARATOR.split(line.strip())
    if len(words) != channels:
        raise MalformedError(f"{len(words)} values, {channels} were declared")
    try:
        # Python reads 1_000 as a number; no device writes it.
        return [float(word if b"_" not in word else b"") for word in words]
    except ValueError:
        raise MalformedError("not a number") from None


def of_csv(payload: bytes, channels: int, fields: Sequence[str]) -> Samples:
    """A message of lines as samples `(time, channels)`. Raises MalformedError."""
    return samples([of_line(line, channels) for line in payload.splitlines() if line.strip()], channels)


def of_json(payload: bytes, channels: int, fields: Sequence[str]) -> Samples:
    """A message in JSON as samples `(time, channels)`. Raises MalformedError.

    One sample is a number, a list of numbers, or an object of which `fields` name the numbers; several are a list of
    such objects or lists.
    """
    try:
        document = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise MalformedError("not JSON") from None
    several = isinstance(document, list) and bool(document) and isinstance(document[0], list | dict)
    return samples([_of_value(each, fields) for each in (document if several else [document])], channels)


def samples(rows: list[list[float]], channels: int) -> Samples:
    """Rows as float32 `(time, channels)`. Raises MalformedError."""
    if not rows or len(rows) * channels > LARGEST:
        raise MalformedError("no values" if not rows else f"more than {LARGEST} values")
    if any(len(row) != channels for row in rows):
        raise MalformedError(f"{channels} values a sample were declared")
    with np.errstate(over="ignore"):
        made = np.array(rows, np.float64).astype(np.float32)
    if not np.isfinite(made).all():
        raise MalformedError("not a finite number")
    return made


def _of_value(value: Any, fields: Sequence[str]) -> list[float]:
    if isinstance(value, dict):
        if not fields or any(name not in value for name in fields):
            raise MalformedError(f"an object without {' and '.join(fields) or 'fields that the config names'}")
        value = [value[name] for name in fields]
    numbers = value if isinstance(value, list) else [value]
    # To JSON and Python true is a number of its own; an integer may be longer than any float.
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        raise MalformedError("not a number")
    try:
        return [float(number) for number in numbers]
    except OverflowError:
        raise MalformedError("not a finite number") from None


class Complaints:
    """What could not be read: counted, and told ever more rarely: the first, the second, the fourth, the eighth."""

    def __init__(self) -> None:
        self.count = 0

    def told(self, reason: str) -> tuple[str, ...]:
        """One more; the line for people, if it is time for one."""
        self.count += 1
        return () if self.count & (self.count - 1) else (f"{reason}; {self.count} so far",)
