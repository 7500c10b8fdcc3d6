"""The log: one line a thing, so many of a kind, and what was left out counted."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from daemons import INGEST, RESULTS, Daemon, command, write_config
from hypothesis import given, settings
from hypothesis import strategies as st
from manager import Manager, hanging_sink
from test_sinks import gap

from streamrnn.events import BundleRef
from streamrnn.logs import LINES, WINDOW_S, Log, LogSink, tame
from streamrnn.publisher import Publisher
from streamrnn.wire import Status


class Kept:
    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.now = 0.0

    def clock(self) -> float:
        return self.now


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=60) | st.just("long " * 200), st.text(max_size=20))
def test_a_line_is_one_line_whatever_is_in_it(text: str, stream: str) -> None:
    kept = Kept()
    for form in ("text", "keyvalue", "json"):
        Log(kept.lines.append, form).say("info", "gap", text, stream=stream, start=3)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in kept.lines)
    assert all(len(line.decode().splitlines()) == 1 for line in kept.lines)
    found = json.loads(kept.lines[2])
    assert (found["kind"], found["level"], found["text"], found["start"]) == ("gap", "info", tame(text), 3)
    pairs = dict(word.split("=", 1) for word in shlex.split(kept.lines[1].decode()))
    assert pairs["stream"].strip() == tame(stream).strip()
    assert pairs["start"] == "3"


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["gap", "failed"]), st.floats(0, 4)), max_size=120))
def test_every_line_is_written_or_counted(lines: list[tuple[str, float]]) -> None:
    kept = Kept()
    log = Log(kept.lines.append, "json", clock=kept.clock)
    for kind, pause in lines:
        kept.now += pause
        log.say("warning", kind, "lost")
    log.finish()
    told = [json.loads(line) for line in kept.lines]
    for kind in ("gap", "failed"):
        of_kind = [each for each in told if each["kind"] == kind]
        assert sum(each.get("suppressed", 1) for each in of_kind) == sum(k == kind for k, _ in lines)


def test_a_flood_is_bounded_and_told_when_it_is_over() -> None:
    kept = Kept()
    log = Log(kept.lines.append, "keyvalue", clock=kept.clock)
    for _ in range(10_000):
        log.say("warning", "gap", "lost")
    log.say("warning", "failed", "another kind")
    assert len(kept.lines) == LINES + 1
    kept.now += WINDOW_S
    log.tick()
    assert kept.lines[-1].endswith(b"suppressed=9980\n")


def test_what_is_announced_is_logged_by_level() -> None:
    kept = Kept()
    log = Log(kept.lines.append, "json")
    publisher = Publisher([LogSink(log)], [BundleRef("tones", "ab")])
    publisher.opened("mic", 8000, 1)
    publisher.event(gap(20, 50))
    publisher.status("mic", Status("failed", "unplugged"))
    log.set_level("debug")
    publisher.closed("mic", 50, Status("ended", ""))
    told = [json.loads(line) for line in kept.lines]
    assert [(each["level"], each["kind"], each["stream"]) for each in told] == [
        ("warning", "gap", "mic"),
        ("warning", "failed", "mic"),
        ("debug", "ended", "mic"),
    ]
    assert (told[0]["start"], told[0]["end"], told[0]["rate"]) == (20, 50, 8000)


def test_the_daemon_logs_json_if_it_is_asked_to(tmp_path: Path, tiny_bundle: Path) -> None:
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS], log={"format": "json"})
    with Daemon(config) as daemon:
        daemon.stop()
    kinds = [json.loads(line)["kind"] for line in daemon.said]
    assert kinds[-2:] == ["ready", "stopped"]


def test_a_log_that_nobody_reads_holds_nobody_up(tmp_path: Path, tiny_bundle: Path) -> None:
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS])
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    with Manager(tmp_path / "notify", watchdog_s=0.5) as manager:
        process = subprocess.Popen(command("serve", config), stderr=write, env=manager.environment)
        try:
            assert "READY=1" in manager.heard(30)
            for _ in range(3):
                assert "WATCHDOG=1" in manager.heard(10)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()
        os.close(read)
        os.close(write)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no SIGUSR1")
def test_sigusr1_prints_where_every_thread_stands(tmp_path: Path, tiny_bundle: Path) -> None:
    environment, sink = hanging_sink(tmp_path)
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS, sink])
    with Daemon(config, env=environment) as daemon:
        daemon.process.send_signal(signal.SIGUSR1)
        assert daemon.process.stderr
        lines = []
        while not any("main_loop" in line for line in lines):
            lines.append(daemon.process.stderr.readline())
        assert any("Thread 0x" in line for line in lines)
        assert daemon.process.poll() is None
        daemon.stop()
