"""Disks of journal and state that are full or read-only: told and counted, and nothing on the wire is touched."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import judge
import pytest
from daemons import Daemon
from disks import fill, mounted, read_only
from oracle import Oracle
from producer import Playing
from setting import Setting
from test_fault_places import fails, soon
from test_health import HEALTH, get, needs_prometheus, place_of, value
from test_history import Published

from streamrnn.client import Control
from streamrnn.history import HistoryConfig
from streamrnn.journal import Journal, scan
from streamrnn.statefile import NAME, Kept, KeptStream, StateConfig, StateFile
from streamrnn.wire import Status


def keeping(folder: Path, place: Path, bundle: Path) -> Setting:
    return Setting(
        folder,
        bundle,
        history={"journal": str(place / "journal"), "journal_bytes": 1 << 20, "messages": 10},
        state={"directory": str(place / "state"), "every_s": 0.2},
        health=HEALTH,
    )


def gauge(daemon: Daemon, series: str) -> Callable[[], float]:
    return lambda: value(get(place_of(daemon), "/metrics")[1], series)


def stands(daemon: Daemon) -> tuple[float, float]:
    """What the metrics say of journal and state."""
    text = get(place_of(daemon), "/metrics")[1]
    return (
        value(text, 'streamrnn_store_trouble{store="journal"}'),
        value(text, 'streamrnn_store_trouble{store="state"}'),
    )


@needs_prometheus
@pytest.mark.parametrize("how", ["full", "read-only"])
def test_a_disk_that_takes_no_journal_and_no_state_is_told_and_costs_no_result(
    tmp_path: Path, tiny_bundle: Path, how: str
) -> None:
    with mounted(tmp_path / "disk", "size=3m") as place, keeping(tmp_path, place, tiny_bundle) as setting:
        daemon = setting.start()
        with Oracle(setting.results) as oracle:
            oracle.greeted()
            producer = setting.producer("mic", 1e3, speed=8)
            with Playing([producer]) as playing:
                oracle.word("mic", 0, 10.0)
                soon(lambda: (place / "state" / NAME).exists() and stands(daemon) == (0, 0))
                if how == "full":
                    filler = fill(place)
                    soon(lambda: stands(daemon) == (1, 1))
                    filler.unlink()
                else:
                    # Another disk in its place: what is open stays so, and no file can be begun.
                    with read_only(place):
                        crowd = [setting.producer(f"s{i}", 20, seed=i, speed=0) for i in range(4)]
                        with Playing(crowd) as crowded:
                            crowded.until(lambda: all(each.ended for each in crowd), 30.0)
                        soon(lambda: stands(daemon) == (1, 1))
                fresh = producer.at
                soon(lambda: stands(daemon) == (0, 0))
                oracle.word("mic", fresh, 10.0)
                playing.finish()
                oracle.over("mic")
            lost = gauge(daemon, f'streamrnn_sink_lost_total{{sink="journal {place}/journal"}}')()
            assert lost > 0
            with Control(daemon.control) as control:
                kept = control.call("history")
                assert kept["journal_lost"] == lost
                assert not kept["journal_unreadable"]
                page = control.call("replay", topics=["v1/detection/mic/"])
                # What it has not it says; what it has can be read, up to the last.
                assert page["truncated"] == bool(page["gone"])
                assert page["messages"]
            assert daemon.stop() < 2.0
            troubles = [
                each.body.text
                for each in oracle.messages
                if isinstance(each.body, Status) and each.body.state == "failed"
            ]
        assert not setting.verdict(oracle, producer)
        assert not judge.gaps(oracle.messages, "mic")
    assert any(str(place / "journal") in text and "messages lost" in text for text in troubles), troubles
    assert any(str(place / "state") in text and "cannot be written" in text for text in troubles), troubles
    lines = [line for line in daemon.said if "messages lost" in line or "cannot be written" in line]
    assert 2 <= len(lines) < 10, lines


@pytest.mark.parametrize("what", ["journal", "state"])
def test_a_disk_that_is_read_only_at_the_start_is_one_line(tmp_path: Path, tiny_bundle: Path, what: str) -> None:
    with read_only(tmp_path / "disk") as place:
        key, name = {"journal": ("history", "journal"), "state": ("state", "directory")}[what]
        with Setting(tmp_path, tiny_bundle, **{key: {name: str(place)}}) as setting:
            line = fails(setting.config)
    assert str(place) in line
    assert "choose another" in line or "choose a directory" in line


def test_a_state_is_never_ahead_of_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever goes on from a state hears nothing again: what was said until then can be had of the journal alone."""
    sync = os.fsync

    def slow(descriptor: int) -> None:
        if threading.current_thread().name == "journal":
            time.sleep(0.3)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    published = Published(HistoryConfig(journal=str(tmp_path / "journal"), fsync="each"))
    file = StateFile(StateConfig(str(tmp_path / "state")), published.history.flush)
    file.open()
    for i in range(50):
        published.say(f"s{i % 10}")
    file.save(Kept(1, {"mic": KeptStream("r", b"x")}), {})
    soon(lambda: file.idle)
    written = sum(1 for path in (tmp_path / "journal").glob("*.journal") for _ in scan(path.read_bytes(), []))
    assert written == 50
    file.close()
    published.history.close(1.0)


def test_a_journal_that_cannot_be_begun_leaves_nothing_behind(tmp_path: Path) -> None:
    """A segment that finds no room is tried again for each message, and must not leave as many files."""
    with mounted(tmp_path / "disk", "size=256k") as place:
        journal = Journal(place, "r1", 1 << 20)
        filler = fill(place)
        for number in range(1, 20):
            with pytest.raises(OSError, match="No space left"):
                journal.append(number, b"message")
        assert sorted(path.name for path in place.iterdir()) == ["filler", "lock"]
        filler.unlink()
        journal.append(20, b"message")
        assert [record.number for record in journal.records("r1")] == [20]
        journal.close()
