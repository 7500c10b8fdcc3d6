"""Inputs that led somewhere new are kept and changed further: lines of the package, and what refusals say."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import streamrnn

_PACKAGE = str(Path(streamrnn.__file__).parent)
_SAID = re.compile(r"'[^']*'|\"[^\"]*\"|[\d.]+")
_MOST_KEPT, _MOST_SAID, _LONGEST, _WATCHED = 400, 2000, 20_000, 8


class Lines:
    """Counts lines of the package as they are reached, by the interpreter's own trace.

    A function all of whose lines were reached is traced no more, so that what is known costs little.
    """

    def __init__(self) -> None:
        self.reached = 0
        self._left: dict[CodeType, set[int]] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While inside, lines are counted."""
        sys.settrace(self._call)
        try:
            yield
        finally:
            sys.settrace(None)

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        left = self._left.get(code)
        if left is None:
            ours = code.co_filename.startswith(_PACKAGE)
            left = {line for _, _, line in code.co_lines() if line} - {code.co_firstlineno} if ours else set()
            self._left[code] = left
        return self._line if left else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        left = self._left[frame.f_code]
        if event == "line" and frame.f_lineno in left:
            left.discard(frame.f_lineno)
            self.reached += 1
        return self._line


class Corpus:
    """What inputs are made of: seeds, and as much again of those that led somewhere new."""

    def __init__(self, seeds: Sequence[bytes], found: Sequence[bytes]) -> None:
        self.lines = Lines()
        self.seeds, self.found = list(seeds), list(found)
        self._said: set[str] = set()
        self._reached = 0

    def watch(self, number: int) -> AbstractContextManager[None]:
        """Lines are counted while one in eight of the inputs is read, for the trace costs more than most reading."""
        return nullcontext() if number % _WATCHED else self.lines.watched()

    def pick(self, chance: random.Random) -> Sequence[bytes]:
        """Of which the next input is made."""
        return self.found if self.found and chance.random() < 0.5 else self.seeds

    def told(self, data: bytes, refusal: str) -> None:
        """Keep an input, if it reached a line or a refusal that none did before."""
        said = _SAID.sub("", refusal)[-100:]
        new = self.lines.reached > self._reached
        self._reached = self.lines.reached
        if said not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(said)
            new = True
        if new and len(data) < _LONGEST:
            self.found = [*self.found[-_MOST_KEPT:], data]
