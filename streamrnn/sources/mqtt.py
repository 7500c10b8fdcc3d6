"""A sensor that publishes to an MQTT broker as a stream: each message one sample or several, in JSON or CSV."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta

from streamrnn import broker
from streamrnn.chunk import Ended, Item, Note, Opened
from streamrnn.errors import ConfigError
from streamrnn.ingest import MOST_CHANNELS
from streamrnn.recognizer import Name, Positive
from streamrnn.registry import register
from streamrnn.sources import SensorConfig, Source, WhenFull
from streamrnn.sources.drift import Drift
from streamrnn.sources.presence import TOO_SLOW, Presence
from streamrnn.sources.readings import LARGEST, SPOILED, Complaints, MalformedError, of_csv, of_json

_LOOK_S = 0.2
_QUEUE = 1024  # messages between paho's thread and ours
_READERS = {"json": of_json, "csv": of_csv}


@register("source", "streamrnn.sources.mqtt:MqttSource")
class MqttConfig(SensorConfig, frozen=True, kw_only=True, tag="mqtt"):
    """Listen to one `topic`, of which `rate` samples a second are to come; of objects in JSON `fields` are taken.

    `port` 0 is 1883, or 8883 with TLS, which `ca_file` turns on: a file of certificates, or `system` for the system's.
    The password stands in `password_file`, never in the config. Needs paho-mqtt: pip install 'streamrnn[ops]'.
    """

    topic: str
    stream: Name
    rate: Annotated[int, Meta(ge=1, le=1_000_000)]
    channels: Annotated[int, Meta(ge=1, le=MOST_CHANNELS)] = 1
    format: Literal["json", "csv"] = "json"
    fields: tuple[str, ...] = ()
    # With 1 a broker may bring a message twice, and a sample that comes twice is one too many.
    qos: Literal[0, 2] = 0
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    client_id: str = ""
    stall_s: Positive = 10.0
    when_full: WhenFull = "drop_oldest"

    def __post_init__(self) -> None:
        if not self.topic or any(letter in self.topic for letter in "+#\0"):
            raise ConfigError(f"topic: {self.topic!r} is not one topic; a stream is one sensor, name its topic whole")
        if self.fields and len(self.fields) != self.channels:
            raise ConfigError(f"fields: {len(self.fields)} names for {self.channels} channels; name one for each")


class MqttSource(Source):
    """Paho's thread copies what comes and finds its broker again; ours reads it. A broker may come later."""

    def __init__(self, config: MqttConfig) -> None:
        """Raises ConfigError without paho-mqtt, DeviceError if a file cannot be read."""
        super().__init__(f"mqtt {config.host}:{broker.port_of(config)}/{config.topic}")
        self._config = config
        self._messages: queue.Queue[tuple[float, bytes]] = queue.Queue(_QUEUE)
        self._dropped = False  # set by paho's thread, when a message found no room
        self._away = "the broker is away"  # why nothing can come; "" if it can
        self._n, self._count = 1, 0
        self._drift, self._complaints = Drift(config.rate), Complaints()
        self._client = broker.client(config)
        self._client.on_connect, self._client.on_disconnect = self._came, self._went
        self._client.on_subscribe, self._client.on_message = self._subscribed, self._got
        broker.start(self._client, config)

    def items(self) -> Iterator[Item]:
        """The stream opened, its samples, gaps for what could not be read or was not there; notes of both."""
        config = self._config
        presence = Presence(config.stream, config.rate, time.monotonic(), config.stall_s)
        yield Opened(config.stream, config.rate, config.channels, timed=config.grid.timed, names=config.fields)
        while not self.stopped.is_set():
            yield from self._next(presence)
            self.condition = presence.condition
        yield Ended(config.stream)

    def close(self) -> None:
        """Take leave of the broker."""
        self._client.disconnect()
        self._client.loop_stop()

    def _next(self, presence: Presence) -> list[Item]:
        try:
            at, payload = self._messages.get(timeout=_LOOK_S)
        except queue.Empty:
            # A broker that is away for a moment brings nothing for a moment: what counts is how long.
            items = presence.quiet(time.monotonic(), _LOOK_S)
            return [_because(item, self._away) for item in items]
        items = []
        if self._dropped:
            self._dropped = False
            items += presence.paused(TOO_SLOW)
        try:
            if len(payload) > LARGEST:
                raise MalformedError(f"more than {LARGEST} bytes")
            config = self._config
            made = _READERS[config.format](payload, config.channels, config.fields, config.grid)
        except MalformedError as error:
            # As many samples as the message before.
            self._count += self._n
            notes = [Note(self._config.stream, "malformed", text) for text in self._complaints.told(str(error))]
            return [*items, *notes, *presence.spoiled(at, self._n, SPOILED)]
        self._n, start = len(made.samples), self._count
        self._count += self._n
        self._drift.add(at, self._count)
        self.drift_ppm = self._drift.ppm
        return [*items, *presence.heard(at, start, made.samples, made.times)]

    def _came(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._away = str(reason)
            return
        client.subscribe(self._config.topic, self._config.qos)

    def _subscribed(self, client: Any, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        self._away = f"the broker refuses the topic: {refused[0]}" if refused else ""

    def _went(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._away = "the broker is away"

    def _got(self, client: Any, data: Any, message: Any) -> None:
        if message.retain:  # said some time before we came
            return
        try:
            self._messages.put_nowait((time.monotonic(), message.payload))
        except queue.Full:
            self._dropped = True


def _because(item: Item, away: str) -> Item:
    return Note(item.stream, item.state, f"{item.text}; {away}") if away and isinstance(item, Note) else item
