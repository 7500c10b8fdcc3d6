"""The load: so many live streams brought to a daemon in real time by a process of its own, and how late results come.

A result is as late as it is received after the chunk that holds the sample that decided it was *due*: a load that
cannot keep up makes results late and hides nothing (no coordinated omission).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import msgspec
import numpy as np
import zmq

from streamrnn import ingest
from streamrnn.ingest import Credit, Error, Start
from streamrnn.wire import Moment

_SLOTS = 100  # moments in a chunk's length at which streams are due, so that not all come at once
_START_S = 30.0
_AFTER_S = 0.5  # results of the last chunks are waited for


class Stage(msgspec.Struct, frozen=True):
    """So many streams in all, for so many seconds, of which the first are not judged."""

    streams: int
    seconds: float
    settle_s: float = 1.5


class Plan(msgspec.Struct, frozen=True):
    """What is brought where: the endpoints, the signal every stream repeats, and the stages one after the other.

    `signal` is a file of int16 samples of `rate` Hz, whole chunks of `chunk` samples.
    """

    ingest: str
    results: str
    rate: int
    chunk: int
    signal: str
    stages: tuple[Stage, ...]
    most_late_ms: float = 0.0  # the ladder ends with a stage whose p99 is above it; 0: it never does


class Held(msgspec.Struct, frozen=True):
    """How a stage went: the lateness of results in ms, streams refused, and chunks held back for want of credit.

    `began` and `over` are the monotonic times between which it was judged, `behind_ms` how late the load itself was.
    """

    streams: int
    results: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    refused: int
    held_back: int
    behind_ms: float
    began: float
    over: float
    reason: str = ""


class _Result(msgspec.Struct, frozen=True):
    """What the load looks at of a message."""

    stream: str
    t: Moment


class Load:
    """One client with many streams, and one subscriber."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._context = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        self._dealer.setsockopt(zmq.SNDHWM, 0)
        self._dealer.setsockopt(zmq.RCVHWM, 0)
        self._dealer.connect(plan.ingest)
        self._results = self._context.socket(zmq.SUB)
        self._results.setsockopt(zmq.RCVHWM, 0)
        self._results.subscribe(b"v1/detection/")
        self._results.subscribe(b"v1/segment/")
        self._results.connect(plan.results)
        samples = np.fromfile(plan.signal, "<i2")
        self._payloads = [samples[i : i + plan.chunk].tobytes() for i in range(0, len(samples), plan.chunk)]
        self._period = plan.chunk / plan.rate
        self._answers = msgspec.json.Decoder(ingest.Credit | ingest.Error | ingest.End)
        self._messages = msgspec.json.Decoder(_Result)
        self._sent: dict[str, int] = {}  # chunks of each stream
        self._begun: dict[str, float] = {}  # when its first chunk was due
        self._credit: dict[str, int] = {}
        self._slots: list[list[str]] = [[] for _ in range(_SLOTS)]
        self._late: list[float] = []
        self._held_back = self._refused = 0
        self._reason = ""

    def run(self) -> Iterator[Held]:
        """All stages, or those up to the one that was too much."""
        for stage in self._plan.stages:
            held = self._stage(stage)
            yield held
            too_late = self._plan.most_late_ms and not held.p99_ms <= self._plan.most_late_ms
            if too_late or held.refused or held.held_back:
                break
        self._context.destroy(0)

    def _stage(self, stage: Stage) -> Held:
        self._open(stage.streams)
        slot_s = self._period / _SLOTS
        turn, begun = 0, time.monotonic() + 0.01
        judged = begun + stage.settle_s
        behind: list[float] = []
        over = begun + stage.seconds
        began = 0.0
        while True:
            due = begun + turn * slot_s
            if due >= over:
                break
            now = time.monotonic()
            if now < due:
                self._listen()
                now = time.monotonic()
                if now < due:
                    time.sleep(due - now)
            if due >= judged:
                if not began:
                    began = time.monotonic()
                    self._late.clear()
                behind.append(1000 * max(0.0, time.monotonic() - due - slot_s))
            for stream in self._slots[turn % _SLOTS]:
                self._bring(stream, due)
            turn += 1
            self._listen()
        # None at all are as late as the stage is long, at least.
        late = np.array(self._late or [stage.seconds]) * 1000
        return Held(
            streams=len(self._sent),
            results=len(self._late),
            p50_ms=float(np.percentile(late, 50)),
            p99_ms=float(np.percentile(late, 99)),
            worst_ms=float(late.max()),
            refused=self._refused,
            held_back=self._held_back,
            behind_ms=float(np.percentile(behind, 99)),
            began=began,
            over=time.monotonic(),
            reason=self._reason,
        )

    def _bring(self, stream: str, due: float) -> None:
        sent, n = self._sent[stream], self._plan.chunk
        if self._credit.get(stream, 0) < n:
            self._held_back += 1
            return
        if not sent or stream not in self._begun:
            self._begun[stream] = due
        self._credit[stream] -= n
        header = b'{"kind":"data","stream":"%b","start":%d,"n":%d}' % (stream.encode(), sent * n, n)
        self._dealer.send_multipart([header, self._payloads[sent % len(self._payloads)]], zmq.NOBLOCK)
        self._sent[stream] = sent + 1

    def _open(self, streams: int) -> None:
        """Start those that are missing, and wait for their credit; what runs goes on only after that."""
        new = [f"s{i}" for i in range(len(self._sent) + self._refused, streams)]
        for stream in new:
            self._dealer.send(ingest.encode_header(Start(stream, self._plan.rate)))
        patience = time.monotonic() + _START_S
        refused = self._refused
        while (waiting := sum(each not in self._credit for each in new) - (self._refused - refused)) > 0:
            if time.monotonic() > patience:
                self._refused += waiting
                self._reason = self._reason or "no answer"
                break
            self._dealer.poll(100)
            self._listen()
        for i, stream in enumerate(each for each in new if each in self._credit):
            self._sent[stream] = 0
            self._slots[i * 37 % _SLOTS].append(stream)
        # A stage begins its own clock: what a stream has sent before is due as of its begin.
        self._begun.clear()
        self._first = dict(self._sent)

    def _listen(self) -> None:
        """Take in what came: credit, refusals, results."""
        try:
            while True:
                answer = self._answers.decode(self._dealer.recv(zmq.NOBLOCK))
                if isinstance(answer, Credit):
                    self._credit[answer.stream] = self._credit.get(answer.stream, 0) + answer.n
                elif isinstance(answer, Error):
                    self._refused += 1
                    self._reason = answer.text
        except zmq.Again:
            pass
        try:
            while True:
                parts = self._results.recv_multipart(zmq.NOBLOCK)
                now = time.monotonic()
                message = self._messages.decode(parts[1])
                begun = self._begun.get(message.stream)
                if begun is None:
                    continue
                chunk = (message.t.sample - 1) // self._plan.chunk - self._first[message.stream]
                if chunk >= 0:
                    self._late.append(now - begun - chunk * self._period)
        except zmq.Again:
            pass


if __name__ == "__main__":
    for each in Load(msgspec.json.decode(sys.argv[1], type=Plan)).run():
        print(msgspec.json.encode(each).decode(), flush=True)
