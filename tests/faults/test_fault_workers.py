"""Workers that are killed or hang, and a daemon that leaves them: only the streams of one of them may notice."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import judge
import pytest
from daemons import Daemon
from oracle import Oracle
from producer import Playing, Producer
from setting import Setting, by_form

from streamrnn.events import Lost
from streamrnn.wire import Message, Status
from streamrnn.workers.share import GONE


@pytest.fixture
def setting(tmp_path: Path, tiny_bundle: Path) -> Setting:
    with Setting(tmp_path, tiny_bundle, workers=2, health={"stall_s": 6}) as made:
        yield made


def workers(daemon: Daemon) -> list[int]:
    """The processes of a daemon's workers."""
    told = [path.read_text() for path in Path(f"/proc/{daemon.process.pid}/task").glob("*/children")]
    return sorted(int(pid) for line in told for pid in line.split())


def gone(pid: int) -> bool:
    """Whether a process is no more, or is dead and only waits to be counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def all_gone(pids: list[int], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not all(gone(pid) for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def told(oracle: Oracle, state: str, since: float) -> Message:
    """A status of the daemon itself."""
    return oracle.wait(
        lambda message: message.stream == "_" and isinstance(message.body, Status) and message.body.state == state,
        since=since,
    ).message


def one_stream_noticed(setting: Setting, oracle: Oracle, producers: list[Producer]) -> bool:
    """All laws hold, one stream has a gap and a new epoch for the worker's end, and no other has anything."""
    assert not setting.verdict(oracle, *producers)
    lost = [each for each in oracle.messages if isinstance(each.body, Lost)]
    assert {each.body.reason for each in lost if isinstance(each.body, Lost)} == {GONE}
    assert all(each.epoch >= 1 for each in lost)
    return len({each.stream for each in lost}) == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_is_killed_or_hangs_costs_its_own_streams_their_memory_and_no_other_anything(
    setting: Setting, how: signal.Signals
) -> None:
    daemon = setting.start()
    with Oracle(setting.results) as oracle:
        oracle.greeted()
        producers = [setting.producer(f"mic{i}", 1e3, seed=i, speed=2) for i in range(2)]
        with Playing(producers) as playing:
            for each in producers:
                oracle.word(each.stream, 0)
            before = workers(daemon)
            assert len(before) == 2
            struck = time.monotonic()
            os.kill(before[0], how)
            assert "worker" in told(oracle, "failed", struck).body.text
            assert "worker" in told(oracle, "mended", struck).body.text
            back = time.monotonic()
            for each in producers:
                oracle.word(each.stream, each.at, since=back)
            playing.finish()
            for each in producers:
                oracle.over(each.stream, since=struck)
        assert gone(before[0])
        assert before[1] in workers(daemon)
        assert one_stream_noticed(setting, oracle, producers)
        assert daemon.stop() < 2.0
        assert daemon.process.returncode == 0


def test_workers_that_are_killed_again_and_again_are_started_again_and_what_they_lose_is_declared(
    setting: Setting,
) -> None:
    daemon = setting.start()
    with Oracle(setting.results) as oracle:
        oracle.greeted()
        producers = [setting.producer(f"mic{i}", 1e3, seed=i, speed=2) for i in range(4)]
        with Playing(producers) as playing:
            for _ in range(by_form(1, 20)):
                # Of each: a stream that has not begun loses nothing.
                for each in producers:
                    oracle.word(each.stream, each.at)
                struck = time.monotonic()
                for pid in workers(daemon):
                    os.kill(pid, signal.SIGKILL)
                told(oracle, "mended", struck)
            for each in producers:
                oracle.word(each.stream, each.at)
            playing.finish()
            for each in producers:
                oracle.over(each.stream, since=struck)
        assert not setting.verdict(oracle, *producers)
        assert all(judge.gaps(oracle.messages, each.stream) for each in producers)


def test_no_worker_outlives_its_daemon(setting: Setting) -> None:
    killed = setting.start()
    left = workers(killed)
    killed.process.kill()
    killed.process.wait()
    assert len(left) == 2
    assert all_gone(left, 20.0)


def test_a_stop_with_workers_under_load_is_clean_and_takes_2_s_at_most(setting: Setting) -> None:
    daemon = setting.start()
    with Oracle(setting.results) as oracle:
        oracle.greeted()
        with Playing([setting.producer(f"mic{i}", 1e3, speed=0) for i in range(4)]):
            oracle.word("mic3", 0)
            there = workers(daemon)
            assert daemon.stop() < 2.0
            assert daemon.process.returncode == 0, daemon.said
            assert all_gone(there, 2.0)
            oracle.wait(lambda message: message.kind == "bye")
        assert not judge.duplicates(oracle.messages) + judge.left_out(oracle.messages)
