"""A parser of what comes from outside: examples, how they are changed, and what it may raise."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamrnn.errors import UserError
from streamrnn.sources.readings import MalformedError

# A sensor that writes what cannot be read is no mistake of the user: its source tells it as a gap.
REFUSALS = (UserError, MalformedError)


@dataclass(frozen=True)
class Parser:
    """A name, what was once right, how it is changed by chance, and how it is read: to a value, or to a refusal."""

    name: str
    seeds: Sequence[bytes]
    mutate: Callable[[random.Random, Sequence[bytes]], bytes]
    read: Callable[[bytes], object]

    def make(self, chance: random.Random) -> bytes:
        """An input."""
        return self.mutate(chance, self.seeds)

    def survives(self, data: bytes) -> str:
        """What refused the input, "" if it was taken; any error but a refusal goes on its way."""
        try:
            self.read(data)
        except REFUSALS as error:
            told = str(error)
            if not told or not told.isprintable():
                raise RuntimeError(f"a refusal of no line or several: {told!r}") from error
            return told
        return ""
