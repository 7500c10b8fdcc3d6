"""Daemons side by side, each on one core and all in turn: how soon they hear, how late, with what, and how many."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import zmq

from streamrnn import ingest
from streamrnn.capacity.daemons import Measured
from streamrnn.capacity.ladder import Rung, climb, cores
from streamrnn.capacity.load import Plan, Stage
from streamrnn.ingest import Start

Commands = Mapping[str, Sequence[str]]
Told = Callable[[str], None]

_PATIENCE_S = 60.0
_TOGETHER_S = 0.02  # apart: what is brought until the first result comes


class Middle(msgspec.Struct, frozen=True):
    """A daemon with so many streams, the medians of its turns: lateness in ms, a share of one core, bytes of memory."""

    streams: int
    p50_ms: float
    p99_ms: float
    cpu: float
    rss: int
    load_late_ms: float

    @property
    def chunk_us(self) -> float:
        """Microseconds of processor time for a chunk of 100 ms."""
        return self.cpu * 1e6 / (10 * self.streams)


def first_results(commands: Commands, plan: Plan, turns: int) -> dict[str, float]:
    """Seconds from the start of each daemon's process to the first result of a stream, the median of some turns."""
    took: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(turns):
        for name, command in commands.items():
            took[name].append(_first_result(command, plan))
    return {name: statistics.median(each) for name, each in took.items()}


def _first_result(command: Sequence[str], plan: Plan) -> float:
    begun = time.monotonic()
    samples = np.fromfile(Path(plan.signal), "<i2")
    with Measured(command, cores()[0]) as daemon, zmq.Context() as context:
        dealer, results = context.socket(zmq.DEALER), context.socket(zmq.SUB)
        for socket, endpoint in ((dealer, daemon.ingest), (results, daemon.results)):
            socket.linger = 0
            socket.connect(endpoint)
        results.subscribe(b"v1/detection/")
        results.subscribe(b"v1/segment/")
        dealer.send(ingest.encode_header(Start("first", plan.rate)))
        dealer.recv()
        with dealer, results:
            for start in itertools.count(0, plan.chunk):
                part = samples[start % len(samples) :][: plan.chunk]
                header = b'{"kind":"data","stream":"first","start":%d,"n":%d}' % (start, len(part))
                dealer.send_multipart([header, part.tobytes()])
                # Results that came before the subscription are missed: the signal goes on and there are others.
                if results.poll(round(1000 * _TOGETHER_S)):
                    return time.monotonic() - begun
                if time.monotonic() - begun > _PATIENCE_S:
                    break
    raise RuntimeError(f"{' '.join(command)}: no result within {_PATIENCE_S:g} s")


def side_by_side(
    commands: Commands, plan: Plan, counts: Sequence[int], turns: int, told: Told
) -> dict[str, list[Middle]]:
    """Each daemon with each number of streams, so often in turn, that what else the machine does meets all of them."""
    seconds = plan.stages[0].seconds
    stages = tuple(Stage(count, seconds, seconds / 3) for count in counts)
    rungs: dict[str, list[list[Rung]]] = {name: [] for name in commands}
    for turn in range(turns):
        for name, command in commands.items():
            rungs[name].append(climb(command, msgspec.structs.replace(plan, stages=stages)))
            told(f"turn {turn + 1} of {turns}: {name}")
    # A load ends where samples are refused or held back: a turn may have fewer stages than another.
    return {
        name: [_medians([rung for rung in those if rung]) for those in itertools.zip_longest(*each)]
        for name, each in rungs.items()
    }


def capacities(commands: Commands, plan: Plan, turns: int, told: Told) -> dict[str, float]:
    """The most streams that each holds with p99 below 50 ms, 0 if it holds none; the median of some turns."""
    held: dict[str, list[int]] = {name: [] for name in commands}
    for turn, (name, command) in itertools.product(range(turns), commands.items()):
        good = [rung.held.streams for rung in climb(command, plan) if rung.good]
        held[name].append(max(good, default=0))
        told(f"turn {turn + 1} of {turns}: {name} held {held[name][-1]} streams")
    return {name: statistics.median(each) for name, each in held.items()}


def _medians(rungs: Sequence[Rung]) -> Middle:
    middle = statistics.median
    return Middle(
        rungs[0].held.streams,
        middle(each.held.p50_ms for each in rungs),
        middle(each.held.p99_ms for each in rungs),
        middle(each.cpu for each in rungs),
        round(middle(each.rss for each in rungs)),
        middle(each.held.behind_ms for each in rungs),
    )


def lines(title: str, found: Mapping[str, Sequence[Middle]]) -> list[str]:
    """A table for people and for a page."""
    rows = [
        f"| {name} | {each.streams} | {each.p50_ms:.1f} | {each.p99_ms:.1f} | {each.cpu:.3f} | {each.chunk_us:.0f} "
        f"| {each.rss / 1e6:.0f} | {each.load_late_ms:.1f} |"
        for name, those in found.items()
        for each in those
    ]
    heads = "| daemon | streams | p50 ms | p99 ms | of a core | µs a chunk | MB | load late ms |"
    return [title, "", heads, "|---|---:|---:|---:|---:|---:|---:|---:|", *rows]
