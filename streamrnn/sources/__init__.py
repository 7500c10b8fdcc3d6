"""Where samples come from: each source says, item by item, what happens to its streams."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from typing import Annotated, Literal

from msgspec import Meta

from streamrnn import registry
from streamrnn.channels import ChannelsConfig
from streamrnn.chunk import Item
from streamrnn.errors import ConfigError, UserError, did_you_mean
from streamrnn.grid import GridConfig
from streamrnn.pacing import Tick
from streamrnn.recognizer import Count, Name, Positive
from streamrnn.registry import PlugConfig

WhenFull = Literal["block", "drop_oldest", "drop_newest"]
Rate = Annotated[int, Meta(ge=0, le=1_000_000)]


class SourceConfig(PlugConfig, frozen=True):
    """What every source has: the bundles that listen to it (none named: all), and how much may wait for the engine.

    `when_full` says what happens to samples that find no room: they wait, as files can, or the oldest or newest are
    dropped and declared, for the world does not wait.
    """

    bundles: tuple[Name, ...] = ()
    queue_ms: Positive = 2000.0
    when_full: WhenFull = "block"


class PacedConfig(SourceConfig, frozen=True):
    """A source that is all there at once: played in real time or as fast as it is taken, `chunk` samples at a time."""

    pace: Literal["realtime", "fastest"] = "realtime"
    chunk: Count = 1024


class SensorConfig(SourceConfig, frozen=True):
    """A source of sensors: what their times mean, and when a channel is told of that has frozen or vanished."""

    grid: GridConfig = GridConfig()
    watch: ChannelsConfig = ChannelsConfig()


class Source(ABC):
    """Opened and checked when it is built, which raises UserError; then run by one thread, and told what came of it."""

    def __init__(self, place: str) -> None:
        self.place = place  # where the samples come from, for people
        self.stopped = threading.Event()
        self.refusal = ""  # why the engine does not take it
        self.condition = ""  # of its device, such as `offline`; "" if all is well, or there is none
        self.tick = Tick(0.0)  # for how long it may gather what comes before it hands it on
        self.drift_ppm = 0.0  # by how much its clock is faster than the computer's; 0.0 if that is not known

    @abstractmethod
    def items(self) -> Iterator[Item]:
        """What happens, in order: each stream opened, its chunks and declared gaps without a hole, its end."""

    def bursts(self) -> Iterator[list[Item]]:
        """The same items, those that came together in one list: the engine is woken once for each."""
        return ([item] for item in self.items())

    def stop(self) -> None:
        """From any thread: let `items` come to an end soon."""
        self.stopped.set()

    def resumed(self, stream: str, index: int) -> None:  # noqa: B027 (most sources cannot go back)
        """From the engine's thread, before `taken` of its Opened: the stream goes on with sample `index`, not 0."""

    def taken(self, item: Item) -> None:  # noqa: B027 (most sources need not know)
        """From the engine's thread: an item has reached the engine."""

    def refused(self, stream: str, error: UserError) -> None:
        """From the engine's thread: the engine does not take this stream, and will be told no more of it."""
        self.refusal = str(error)
        self.stop()

    def close(self) -> None:  # noqa: B027 (most sources have nothing open)
        """After the thread has ended: give back what was opened."""


def room(queue_ms: float, rate: int) -> int:
    """How many samples of a stream may wait for the engine; enough for a few chunks at any rate."""
    return max(8192, round(queue_ms * rate / 1000.0))


def checked(config: PlugConfig, bundles: Collection[str], where: str) -> SourceConfig:
    """The same, once it is known to be of a source that names none but `bundles`. Raises ConfigError."""
    if not isinstance(config, SourceConfig):
        raise ConfigError(f"{where}: {type(config).__name__} is no SourceConfig; derive it from that")
    for name in config.bundles:
        if name not in bundles:
            raise ConfigError(f"{where}.bundles: {name!r} is not served; {did_you_mean(name, bundles)}")
    return config


def build(config: PlugConfig) -> Source:
    """The source that a config describes. Raises UserError if it cannot be opened."""
    source: Source = registry.of(config).load()(config)
    return source
