"""History and replay: what was published comes again in order, and what is gone is named."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from daemons import INGEST, RESULTS, Daemon, write_config
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn import wire
from streamrnn.calls import CallError
from streamrnn.client import Control, Pusher, Subscriber
from streamrnn.events import BundleRef, Heard
from streamrnn.history import History, HistoryConfig, Page, Replay, Snapshot
from streamrnn.testing.signals import sentence
from streamrnn.wire import Hello, Message, Moment, Status

RATE = 8000


def topic(stream: str) -> str:
    return wire.topic_of("detection", stream, "tones")


class Published:
    """A history, and all that was published into it."""

    def __init__(self, config: HistoryConfig, run: str = "r1") -> None:
        self.history = History(config)
        self.history.open(run)
        self.run = run
        self.all: list[Message] = []
        self.seqs: defaultdict[str, int] = defaultdict(int)

    def say(self, stream: str) -> None:
        self.seqs[stream] += 1
        body, moment = Heard("low", 0, 10, RATE, 0.9), Moment(0, 0, 0, 0)
        bundle, seq = BundleRef("tones", ""), self.seqs[stream]
        message = Message(1, "detection", stream, bundle, self.run, 0, seq, moment, "", 0, "", body)
        self.all.append(message)
        self.history.publish(message, wire.encode(message))


def pages(history: History, **asked: object) -> Iterator[Page]:
    start: int | None = 0
    while start is not None:
        page = history.replay(Replay(start=start, **asked))  # type: ignore[arg-type]
        yield page
        assert page.next is None or page.next > start
        start = page.next


def replayed(history: History, **asked: object) -> tuple[list[tuple[str, int]], dict[str, list[tuple[int, int]]]]:
    told = list(pages(history, **asked))
    assert not any(page.gone for page in told[1:])
    assert told[0].truncated == bool(told[0].gone)
    messages = [wire.read(bytes(each)) for page in told for each in page.messages]
    return [(each.stream, each.seq) for each in messages], told[0].gone


@settings(max_examples=60, deadline=None)
@given(
    said=st.lists(st.sampled_from(["a", "b", "mic", "mic1"]), max_size=60),
    room=st.integers(0, 60),
    had=st.dictionaries(st.sampled_from(["a", "b", "mic"]), st.integers(0, 20)),
    asked=st.lists(st.sampled_from(["a", "b", "mic", "mic1"]), min_size=1, unique=True),
    limit=st.integers(1, 10),
)
def test_what_comes_and_what_is_gone_are_together_all_that_was_missed(
    said: list[str], room: int, had: dict[str, int], asked: list[str], limit: int
) -> None:
    there = Published(HistoryConfig(messages=room))
    for stream in said:
        there.say(stream)
    had = {stream: min(seq, there.seqs[stream]) for stream, seq in had.items()}
    came, gone = replayed(
        there.history, topics=tuple(map(topic, asked)), after={topic(s): n for s, n in had.items()}, limit=limit
    )
    missed = [(m.stream, m.seq) for m in there.all if m.stream in asked and m.seq > had.get(m.stream, 0)]
    kept = [(m.stream, m.seq) for m in there.all[max(0, len(said) - room) :]] if room else []
    assert came == [each for each in missed if each in kept]
    named = {(s, n) for s in asked for first, last in gone.get(topic(s), []) for n in range(first, last + 1)}
    assert named == set(missed) - set(kept)


def test_bytes_are_bounded_and_a_page_too() -> None:
    there = Published(HistoryConfig(bytes=100_000))
    for _ in range(2000):
        there.say("a")
    assert there.history.state().bytes <= 100_000
    big = Published(HistoryConfig())
    for _ in range(3000):
        big.say("a")
    assert max(sum(map(len, map(bytes, page.messages))) for page in pages(big.history)) <= 1 << 18
    assert [seq for _, seq in replayed(big.history)[0]] == list(range(1, 3001))


def test_the_last_of_each_topic_for_who_comes_late() -> None:
    there = Published(HistoryConfig(messages=2))
    for stream in ("a", "b", "a", "c", "b"):
        there.say(stream)
    page = there.history.snapshot(Snapshot())
    assert [(m.stream, m.seq) for m in map(wire.read, map(bytes, page.messages))] == [("a", 2), ("c", 1), ("b", 2)]


@pytest.mark.parametrize("fsync", ["each", "second", "never"])
def test_the_journal_answers_for_what_left_the_memory_and_for_runs_before(tmp_path: Path, fsync: str) -> None:
    config = HistoryConfig(messages=10, journal=str(tmp_path / "journal"), fsync=fsync)  # type: ignore[arg-type]
    for run in ("r1", "r2"):
        there = Published(config, run)
        for i in range(300):
            there.say("ab"[i % 2])
        assert replayed(there.history)[0] == [(m.stream, m.seq) for m in there.all]
        assert not replayed(there.history)[1]
        # One gap of one topic; in memory or not is all the same to who asks.
        for had in (3, 146):
            came, gone = replayed(
                there.history, topics=(topic("a"),), after={topic("a"): had}, to={topic("a"): had + 2}
            )
            assert (came, gone) == ([("a", had + 1), ("a", had + 2)], {})
        if run == "r1":
            assert there.history.close(5.0) == ""
    came, gone = replayed(there.history, run="r1", after={topic("a"): 140})
    assert len(came) == 160
    assert not gone
    with pytest.raises(CallError, match="kept: r1, r2") as caught:
        there.history.replay(Replay(run="r0"))
    assert caught.value.code == "unknown_run"
    # Damage is told, and what it cost is named as gone.
    there.history.close(5.0)
    first = min((tmp_path / "journal").glob("*-r1-*"))
    data = bytearray(first.read_bytes())
    data[data.index(b'"seq":70') + 7] ^= 1
    first.write_bytes(data)
    again = Published(config, "r3")
    came, gone = replayed(again.history, run="r1")
    assert len(came) == 299
    assert gone == {topic("a"): [(70, 70)]}
    assert len(again.history.state().journal_unreadable) == 1
    again.history.close(5.0)


def talk(seed: int) -> np.ndarray:
    return sentence(["low", "high", "high", "low"], RATE, np.random.default_rng(seed))[0]


def test_a_daemon_that_was_killed_answers_for_what_it_said_before(tmp_path: Path, tiny_bundle: Path) -> None:
    history = {"journal": str(tmp_path / "journal")}
    config = write_config(tmp_path / "daemon.yaml", tiny_bundle, [INGEST], [RESULTS], history=history)
    heard: list[Message] = []
    with Daemon(config) as daemon:
        with Subscriber(daemon.results, timeout=5.0) as listening:
            while not isinstance(listening.receive(5.0).body, Hello):
                pass
            with Pusher(daemon.ingest, stream="mic", rate=RATE) as pusher:
                pusher.push(talk(1))
            for message in listening:
                heard.append(message)
                if isinstance(message.body, Status) and message.body.state == "ended":
                    break
        with Control(daemon.control) as control:
            said = control.call("replay", topics=["v1/detection/", "v1/status/"])["messages"]
            assert [each["id"] for each in said] == [each.id for each in heard]
            assert (
                control.call("snapshot", topics=["v1/detection/"])["messages"]
                == [each for each in said if each["id"]][-1:]
            )
            with pytest.raises(CallError, match="params"):
                control.call("replay", topic="v1/")
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
    with Daemon(config) as daemon, Control(daemon.control) as control:
        again = control.call("replay", run=heard[0].run)
        assert again["messages"] == said
        assert again["truncated"] is False
        assert control.call("history")["runs"][0] == heard[0].run
