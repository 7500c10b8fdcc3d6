"""Sinks and the publisher: every message once, in order, numbered, and none that holds up the engine."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import peers
import pytest
import zmq

from streamrnn import wire
from streamrnn.client import Subscriber
from streamrnn.errors import DeviceError
from streamrnn.events import BundleRef, Event, Heard, Lost
from streamrnn.publisher import Publisher
from streamrnn.sinks import Sink
from streamrnn.sinks.console import describe
from streamrnn.sinks.jsonl import JsonlConfig, JsonlSink
from streamrnn.sinks.writer import Writer
from streamrnn.sinks.zeromq import ZeromqConfig, ZeromqSink
from streamrnn.wire import Beat, Bye, Hello, Message, Status

REF = BundleRef("tones", "ab")


def event(start: int, stream: str = "mic") -> Event:
    return Event(
        "detection", stream, REF, 0, start + 10, 8000, "warm", f"id{start}", Heard("low", start, start + 10, 8000, 0.9)
    )


def gap(start: int, end: int, reason: str = "missing") -> Event:
    return Event("gap", "mic", REF, 1, end, 8000, "cold", "g", Lost(start, end, 8000, reason))


class Kept(Sink):
    """Keeps what it is given, decoded from the wire."""

    place = "here"

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def publish(self, message: Message, parts: list[bytes]) -> None:
        assert wire.decode(parts) == message
        self.messages.append(message)

    def close(self, seconds: float) -> str:
        return "a thing" if seconds < 1 else ""


@pytest.fixture
def results() -> Iterator[ZeromqSink]:
    sink = ZeromqSink(ZeromqConfig(endpoint="tcp://127.0.0.1:*", wait_for=2))
    yield sink
    sink.close(0)


def test_messages_are_numbered_a_topic_and_lost_samples_add_up() -> None:
    kept = Kept()
    publisher = Publisher([kept], [REF])
    publisher.opened("mic", 8000, 1)
    for each in (
        event(0),
        gap(20, 50),
        gap(30, 40, "overlap"),
        event(60, "mic2"),
        event(80),
        gap(100, 110),
        event(120),
    ):
        publisher.event(each)
    assert publisher.close("done", lambda: 0.5) == ["here: a thing"]
    said = [(each.kind, each.stream, each.seq, each.gap) for each in kept.messages]
    assert said == [
        ("status", "mic", 1, 0),
        ("detection", "mic", 1, 0),
        ("gap", "mic", 1, 30),
        ("gap", "mic", 2, 30),  # what came twice is not lost
        ("detection", "mic2", 1, 0),
        ("detection", "mic", 2, 30),
        ("gap", "mic", 3, 40),
        ("detection", "mic", 3, 40),
        ("bye", "_", 1, 0),
    ]
    bye = kept.messages[-1].body
    assert isinstance(bye, Bye)
    assert bye.topics[wire.topic_of("detection", "mic", "tones")] == 3
    assert len({each.run for each in kept.messages}) == 1
    assert Publisher([], []).run != publisher.run
    assert publisher.kinds["detection"] == 4


def test_a_stream_that_ends_forgets_its_losses() -> None:
    kept = Kept()
    publisher = Publisher([kept], [REF])
    publisher.opened("mic", 8000, 1)
    publisher.event(gap(0, 30))
    publisher.closed("mic", 30, Status("ended", ""))
    publisher.opened("mic", 8000, 1)
    publisher.event(event(0))
    assert kept.messages[-1].gap == 0


def test_a_beat_a_second_tells_what_changed() -> None:
    kept = Kept()
    publisher = Publisher([kept], [REF])
    publisher.event(event(0))
    until = time.monotonic() + 2.2
    while time.monotonic() < until:
        time.sleep(min(publisher.attend() + 0.001, 0.2))
    beats = [each.body for each in kept.messages if isinstance(each.body, Beat)]
    assert beats[0].topics == {wire.topic_of("detection", "mic", "tones"): 1}
    assert beats[1].topics == {wire.topic_of("heartbeat"): 1}
    assert len(beats) == 2


def test_the_count_of_topics_is_bounded() -> None:
    kept = Kept()
    publisher = Publisher([kept], [REF])
    for i in range(5000):
        publisher.event(event(0, f"s{i}"))
    publisher.event(event(0, "s4999"))
    assert kept.messages[-1].seq == 2
    publisher.event(event(0, "s0"))
    assert kept.messages[-1].seq == 1
    publisher.close("done", lambda: 1.0)
    bye = kept.messages[-1].body
    assert isinstance(bye, Bye)
    assert len(bye.topics) == 4096


def test_every_subscriber_is_greeted_and_awaited(results: ZeromqSink) -> None:
    publisher = Publisher([results], [REF])
    publisher.opened("mic", 8000, 1)
    publisher.event(event(0))
    with contextlib.ExitStack() as others:
        for left in (2, 1):
            assert results.awaited == left
            subscriber = others.enter_context(Subscriber(results.place, ("v1/detection/",), timeout=0.2))
            until = time.monotonic() + 5
            while results.awaited == left and time.monotonic() < until:
                publisher.attend()
                time.sleep(0.01)
            time.sleep(0.12)
            publisher.attend()
            hello = subscriber.receive(5).body
            assert isinstance(hello, Hello)
            assert hello.bundles == (REF,)
            assert hello.streams == ("mic",)
            publisher.event(event(10))
            assert [each.kind for each in subscriber] == ["detection"]
            assert subscriber.lost == 0
    assert results.awaited == 0


def test_a_stalled_subscriber_costs_the_others_nothing_and_little_memory(results: ZeromqSink) -> None:
    publisher = Publisher([results], [REF])
    with peers.context() as context, context.socket(zmq.SUB) as stalled:
        stalled.setsockopt(zmq.RCVHWM, 1)
        stalled.setsockopt(zmq.RCVBUF, 4096)
        stalled.subscribe(b"")
        stalled.connect(results.place)
        with Subscriber(results.place, ("v1/detection/mic/",)) as subscriber:
            while not subscriber.greeted:
                publisher.attend()
                with contextlib.suppress(TimeoutError):
                    subscriber.receive(0.01)
            before = _memory_mb()
            for i in range(20_000):
                publisher.event(event(i))
                message = subscriber.receive(5)
                while message.kind != "detection":
                    message = subscriber.receive(5)
                assert message.id == f"id{i}"
            assert subscriber.lost == 0
            assert _memory_mb() - before < 10
        begun = time.monotonic()
        results.close(0.3)
        assert time.monotonic() - begun < 0.6


def _memory_mb() -> float:
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.parametrize("endpoint", ["", "nowhere", "tcp://127.0.0.1:x", "ipc:///nowhere/x"])
def test_an_endpoint_that_cannot_be_bound_is_one_line(endpoint: str) -> None:
    with pytest.raises(DeviceError) as caught:
        ZeromqSink(ZeromqConfig(endpoint=endpoint))
    assert f"results {endpoint}: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_json_lines_are_the_json_of_the_wire(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("before\n")
    kept = Kept()
    sink = JsonlSink(JsonlConfig(path=str(tmp_path / "a.jsonl")))
    publisher = Publisher([kept, sink], [REF])
    for start in range(100):
        publisher.event(event(start))
    assert publisher.close("done", lambda: 5.0) == []
    before, *lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert before == "before"
    assert lines == [wire.encode(each)[1].decode() for each in kept.messages]
    assert json.loads(lines[0])["body"]["label"] == "low"


def test_a_full_disk_is_told_and_holds_nobody_up() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    writer = Writer(descriptor)
    for _ in range(5):
        writer.write(b"line\n")
    assert writer.close(5.0) == "5 lines lost: No space left on device"
    os.close(descriptor)


def test_a_reader_that_stalls_is_told_and_holds_nobody_up() -> None:
    read, write = os.pipe()
    writer = Writer(write)
    begun = time.monotonic()
    for _ in range(20_000):
        writer.write(b"x" * 99 + b"\n")
    lost = writer.close(0.2)
    assert time.monotonic() - begun < 1.5
    assert "nobody reads them" in lost
    os.close(read)  # which lets the thread go
    time.sleep(0.1)
    os.close(write)


def test_people_read_times_streams_and_labels() -> None:
    kept = Kept()
    publisher = Publisher([kept], [REF])
    publisher.opened("mic", 8000, 1)
    publisher.event(event(8000 * 3661))
    publisher.event(gap(0, 4000))
    publisher.close("done", lambda: 1.0)
    opened, heard, lost, bye = (describe(each) for each in kept.messages)
    assert opened.split() == ["mic", "opened:", "8000", "Hz"]
    assert heard.split() == ["01:01:01.00", "-", "01:01:01.00", "mic", "low", "0.90", "tones"]
    assert lost.split() == ["00:00:00.00", "-", "00:00:00.50", "mic", "gap:", "4000", "samples,", "missing"]
    assert bye == ""
