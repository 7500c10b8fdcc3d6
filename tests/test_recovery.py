"""A subscriber by itself: what never came it asks for again, over restarts too, and says what cannot be had."""

from __future__ import annotations

import itertools
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import peers
import pytest
import zmq
from daemons import INGEST, RESULTS, Daemon, command, write_config
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from streamrnn import wire
from streamrnn.client import Loss, Pusher, Subscriber
from streamrnn.client.recovery import reachable
from streamrnn.control import Control, ControlConfig
from streamrnn.events import BundleRef, Event, Heard
from streamrnn.history import History, HistoryConfig
from streamrnn.publisher import Publisher
from streamrnn.sinks.zeromq import ZeromqConfig, ZeromqSink
from streamrnn.sources.bell import Bell
from streamrnn.testing.signals import sentence
from streamrnn.wire import Beat, Body, Bye, Hello, Message, Moment, Status

RATE = 8000
SUBSCRIPTIONS = 4  # of a Subscriber to everything


def topic(stream: str) -> str:
    return wire.topic_of("detection", stream, "tones")


class Station:
    """One run of a daemon, whose messages reach the wire or not, as a test says."""

    def __init__(self, config: HistoryConfig, run: str = "r1", results: str = "", control: str = "") -> None:
        self.run = run
        self.history = History(config)
        self.history.open(run)
        self.before: tuple[str, ...] | UnsetType = self.history.before if config.journal else UNSET
        self.bell = Bell()
        self.control = Control(self.bell)
        self.history.answer_on(self.control)
        self.control.bind(ControlConfig(endpoint=control or "tcp://127.0.0.1:*"))
        self.control.start()
        self.context = peers.context()
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.socket.bind(results or "tcp://127.0.0.1:*")
        self.results = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.seqs: dict[str, int] = {}
        self.said: list[tuple[str, int]] = []

    def greet(self, again: Subscriber | None = None, *, subscriptions: int = SUBSCRIPTIONS) -> None:
        """Say hello when somebody has subscribed to everything; `again` is one that has lost its connection."""
        until, came = time.monotonic() + 60.0, 0
        while came < subscriptions:
            assert time.monotonic() < until
            # ZeroMQ subscribes anew only when its socket is looked at.
            if self.socket.poll(20):
                came += self.socket.recv()[:1] == b"\x01"  # and not one that has gone, and unsubscribes
            elif again:
                again._socket.poll(0)
        self._send("hello", Hello("0", (), (), dict(self.seqs), self.control.place, before=self.before))

    def say(self, stream: str, name: str = "", *, reaches: str = "them", counting: str = "") -> None:
        self._send("detection", Heard("low", 0, 10, RATE, 0.9), stream, name, reaches, counting)
        self.said.append((stream, self.seqs[topic(stream)]))

    def beat(self, *, reaches: str = "them") -> None:
        self._send("heartbeat", Beat(dict(self.seqs)), reaches=reaches)

    def beat_of_nothing(self) -> None:
        self._send("heartbeat", Beat({}))

    def bye(self) -> None:
        self._send("bye", Bye("", dict(self.seqs)))

    def close(self) -> None:
        self.socket.close(1000)
        self.context.term()
        self.control.close()
        self.history.close(5.0)
        self.bell.close()

    def _send(
        self, kind: str, body: Body, stream: str = "_", name: str = "", reaches: str = "them", counting: str = ""
    ) -> None:
        bundle = BundleRef("_" if stream == "_" else "tones", "")
        where = wire.topic_of(kind, stream, bundle.name)
        self.seqs[where] = self.seqs.get(where, 0) + 1
        moment = Moment(0, 0, 0, 0)
        seq = self.seqs[where]
        message = Message(1, kind, stream, bundle, self.run, 0, seq, moment, "", 0, name, body, counting=counting)
        parts = wire.encode(message)
        self.history.publish(message, parts)
        if reaches == "them":
            self.socket.send_multipart(parts)


@contextmanager
def station(config: HistoryConfig | None = None, **more: str) -> Iterator[Station]:
    made = Station(config or HistoryConfig(), **more)
    try:
        yield made
    finally:
        made.close()


def heard(subscriber: Subscriber) -> list[tuple[str, int]]:
    return [(each.stream, each.seq) for each in subscriber if each.kind == "detection"]


def heard_next(subscriber: Subscriber, count: int) -> list[tuple[str, int]]:
    """So many detections, however long they take; and those that come at once behind them, of which none should."""
    found: list[tuple[str, int]] = []
    with suppress(TimeoutError):
        while True:
            message = subscriber.receive(30.0 if len(found) < count else 0.3)
            if message.kind == "detection":
                found.append((message.stream, message.seq))
    return found


def order(said: list[tuple[str, int]]) -> dict[str, list[int]]:
    return {stream: [n for s, n in said if s == stream] for stream, _ in said}


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["them", "nobody"])), max_size=40),
    st.integers(0, 40),
    st.sampled_from(["beat", "bye"]),
)
def test_whatever_is_left_out_comes_in_order_or_is_named(said: list[tuple[str, str]], kept: int, sign: str) -> None:
    with station(HistoryConfig(messages=kept + 1)) as there, Subscriber(there.results, timeout=60.0) as subscriber:
        there.greet()
        subscriber.receive(60.0)
        for stream, reaches in said:
            there.say(stream, reaches=reaches)
        there.beat() if sign == "beat" else None
        there.bye()
        subscriber._until = "bye"
        came = heard(subscriber)
        losses = subscriber.take_losses()
        lost = [(topic, n) for each in losses for topic in [each.topic] for n in range(each.first, each.last + 1)]
        assert subscriber.lost == len(lost)
        assert all(seqs == sorted(set(seqs)) for seqs in order(came).values())
        assert sorted([(topic(s), n) for s, n in came] + lost) == sorted((topic(s), n) for s, n in there.said)
        # What could be had was: no more is lost than had left the memory when the last was said.
        assert len(lost) <= max(0, len(said) - kept)


def test_the_order_of_a_topic_holds_where_the_gap_is_shown_by_a_message() -> None:
    with station() as there, Subscriber(there.results) as subscriber:
        there.greet()
        for reaches in ("them", "nobody", "nobody", "them"):
            there.say("a", reaches=reaches)
        assert heard_next(subscriber, 4) == [("a", 1), ("a", 2), ("a", 3), ("a", 4)]
        assert (subscriber.recovered, subscriber.lost) == (2, 0)


def test_a_restart_that_was_not_announced_costs_nothing_that_the_journal_has(tmp_path: Path) -> None:
    config = HistoryConfig(journal=str(tmp_path / "journal"))
    with station(config) as before:
        results, control = before.results, before.control.place
        subscriber = Subscriber(results)
        before.greet()
        before.say("a", "first")
        before.say("a", "second")
        assert [each.seq for each in (subscriber.receive(60.0), subscriber.receive(60.0), subscriber.receive(60.0))]
        assert subscriber.alive
        before.say("a", "third", reaches="nobody")
        before.say("b", "fourth", reaches="nobody")
    with subscriber, station(config, run="r2", results=results, control=control) as after:
        after.say("a", "second", reaches="nobody")  # sent again: it is known already
        after.say("a", "fifth", reaches="nobody")  # before we are there again
        after.greet(subscriber)
        after.say("a", "sixth")
        came = [each.id for each in itertools.islice((m for m in subscriber if m.kind == "detection"), 4)]
        assert came == ["third", "fourth", "fifth", "sixth"]
        assert heard_next(subscriber, 0) == []
        assert (subscriber.lost, subscriber.duplicates, subscriber.recovered) == (0, 1, 4)
        assert not subscriber.take_losses()


def test_what_nobody_keeps_is_named_once_and_the_rest_goes_on() -> None:
    with station(HistoryConfig(messages=0)) as before:
        results, control = before.results, before.control.place
        subscriber = Subscriber(results)
        before.greet()
        before.say("a", reaches="nobody")
        before.say("a")
        assert heard_next(subscriber, 1) == [("a", 2)]
        assert subscriber.take_losses() == [Loss("r1", topic("a"), 1, 1, "the daemon does not keep them any more")]
    with subscriber, station(run="r2", results=results, control=control) as after:
        after.greet(subscriber)
        after.say("a")
        assert heard_next(subscriber, 1) == [("a", 1)]
        (loss,) = subscriber.take_losses()
        assert (loss.run, loss.count) == ("r1", 0)
        assert "unknown_run" in str(loss)
        assert subscriber.lost == 1


def test_who_comes_late_may_have_the_last_or_all_that_is_kept() -> None:
    with station() as there:
        for stream in ("a", "b", "a"):
            there.say(stream)
        for begin, wanted in (("now", []), ("last", [("b", 1), ("a", 2)]), ("kept", [("a", 1), ("b", 1), ("a", 2)])):
            with Subscriber(there.results, begin=begin) as subscriber:  # type: ignore[arg-type]
                there.greet()
                assert heard_next(subscriber, len(wanted)) == wanted
                while there.socket.poll(100):  # its unsubscriptions are not awaited by the next
                    there.socket.recv()
            while there.socket.poll(300):
                there.socket.recv()


def test_a_message_that_is_missing_with_the_only_heartbeat_that_told_of_it_is_found() -> None:
    with station() as there, Subscriber(there.results) as subscriber:
        there.greet()
        there.beat()
        there.say("a")
        assert heard_next(subscriber, 1) == [("a", 1)]
        there.say("a", reaches="nobody")
        there.beat(reaches="nobody")
        there.beat_of_nothing()
        assert heard_next(subscriber, 0) == []
        there.greet(subscriber, subscriptions=1)
        assert heard_next(subscriber, 1) == [("a", 2)]
        there.beat()
        assert heard_next(subscriber, 0) == []
        assert not there.socket.poll(100)  # it is sure now, and asks no more
        assert subscriber.lost == 0


def test_without_control_it_counts_as_before() -> None:
    with station() as there, Subscriber(there.results, control="off") as subscriber:
        there.greet()
        there.say("a", reaches="nobody")
        there.say("a")
        assert heard_next(subscriber, 1) == [("a", 2)]
        assert subscriber.lost == 1
        assert "calls" in subscriber.take_losses()[0].reason


def test_it_knows_alive_from_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamrnn.client.subscriber.STALE_S", 1.5)
    with station() as there, Subscriber(there.results) as subscriber:
        assert not subscriber.alive
        there.greet()
        subscriber.receive(60.0)
        assert subscriber.alive
        with pytest.raises(TimeoutError):
            subscriber.receive(1.6)
        assert not subscriber.alive
        there.beat()
        assert subscriber._socket.poll(60_000)
        assert subscriber.alive  # though it was not read yet


@pytest.mark.parametrize(
    ("control", "results", "place"),
    [
        ("tcp://127.0.0.1:5562", "tcp://127.0.0.1:5560", "tcp://127.0.0.1:5562"),
        ("tcp://127.0.0.1:5562", "tcp://localhost:5560", "tcp://127.0.0.1:5562"),
        ("tcp://127.0.0.1:5562", "tcp://box:5560", ""),
        ("tcp://0.0.0.0:5562", "tcp://box:5560", "tcp://box:5562"),
        ("tcp://box:5562", "tcp://box:5560", "tcp://box:5562"),
        ("ipc:///tmp/c", "ipc:///tmp/r", "ipc:///tmp/c"),
        ("", "tcp://box:5560", ""),
    ],
)
def test_another_machines_loopback_is_not_ours(control: str, results: str, place: str) -> None:
    assert reachable(control, results) == place


# Real queues and real daemons


def test_who_reads_too_slowly_for_the_queue_asks_for_the_rest() -> None:
    """Results at full speed past a reader that sleeps at first, and none is lost."""
    count = 20_000
    sink = ZeromqSink(ZeromqConfig(endpoint="tcp://127.0.0.1:*", queue=10))
    history, bell = History(HistoryConfig(messages=count + 100, bytes=1 << 30)), Bell()
    history.open("r1")
    control = Control(bell)
    history.answer_on(control)
    control.bind(ControlConfig(endpoint="tcp://127.0.0.1:*"))
    control.start()
    publisher = Publisher((history, sink), [], "r1", control.place)
    with Subscriber(sink.place, ("v1/detection/",), timeout=60.0) as subscriber:
        while not subscriber.greeted:
            publisher.attend()
            try:
                subscriber.receive(0.02)
            except TimeoutError:
                continue
        for i in range(count):
            publisher.event(
                Event(
                    "detection", "mic", BundleRef("tones", ""), 0, i, RATE, "warm", f"id{i}", Heard("a", i, i, RATE, 1)
                )
            )
        stopping = threading.Event()

        def attend() -> None:
            while not stopping.wait(0.05):
                publisher.attend()

        beating = threading.Thread(target=attend)
        beating.start()
        try:
            seqs = []
            for message in subscriber:
                seqs.append(message.seq)
                if len(seqs) == count:
                    break
        finally:
            stopping.set()
            beating.join()
        assert seqs == list(range(1, count + 1))
        assert subscriber.lost == 0
        assert subscriber.recovered > 0
    control.close()
    publisher.close("done", lambda: 0.2)
    bell.close()


def talk(seed: int) -> np.ndarray:
    return sentence(["low", "high", "high", "low"], RATE, np.random.default_rng(seed))[0]


def port() -> str:
    with peers.context() as context, context.socket(zmq.REP) as socket:
        return f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"


def journalled(folder: Path, bundle: Path) -> Path:
    """The config of a daemon with a journal, that comes back where it was."""
    return write_config(
        folder / "daemon.yaml",
        bundle,
        [INGEST],
        [{**RESULTS, "endpoint": port()}],
        control={"endpoint": port()},
        history={"journal": str(folder / "journal")},
    )


def test_nothing_is_lost_over_a_killed_daemon(tmp_path: Path, tiny_bundle: Path) -> None:
    config = journalled(tmp_path, tiny_bundle)
    statuses = 0

    def say(daemon: Daemon, stream: str) -> None:
        with Pusher(daemon.ingest, stream=stream, rate=RATE) as pusher:
            pusher.push(talk(1))

    with Daemon(config) as daemon:
        subscriber = Subscriber(daemon.results, ("v1/detection/", "v1/status/"), timeout=60.0)
        assert isinstance(subscriber.receive(60.0).body, Hello)
        say(daemon, "one")
        # It hears nothing of this, but the journal has it.
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
    with subscriber, Daemon(config) as daemon:
        say(daemon, "two")
        labels: dict[str, list[str]] = {}
        for message in subscriber:
            if isinstance(message.body, Heard):
                labels.setdefault(message.stream, []).append(message.body.label)
            statuses += isinstance(message.body, Status)
            if statuses == 4:
                break
        assert labels == {stream: ["low", "high", "high", "low"] for stream in ("one", "two")}
        assert subscriber.lost == 0
        assert not subscriber.take_losses()


def test_listen_prints_what_cannot_be_had() -> None:
    with station(HistoryConfig(messages=2)) as there:  # the bye is one of them
        listen = command("listen", there.results, "--until", "bye")
        with subprocess.Popen(listen, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            there.greet()
            for reaches in ("them", "nobody", "nobody"):
                there.say("a", reaches=reaches)
            there.beat()
            there.bye()
            out, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out.count("low") == 2
    assert f"{topic('a')}: message 2 of the run r1 cannot be had" in told
    assert "1 messages never came" in told
