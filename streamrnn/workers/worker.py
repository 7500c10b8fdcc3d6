"""A worker: an engine in a process of its own that hears its share of a daemon's streams, until the daemon is gone."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from streamrnn import allocator, bundle, snapshot
from streamrnn.backends import Array, ArrayState
from streamrnn.config import convert
from streamrnn.cores import pin
from streamrnn.engine import Engine, Serving, serving
from streamrnn.errors import StreamError, UserError
from streamrnn.recognizer import Recognizer
from streamrnn.stopping import leave_with_stdin
from streamrnn.workers import orders
from streamrnn.workers.orders import (
    Called,
    Finish,
    Forget,
    Given,
    Keep,
    Lose,
    Open,
    Order,
    Push,
    Ready,
    Report,
    Restore,
    Serve,
    Standing,
    Turn,
)


class Worker:
    """Does what it is ordered, one message at a time, and reports."""

    def __init__(self, daemon: socket.socket) -> None:
        self._daemon = daemon
        self._from_daemon = daemon.makefile("rb")
        self._engine = Engine([])
        self._calls: list[Called] = []
        self._finished: list[Standing] = []  # streams that were finished in this turn, as they were then

    def run(self) -> None:
        """Until the daemon lets go."""
        while data := orders.receive(self._from_daemon.read):
            ordered = orders.order(data)
            if isinstance(ordered, Serve):
                self._serve(ordered)
                self._send(Ready())
                continue
            self._hear(ordered)

    def _send(self, message: Ready | Report) -> None:
        self._daemon.sendall(orders.encode(message))

    def _serve(self, ordered: Serve) -> None:
        """Raises BundleError or ConfigError, which ends this worker."""
        if ordered.core >= 0:
            with contextlib.suppress(OSError):  # a unit may not allow it
                pin(0, ordered.core)
        served = [self._measured(made(each)) for each in ordered.bundles]
        if self._engine.servings:
            self._engine.swap(served)
            return
        self._engine = Engine(served, rows_a_call=ordered.rows_a_call, round_s=ordered.round_s)
        allocator.leave_alone()

    def _hear(self, turn: Turn) -> None:
        begun = time.monotonic()
        fault = ""
        for each in turn.orders:
            try:
                self._obey(each)
            except StreamError as error:  # the daemon has looked at it before: one order more or less ends nobody
                fault = str(error)
        while self._engine.pending:
            events = self._engine.step()
            if self._engine.pending:
                self._send(Report(orders.told(events), self._called(), more=True))
                continue
            break
        else:
            events = []
        finished, self._finished = self._finished, []
        touched = {each.stream for each in turn.orders}
        wanted = [each.stream for each in turn.orders if isinstance(each, Keep)]
        self._send(
            Report(
                orders.told(events),
                self._called(),
                time.monotonic() - begun,
                fault=fault,
                standings=(
                    *finished,
                    *(self._standing(each) for each in touched.intersection(self._engine.streams)),
                ),
                snapshots=self._kept(wanted),
            )
        )

    def _obey(self, each: Order) -> None:
        """Raises StreamError for what the daemon should not have ordered."""
        engine, stream = self._engine, each.stream
        if isinstance(each, Push):
            samples = np.frombuffer(each.samples, np.float32).reshape(-1, each.channels)
            engine.push(stream, each.start, samples)
        elif isinstance(each, Open):
            engine.open(stream, each.rate, each.channels, each.bundles or None, epoch=each.epoch, start=each.start)
        elif isinstance(each, Restore):
            engine.restore(snapshot.decode(each.snapshot), each.bundles or None)
        elif isinstance(each, Lose):
            engine.lose(stream, each.end, each.reason)
        elif isinstance(each, Forget):
            engine.forget(stream, each.reason)
        elif isinstance(each, Finish):
            self._finished.append(self._standing(stream))
            engine.finish(stream)

    def _standing(self, stream: str) -> Standing:
        counts = self._engine.counts(stream)
        return Standing(
            stream, counts.expected, counts.untold, counts.epoch, counts.heard, counts.lost, counts.duplicates
        )

    def _kept(self, wanted: Sequence[str]) -> dict[str, bytes]:
        kept = {}
        for stream in wanted:
            # Of what is not settled, or is over by now, there is none.
            with contextlib.suppress(StreamError):
                kept[stream] = snapshot.encode(self._engine.snapshot(stream))
        return kept

    def _called(self) -> tuple[Called, ...]:
        calls, self._calls = tuple(self._calls), []
        return calls

    def _measured(self, served: Serving) -> Serving:
        name, hop, step = served.name, served.recognizer.hop, served.step

        def timed(samples: Array, state: ArrayState) -> tuple[Array, ArrayState]:
            begun = time.perf_counter()
            done = step(samples, state)
            frames = samples.shape[0] * (samples.shape[1] // hop)
            self._calls.append(Called(name, frames, time.perf_counter() - begun))
            return done

        return dataclasses.replace(served, step=timed)


def made(given: Given) -> Serving:
    """A bundle ready to serve, proved here as well. Raises BundleError or ConfigError."""
    recognizer = convert(msgspec.json.decode(given.recognizer), Recognizer)
    there = dataclasses.replace(bundle.read_from(given.file, Path(given.path)), recognizer=recognizer)
    served = serving(there, given.backend)
    bundle.prove(there, served.step)
    return served


def main() -> None:
    """Serve the daemon at the other end of the socket whose descriptor is the only argument."""
    # Those are for the daemon, which drains; a terminal and some managers send them to all its processes.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    leave_with_stdin()
    faulthandler.enable()
    allocator.share_one_arena()
    with socket.socket(fileno=int(sys.argv[1])) as daemon, contextlib.suppress(ConnectionError):
        try:
            Worker(daemon).run()
        except UserError as error:
            sys.exit(f"streamrnn worker: {error}")


if __name__ == "__main__":
    main()
