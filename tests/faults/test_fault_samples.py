"""Samples that are no numbers, out of order, twice or counted beyond 32 bits; streams that come and go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import judge
import numpy as np
import pytest
import zmq
from content import CHUNK, Content
from daemons import Daemon
from oracle import Oracle
from producer import Playing, Producer
from setting import Setting, by_form, unmoved
from tones import RATE

from streamrnn import ingest
from streamrnn.chunk import Samples
from streamrnn.client import Pusher
from streamrnn.ingest import Data, End, Start


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Setting]:
    limits = {"max_streams": 300}
    with Setting(tmp_path_factory.mktemp("samples"), tiny_bundle, engine=limits, source=limits) as made:
        made.start()
        yield made


@pytest.fixture
def oracle(setting: Setting) -> Iterator[Oracle]:
    begun = time.monotonic()
    with Oracle(setting.results) as listening:
        listening.greeted(since=begun)
        yield listening


def spoiled(samples: Samples, how: str) -> Samples:
    """The same with half a second of something else from sample 16,000 on."""
    broken = samples.copy()
    part = broken[16_000:20_000]
    if how == "denormal":
        part[:] = np.float32(1e-42)
    elif how == "direct current":
        part[:] += np.float32(100.0)
    else:
        part[:] = np.float32(how)
    return broken


@pytest.mark.parametrize("how", ["nan", "inf", "-inf", "1e30", "denormal", "direct current"])
def test_what_is_no_number_is_a_gap_and_what_is_odd_is_not_and_both_are_forgotten(
    setting: Setting, oracle: Oracle, how: str
) -> None:
    content = Content(3)
    samples = content.samples(0, 2 * len(content.sentence))
    stream = f"odd-{how.replace(' ', '-')}"
    with Pusher(setting.ingest, stream=stream, rate=RATE, dtype="float32") as pusher:
        for at in range(0, len(samples), CHUNK):
            pusher.push(spoiled(samples, how)[at : at + CHUNK])
    oracle.over(stream)
    messages = oracle.messages
    finite = how in ("denormal", "direct current")
    assert judge.gaps(messages, stream) == ([] if finite else [(16_000, 20_000)])
    # Where a number is no gap, what is heard of it is not that of the whole, and soon after it all is as it was.
    near = (16_000 - 4000, 20_000 + 4000)
    wanted = [
        each
        for each in content.wanted(setting.bundle, stream, len(samples))
        if not finite or each.sample <= near[0] or each.body.start >= near[1]
    ]
    assert len(wanted) > 5
    outside = [m for m in messages if not finite or m.t.sample <= near[0] or getattr(m.body, "start", 0) >= near[1]]
    assert not judge.different(outside, wanted, stream, 4000)
    assert not judge.duplicates(messages)


class Disorderly(Producer):
    """Brings every third chunk twice, and of every five the second before the first."""

    def put(self, start: int, n: int) -> None:
        place = start // CHUNK
        if place % 5 == 0 and start + 2 * n <= self.end:
            self._kept = (start, n)
            return
        super().put(start, n)
        if place % 5 == 1:
            super().put(*self._kept)
        if place % 3 == 2:
            super().put(start, n)


def test_chunks_out_of_order_or_twice_are_put_right_or_declared(setting: Setting, oracle: Oracle) -> None:
    content = Content(4)
    producer = Disorderly(setting.ingest, "disorder", content, by_form(1, 50) * len(content.sentence))
    with Playing([producer]) as playing:
        playing.until(lambda: producer.ended, 120.0 * by_form(1, 10))
        oracle.over("disorder")
    assert not setting.verdict(oracle, producer)


@pytest.mark.parametrize("first", [2**31 - 8 * CHUNK, 2**32 - 8 * CHUNK, 2**40])
def test_samples_are_counted_beyond_32_bits(setting: Setting, oracle: Oracle, first: int) -> None:
    first = first // CHUNK * CHUNK
    producer = setting.producer(f"late-{first}", content=Content(5, first), speed=0)
    with Playing([producer]) as playing:
        playing.until(lambda: producer.ended)
        oracle.over(producer.stream)
    assert not setting.verdict(oracle, producer)
    assert judge.gaps(oracle.messages, producer.stream) == [(0, first)]


def crowd(endpoint: str, count: int, samples: int) -> None:
    """So many streams at once by one client, from their start to the end that the daemon confirms."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger, client.sndhwm, client.rcvhwm = 0, 0, 0
        client.connect(endpoint)
        names = [f"crowd-{i}" for i in range(count)]
        for name in names:
            client.send(ingest.encode_header(Start(name, RATE)))
        open_, ended = set(), set()
        until = time.monotonic() + 60
        while len(ended) < count:
            assert client.poll(max(0, round(1000 * (until - time.monotonic())))), (len(open_), len(ended))
            answer = ingest.decode_answer(client.recv_multipart())
            assert not isinstance(answer, ingest.Error), answer
            if isinstance(answer, End):
                ended.add(answer.stream)
            elif answer.n and answer.stream not in open_:
                open_.add(answer.stream)
                payload = bytes(2 * samples)
                client.send_multipart([ingest.encode_header(Data(answer.stream, 0, samples)), payload])
                client.send(ingest.encode_header(End(answer.stream, samples)))


def test_streams_that_come_all_at_once_and_go_again_and_again_leave_nothing(tmp_path: Path, tiny_bundle: Path) -> None:
    with Setting(tmp_path, tiny_bundle, history={"messages": 100}) as setting:  # which is full before it is measured
        daemon: Daemon = setting.start()
        most = by_form(64, 256)
        for _ in range(3):  # the tables grow to what they need, once
            crowd(setting.ingest, most, 800)
        begun = time.monotonic()
        with unmoved(daemon):
            for _ in range(by_form(20, 200)):
                crowd(setting.ingest, most, 800)
        print(f"{(time.monotonic() - begun) / by_form(20, 200):.2f} s for {most} streams to come and go")
        assert daemon.stop() < 2.0
