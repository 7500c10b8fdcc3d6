"""Where messages go: each sink takes every message once, in order, and never holds up the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from streamrnn import registry
from streamrnn.registry import PlugConfig
from streamrnn.wire import Message

PULSE = ("heartbeat", "hello")  # messages of use only to those who listen on ZeroMQ


class Sink(ABC):
    """Opened when it is built, which raises UserError; then used by the engine's thread alone."""

    place: str
    """Where the messages go, for people."""
    lost_are = "messages"
    """What is lost where it loses something, for people."""

    @abstractmethod
    def publish(self, message: Message, parts: list[bytes]) -> None:
        """Take a message and what `wire.encode` made of it."""

    @abstractmethod
    def close(self, seconds: float) -> str:
        """Let out what is on its way, for at most so many seconds; what was lost, for people, "" if nothing."""

    @property
    def sockets(self) -> list[Any]:
        """What to poll for input; `attend` is called when there is some."""
        return []

    def attend(self) -> bool:
        """Handle what has come in; whether a hello is asked for."""
        return False

    @property
    def lost(self) -> int:
        """How many messages could not be delivered so far."""
        return 0

    @property
    def loss(self) -> str:
        """Why the last of them could not, for people."""
        return ""

    @property
    def subscribers(self) -> int:
        """How many listen; -1 if the sink cannot tell."""
        return -1

    @property
    def awaited(self) -> int:
        """How many subscribers are still to come before the first sample is played."""
        return 0


def build(config: PlugConfig) -> Sink:
    """The sink that a config describes. Raises UserError if it cannot be opened."""
    sink: Sink = registry.of(config).load()(config)
    return sink
