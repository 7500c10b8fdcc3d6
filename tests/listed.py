"""A source that says what it was given, and a sink that keeps what it is told."""

from __future__ import annotations

from collections.abc import Iterator

from streamrnn.chunk import Item
from streamrnn.sinks import Sink
from streamrnn.sources import Source
from streamrnn.wire import Message


class Listed(Source):
    """Says what it was given."""

    def __init__(self, items: list[Item]) -> None:
        super().__init__("a list")
        self._items = items

    def items(self) -> Iterator[Item]:
        yield from self._items


class Heeder(Sink):
    """Keeps what is published."""

    place = "a list"

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def publish(self, message: Message, parts: list[bytes]) -> None:
        self.messages.append(message)

    def close(self, seconds: float) -> str:
        return ""
