"""Subscriber and Pusher against sockets that say exactly what a test wants them to say."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import peers
import pytest
import zmq

from streamrnn import ingest, wire
from streamrnn.client import Pusher, Subscriber
from streamrnn.errors import DeviceError, StreamError
from streamrnn.events import BundleRef, Heard
from streamrnn.ingest import Credit, Data, End, Error, Start
from streamrnn.wire import Beat, Body, Bye, Hello, Message, Moment

HEARD = Heard("low", 0, 10, 8000, 0.9)


class Publisher:
    """An XPUB socket and the messages of one run."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str = "tcp://127.0.0.1:*") -> None:
        self.socket = context.socket(zmq.XPUB)
        self.socket.bind(endpoint)
        self.endpoint = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.run = "r1"

    def await_subscriptions(self, count: int) -> None:
        for _ in range(count):
            assert self.socket.poll(5000)
            self.socket.recv()

    def say(self, kind: str, body: Body, seq: int, stream: str = "mic") -> None:
        own = kind in ("hello", "heartbeat", "bye")
        bundle = BundleRef("_" if own else "tones", "")
        message = Message(
            1, kind, "_" if own else stream, bundle, self.run, 0, seq, Moment(0, 0, 0, 0), "", 0, "", body
        )
        self.socket.send_multipart(wire.encode(message))


TOPIC = wire.topic_of("detection", "mic", "tones")


def hello(topics: dict[str, int]) -> Hello:
    return Hello("0", (), (), topics)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with peers.context() as context:
        made = Publisher(context)
        yield made
        made.socket.close(0)


def test_it_ends_when_nothing_comes_and_counts_nothing_lost(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint, timeout=0.5) as subscriber:
        publisher.await_subscriptions(4)
        publisher.say("hello", hello({TOPIC: 7, wire.topic_of("heartbeat"): 7}), 3)
        for seq in (8, 9, 10):
            publisher.say("detection", HEARD, seq)
            publisher.say("heartbeat", Beat({TOPIC: seq, wire.topic_of("heartbeat"): seq - 1}), seq)
            publisher.say("hello", hello({TOPIC: seq, wire.topic_of("hello"): seq - 5}), seq - 4)
        assert [(each.kind, each.seq) for each in subscriber] == [("detection", seq) for seq in (8, 9, 10)]
        assert subscriber.lost == 0


@pytest.mark.parametrize(
    ("seqs", "told", "lost"),
    [
        ([1, 2, 5], 5, 2),  # a hole
        ([2, 3], 3, 1),  # the first after the hello
        ([1, 2], 4, 2),  # the last, which only the sign of life tells
        ([], 3, 3),  # all
        ([1, 2, 1, 2], 2, 0),  # a topic that was long silent begins anew
    ],
)
@pytest.mark.parametrize("sign", ["heartbeat", "bye", "hello"])
def test_it_counts_what_never_came(publisher: Publisher, seqs: list[int], told: int, lost: int, sign: str) -> None:
    with Subscriber(publisher.endpoint, ("v1/detection/", "v1/bye/"), until="bye", timeout=5) as subscriber:
        publisher.await_subscriptions(5)
        publisher.say("hello", hello({}), 1)
        for seq in seqs:
            publisher.say("detection", HEARD, seq)
        topics = {TOPIC: told, wire.topic_of("status", "mic"): 99}  # which nobody asked for
        bodies: dict[str, Body] = {
            "heartbeat": Beat(topics),
            "bye": Bye("", topics),
            "hello": Hello("0", (), (), topics),
        }
        publisher.say(sign, bodies[sign], 2 if sign == "hello" else 1)
        if sign != "bye":
            publisher.say("bye", Bye("", {}), 1)
        assert [each.seq for each in subscriber if each.kind == "detection"] == seqs
        assert subscriber.lost == lost


def test_what_came_before_the_hello_is_not_missed_and_a_new_run_counts_anew(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint, timeout=0.5) as subscriber:
        publisher.await_subscriptions(4)
        publisher.say("detection", HEARD, 40)
        publisher.say("hello", hello({TOPIC: 40}), 2)
        publisher.say("detection", HEARD, 41)
        publisher.run = "r2"
        publisher.say("detection", HEARD, 7)
        publisher.say("hello", hello({TOPIC: 7}), 1)
        publisher.say("detection", HEARD, 9)
        assert len(list(subscriber)) == 4
        # Of a later run all is ours, also what it said before we were there again.
        assert subscriber.lost == 6 + 1


def test_rubbish_is_counted_and_passed_over(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint, timeout=0.5) as subscriber:
        publisher.await_subscriptions(4)
        publisher.socket.send_multipart([b"v1/detection/", b"{"])
        publisher.socket.send_multipart([b"v1/"])
        publisher.say("detection", HEARD, 1)
        assert [each.seq for each in subscriber] == [1]
        assert subscriber.malformed == 2


@pytest.mark.parametrize("topic", ["detection", "v2/", "v1/detections/", "v1/detektion/mic/", "/"])
def test_a_topic_that_can_match_nothing_is_refused(topic: str) -> None:
    with pytest.raises(wire.WireError, match="matches nothing"):
        Subscriber("tcp://127.0.0.1:1", (topic,))


@pytest.mark.parametrize("topic", ["", "v1/", "v1/det", "v1/detection/mic/", "v"])
def test_a_topic_may_be_any_beginning(topic: str) -> None:
    Subscriber("tcp://127.0.0.1:1", (topic,)).close()


@pytest.mark.parametrize("endpoint", ["", "nowhere", "tcp://", "tcp://x", "http://127.0.0.1:1"])
def test_an_endpoint_that_is_none_is_one_line(endpoint: str) -> None:
    with pytest.raises(DeviceError) as caught:
        Subscriber(endpoint)
    assert "tcp://127.0.0.1:5560" in str(caught.value)


class Taker:
    """The daemon's side of ingest: notes what comes, gives the credit and answers that it was told to."""

    def __init__(self, router: zmq.Socket[bytes], credit: int, then: list[ingest.Answer]) -> None:
        self.headers: list[ingest.Request] = []
        self.samples: list[np.ndarray] = []
        self._router, self._credit, self._then = router, credit, then

    def run(self) -> None:
        while self._router.poll(500):
            identity, *parts = self._router.recv_multipart()
            header, payload = ingest.decode_request(parts)
            self.headers.append(header)
            if isinstance(header, Start):
                answer: ingest.Answer = Credit(header.stream, self._credit)
            elif isinstance(header, Data):
                self.samples.append(ingest.unpack(payload, header.n, 1, "float32"))
                answer = self._then.pop(0) if self._then else Credit(header.stream, header.n)
            else:
                answer = header
            self._router.send_multipart([identity, ingest.encode_header(answer)])
            if isinstance(header, End):
                return


@contextmanager
def taker(credit: int = 100, then: tuple[ingest.Answer, ...] = ()) -> Iterator[tuple[Taker, str]]:
    with peers.context() as context, context.socket(zmq.ROUTER) as router:
        router.bind("tcp://127.0.0.1:*")
        made = Taker(router, credit, list(then))
        thread = threading.Thread(target=made.run)
        thread.start()
        yield made, router.getsockopt_string(zmq.LAST_ENDPOINT)
        thread.join()


def test_it_sends_no_more_than_it_has_credit_for_and_all_in_the_end() -> None:
    samples = np.random.default_rng(0).standard_normal((1000, 1)).astype(np.float32)
    with taker(credit=64) as (taken, endpoint):
        with Pusher(endpoint, stream="mic", rate=8000) as pusher:
            pusher.push(samples[:700])
            pusher.push(samples[700:, 0])
        data = [header for header in taken.headers if isinstance(header, Data)]
        assert max(header.n for header in data) <= 64
        assert [header.start for header in data] == np.cumsum([0, *(header.n for header in data[:-1])]).tolist()
        np.testing.assert_array_equal(np.concatenate(taken.samples), samples)


def test_without_credit_it_drops_and_the_next_start_tells_it() -> None:
    with taker(credit=100, then=(Credit("mic", 0), Credit("mic", 50))) as (taken, endpoint):
        pusher = Pusher(endpoint, stream="mic", rate=8000, when_full="drop_newest", buffer_s=0)
        pusher.push(np.zeros(100))
        pusher.push(np.zeros(30))
        assert pusher.dropped == 30
        pusher.close()
    # The taker has ended by now, so what was on its way has come.
    assert [header for header in taken.headers if isinstance(header, Data)] == [Data("mic", 0, 100)]


def test_an_error_of_the_daemon_is_raised_with_its_code() -> None:
    with taker(then=(Error("refused", "too loud", "mic"),)) as (_, endpoint):
        pusher = Pusher(endpoint, stream="mic", rate=8000)
        with pytest.raises(StreamError, match=r"mic: too loud \(refused\)"):
            pusher.push(np.zeros(1000))
        pusher.close()


def test_nobody_answers() -> None:
    begun = time.monotonic()
    with pytest.raises(DeviceError, match="no daemon answers"):
        Pusher("tcp://127.0.0.1:1", stream="mic", rate=8000, timeout=0.3)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": 10**7}, {"rate": 8000, "channels": 0}, {"rate": 8000.5}])
def test_a_stream_that_cannot_be_is_refused_before_anybody_is_asked(wrong: dict[str, int]) -> None:
    with pytest.raises(StreamError, match=r"mic: (rate|channels): .*: write a whole number"):
        Pusher("tcp://127.0.0.1:1", stream="mic", **wrong)


def test_samples_of_another_shape_are_refused_before_they_are_sent() -> None:
    with taker() as (_, endpoint), Pusher(endpoint, stream="mic", rate=8000) as pusher:
        for wrong in (np.zeros((10, 2)), np.zeros((1, 1, 1)), np.array(["a"])):
            with pytest.raises(StreamError):
                pusher.push(wrong)
    with pytest.raises(StreamError, match="call it"):
        Pusher(endpoint, stream="My Mic", rate=8000)
