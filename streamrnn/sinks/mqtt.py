"""Messages for an MQTT broker, such as that of a house: each under a topic of its own, as the JSON of the wire."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Annotated, Any, Literal

from msgspec import Meta

from streamrnn import broker
from streamrnn.errors import ConfigError
from streamrnn.recognizer import Count
from streamrnn.registry import PlugConfig, register
from streamrnn.sinks import PULSE, Sink
from streamrnn.sinks.waiting import Waiting, check_kinds
from streamrnn.wire import Message

_WINDOW = 20  # messages on their way at a time
_CONFIRMED_S = 10.0  # within which a message that was handed over must be out, or with QoS 1 and 2 confirmed
_PAUSE_S, _IDLE_S = 0.02, 0.5


@register("sink", "streamrnn.sinks.mqtt:MqttSink")
class MqttConfig(PlugConfig, frozen=True, kw_only=True, tag="mqtt"):
    """Publish under `prefix`/v1/<kind>/<stream>/<bundle>, and `true` or `false`, retained, under `prefix`/online.

    `port` 0 is 1883, or 8883 with TLS, which `ca_file` turns on: a file of certificates, or `system` for the system's.
    The password stands in `password_file`, never in the config. `queue` messages wait while the broker is away; the
    oldest beyond them are lost, counted and announced. What a shadow hears is left out, unless `shadows` is true. Needs
    paho-mqtt: pip install 'streamrnn[ops]'.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    prefix: str = "streamrnn"
    qos: Literal[0, 1, 2] = 1
    kinds: tuple[str, ...] = ()
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    client_id: str = ""
    queue: Count = 1000
    shadows: bool = False

    def __post_init__(self) -> None:
        check_kinds(self.kinds)
        if not self.prefix or any(letter in self.prefix for letter in "+#\0") or self.prefix[0] in "/$":
            raise ConfigError(
                f"prefix: {self.prefix!r} cannot begin a topic; use letters, as streamrnn or home/kitchen"
            )


class MqttSink(Sink):
    """One thread hands messages to paho, which has one that talks to the broker and comes back to it."""

    def __init__(self, config: MqttConfig) -> None:
        """Raises ConfigError without paho-mqtt, DeviceError if a file cannot be read; a broker may come later."""
        self._config = config
        self.place = f"mqtt {config.host}:{broker.port_of(config)}/{config.prefix}"
        self._online = f"{config.prefix}/online"
        self._connected = threading.Event()
        self._closing = threading.Event()
        self._published: set[int] = set()
        self._since = 0.0  # when the broker came
        self._refusal = ""
        self._waiting = Waiting(config.queue)
        self._client = self._opened()
        self._thread = threading.Thread(target=self._work, name="mqtt", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Messages that the broker did not get."""
        return self._waiting.lost

    @property
    def loss(self) -> str:
        """Why."""
        away = "" if self._connected.is_set() else f"; {self._refusal or 'the broker is away'}"
        return self._waiting.reason + away

    def publish(self, message: Message, parts: list[bytes]) -> None:
        """Let it be sent, if it is asked for."""
        kinds = self._config.kinds
        if message.bundle.shadow and not self._config.shadows:
            return
        if message.kind in kinds or (not kinds and message.kind not in PULSE):
            self._waiting.put(message, parts[1])

    def close(self, seconds: float) -> str:
        """Let out what waits, if the broker is there, for at most so many seconds."""
        until = time.monotonic() + seconds
        # Of a broker that is away nothing is to be hoped for.
        self._waiting.close(seconds if self._connected.is_set() else 0.0)
        self._closing.set()
        if self._connected.is_set():
            self._client.publish(self._online, b"false", 0, retain=True)
        self._client.disconnect()
        # Paho's own way to stop waits for as long as a broker likes.
        self._thread.join(max(0.0, until - time.monotonic()))
        return f"{self.lost} messages lost: {self._waiting.reason}" if self.lost else ""

    def _opened(self) -> Any:
        client = broker.client(self._config)
        client.will_set(self._online, b"false", 0, retain=True)
        client.on_connect, client.on_disconnect, client.on_publish = self._came, self._went, self._out
        client.max_inflight_messages_set(_WINDOW)
        broker.start(client, self._config)
        return client

    def _came(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._refusal = str(reason) if reason.is_failure else ""
        if not reason.is_failure:
            self._since = time.monotonic()
            client.publish(self._online, b"true", 0, retain=True)
            self._connected.set()

    def _went(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._connected.clear()

    def _out(self, client: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
        # No lock of ours here: paho holds one of its own that `publish` needs.
        self._published.add(mid)

    def _work(self) -> None:
        """Keep a few messages on their way, in order."""
        sent: deque[tuple[Any, float]] = deque()
        while not self._closing.is_set() and not (self._waiting.over and not sent):
            self._settle(sent)
            # What waits is bounded and declared; what paho would hold while the broker is away is neither.
            if len(sent) >= _WINDOW or not self._connected.is_set() or self._waiting.over:
                time.sleep(_PAUSE_S)
                continue
            if not sent:
                self._published.clear()
            for message, text in self._waiting.take(_PAUSE_S if sent else _IDLE_S):
                topic = f"{self._config.prefix}/{message.topic.rstrip('/')}"
                sent.append((self._client.publish(topic, text, self._config.qos), time.monotonic()))

    def _settle(self, sent: deque[tuple[Any, float]]) -> None:
        """Let go of what is out, and of what will not be confirmed any more."""
        while sent:
            info, at = sent[0]
            # With QoS 1 and 2 paho sends again what was on its way when the broker went, once it is back.
            late = time.monotonic() - max(at, self._since) > _CONFIRMED_S
            if info.mid in self._published:
                self._published.discard(info.mid)
                self._waiting.done()
            elif late and (self._config.qos == 0 or self._connected.is_set()):
                self._waiting.done(f"not confirmed within {_CONFIRMED_S:g} s")
            else:
                return
            sent.popleft()
