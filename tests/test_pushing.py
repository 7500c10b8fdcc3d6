"""`streamrnn push` while daemons come and go: it waits, says what for, and in the end how much was delivered."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from daemons import RESULTS, Daemon, command, write_config
from test_ingest import RATE, free_port, talk

from streamrnn import ingest
from streamrnn.cli import main
from streamrnn.client import Control, Pusher


def pushing(endpoint: str, *more: object) -> subprocess.Popen[bytes]:
    words = command("push", "-", "--stream", "mic", "--rate", RATE, "--endpoint", endpoint, *more)
    return subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE)


def line(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr
    return process.stderr.readline().decode().rstrip()


def send(process: subprocess.Popen[bytes], samples: np.ndarray) -> None:
    assert process.stdin
    process.stdin.write(ingest.pack(samples, "int16"))
    process.stdin.flush()


def config_of(tmp_path: Path, tiny_bundle: Path, endpoint: str) -> Path:
    source = {"kind": "zeromq", "endpoint": endpoint, "queue_ms": 100.0}
    state = {"directory": str(tmp_path / "state")}
    return write_config(tmp_path / "daemon.yaml", tiny_bundle, [source], [RESULTS], state=state)


def heard(daemon: Daemon, samples: int) -> None:
    """Wait until so many samples of the one stream were heard."""
    deadline = time.monotonic() + 60
    with Control(daemon.control) as control:
        while not any(each["expected"] >= samples for each in control.call("status")["streams"]):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_push_waits_for_a_daemon_that_is_started_again_and_delivers_all(tmp_path: Path, tiny_bundle: Path) -> None:
    endpoint, samples = free_port(), talk(2)
    config = config_of(tmp_path, tiny_bundle, endpoint)
    with Daemon(config) as daemon, pushing(endpoint) as process:
        send(process, samples[:8000])
        heard(daemon, 4000)
        daemon.stop()
        send(process, samples[8000:])
        assert process.stdin
        process.stdin.close()
        assert "the daemon is away; waiting 30 s for it" in line(process)
        with Daemon(config):
            assert "the daemon is back after" in line(process)
            seconds = f"{len(samples) / RATE:.2f} s"
            told = f"mic: all {len(samples)} samples ({seconds}) were delivered, the daemon was away once"
            assert line(process) == f"streamrnn push: {told}"
            assert process.wait(20) == 0


def test_push_that_gives_up_says_what_was_delivered_and_what_was_not(tmp_path: Path, tiny_bundle: Path) -> None:
    endpoint = free_port()
    samples = np.tile(talk(2), (8, 1))
    with (
        Daemon(config_of(tmp_path, tiny_bundle, endpoint)) as daemon,
        pushing(endpoint, "--timeout", "3") as process,
    ):
        send(process, samples[:RATE])
        heard(daemon, 4000)
        daemon.process.send_signal(signal.SIGSTOP)
        bringing = threading.Thread(target=lambda: _flood(process, samples[RATE:]))
        bringing.start()
        told = line(process)
        daemon.process.send_signal(signal.SIGCONT)
        assert process.wait(20) == 2
        bringing.join(20)
    taken, unread = (int(told.split(word)[0].split()[-1]) for word in (" samples", " that were read"))
    assert " mic: " in told
    assert 0 < taken < taken + unread <= len(samples)
    assert "the daemon takes no samples" in told


def _flood(process: subprocess.Popen[bytes], samples: np.ndarray) -> None:
    try:
        send(process, samples)
    except BrokenPipeError:
        return


def test_a_patience_that_is_none_is_one_line(capsys: Any) -> None:
    assert main(["push", "-", "--stream", "mic", "--timeout", "0"]) == 2
    assert "--timeout 0: write seconds above 0, or inf" in capsys.readouterr().err


def test_who_waits_is_told_again_and_again(monkeypatch: Any) -> None:
    monkeypatch.setattr("streamrnn.client.pusher._NOTICE_S", 0.1)
    monkeypatch.setattr("streamrnn.client.pusher._AGAIN_S", 0.2)
    told: list[str] = []
    try:
        Pusher("tcp://127.0.0.1:1", stream="mic", rate=8000, timeout=1.5, waiting=told.append)
    except Exception as error:
        told.append(str(error))
    assert told[0].endswith("no daemon answers yet; waiting 1.5 s for one")
    assert len(told) > 2
    assert "no daemon answers; start" in told[-1]
