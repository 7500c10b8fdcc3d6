"""An event is told once in a counting of its stream, whichever daemon tells it, and again in another counting."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from daemons import INGEST, RESULTS, Daemon, write_config
from hypothesis import given
from hypothesis import strategies as st
from test_recovery import port
from test_service import SAID, subscriber

import streamrnn
from streamrnn import ingest
from streamrnn.client import Pusher, Subscriber
from streamrnn.client.known import Known, named
from streamrnn.events import BundleRef, Event, Heard, Lost
from streamrnn.ingest import Credit, Data, Start
from streamrnn.publisher import Publisher
from streamrnn.testing.signals import sentence
from streamrnn.wire import Message, Moment, Status

RATE = 8000
TONES = BundleRef("tones", "ab")
SPOKEN = sentence(SAID, RATE, np.random.default_rng(1))[0]


def told(body: Heard | Lost, counting: str, *, run: str = "r1", epoch: int = 0, name: str = "x") -> Message:
    kind = "detection" if isinstance(body, Heard) else "gap"
    moment = Moment(9000, RATE, 1, 2)
    return Message(1, kind, "mic", TONES, run, epoch, 1, moment, "warm", 0, name, body, counting=counting)


COUNTINGS = st.sampled_from(["a", "b"])
BODIES = st.builds(Heard, st.sampled_from(["low", "high"]), st.integers(0, 3), st.just(9), st.just(RATE), st.just(0.9))
GAPS = st.builds(Lost, st.integers(0, 2), st.integers(2, 4), st.just(RATE), st.sampled_from(["muted", "missing"]))


@given(st.lists(st.tuples(BODIES | GAPS, COUNTINGS, st.sampled_from(["r1", "r2"]), st.integers(0, 1)), max_size=30))
def test_in_a_counting_the_same_is_the_same_whoever_tells_it(said: list[tuple[Any, str, str, int]]) -> None:
    known = Known()
    new = [
        (body, counting) for body, counting, run, e in said if not known.knows(told(body, counting, run=run, epoch=e))
    ]
    assert Counter(new) == Counter(dict.fromkeys([(body, counting) for body, counting, _, _ in said], 1))


def test_a_daemon_that_tells_no_counting_is_followed_by_its_ids() -> None:
    known = Known()
    heard = Heard("low", 0, 10, RATE, 0.9)
    assert [known.knows(told(heard, "", name=name)) for name in ("x", "y", "x", "")] == [False, False, True, False]
    assert not named(told(heard, "a", name=""))


class Kept:
    """A sink that keeps what it is given."""

    place, sockets, awaited = "kept", (), False

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def attend(self) -> bool:
        return True

    def publish(self, message: Message, parts: Sequence[bytes]) -> None:
        self.messages.append(message)

    def close(self, seconds: float) -> str:
        return ""


def test_a_stream_of_nobody_is_counted_anew_each_time_and_one_of_a_client_as_it_says() -> None:
    kept = Kept()
    publisher = Publisher([kept], [TONES], "d1")  # type: ignore[list-item]
    heard = Heard("low", 0, 10, RATE, 0.9)
    for run in ("", "", "c1", "c1"):
        publisher.opened("mic", RATE, 1, run)
        publisher.event(Event("detection", "mic", TONES, 0, 10, RATE, "warm", "x", heard))
        publisher.closed("mic", 10, Status("ended", ""))
    publisher.attend()
    detections = [each.counting for each in kept.messages if each.kind == "detection"]
    assert detections[2:] == ["c1", "c1"]
    assert len(set(detections)) == 3
    assert all(each.startswith("d1.") for each in detections[:2])
    assert [each.counting for each in kept.messages if each.kind == "status"][::2] == detections
    assert [each.counting for each in kept.messages if each.kind == "hello"] == [""]


def config_of(folder: Path, bundle: Path, **more: Any) -> Path:
    """Daemons of it use the same ports, one after another."""
    return write_config(
        folder / "daemon.yaml", bundle, [{**INGEST, "endpoint": port()}], [{**RESULTS, "endpoint": port()}], **more
    )


def words(listening: Subscriber, streams: int = 1) -> list[Message]:
    """The words until so many streams have ended."""
    heard: list[Message] = []
    while streams:
        message = listening.receive(20.0)
        if message.kind == "detection":
            heard.append(message)
        streams -= isinstance(message.body, Status) and message.body.state == "ended"
    return heard


def starts(messages: Sequence[Message]) -> list[int]:
    return [each.body.start for each in messages if isinstance(each.body, Heard)]


@pytest.mark.parametrize("state", ["nowhere", "not yet written"])
def test_what_is_sent_again_to_a_daemon_that_knows_nothing_of_it_is_heard_once(
    tmp_path: Path, tiny_bundle: Path, state: str
) -> None:
    more = {} if state == "nowhere" else {"state": {"directory": str(tmp_path / "state"), "every_s": 600.0}}
    config = config_of(tmp_path, tiny_bundle, **more)
    wanted = streamrnn.load(tiny_bundle).detect(SPOKEN, RATE, "mic")
    assert len(wanted) == len(SAID)
    with (
        Daemon(config) as daemon,
        subscriber(daemon) as listening,
        Pusher(daemon.ingest, stream="mic", rate=RATE, timeout=20.0) as pusher,
    ):
        # Two words, which are heard, and half of the third.
        cut = (wanted[2].body.start + wanted[2].body.end) // 2
        pusher.push(SPOKEN[:cut])
        heard = [listening.receive(20.0) for _ in range(3)]  # a status before them
        daemon.stop(signal.SIGKILL)
        with Daemon(config):
            pusher.push(SPOKEN[cut:])
            pusher.end()
            heard += words(listening)
    assert pusher.restarts == 1
    assert starts(heard) == [each.body.start for each in wanted]
    assert listening.duplicates == 2
    assert len({each.counting for each in heard}) == 1
    assert len({each.run for each in heard if each.kind == "detection"}) == 2
    assert {each.id for each in heard if each.kind == "detection"} == {each.id for each in wanted} or state != "nowhere"


def test_a_name_that_is_used_again_in_one_run_is_heard_again_and_only_after_the_one_before(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    """Clients without a run that vanish: the daemon learns that one is gone when the next of its name comes."""
    config = config_of(tmp_path, tiny_bundle)
    payload = ingest.pack(SPOKEN, "float32")
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        said: list[Message] = []
        for _ in range(3):
            bring(daemon, payload)
        with Pusher(daemon.ingest, stream="mic", rate=RATE, timeout=20.0) as pusher:
            pusher.push(SPOKEN)
        while [each.kind for each in said].count("detection") < 4 * len(SAID) or said[-1].kind != "status":
            said.append(listening.receive(20.0))
    states = [each.body.state for each in said if isinstance(each.body, Status)]
    assert states == ["opened", "ended"] * 4
    countings = [each.counting for each in said if each.kind == "detection"]
    assert [countings.count(each) for each in dict.fromkeys(countings)] == [len(SAID)] * 4
    # What stands between the statuses of a counting is of it.
    assert [each.counting for each in said if each.kind == "status"][::2] == list(dict.fromkeys(countings))
    ids = [each.id for each in said if each.kind == "detection"]
    assert len(set(ids)) == len(ids)  # for clients that go by ids alone: epochs grow
    assert listening.duplicates == 0


def bring(daemon: Daemon, payload: bytes) -> None:
    """Bring a stream without a run, all of it at once, and be gone without a word."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 1000
        socket.connect(daemon.ingest)
        until, credit = time.monotonic() + 20.0, 0
        while not credit:
            assert time.monotonic() < until
            socket.send(ingest.encode_header(Start("mic", RATE, 1, "float32")))
            while not credit and socket.poll(100):
                answer = ingest.decode_answer(socket.recv_multipart())
                credit = answer.n if isinstance(answer, Credit) else 0
        n = len(payload) // 4
        sent = 0
        while sent < n:
            m = min(credit, n - sent)
            socket.send_multipart([ingest.encode_header(Data("mic", sent, m)), payload[4 * sent : 4 * (sent + m)]])
            sent, credit = sent + m, 0
            while sent < n and not credit:
                answer = ingest.decode_answer(socket.recv_multipart())
                credit = answer.n if isinstance(answer, Credit) else 0
