"""A bounded window in which chunks that came out of order are put in order; what does not come in time is a gap."""

from __future__ import annotations

from bisect import insort

from streamrnn.chunk import Chunk, Gap

MISSING = "missing"


class Ordering:
    """One stream: `add` chunks as they come, and take what may go on; no clock decides, only counts of samples.

    A chunk beyond the sample that is next is held until what is missing has come, or until the held ones reach more
    than `span` samples beyond it. A sample that comes twice goes on twice: the engine leaves it out and counts it.
    """

    __slots__ = (
        "_held",
        "_span",
        "_stream",
        "expected",
    )

    def __init__(self, stream: str, span: int, expected: int = 0) -> None:
        self.expected = expected  # the sample that is next
        self._stream, self._span = stream, span
        self._held: list[Chunk] = []  # by start

    @property
    def held(self) -> int:
        """Samples that wait for what is missing before them."""
        return sum(len(chunk.samples) for chunk in self._held)

    def repeats(self, start: int, end: int) -> bool:
        """Whether any of these samples went on or is held already."""
        if not self._held:
            return start < self.expected
        return start < self.expected or any(chunk.start < end and start < chunk.end for chunk in self._held)

    def add(self, chunk: Chunk) -> list[Chunk | Gap]:
        """What may go on now that this has come."""
        if not self._held and chunk.start <= self.expected:
            self.expected = max(self.expected, chunk.end)
            return [chunk]
        insort(self._held, chunk, key=lambda each: each.start)
        ordered = self._continued()
        # The second bound is for what is held more than once.
        while self._held and (
            max(each.end for each in self._held) > self.expected + self._span or self.held > 2 * self._span
        ):
            ordered += self._declared()
        return ordered

    def flush(self) -> list[Chunk | Gap]:
        """All that is held: what is missing will not come."""
        ordered: list[Chunk | Gap] = []
        while self._held:
            ordered += self._declared()
        return ordered

    def lose(self, end: int) -> list[Gap]:
        """The samples up to `end` will not come."""
        if end <= self.expected:
            return []
        gap = Gap(self._stream, self.expected, end, MISSING)
        self.expected = end
        return [gap]

    def forget(self) -> None:
        """What is held comes again."""
        self._held.clear()

    def _declared(self) -> list[Chunk | Gap]:
        return [*self.lose(self._held[0].start), *self._continued()]

    def _continued(self) -> list[Chunk | Gap]:
        ordered: list[Chunk | Gap] = []
        while self._held and self._held[0].start <= self.expected:
            chunk = self._held.pop(0)
            self.expected = max(self.expected, chunk.end)
            ordered.append(chunk)
        return ordered
