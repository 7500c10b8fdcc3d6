"""Ingest under faults: daemons that are killed, clients that vanish, come back, contend or speak nonsense."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from daemons import Daemon, write_config

import streamrnn
from streamrnn import bundle, ingest, sources
from streamrnn.chunk import STOPPED, Chunk, Ended, Gap, Item, Opened
from streamrnn.client import Pusher, Subscriber
from streamrnn.engine import Engine, serving
from streamrnn.errors import DeviceError, StreamError
from streamrnn.events import Heard, Lost
from streamrnn.ingest import Credit, Data, End, Error, Start
from streamrnn.sources.zeromq import ZeromqConfig, ZeromqSource
from streamrnn.testing.signals import sentence
from streamrnn.testing.source import check_source
from streamrnn.wire import Message, Status

RATE = 8000
LONG = 2**33


def talk(sentences: int) -> np.ndarray:
    parts = [sentence(["low", "high", "high"], RATE, np.random.default_rng(i))[0] for i in range(sentences)]
    return ingest.unpack(ingest.pack(np.concatenate(parts), "int16"), sum(map(len, parts)), 1, "int16")


def free_port() -> str:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{asked.getsockname()[1]}"


class Taker:
    """A source in its thread, and what an engine does with what it says: it takes it, unless it is `busy`."""

    def __init__(self, **config: Any) -> None:
        source = sources.build(ZeromqConfig(**{"endpoint": "tcp://127.0.0.1:*", **config}))
        assert isinstance(source, ZeromqSource)
        self.source, self.items = source, list[Item]()
        self.resumed: dict[str, int] = {}
        self.busy = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for item in self.source.items():
            self.items.append(item)
            if self.busy:
                continue
            if isinstance(item, Opened) and item.stream in self.resumed:
                self.source.resumed(item.stream, self.resumed[item.stream])
            self.source.taken(item)

    def until(self, kind: type[Item], count: int = 1) -> list[Item]:
        until = time.monotonic() + 15
        while time.monotonic() < until:
            found = [item for item in self.items if isinstance(item, kind)]
            if len(found) >= count:
                return found
            time.sleep(0.005)
        raise AssertionError(f"{count} of {kind.__name__} did not come: {[type(item).__name__ for item in self.items]}")

    @property
    def spans(self) -> list[tuple[str, int, int]]:
        return [(type(item).__name__, item.start, item.end) for item in self.items if isinstance(item, Chunk | Gap)]

    def stop(self) -> None:
        self.source.stop()
        self._thread.join()
        self.source.close()


@contextmanager
def taker(**config: Any) -> Iterator[Taker]:
    made = Taker(**config)
    try:
        yield made
    finally:
        made.stop()


class Client:
    """A client that says whatever it wants."""

    def __init__(self, endpoint: str) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(endpoint)

    def send(self, header: ingest.Request | bytes, payload: bytes = b"") -> None:
        encoded = header if isinstance(header, bytes) else ingest.encode_header(header)
        self.socket.send_multipart([encoded, payload] if payload else [encoded])

    def data(self, start: int, n: int, stream: str = "mic") -> None:
        self.send(Data(stream, start, n), bytes(2 * n))

    def answer(self) -> ingest.Answer:
        until = time.monotonic() + 15
        while time.monotonic() < until:
            if self.socket.poll(1000):
                answer = ingest.decode_answer(self.socket.recv_multipart())
                if not (isinstance(answer, Credit) and not answer.n):
                    return answer
        raise AssertionError("no answer")

    def error(self) -> str:
        while True:
            answer = self.answer()
            if isinstance(answer, Error):
                return answer.code

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close(0)
        self.context.term()


def test_without_a_start_nothing_is_taken_and_a_start_repairs_it() -> None:
    with taker() as taken, Client(taken.source.place) as client:
        client.data(0, 10)
        assert client.error() == "unknown_stream"
        client.send(End("mic"))
        assert client.error() == "unknown_stream"
        client.send(Start("mic", RATE, run="r"))
        assert client.answer() == Credit("mic", 2 * RATE, 0)
        client.data(0, 10)
        client.send(End("mic", 25))
        while client.answer() != End("mic"):
            pass
    assert taken.spans == [("Chunk", 0, 10), ("Gap", 10, 25)]
    check_source(lambda: taken.items)


def test_an_end_that_was_not_heard_is_confirmed_again_to_its_run_only() -> None:
    with taker() as taken:
        for run in ("one", "two"):
            with Client(taken.source.place) as client:
                client.send(Start("mic", RATE, run=run))
                assert isinstance(client.answer(), Credit)
                client.send(End("mic"))
                assert client.answer() == End("mic")
            with Client(taken.source.place) as client:
                client.send(Start("mic", RATE, run=run, first=77))
                assert client.answer() == End("mic")


def test_what_comes_out_of_order_is_put_in_order_and_what_comes_twice_is_told() -> None:
    with taker(reorder_ms=50) as taken, Client(taken.source.place) as client:
        client.send(Start("mic", RATE))
        client.answer()
        for start in (100, 0, 200, 400, 300, 300):
            client.data(start, 100)
        assert client.error() == "overlap"
        client.data(600, 500)  # beyond the window: 500 to 600 will not come in time
        client.data(500, 100)
        assert client.error() == "overlap"
        client.send(End("mic"))
        taken.until(Ended)
    assert taken.spans == [
        *(("Chunk", start, start + 100) for start in (0, 100, 200, 300, 400, 300)),
        ("Gap", 500, 600),
        ("Chunk", 600, 1100),
        ("Chunk", 500, 600),
    ]


def test_what_is_held_waits_for_a_quiet_client_no_longer_than_some_seconds() -> None:
    with taker() as taken, Client(taken.source.place) as client:
        client.send(Start("mic", RATE))
        client.answer()
        client.data(10, 10)
        taken.until(Chunk)
    assert taken.spans == [("Gap", 0, 10), ("Chunk", 10, 20)]


def test_a_client_that_comes_back_in_time_goes_on_and_nobody_notices() -> None:
    with taker(grace_ms=600_000) as taken:
        with Client(taken.source.place) as client:
            client.send(Start("mic", RATE, run="r"))
            assert client.answer() == Credit("mic", 2 * RATE, 0)
            client.data(0, 1000)
            assert client.answer() == Credit("mic", 1000)
            client.data(1100, 100)  # held, and lost with the connection
            client.data(3, 1)
            # In either order: the engine takes it while the client is told.
            told = [client.answer(), client.answer()]
            assert Credit("mic", 1) in told
            assert [each.code for each in told if isinstance(each, Error)] == ["overlap"]
        with Client(taken.source.place) as client:
            client.send(Start("mic", RATE, run="r", first=500))
            assert client.answer() == Credit("mic", 2 * RATE, 1000)
            client.data(1000, 500)
            client.send(End("mic"))
            while client.answer() != End("mic"):
                pass
    assert [item for item in taken.items if not isinstance(item, Chunk)] == [
        Opened("mic", RATE, 1, 0, "r", full_scale=1.0),
        Ended("mic"),
    ]
    assert taken.spans == [("Chunk", 0, 1000), ("Chunk", 3, 4), ("Chunk", 1000, 1500)]


def test_a_client_that_comes_back_has_no_more_credit_than_there_is_room() -> None:
    with taker(grace_ms=600_000) as taken:
        with Client(taken.source.place) as client:
            client.send(Start("mic", RATE, run="r"))
            client.answer()
            taken.busy = True
            client.data(0, 10_000)
            taken.until(Chunk)
        with Client(taken.source.place) as client:
            client.send(Start("mic", RATE, run="r"))
            assert client.answer() == Credit("mic", 2 * RATE - 10_000, 10_000)
            taken.source.taken(taken.until(Chunk)[0])
            assert client.answer() == Credit("mic", 10_000)


@pytest.mark.parametrize("run", ["", "r"])
def test_a_client_that_vanishes_without_an_end_frees_all(run: str) -> None:
    with taker(grace_ms=100, max_streams=1) as taken:
        for i in range(2):
            with Client(taken.source.place) as client:
                client.send(Start("mic", RATE, run=run and f"{run}{i}"))
                client.answer()
                client.data(5, 10)
        assert set(taken.until(Ended, 2)) == {Ended("mic", "the client vanished")}
        with Client(taken.source.place) as client:
            client.send(Start("other", RATE))
            assert isinstance(client.answer(), Credit)
    check_source(lambda: [item for item in taken.items if item.stream == "mic"])


def test_names_that_are_gone_are_forgotten() -> None:
    with taker(grace_ms=0) as taken:
        with Client(taken.source.place) as client:
            for i in range(100):
                client.send(Start(f"mic{i}", RATE, run="r"))
                client.answer()
                client.send(Data(f"mic{i}", 7, 1), bytes(2))
        taken.until(Ended, 100)
        with Client(taken.source.place) as client:
            client.send(Start("mic", RATE))
            client.answer()
            source = taken.source
            assert list(source._clients) == ["mic"]
            assert not source._leaving
            assert not source._owed


class Cable:
    """A TCP connection to somewhere that can be cut."""

    def __init__(self, place: str) -> None:
        host, port = place.removeprefix("tcp://").split(":")
        self._to = (host, int(port))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.place = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._to)
                self._ends += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, come: socket.socket, go: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := come.recv(4096):
                go.sendall(data)

    def cut(self) -> None:
        while self._ends:
            end = self._ends.pop()
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()


def test_a_cable_that_is_pulled_and_put_back_costs_no_sample() -> None:
    samples = np.arange(100_000, dtype=np.float32)[:, None]
    with taker(grace_ms=60_000) as taken:
        cable = Cable(taken.source.place)
        with Pusher(cable.place, stream="mic", rate=RATE, timeout=30) as pusher:
            for at in range(0, len(samples), 5000):
                if at and at % 25_000 == 0:
                    cable.cut()
                pusher.push(samples[at : at + 5000])
        cable.close()
        taken.until(Ended)
    assert pusher.restarts
    assert [type(item) for item in taken.items if not isinstance(item, Chunk)] == [Opened, Ended]
    check_source(lambda: taken.items)
    heard = np.concatenate([item.samples for item in taken.items if isinstance(item, Chunk)])
    np.testing.assert_array_equal(heard, samples)


@pytest.mark.parametrize("rule", ["first", "newest"])
def test_two_of_the_same_name_are_settled_by_rule(rule: str) -> None:
    with taker(same_stream=rule) as taken, Client(taken.source.place) as old, Client(taken.source.place) as new:
        old.send(Start("mic", RATE, run="old"))
        old.answer()
        old.data(0, 100)
        old.answer()
        new.send(Start("mic", RATE, run="new"))
        if rule == "first":
            assert new.error() == "duplicate_stream"
            loser, winner, begun = new, old, 100
        else:
            assert new.answer() == Credit("mic", 2 * RATE, 0)
            assert old.error() == "replaced"
            loser, winner, begun = old, new, 0
        loser.data(100, 50)
        assert loser.error() == "unknown_stream"
        winner.data(begun, 50)
        winner.send(End("mic"))
        while winner.answer() != End("mic"):
            pass
    check_source(lambda: taken.items)
    reasons = [item.reason for item in taken.items if isinstance(item, Ended)]
    assert reasons == ([""] if rule == "first" else ["replaced by a newer connection", ""])


def test_two_pushers_of_the_same_name() -> None:
    for rule in ("first", "newest"):
        with taker(same_stream=rule) as taken:
            old = Pusher(taken.source.place, stream="mic", rate=RATE)
            if rule == "first":
                with pytest.raises(StreamError, match="duplicate_stream"):
                    Pusher(taken.source.place, stream="mic", rate=RATE)
                old.push(np.zeros(100))
                old.end()
            else:
                with Pusher(taken.source.place, stream="mic", rate=RATE) as new:
                    new.push(np.zeros(100))
                    with pytest.raises(StreamError, match="replaced"):
                        old.end()
                old.close()


def test_limits_have_their_codes() -> None:
    with taker(max_rate=16_000, max_channels=2, max_streams=2) as taken, Client(taken.source.place) as client:
        for header, code in (
            (Start("mic", 16_001), "rate"),
            (Start("mic", RATE, 3), "channels"),
            (b'{"kind":"start","stream":"mic","rate":8000,"run":"' + b"r" * 5000 + b'"}', "too_large"),
            (b'{"kind":"start","stream":"mic","rate":8000,"run":' + b"[" * 2000 + b"]" * 2000 + b"}", "malformed"),
            (b'{"kind":"start","stream":"mic","rate":8000,"other":' + b"[" * 2000 + b"]" * 2000 + b"}", "malformed"),
            (b'{"kind":"start","stream":"mic","rate":8000,"first":-1}', "malformed"),
            (b'{"kind":"start","stream":"mic","rate":8000,"first":99999999999999999999}', "malformed"),
            (b'{"kind":"start","stream":"mic","rate":8000,"run":"A"}', "malformed"),
        ):
            client.send(header)
            assert client.error() == code
        for name in ("a", "b"):
            client.send(Start(name, RATE))
            assert client.answer() == Credit(name, 2 * RATE)
        client.send(Start("c", RATE))
        assert client.error() == "too_many_streams"
    assert [type(item) for item in taken.items] == [Opened, Opened, Ended, Ended]
    assert {item.reason for item in taken.items if isinstance(item, Ended)} == {STOPPED}


def test_a_live_source_gives_credit_back_whatever_the_engine_does() -> None:
    with taker(when_full="drop_oldest") as taken, Client(taken.source.place) as client:
        client.send(Start("mic", RATE))
        client.answer()
        taken.busy = True
        for i in range(10):
            client.data(i * RATE, RATE)
            assert client.answer() == Credit("mic", RATE)
        taken.until(Chunk, 10)


def test_counts_go_on_beyond_32_bits() -> None:
    with taker() as taken, Client(taken.source.place) as client:
        taken.resumed["mic"] = LONG
        client.send(Start("mic", RATE, run="r", first=LONG - 5))
        assert client.answer() == Credit("mic", 2 * RATE, LONG)
        client.data(LONG, 10)
        client.data(LONG + 2**31, 10)
        client.data(2**62, 10)
        taken.until(Chunk, 3)
    assert taken.spans == [
        ("Chunk", LONG, LONG + 10),
        ("Gap", LONG + 10, LONG + 2**31),
        ("Chunk", LONG + 2**31, LONG + 2**31 + 10),
        ("Gap", LONG + 2**31 + 10, 2**62),
        ("Chunk", 2**62, 2**62 + 10),
    ]


@pytest.mark.parametrize("when_full", ["drop_newest", "drop_oldest"])
def test_a_pusher_that_may_not_wait_leaves_out_what_it_cannot_keep(when_full: Any) -> None:
    with taker() as taken:
        pusher = Pusher(taken.source.place, stream="mic", rate=RATE, when_full=when_full, buffer_s=1.0)
        taken.busy = True
        for _ in range(50):
            pusher.push(np.zeros(1000))
        assert pusher.dropped == 50_000 - 2 * RATE - RATE
        taken.busy = False
        for item in taken.until(Chunk):
            taken.source.taken(item)
        pusher.end()
    chunks = sum(end - start for kind, start, end in taken.spans if kind == "Chunk")
    gaps = [(start, end) for kind, start, end in taken.spans if kind == "Gap"]
    assert chunks == 3 * RATE
    assert gaps == ([(3 * RATE, 50_000)] if when_full == "drop_newest" else [(2 * RATE, 50_000 - RATE)])
    check_source(lambda: taken.items)


def test_a_daemon_that_stays_away_is_one_error_in_time() -> None:
    with taker() as taken:
        pusher = Pusher(taken.source.place, stream="mic", rate=RATE, timeout=1.5)
    begun = time.monotonic()
    with pytest.raises(DeviceError, match="daemon"):
        pusher.end()
    assert time.monotonic() - begun < 10
    pusher.close()


@pytest.mark.parametrize("buffer_s", [60.0, 0.5])
def test_a_daemon_that_is_killed_and_comes_back_loses_nothing_that_is_not_declared(
    tmp_path: Path, tiny_bundle: Path, buffer_s: float
) -> None:
    samples = talk(8)
    endpoint, results = free_port(), free_port()
    config = write_config(
        tmp_path / "daemon.yaml",
        tiny_bundle,
        [{"kind": "zeromq", "endpoint": endpoint}],
        [{"kind": "zeromq", "endpoint": results, "wait_for": 1}],
    )
    chance = random.Random(7)
    half = threading.Event()
    killed = threading.Event()
    failed: list[Exception] = []

    def bring() -> None:
        try:
            with Pusher(endpoint, stream="mic", rate=RATE, dtype="int16", buffer_s=buffer_s, timeout=40) as pusher:
                at = 0
                while at < len(samples):
                    if at > len(samples) // 2 and not half.is_set():
                        half.set()
                        killed.wait(20)
                    n = chance.randint(1, 3000)
                    pusher.push(samples[at : at + n])
                    at += n
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=bring)
    with Daemon(config) as daemon, Subscriber(results, ("v1/",), timeout=20.0) as listening:
        thread.start()
        before: list[Message] = []
        while not half.is_set() or len([each for each in before if each.kind == "detection"]) < 3:
            before.append(listening.receive(20.0))
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
        killed.set()
    with Daemon(config), Subscriber(results, ("v1/",), timeout=30.0) as listening:
        heard: list[Message] = []
        while not (heard and isinstance(heard[-1].body, Status) and heard[-1].body.state == "ended"):
            heard.append(listening.receive(30.0))
        thread.join(20)
    assert not thread.is_alive()
    assert not failed
    gaps = [each.body for each in heard if isinstance(each.body, Lost)]
    assert heard[-1].t.sample == len(samples)
    first = gaps[0].end if gaps else 0
    assert gaps == ([] if buffer_s == 60 else [Lost(0, first, RATE, "missing")])
    assert first <= len(samples) // 2 + 1
    # What is outside gaps is what a daemon that nobody killed says of it.
    engine = Engine([serving(bundle.read(tiny_bundle))])
    engine.open("mic", RATE, 1)
    engine.lose("mic", first, "missing")
    engine.push("mic", first, samples[first:])
    engine.finish("mic")
    wanted = [(each.id, each.body) for each in engine.run() if each.kind == "detection"]
    assert [(each.id, each.body) for each in heard if each.kind == "detection"] == wanted
    whole = [each.body for each in streamrnn.load(tiny_bundle).detect(samples, RATE)]
    assert [each.body for each in before if isinstance(each.body, Heard)] == whole[
        : len([each for each in before if isinstance(each.body, Heard)])
    ]
    assert len(wanted) >= 3


def test_a_connection_that_breaks_again_and_again_loses_nothing(tiny_bundle: Path) -> None:
    """A source that is closed and opened anew on the same port, as a daemon without memory of what it heard."""
    samples = np.arange(60_000, dtype=np.float32)[:, None]
    place = free_port()
    chance = random.Random(3)
    takers = [Taker(endpoint=place)]
    with Pusher(place, stream="mic", rate=RATE, timeout=30) as pusher:
        for at in range(0, len(samples), 5000):
            if at and at % 15_000 == 0:
                takers[-1].stop()
                takers.append(Taker(endpoint=place))
            pusher.push(samples[at : at + 5000 - chance.randint(0, 1)])
            if pusher._backlog.end < at + 5000:
                pusher.skip(at + 5000 - pusher._backlog.end)
    takers[-1].stop()
    assert pusher.restarts >= 3
    last = takers[-1]
    check_source(lambda: last.items)
    chunks = [item for item in last.items if isinstance(item, Chunk)]
    for each in chunks:
        np.testing.assert_array_equal(each.samples[:, 0], np.arange(each.start, each.end, dtype=np.float32))
    gaps = [item for item in last.items if isinstance(item, Gap)]
    assert sum(len(item.samples) for item in chunks) + sum(item.end - item.start for item in gaps) == 60_000
    assert all(item.end - item.start == 1 for item in gaps)
