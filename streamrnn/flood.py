"""Measures the results wire: very many results, subscribers that keep up, and one that is stuck."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

import msgspec
import zmq

from streamrnn.client import Subscriber
from streamrnn.control import Control, ControlConfig
from streamrnn.events import BundleRef, Event, Heard
from streamrnn.history import History, HistoryConfig
from streamrnn.publisher import Publisher, new_run
from streamrnn.sinks.zeromq import ZeromqConfig, ZeromqSink
from streamrnn.sources.bell import Bell

_TOPICS = ("v1/detection/",)
_BUNDLE = BundleRef("flood", "")
_STREAMS = 16
_ANY = "tcp://127.0.0.1:*"
_PATIENCE_S = 30.0


class Heeded(msgspec.Struct, frozen=True):
    """What a subscriber got of the results: in order, lost, asked for again; and how late, from sending to reading."""

    received: int
    in_order: bool
    lost: int
    recovered: int
    late_p50_ms: float
    late_p99_ms: float


class Flooded(msgspec.Struct, frozen=True):
    """What became of `count` results at `per_second`, with the memory that the publisher needed more at its end."""

    count: int
    per_second: float
    stuck: int
    memory_mb: float
    subscribers: list[Heeded]


def flood(count: int, per_second: float, subscribers: int, stuck: int, told: Callable[[int], None]) -> Flooded:
    """Publish `count` detections, evenly in time, to `subscribers` processes that read and `stuck` sockets that do not.

    `told` is called with how many more were published.
    """
    sink = ZeromqSink(ZeromqConfig(endpoint=_ANY, wait_for=subscribers + stuck))
    history, bell = History(HistoryConfig()), Bell()
    history.open(new_run())
    control = Control(bell)
    history.answer_on(control)
    control.bind(ControlConfig(endpoint=_ANY))
    control.start()
    publisher = Publisher((history, sink), (), history.run, control.place)
    context = zmq.Context()
    listening = [
        subprocess.Popen([sys.executable, "-m", "streamrnn.flood", sink.place, str(count)], stdout=subprocess.PIPE)
        for _ in range(subscribers)
    ]
    try:
        sticking = [_stick(context, sink.place) for _ in range(stuck)]
        until = time.monotonic() + _PATIENCE_S
        while sink.awaited and time.monotonic() < until:
            time.sleep(min(0.01, publisher.attend()))
        before, begun = _memory_mb(), time.monotonic()
        _publish(publisher, count, per_second, told)
        took, memory = time.monotonic() - begun, _memory_mb() - before
        # As a daemon that goes on: heartbeats tell those who are late of what they have not had.
        until = time.monotonic() + 4 * _PATIENCE_S
        while any(each.poll() is None for each in listening) and time.monotonic() < until:
            time.sleep(min(0.05, publisher.attend()))
        publisher.close("all is said", lambda: 1.0)
        heeded = [msgspec.json.decode(each.communicate(timeout=_PATIENCE_S)[0], type=Heeded) for each in listening]
    finally:
        for each in listening:
            each.kill()
            each.wait()
            if each.stdout:
                each.stdout.close()
        control.close()
        bell.close()
        context.destroy(0)
    return Flooded(count, round(count / took, 1), len(sticking), round(memory, 1), heeded)


def heed(endpoint: str, count: int) -> Heeded:
    """Read until `count` results are accounted for or the daemon has said goodbye."""
    late: list[float] = []
    last: dict[str, int] = {}
    in_order = True
    with Subscriber(endpoint, _TOPICS, timeout=_PATIENCE_S, until="bye") as subscriber:
        for message in subscriber:
            late.append(time.time_ns() - message.t.utc_ns)
            in_order &= message.seq > last.get(message.stream, 0)
            last[message.stream] = message.seq
            if len(late) + subscriber.lost >= count:
                break
        received = len(late)
        late.sort()
        p50, p99 = ((round(late[int(received * share)] / 1e6, 2) if late else 0.0) for share in (0.5, 0.99))
        return Heeded(received, in_order, subscriber.lost, subscriber.recovered, p50, p99)


def lines(flooded: Flooded) -> list[str]:
    """A table for people."""
    head = (
        f"{flooded.count} results at {flooded.per_second:g} a second, {flooded.stuck} stuck subscribers, "
        f"{flooded.memory_mb:g} MB more in the publisher"
    )
    rows = [
        f"subscriber {i}: {each.received} received{'' if each.in_order else ', not in order'}, {each.lost} lost, "
        f"{each.recovered} of them asked for again; {each.late_p50_ms:g} ms late, 99 of 100 within {each.late_p99_ms:g}"
        for i, each in enumerate(flooded.subscribers, 1)
    ]
    return [head, *rows]


def _publish(publisher: Publisher, count: int, per_second: float, told: Callable[[int], None]) -> None:
    begun = time.monotonic()
    sent = 0
    while sent < count:
        due = min(count, int((time.monotonic() - begun) * per_second) + 1)
        for i in range(sent, due):
            body = Heard("word", i, i + 1, 16000, 0.9)
            publisher.event(Event("detection", f"s{i % _STREAMS}", _BUNDLE, 0, i, 16000, "warm", f"{i:016x}", body))
        told(due - sent)
        sent = due
        time.sleep(min(0.005, publisher.attend()))


def _stick(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> zmq.Socket[bytes]:
    """A subscriber that never reads."""
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 1)
    socket.setsockopt(zmq.RCVBUF, 4096)
    socket.subscribe(b"")
    socket.connect(endpoint)
    return socket


def _memory_mb() -> float:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096 / 1e6
    except OSError:
        return 0.0


if __name__ == "__main__":
    print(json.dumps(msgspec.to_builtins(heed(sys.argv[1], int(sys.argv[2])))))
