"""The last samples of a stream that a client brings: what waits to be sent, and what may have to be sent again."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamrnn.chunk import Samples

_BLOCK = 4096  # samples; memory is taken and given back in blocks


@dataclass(slots=True)
class _Block:
    start: int
    samples: Samples
    filled: int = 0

    @property
    def end(self) -> int:
        return self.start + self.filled


class Backlog:
    """Samples by their index in the stream, with holes between them where some were left out."""

    def __init__(self, channels: int, most: int) -> None:
        """About `most` samples are held after they were sent: the rest of a block of 4096 may be more."""
        self.end = 0  # index just past the last sample of the stream, left out or not
        self._channels, self._most = channels, most
        self._blocks: deque[_Block] = deque()
        self._held = 0

    @property
    def first(self) -> int:
        """The oldest sample that is held; `end` if there is none."""
        return self._blocks[0].start if self._blocks else self.end

    def append(self, samples: Samples) -> None:
        """The samples `(time, channels)` that come next; copied."""
        while len(samples):
            last = self._blocks[-1] if self._blocks else None
            if last is None or last.end != self.end or last.filled == len(last.samples):
                last = _Block(self.end, np.empty((_BLOCK, self._channels), np.float32))
                self._blocks.append(last)
            n = min(len(samples), len(last.samples) - last.filled)
            last.samples[last.filled : last.filled + n] = samples[:n]
            last.filled += n
            self.end += n
            self._held += n
            samples = samples[n:]

    def skip(self, n: int) -> None:
        """Samples that come next and are left out."""
        self.end += n

    def trim(self, index: int, untaken: int = 0) -> None:
        """Forget the oldest before `index`, as far as more is held than should be: `untaken` before it stay as well."""
        keep = max(self._most, untaken + self.waiting(index))
        while self._blocks and self._blocks[0].end <= index and self._held - self._blocks[0].filled >= keep:
            self._held -= self._blocks.popleft().filled

    def drop(self, index: int) -> None:
        """Forget all before `index`: it is a hole from now on."""
        while self._blocks and self._blocks[0].start < index:
            block = self._blocks.popleft()
            rest = block.samples[max(0, min(block.filled, index - block.start)) : block.filled]
            self._held -= block.filled - len(rest)
            if len(rest):
                self._blocks.appendleft(_Block(block.end - len(rest), rest, len(rest)))
                return

    def waiting(self, index: int) -> int:
        """How many of the samples that are held come at `index` or later."""
        return sum(block.end - max(index, block.start) for block in self._from(index))

    def after(self, index: int, n: int) -> int:
        """The index just past the next `n` samples that are held at `index` or later."""
        for block in self._from(index):
            start = max(index, block.start)
            if n <= block.end - start:
                return start + n
            n -= block.end - start
        return self.end

    def read(self, index: int, most: int) -> tuple[int, Samples]:
        """The first samples held at `index` or later, at most `most`: where they start, and `(time, channels)`."""
        for block in self._from(index):
            start = max(index, block.start) - block.start
            return block.start + start, block.samples[start : min(block.filled, start + most)]
        return self.end, np.empty((0, self._channels), np.float32)

    def _from(self, index: int) -> Sequence[_Block]:
        found: deque[_Block] = deque()
        # From the newest: what is asked for is mostly there.
        for block in reversed(self._blocks):
            if block.end <= index:
                break
            found.appendleft(block)
        return found
