"""What a daemon keeps on disk is its user's alone, half done things go at the start, and damage is told at once."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest
from daemons import INGEST, RESULTS, Daemon, write_config
from test_clips import clip, keep
from test_health import HEALTH, get, needs_prometheus, place_of, value
from test_history import Published

from streamrnn import statefile
from streamrnn.client import Subscriber
from streamrnn.clips.folder import Folder
from streamrnn.history import HistoryConfig
from streamrnn.statefile import Kept, KeptStream, StateConfig, StateFile
from streamrnn.wire import Status


def modes(directory: Path) -> set[int]:
    return {stat.S_IMODE(each.stat().st_mode) for each in directory.rglob("*")}


def journal_of(directory: Path, messages: int = 5) -> Path:
    """A journal of a run that is over; its only file."""
    published = Published(HistoryConfig(journal=str(directory)), "r1")
    for _ in range(messages):
        published.say("a")
    published.history.close(5.0)
    (path,) = directory.glob("*.journal")
    return path


def test_files_of_journal_state_and_clips_are_for_their_user_alone(tmp_path: Path) -> None:
    journal_of(tmp_path / "journal")
    state = StateFile(StateConfig(str(tmp_path / "state")))
    state.open()
    assert state.finish(Kept(1, {"mic": KeptStream("r", b"x")}), {}, 5.0) == []
    folder = Folder(keep(tmp_path / "clips"))
    folder.write(clip(1))
    folder.close()
    for each in ("journal", "state", "clips"):
        assert stat.S_IMODE((tmp_path / each).stat().st_mode) == 0o700
        assert modes(tmp_path / each) == {0o600}
    assert len(list((tmp_path / "clips").iterdir())) == 3


def test_a_journal_of_a_version_before_is_closed_to_others(tmp_path: Path) -> None:
    path = journal_of(tmp_path)
    path.chmod(0o644)
    Published(HistoryConfig(journal=str(tmp_path)), "r2").history.close(5.0)
    assert modes(tmp_path) == {0o600}


def test_a_state_that_was_being_written_when_the_daemon_was_killed_goes_at_the_start(tmp_path: Path) -> None:
    partial = tmp_path / f"{statefile.NAME}.new"
    partial.write_bytes(b"half")
    StateFile(StateConfig(str(tmp_path))).open()
    assert not partial.exists()


@needs_prometheus
def test_a_damaged_journal_is_told_at_the_start_though_nobody_asks_for_it(tmp_path: Path, tiny_bundle: Path) -> None:
    path = journal_of(tmp_path / "journal")
    data = bytearray(path.read_bytes())
    data[data.index(b'"seq":3') + 6] ^= 1
    path.write_bytes(data)
    config = write_config(
        tmp_path / "daemon.yaml",
        tiny_bundle,
        [INGEST],
        [RESULTS],
        history={"journal": str(tmp_path / "journal")},
        health=HEALTH,
    )
    with Daemon(config) as daemon, Subscriber(daemon.results, begin="kept") as listening:
        told: list[str] = []
        while not told:
            body = listening.receive(60.0).body
            told += [body.text] if isinstance(body, Status) and body.state == "failed" else []
        assert told[0].startswith(f"journal {tmp_path / 'journal'}: what was published at {path.name} at byte ")
        deadline = time.monotonic() + 60
        while value(get(place_of(daemon), "/metrics")[1], 'streamrnn_store_unreadable{store="journal"}') != 1:
            assert time.monotonic() < deadline
        daemon.stop()
        assert any(path.name in line for line in daemon.said)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_journal_that_is_sound_tells_nothing(tmp_path: Path, damaged: bool) -> None:  # noqa: FBT001
    path = journal_of(tmp_path)
    if damaged:
        data = bytearray(path.read_bytes())
        data[data.index(b'"seq":3') + 6] ^= 1
        path.write_bytes(data)
    history = Published(HistoryConfig(journal=str(tmp_path)), "r2").history
    assert history._writer
    history._writer.journal.survey()
    assert (history.unreadable, bool(history.damage)) == (damaged, damaged)
    history.close(5.0)
