"""Sinks that run a program or speak to a broker: what they cannot deliver is counted, and nobody waits for them."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemons import INGEST, RESULTS, Daemon, write_config
from test_sinks import Kept, event, gap

from streamrnn import wire
from streamrnn.client import Pusher, Subscriber
from streamrnn.config import convert
from streamrnn.errors import ConfigError, DeviceError
from streamrnn.events import BundleRef
from streamrnn.publisher import Publisher
from streamrnn.sinks.command import CommandConfig, CommandSink
from streamrnn.sinks.mqtt import MqttConfig, MqttSink
from streamrnn.sinks.waiting import Waiting
from streamrnn.testing.signals import sentence
from streamrnn.wire import Status

REF = BundleRef("tones", "ab")
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_paho = pytest.mark.skipif(importlib.util.find_spec("paho") is None, reason="paho-mqtt is not installed")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="no MQTT broker is installed: apt-get install mosquitto")


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_program_gets_what_was_heard_on_standard_input_and_no_shell_sees_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    tee = program(tmp_path / "tee", 'cat >> "$1"; echo "$2" >> "$1"')
    kept = Kept()
    sink = CommandSink(CommandConfig(argv=(tee, str(out), "$(id); `id`"), labels=("low",), at_once=1))
    publisher = Publisher([kept, sink], [REF])
    publisher.event(event(0))
    publisher.event(gap(20, 50))
    publisher.status("mic", Status("failed", "not asked for"))
    publisher.event(event(60))
    assert publisher.close("done", lambda: 10.0) == []
    lines = out.read_text().splitlines()
    wanted = [wire.encode(each)[1].decode() for each in kept.messages if each.kind == "detection"]
    assert lines == [wanted[0], "$(id); `id`", wanted[1], "$(id); `id`"]


def test_programs_that_fail_or_do_not_end_are_counted_and_hold_nobody_up(tmp_path: Path) -> None:
    failing = CommandSink(CommandConfig(argv=(program(tmp_path / "fail", "exit 3"),)))
    sleeping = CommandSink(
        CommandConfig(argv=(program(tmp_path / "sleep", "sleep 100 & sleep 100"),), timeout_s=0.2, at_once=2)
    )
    endless = CommandSink(CommandConfig(argv=(program(tmp_path / "endless", "sleep 100"),), at_once=1, queue=2))
    publisher = Publisher([failing, sleeping, endless], [REF])
    begun = time.monotonic()
    for i in range(6):
        publisher.event(event(100 * i))
    assert time.monotonic() - begun < 10.0
    until(lambda: failing.lost == 6)
    assert failing.loss == "exit code 3"
    until(lambda: sleeping.lost == 6)
    assert sleeping.loss == "did not end within 0.2 s"
    until(lambda: endless.lost >= 3)
    assert endless.loss == "more than 2 wait"
    told = publisher.close("done", lambda: 0.1)
    assert told[2].endswith("6 messages lost: the daemon was stopped")
    assert time.monotonic() - begun < 30
    running = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False)
    until(lambda: not subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, check=False).stdout)
    assert running.returncode in (0, 1)


def test_a_failing_program_is_announced_to_who_subscribed(tmp_path: Path, tiny_bundle: Path) -> None:
    import numpy as np

    sink = {"kind": "command", "argv": [program(tmp_path / "fail", "exit 3")]}
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS, sink])
    with Daemon(config) as daemon, Subscriber(daemon.results, ("v1/status/_/",), timeout=10.0) as subscriber:
        with Pusher(daemon.ingest, stream="a", rate=8000) as pusher:
            pusher.push(sentence(["low"], 8000, np.random.default_rng(1))[0])
        told = next(each.body for each in subscriber if each.kind == "status")
        assert told == Status("failed", f"command {tmp_path}/fail: 1 messages lost: exit code 3")
        daemon.stop()


@pytest.mark.parametrize(
    ("argv", "told"), [(["/nowhere/x"], "no such program"), ([], "argv: empty"), ([""], "argv: empty")]
)
def test_a_program_that_is_not_there_is_one_line(argv: list[str], told: str) -> None:
    with pytest.raises((ConfigError, DeviceError), match=told):
        CommandSink(convert({"argv": argv}, CommandConfig))


def test_kinds_are_checked() -> None:
    with pytest.raises(ConfigError, match="did you mean 'detection'"):
        convert({"argv": ["cat"], "kinds": ["detections"]}, CommandConfig)
    with pytest.raises(ConfigError, match="prefix"):
        convert({"prefix": "a/#"}, MqttConfig)


def test_what_waits_is_bounded_in_order_and_every_message_is_delivered_or_lost() -> None:
    waiting = Waiting(3)
    kept = Kept()
    publisher = Publisher([kept], [REF])
    for i in range(5):
        publisher.event(event(i))
        waiting.put(kept.messages[-1], b"")
    taken = [waiting.take()[0][0] for _ in range(3)]
    assert [each.id for each in taken] == ["id2", "id3", "id4"]
    waiting.done()
    waiting.done("no")
    waiting.close(0.0)
    assert (waiting.lost, waiting.over, waiting.take()) == (4, True, [])


class Broker:
    """A mosquitto on a free port, that can go away and come back."""

    def __init__(self, folder: Path, more: str = "allow_anonymous true") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\n{more}\nuser root\n")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([str(MOSQUITTO), "-c", str(self._config)], stderr=subprocess.DEVNULL)

        def answers() -> bool:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                return False
            return True

        until(answers)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    yield made
    made.stop()


class Listener:
    """A client of the broker's that keeps what it gets."""

    def __init__(self, port: int, user: str = "", password: str = "") -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.got: list[tuple[str, bytes]] = []
        self.ready = False
        self._client = Client(CallbackAPIVersion.VERSION2)
        if user:
            self._client.username_pw_set(user, password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = lambda *_: setattr(self, "ready", True)
        self._client.on_disconnect = lambda *_: setattr(self, "ready", False)
        self._client.on_message = lambda client, data, message: self.got.append((message.topic, message.payload))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        until(lambda: self.ready)

    def ids(self) -> list[str]:
        return [json.loads(text)["id"] for topic, text in list(self.got) if "/detection/" in topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@needs_paho
@needs_broker
def test_a_broker_gets_every_message_once_and_hears_whether_we_are_there(broker: Broker) -> None:
    listener = Listener(broker.port)
    sink = MqttSink(MqttConfig(port=broker.port, prefix="home/hall"))
    kept = Kept()
    publisher = Publisher([kept, sink], [REF])
    until(sink._connected.is_set)
    for i in range(200):
        publisher.event(event(i))
    publisher.attend()
    assert publisher.close("done", lambda: 10.0) == []
    wanted = {f"home/hall/{each.topic.rstrip('/')}": each for each in kept.messages}
    until(lambda: ("home/hall/online", b"false") in listener.got)
    assert listener.ids() == [f"id{i}" for i in range(200)]
    assert {topic for topic, _ in listener.got} - {"home/hall/online"} <= set(wanted)
    assert listener.got[0] == ("home/hall/online", b"true")
    assert sink.lost == 0
    listener.close()


@needs_paho
@needs_broker
def test_a_broker_that_goes_away_gets_what_waited_and_what_did_not_fit_is_counted(broker: Broker) -> None:
    sink = MqttSink(MqttConfig(port=broker.port, queue=10))
    publisher = Publisher([sink], [REF])
    publisher.event(event(0))
    until(sink._connected.is_set)
    listener = Listener(broker.port)
    broker.stop()
    until(lambda: not sink._connected.is_set())
    begun = time.monotonic()
    for i in range(1, 31):
        publisher.event(event(i))
    assert time.monotonic() - begun < 10.0
    assert sink.lost >= 19
    assert "more than 10 wait; the broker is away" in sink.loss
    broker.start()
    until(lambda: listener.ready)
    publisher.event(event(99))
    until(lambda: "id99" in listener.ids())
    lost = sink.lost
    # Those that fitted came, in order; every other is counted.
    came = [name for name in dict.fromkeys(listener.ids()) if name not in ("id0", "id99")]
    assert came == sorted(came, key=lambda name: int(name[2:]))
    assert len(came) + lost == 30
    publisher.close("done", lambda: 5.0)
    listener.close()


@needs_paho
@needs_broker
def test_a_password_comes_from_a_file_and_a_refusal_is_told(tmp_path: Path) -> None:
    passwd = shutil.which("mosquitto_passwd")
    if passwd is None:
        pytest.skip("mosquitto_passwd is not installed")
    subprocess.run([passwd, "-b", "-c", str(tmp_path / "users"), "ann", "secret"], check=True, capture_output=True)
    broker = Broker(tmp_path, f"allow_anonymous false\npassword_file {tmp_path}/users")
    try:
        (tmp_path / "right").write_text("secret\n")
        (tmp_path / "wrong").write_text("guess\n")
        refused = MqttSink(MqttConfig(port=broker.port, user="ann", password_file=str(tmp_path / "wrong"), queue=1))
        publisher = Publisher([refused], [REF])
        until(lambda: "Not authorized" in refused.loss)
        for i in range(3):
            publisher.event(event(i))
        assert refused.lost == 2
        publisher.close("done", lambda: 1.0)
        listener = Listener(broker.port, "ann", "secret")
        sink = MqttSink(MqttConfig(port=broker.port, user="ann", password_file=str(tmp_path / "right")))
        publisher = Publisher([sink], [REF])
        publisher.event(event(1))
        until(lambda: listener.ids() == ["id1"])
        publisher.close("done", lambda: 5.0)
        listener.close()
    finally:
        broker.stop()
    with pytest.raises(DeviceError, match="password_file"):
        MqttSink(MqttConfig(user="ann", password_file=str(tmp_path / "nowhere")))


@needs_paho
def test_a_broker_that_never_comes_costs_no_time_at_the_end() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        sink = MqttSink(MqttConfig(port=probe.getsockname()[1], queue=5))
        publisher = Publisher([sink], [REF])
        for i in range(7):
            publisher.event(event(i))
        begun = time.monotonic()
        told = publisher.close("done", lambda: 30.0)
        assert "8 messages lost" in told[0]
        assert time.monotonic() - begun < 10.0
