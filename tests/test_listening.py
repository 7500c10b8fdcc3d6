"""`streamrnn listen` where standard error is no terminal: it says when the daemon goes and when it is back."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import peers
import pytest
import zmq
from daemons import command

from streamrnn import wire
from streamrnn.events import BundleRef
from streamrnn.wire import Hello, Message, Moment


@contextmanager
def daemon(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    with peers.context() as context, context.socket(zmq.XPUB) as socket:
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        socket.bind(endpoint)
        yield socket


def greet(socket: zmq.Socket[bytes], run: str, seq: int = 1) -> None:
    body = Hello("0", (), (), {})
    message = Message(1, "hello", "_", BundleRef("_", ""), run, 0, seq, Moment(0, 0, 0, 0), "", 0, "", body)
    socket.send_multipart(wire.encode(message))


def came(socket: zmq.Socket[bytes]) -> None:
    """Wait until somebody has asked for everything."""
    while socket.recv() != b"\x01v1/bye/_/_/":
        pass


@pytest.mark.parametrize(("run", "told"), [("r1", "the daemon is back"), ("r2", "the daemon is back, started again")])
def test_listen_says_in_a_log_that_the_daemon_is_back(run: str, told: str) -> None:
    with daemon("tcp://127.0.0.1:*") as socket:
        place = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        with subprocess.Popen(command("listen", place), stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            came(socket)
            greet(socket, "r1")
            assert "stale: not a heartbeat" in next(line for line in process.stderr if "no daemon answers" not in line)
            greet(socket, run, 2)
            assert process.stderr.readline() == f"streamrnn listen: {place}: {told}\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0


def test_listen_says_that_the_daemon_was_started_again_though_it_was_back_at_once() -> None:
    with daemon("tcp://127.0.0.1:*") as socket:
        place = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        with subprocess.Popen(command("listen", place), stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            came(socket)
            for run in ("r1", "r2"):
                greet(socket, run)
            said = [process.stderr.readline()]
            while "started again" not in said[-1]:
                said.append(process.stderr.readline())
            assert place in said[-1]
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
