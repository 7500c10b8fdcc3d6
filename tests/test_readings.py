"""Sensors by serial port and MQTT: their streams obey the law, whatever they write."""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_delivery import Broker, needs_broker, needs_paho, until

from streamrnn import sources
from streamrnn.chunk import Chunk, Gap, Item, Note, Opened
from streamrnn.errors import ConfigError, DeviceError
from streamrnn.grid import GridConfig
from streamrnn.sources import Source
from streamrnn.sources.mqtt import MqttConfig
from streamrnn.sources.readings import Complaints, MalformedError, of_csv, of_json, of_line, reading
from streamrnn.sources.serial import SerialConfig
from streamrnn.testing.source import check_source

needs_serial = pytest.mark.skipif(
    importlib.util.find_spec("serial") is None, reason="pyserial is not installed: pip install 'streamrnn[serial]'"
)
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
ROWS = st.lists(st.lists(FINITE, min_size=3, max_size=3), min_size=1, max_size=5)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)


@given(ROWS, st.sampled_from([",", ";", " ", "\t", ", "]), st.sampled_from(["\n", "\r\n"]))
def test_rows_are_read_as_they_were_written(rows: list[list[float]], between: str, end: str) -> None:
    wanted = np.array(rows, np.float32)
    text = "".join(between.join(map(repr, row)) + end for row in rows).encode()
    np.testing.assert_array_equal(of_csv(text, 3, ()).samples, wanted)
    np.testing.assert_array_equal(of_json(json.dumps(rows).encode(), 3, ()).samples, wanted)
    objects = [dict(zip("xyz", row, strict=True)) | {"n": "no number"} for row in rows]
    np.testing.assert_array_equal(of_json(json.dumps(objects).encode(), 3, "xyz").samples, wanted)
    np.testing.assert_array_equal(of_json(json.dumps(objects[0]).encode(), 3, "xyz").samples, wanted[:1])
    np.testing.assert_array_equal(of_json(json.dumps(rows[0][0]).encode(), 1, ()).samples, wanted[:1, :1])


@given(st.binary(max_size=60) | ANY_JSON.map(lambda each: json.dumps(each).encode()), st.sampled_from(["", "x", "xy"]))
def test_whatever_comes_is_finite_samples_or_malformed(payload: bytes, fields: str) -> None:
    channels = max(1, len(fields))
    for read in (of_csv, of_json):
        try:
            made = read(payload, channels, tuple(fields)).samples
        except MalformedError:
            continue
        assert made.dtype == np.float32
        assert made.shape[0] > 0
        assert made.shape[1] == channels
        assert np.isfinite(made).all()


@pytest.mark.parametrize("line", [b"", b"1", b"1,2,3", b"a,b", b"1_0,2", b"nan,1", b"inf 1", b"1e99;1", b"\xff,1"])
def test_a_line_that_is_not_two_finite_numbers_is_malformed(line: bytes) -> None:
    with pytest.raises(MalformedError):
        reading([of_line(line, 2)], 2)


def test_complaints_are_ever_rarer() -> None:
    complaints = Complaints()
    assert sum(len(complaints.told("no")) for _ in range(1000)) == 10
    assert complaints.count == 1000


class Running:
    """A source in a thread, held to the law when it is over."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.items: list[Item] = []
        self.broken: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        def played() -> Iterator[Item]:
            for item in self.source.items():
                self.items.append(item)
                yield item

        try:
            check_source(played)
        except BaseException as error:
            self.broken.append(error)

    def heard(self) -> list[list[float]]:
        return [row for item in list(self.items) if isinstance(item, Chunk) for row in item.samples.tolist()]

    def states(self) -> list[str]:
        return [item.state for item in list(self.items) if isinstance(item, Note)]

    def lost(self, reason: str) -> int:
        return sum(
            item.end - item.start for item in list(self.items) if isinstance(item, Gap) and reason in item.reason
        )

    def finish(self) -> None:
        self.source.stop()
        self._thread.join(10)
        self.source.close()
        assert not self.broken, self.broken


class Port:
    """A serial port of two ends, behind a name that goes and comes as that of a plugged device does."""

    def __init__(self, folder: Path) -> None:
        self.name = folder / "tty"
        self._ends: list[int] = []
        self.plug()

    def plug(self) -> None:
        self._ends = list(pty.openpty())
        tty.setraw(self._ends[1])
        self.name.symlink_to(os.ttyname(self._ends[1]))

    def unplug(self) -> None:
        self.name.unlink(missing_ok=True)
        while self._ends:
            os.close(self._ends.pop())

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._ends[0], data[:512]) :]


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Port]:
    made = Port(tmp_path)
    yield made
    made.unplug()


def serial(port: Port, **more: Any) -> Running:
    settings: dict[str, Any] = {"rate": 100, "channels": 2, **more}
    return Running(sources.build(SerialConfig(device=str(port.name), stream="boiler", **settings)))


@needs_serial
def test_lines_of_a_port_are_samples_cut_anywhere_and_what_is_no_line_is_lost_and_told(port: Port) -> None:
    running = serial(port)
    assert running.items == [] or running.items[0] == Opened("boiler", 100, 2)
    text = b"half a li" + b"ne\n" + b"".join(b"%d, %d\r\n" % (i, -i) for i in range(50)) + b"garbage\n1\nnan 1\n7;8\n"
    for at in range(0, len(text), 7):
        port.write(text[at : at + 7])
    until(lambda: [7.0, 8.0] in running.heard())
    port.write(b"x" * 10_000 + b"\n9 10\n")
    until(lambda: [9.0, 10.0] in running.heard())
    running.finish()
    assert running.heard() == [*([float(i), float(-i)] for i in range(50)), [7.0, 8.0], [9.0, 10.0]]
    assert running.lost("malformed") >= 4
    assert running.states()[:2] == ["malformed", "malformed"]
    assert "garbage" not in repr([item for item in running.items if isinstance(item, Note)])


@needs_serial
def test_a_port_that_goes_is_offline_and_the_same_one_is_taken_again(port: Port) -> None:
    running = serial(port)
    port.write(b"cut\n1 1\n2 2\n")
    until(lambda: len(running.heard()) == 2)
    port.unplug()
    until(lambda: running.states() == ["offline"])
    began = time.monotonic()
    until(lambda: running.source.condition == "offline")
    port.plug()

    def written() -> bool:
        port.write(b"3 3\n")
        return "online" in running.states()

    until(written)
    away = time.monotonic() - began
    until(lambda: [3.0, 3.0] in running.heard())
    assert running.source.condition == ""
    running.finish()
    assert abs(running.lost("away") - away * 100) < 60


@needs_serial
def test_a_port_that_says_nothing_is_offline(port: Port) -> None:
    running = serial(port, stall_s=0.5)
    until(lambda: running.states() == ["offline"])
    running.finish()


@needs_serial
def test_a_port_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        sources.build(SerialConfig(device=str(tmp_path / "tty"), stream="a", rate=1))
    assert str(tmp_path / "tty") in str(caught.value)
    assert "serial ports: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    yield made
    made.stop()


def sensor(broker: Broker) -> Any:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(CallbackAPIVersion.VERSION2)
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    return client


def comes(running: Running, client: Any, payload: str, row: list[float]) -> Callable[[], bool]:
    """Whether a sample arrives, which is sent until it does: the source may not have come to the broker yet."""

    def sent() -> bool:
        client.publish("home/boiler", payload)
        time.sleep(0.05)
        return row in running.heard()

    return sent


@needs_paho
@needs_broker
def test_messages_are_samples_and_a_broker_that_goes_is_an_absence(broker: Broker) -> None:
    client = sensor(broker)
    client.publish("home/boiler", "[9, 9]", retain=True).wait_for_publish(5)  # old when we come
    running = Running(
        sources.build(
            MqttConfig(
                topic="home/boiler",
                stream="boiler",
                rate=100,
                channels=2,
                fields=("x", "y"),
                port=broker.port,
                stall_s=1.0,
            )
        )
    )
    until(comes(running, client, '{"x": 1, "y": 2, "name": "boiler"}', [1.0, 2.0]))
    before = len(running.heard())
    for payload in ("[[3, 4], [5, 6]]", "nonsense", '{"x": 1}', '{"x": null, "y": 1}', "[7, 8]"):
        client.publish("home/boiler", payload)
    until(lambda: [7.0, 8.0] in running.heard())
    assert running.heard()[before:] == [[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]
    assert running.lost("malformed") == 6  # three times as many as the message before
    assert running.states().count("malformed") == 2
    broker.stop()
    until(lambda: "offline" in running.states())
    assert running.source.condition == "offline"
    assert "the broker is away" in repr(running.items)
    broker.start()
    until(comes(running, client, "[5, 5]", [5.0, 5.0]), 40.0)
    assert "online" in running.states()
    assert running.lost("away") > 50
    running.finish()
    client.disconnect()
    client.loop_stop()
    assert [9.0, 9.0] not in running.heard()


@pytest.mark.parametrize("more", [{"topic": "home/#"}, {"topic": ""}, {"topic": "a", "fields": ("x", "y")}])
def test_a_topic_that_is_several_sensors_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        MqttConfig(stream="a", rate=1, **more)


def test_rows_that_carry_times_are_read_with_them_and_say_which_channel_is_not_there() -> None:
    grid = GridConfig(policy="hold", unit="ms", time="at")
    for read, payload in (
        (of_csv, b"1700000000000.5, 1, 2\n1700000000020; 3 nan\n"),
        (of_json, b'[{"at": 1700000000000.5, "x": 1, "y": 2}, {"at": 1700000000020, "x": 3}]'),
        (of_json, b'[{"at": 1700000000000.5, "x": 1, "y": 2}, {"at": 1700000000020, "x": 3, "y": null}]'),
    ):
        made = read(payload, 2, ("x", "y"), grid)
        np.testing.assert_array_equal(made.samples, [[1, 2], [3, np.nan]])
        assert made.times.tolist() == [1_700_000_000_000_500_000, 1_700_000_000_020_000_000]
    wrongs = (b"{}", b'{"x": 1, "y": 2}', b'{"at": "noon", "x": 1, "y": 2}', b'{"at": true, "x": 1}', b"7", b"[]")
    for wrong in (*wrongs, b"[[1700000000020, 3, null]]"):
        with pytest.raises(MalformedError):
            of_json(wrong, 2, ("x", "y"), grid)
    with pytest.raises(MalformedError, match="2 values, 3 were declared"):
        of_line(b"1,2", 2, grid)
