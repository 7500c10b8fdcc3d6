"""Where faults happen: a daemon on ports that stay the same over restarts, and the verdict on what was heard of it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import judge
from content import Content
from daemons import Daemon, write_config
from footprint import Footprint, footprint, settled
from oracle import Oracle
from producer import Playing, Producer

LONG = os.environ.get("STREAMRNN_FAULTS") == "long"
# Samples before and after a gap in which events may be others: a word, what smooths it and what is muted after it.
MEMORY = 4000


def by_form(short: int, long: int) -> int:
    """A measure of the short form, which every test run has, or of the long one of `make faults`."""
    return long if LONG else short


def injected(**faults: str) -> dict[str, str]:
    """The environment of a process with faults inside, see injected/sitecustomize.py."""
    path = [str(Path(__file__).parent / "injected"), *filter(None, [os.environ.get("PYTHONPATH", "")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **faults}


def free_endpoint() -> str:
    """A port that nobody listens at now, and that stays the daemon's when it is started again."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"tcp://127.0.0.1:{found.getsockname()[1]}"


class Setting:
    """A config in a folder of its own, and the daemons that were started from it, one after another."""

    def __init__(self, folder: Path, bundle: Path, *, sinks: Iterable[Any] = (), **more: Any) -> None:
        self.bundle = bundle
        self.ingest, self.results = free_endpoint(), free_endpoint()
        source = {"kind": "zeromq", "endpoint": self.ingest, **more.pop("source", {})}
        sink = {"kind": "zeromq", "endpoint": self.results}
        self.config = write_config(folder / "daemon.yaml", bundle, [source], [sink, *sinks], **more)
        self._started = contextlib.ExitStack()

    def start(self, **popen: Any) -> Daemon:
        """A daemon that is ready."""
        daemon = self._started.enter_context(Daemon(self.config, **popen))
        assert daemon.results, daemon.said
        return daemon

    def producer(self, stream: str, sentences: float = 1.0, seed: int = 0, **more: Any) -> Producer:
        """One of known content, which brings so many sentences (of about 7 s each)."""
        content = more.pop("content", None) or Content(seed)
        endpoint = more.pop("endpoint", self.ingest)
        return Producer(endpoint, stream, content, round(sentences * len(content.sentence)), **more)

    def verdict(self, oracle: Oracle, *producers: Producer) -> list[str]:
        """What breaks the laws; empty if all hold."""
        messages = oracle.messages
        wrong = judge.duplicates(messages) + judge.left_out(messages)
        for each in producers:
            wrong += judge.undeclared(messages, each.produced)
            wanted = each.content.wanted(self.bundle, each.stream, each.at)
            assert wanted, "a judge who expects nothing sees nothing"
            wrong += judge.different(messages, wanted, each.stream, MEMORY)
        return wrong

    def witness(self, oracle: Oracle, stream: str) -> None:
        """One sentence as fast as it is taken, heard as if nothing had been."""
        producer = self.producer(stream, speed=0)
        with Playing([producer]) as playing:
            playing.until(lambda: producer.ended)
            oracle.over(stream)
        assert not self.verdict(oracle, producer)
        assert not judge.gaps(oracle.messages, stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._started.close()


@contextlib.contextmanager
def unmoved(daemon: Daemon, megabytes: float = 5.0) -> Iterator[Footprint]:
    """What happens inside costs the daemon nothing that it does not get back."""
    before = footprint(daemon.process.pid)
    yield before
    assert daemon.process.poll() is None, daemon.process.stderr.read()  # type: ignore[union-attr]
    wrong = settled(daemon.process.pid, lambda after: judge.grown(before, after, megabytes))
    assert not wrong, wrong
