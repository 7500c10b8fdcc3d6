"""A subscriber that does not read while daemons come and go: what they said comes from the journal, or is named."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from daemons import Daemon
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from test_recovery import RATE, heard_next, journalled, station, talk

from streamrnn.client import Pusher, Subscriber
from streamrnn.client.runs import Runs
from streamrnn.events import Heard
from streamrnn.history import HistoryConfig
from streamrnn.wire import Hello


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_runs_that_came_and_went_unheard_are_had_from_the_journal(tmp_path: Path, end: str) -> None:
    config = HistoryConfig(journal=str(tmp_path / "journal"))
    with station(config, run="r0") as long_ago:
        long_ago.say("old", reaches="nobody")
        where = {"results": long_ago.results, "control": long_ago.control.place}
    subscriber = Subscriber(where["results"])
    with station(config, run="r1", **where) as before:
        before.greet()
        before.say("a")
        assert heard_next(subscriber, 1) == [("a", 1)]
        if end == "stopped":
            before.bye()
            assert subscriber.receive(60.0).kind == "bye"
    for run in ("r2", "r3"):
        with station(config, run=run, **where) as between:
            between.say(run, reaches="nobody")
            between.say(run, reaches="nobody")
            between.bye()
    with subscriber, station(config, run="r4", **where) as now:
        now.greet(subscriber)
        now.say("a")
        assert heard_next(subscriber, 5) == [("r2", 1), ("r2", 2), ("r3", 1), ("r3", 2), ("a", 1)]
        assert not subscriber.take_losses()
        assert subscriber.lost == 0


def test_runs_of_which_nothing_is_kept_are_named_once() -> None:
    with station(run="r1") as before:
        where = {"results": before.results, "control": before.control.place}
        before.before = ("r0",)  # as a daemon knows by its state
        subscriber = Subscriber(where["results"])
        before.greet()
        before.say("a")
        assert heard_next(subscriber, 1) == [("a", 1)]
        before.bye()
        assert subscriber.receive(60.0).kind == "bye"
    with subscriber, station(run="r3", **where) as now:
        now.before = ("r0", "r1", "r2")
        now.greet(subscriber)
        now.say("a")
        assert heard_next(subscriber, 1) == [("a", 1)]
        (loss,) = subscriber.take_losses()
        assert (loss.run, loss.topic, loss.count) == ("r2", "", 0)
        assert "unknown_run" in str(loss)
        # A hello more says nothing new.
        now._send("hello", Hello("0", (), (), dict(now.seqs), now.control.place, before=now.before))
        assert heard_next(subscriber, 0) == []
        assert subscriber.take_losses() == []


def test_a_run_that_has_left_the_journal_with_those_after_it_is_named(tmp_path: Path) -> None:
    with station(HistoryConfig(journal=str(tmp_path / "one")), run="r1") as before:
        where = {"results": before.results, "control": before.control.place}
        subscriber = Subscriber(where["results"])
        before.greet()
        before.bye()
        while subscriber.receive(60.0).kind != "bye":
            pass
    with subscriber, station(HistoryConfig(journal=str(tmp_path / "another")), run="r9", **where) as now:
        now.greet(subscriber)
        now.say("a")
        assert heard_next(subscriber, 1) == [("a", 1)]
        assert [(each.run, each.topic) for each in subscriber.take_losses()] == [("r1", "")]


@pytest.mark.parametrize(("pause_s", "losses"), [(3600.0, []), (0.2, [("r1", "")])])
def test_where_a_daemon_keeps_nothing_of_runs_it_is_said_that_nobody_read(
    pause_s: float, losses: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamrnn.client.ledger._PAUSE_S", pause_s)
    with station(run="r1") as before:
        where = {"results": before.results, "control": before.control.place}
        assert before.before is UNSET
        subscriber = Subscriber(where["results"])
        before.greet()
        before.bye()
        while subscriber.receive(60.0).kind != "bye":
            pass
    with subscriber, station(run="r2", **where) as now:
        time.sleep(0.3)
        with suppress(TimeoutError):
            subscriber.receive(0.0)
        now.greet(subscriber)
        now.say("a")
        assert heard_next(subscriber, 1) == [("a", 1)]
        told = subscriber.take_losses()
        assert [(each.run, each.topic) for each in told] == losses
        assert all("nobody read for" in str(each) for each in told)


@given(st.integers(1, 12), st.integers(0, 12), st.sets(st.integers(0, 11)), st.integers(0, 12))
def test_each_run_between_is_told_once_whatever_is_still_listed(
    first: int, turns: int, noticed: set[int], gone: int
) -> None:
    """Runs are numbered; of those after the first that speaks, each that does not is told exactly once."""
    runs, told = Runs(), []
    runs.hear(str(first))
    runs.unheard([str(each) for each in range(first)], str(first))
    heard = [first]
    for now in range(first + 1, first + 1 + turns):
        if now in noticed:
            listed = [str(each) for each in range(min(gone, heard[-1]), now)]
            told += runs.unheard(listed, str(now))
            told += runs.unheard([*listed, str(now)], str(now))
            heard.append(now)
    assert told == [str(each) for each in range(first + 1, heard[-1]) if each not in heard]


def test_a_whole_daemon_that_lived_and_died_unheard_is_had(tmp_path: Path, tiny_bundle: Path) -> None:
    config = journalled(tmp_path, tiny_bundle)

    def say(daemon: Daemon, stream: str) -> None:
        with Pusher(daemon.ingest, stream=stream, rate=RATE) as pusher:
            pusher.push(talk(1))

    with Daemon(config) as daemon:
        subscriber = Subscriber(daemon.results, ("v1/detection/",), timeout=60.0)
        while not subscriber.greeted:
            subscriber.receive(60.0)
        say(daemon, "one")
        heard = [next(iter(subscriber)) for _ in range(4)]
        assert {each.stream for each in heard} == {"one"}
        daemon.stop(signal.SIGKILL)
    with Daemon(config) as daemon:
        say(daemon, "two")  # and nobody reads
        daemon.stop(signal.SIGKILL)
    with subscriber, Daemon(config) as daemon:
        say(daemon, "three")
        labels: dict[str, list[str]] = {}
        for message in subscriber:
            assert isinstance(message.body, Heard)
            labels.setdefault(message.stream, []).append(message.body.label)
            if len(labels.get("three", [])) == 4:
                break
        assert list(labels) == ["two", "three"]
        assert labels["two"] == ["low", "high", "high", "low"]
        assert not subscriber.take_losses()
        assert subscriber.recovered >= 4
