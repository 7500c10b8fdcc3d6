"""A source that says what it was given."""

from __future__ import annotations

from collections.abc import Iterator

from streamrnn.chunk import Item
from streamrnn.sources import Source


class Listed(Source):
    """Says what it was given."""

    def __init__(self, items: list[Item]) -> None:
        super().__init__("a list")
        self._items = items

    def items(self) -> Iterator[Item]:
        yield from self._items
