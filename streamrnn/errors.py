"""Errors for people: one line that names the path, the value and the repair."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend. Commands print it as one line and exit with code 2."""

    def __str__(self) -> str:
        """One line that a terminal can show, whatever the values are that it names."""
        told = " ".join(super().__str__().split())
        return told if told.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in told)


class ConfigError(UserError):
    """A config file that does not say what it must."""


class BundleError(UserError):
    """A bundle that cannot be trusted: truncated, altered, too new, or of other contents than it says."""


class RecordingError(UserError):
    """A recording or a data folder that cannot be read."""


class DeviceError(UserError):
    """A microphone, port or file that cannot be opened."""


class SpeechError(UserError):
    """A text-to-speech engine that is missing or fails, or a text that it cannot say."""


class StreamError(UserError):
    """A stream that is used against its rules, such as an unknown name or a wrong number of channels."""


# The one pattern that configs and the wire know is that of names.
_PATTERN = re.compile(r"Expected `str` matching regex '[^']*'")


def plain(error: Exception) -> str:
    """What a validator says, in one line and without the pattern of a name or the marks of code."""
    told = _PATTERN.sub("use 1 to 64 of a-z 0-9 _ . -", str(error)).replace("`", "")
    return " ".join(told.split()) or type(error).__name__


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A repair for a misspelt word: the nearest known one, or all of them."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(choices)}" if choices else "nothing is known here"
