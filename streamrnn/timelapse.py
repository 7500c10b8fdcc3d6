"""Many live streams in the processor's own time: what else a busy machine does meanwhile counts for nothing.

Chunks come over ZeroMQ at their moments of a clock that stands still but for the time that this thread works: it goes
on by what a turn of source, engine and publisher took, and by what the pace of the loop waits. So the share of a core
and the lateness are those of a daemon that has a core for itself, but for the work of libzmq's own thread and of
switching between threads, which are left out; both grow with the number of turns.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence

import msgspec
import numpy as np
import zmq

from streamrnn import ingest
from streamrnn.admission import Admission
from streamrnn.clips import ClipsConfig
from streamrnn.clips.keeping import Clips
from streamrnn.control import Control
from streamrnn.daemon_config import LimitsConfig
from streamrnn.engine import Serving
from streamrnn.hearing import Here
from streamrnn.ingest import Start
from streamrnn.intake import Closed, Intake
from streamrnn.metrics import Meter
from streamrnn.pacing import Tick
from streamrnn.publisher import Publisher
from streamrnn.sources.zeromq import ZeromqConfig, ZeromqSource
from streamrnn.statefile import Kept
from streamrnn.streams import Streams

_MANY = 1_000_000
_CHUNK_S = 0.1
_ARRIVE_S = 0.0004  # until what was sent has come, on a clock that does not count


class Played(msgspec.Struct, frozen=True):
    """How it went: a share of one core, lateness of chunks in ms, and chunks that were heard at once."""

    streams: int
    tick_ms: float
    core: float
    p50_ms: float
    p99_ms: float
    batch: float


class Timelapse:
    """A daemon's parts on one thread, and a client with all its streams."""

    def __init__(self, serving: Serving, streams: int, signal: bytes) -> None:
        """Every stream brings `signal`, whole chunks of 100 ms as int16, again and again."""
        rate = serving.recognizer.rate
        self._n = round(rate * _CHUNK_S)
        self._payloads = [signal[i : i + 2 * self._n] for i in range(0, len(signal), 2 * self._n)]
        config = ZeromqConfig(endpoint="tcp://127.0.0.1:*", max_streams=_MANY)
        self._intake = Intake()
        self._source = ZeromqSource(config)
        self._inlet = self._intake.add(self._source, config)
        self._engine = Here([serving])
        self._publisher = Publisher([], [serving.ref])
        self._control = Control(self._intake.bell)
        admission = Admission(LimitsConfig(max_streams=_MANY, max_load=0))
        clips = Clips(ClipsConfig(), Meter(), self._control)
        self._streams = Streams(self._engine, self._publisher, admission, Kept(1), clips)
        self._context = zmq.Context()
        self._client: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        for option in (zmq.SNDHWM, zmq.RCVHWM, zmq.LINGER):
            self._client.setsockopt(option, 0)
        self._client.connect(self._source.place)
        self._sent = {f"s{i}": 0 for i in range(streams)}
        for stream in self._sent:
            self._client.send(ingest.encode_header(Start(stream, rate)))
        self._work(streams)
        self.play(0.0, 2 * _CHUNK_S)  # what is warm is measured

    def play(self, tick_ms: float, seconds: float) -> Played:
        """So many seconds of all streams, gathered for `tick_ms` at most."""
        dice, tick = random.Random(0), Tick(tick_ms / 1000.0)
        phases = {stream: _CHUNK_S * dice.random() for stream in self._sent}
        due = sorted((phase + _CHUNK_S * k, s) for s, phase in phases.items() for k in range(round(seconds / _CHUNK_S)))
        now, begun, worked, turns, late = 0.0, -1.0, 0.0, 0, []
        at = 0
        while at < len(due):
            begun = now = max(now, due[at][0], begun + tick.seconds)
            first = at
            while at < len(due) and due[at][0] <= now:
                self._send(due[at][1])
                at += 1
            took = self._work(at - first)
            tick.took(took)
            now, worked, turns = now + took, worked + took, turns + 1
            late += [now - moment for moment, _ in due[first:at]]
        p50, p99 = np.percentile(np.array(late) * 1000, (50, 99))
        return Played(len(self._sent), tick_ms, worked / max(now, seconds), float(p50), float(p99), len(due) / turns)

    def close(self) -> None:
        """Let all go."""
        self._context.destroy(0)
        self._control.close()
        self._source.close()
        self._intake.bell.close()

    def _send(self, stream: str) -> None:
        sent = self._sent[stream]
        self._sent[stream] = sent + 1
        header = b'{"kind":"data","stream":"%b","start":%d,"n":%d}' % (stream.encode(), sent * self._n, self._n)
        self._client.send_multipart([header, self._payloads[sent % len(self._payloads)]])

    def _work(self, messages: int) -> float:
        """Take so many messages and do all that follows; the seconds that this thread worked."""
        time.sleep(_ARRIVE_S)
        worked = 0.0
        while messages > 0:
            begun = time.thread_time()
            items = self._source.gathered()
            self._inlet.put(items)
            for inlet, entry in self._intake.take():
                if not isinstance(entry, Closed):
                    self._streams.hear(inlet, entry)
            for event in self._engine.run():
                self._publisher.event(event)
            self._streams.settle()
            worked += time.thread_time() - begun
            messages -= len(items)
        while self._client.poll(0):
            self._client.recv()
        return worked


def medians(serving: Serving, counts: Sequence[int], ticks_ms: Sequence[float], signal: bytes) -> list[Played]:
    """Each number of streams with each tick, a second three times in turn; the medians."""
    found = []
    for count in counts:
        lapse = Timelapse(serving, count, signal)
        turns = [[lapse.play(tick, 1.0) for tick in ticks_ms] for _ in range(3)]
        lapse.close()
        found += [_median(those) for those in zip(*turns, strict=True)]
    return found


def _median(those: Sequence[Played]) -> Played:
    numbers = ("core", "p50_ms", "p99_ms", "batch")
    middle = {name: statistics.median(getattr(each, name) for each in those) for name in numbers}
    return msgspec.structs.replace(those[0], **middle)


def lines(found: Sequence[Played]) -> list[str]:
    """A table for people and for a page; the ratio is to the first tick of as many streams."""
    first: dict[int, float] = {}
    rows = [
        f"| {each.streams} | {each.tick_ms:g} | {each.batch:.1f} | {each.core:.3f} "
        f"| {each.core / first.setdefault(each.streams, each.core):.2f} | {each.p50_ms:.1f} | {each.p99_ms:.1f} |"
        for each in found
    ]
    return ["| streams | tick_ms | at once | of a core | ratio | p50 ms | p99 ms |", "|---:" * 7 + "|", *rows]
