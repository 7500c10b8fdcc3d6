"""Peers that mean harm or know no better, at every port of one daemon: it costs no restart and nobody else anything."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import judge
import pytest
import zmq
from daemons import Daemon
from footprint import footprint
from oracle import Oracle
from producer import Playing
from setting import Setting, by_form, unmoved

from streamrnn import ingest

# What a ZMTP 3 peer says first: signature, version, mechanism NULL, no server.
_GREETING = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x06DEALER"


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Setting]:
    # What is kept to be sent again is full before anything is measured: until then memory grows as it should.
    with Setting(tmp_path_factory.mktemp("peers"), tiny_bundle, history={"messages": 100}) as made:
        yield made


@pytest.fixture(scope="module")
def daemon(setting: Setting) -> Daemon:
    return setting.start()


@pytest.fixture(scope="module")
def oracle(setting: Setting, daemon: Daemon) -> Iterator[Oracle]:
    with Oracle(setting.results) as listening:
        listening.greeted()
        setting.witness(listening, "before")  # so that what is loaded once is loaded
        yield listening


def plain(endpoint: str) -> socket.socket:
    host, port = endpoint.removeprefix("tcp://").split(":")
    return socket.create_connection((host, int(port)), 5)


def ports(daemon: Daemon) -> list[str]:
    return [endpoint for endpoint in (daemon.ingest, daemon.results, daemon.control) if endpoint]


def test_random_bytes_and_half_handshakes_on_every_port_leave_nothing(
    setting: Setting, daemon: Daemon, oracle: Oracle
) -> None:
    chance = random.Random(1)
    with unmoved(daemon), contextlib.ExitStack() as held:
        for turn in range(by_form(20, 2000)):
            for endpoint in ports(daemon):
                greeting = chance.choice([b"", _GREETING[: chance.randint(1, 64)], _GREETING, _GREETING + _READY])
                with contextlib.suppress(OSError):
                    peer = plain(endpoint)
                    # Some stay, in the middle of what they had to say.
                    (held if turn < 5 else contextlib.ExitStack()).enter_context(peer)
                    peer.sendall(greeting + chance.randbytes(chance.choice([0, 3, 500, 5000])))
                    if turn >= 5:
                        peer.close()
        setting.witness(oracle, "beside-noise")


@pytest.mark.parametrize("door", ["ingest", "results", "control"])
def test_a_frame_of_a_gigabyte_is_cut_off_when_it_is_announced(
    setting: Setting, daemon: Daemon, oracle: Oracle, door: str
) -> None:
    endpoint = getattr(daemon, door, "")
    if not endpoint:
        pytest.skip(f"this daemon has no {door}")
    with unmoved(daemon), plain(endpoint) as peer:
        kind = b"SUB" if door == "results" else b"DEALER"
        ready = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
        peer.sendall(_GREETING + b"\x04" + bytes([len(ready)]) + ready)
        sent = 0
        with contextlib.suppress(OSError):
            peer.sendall(b"\x02" + (1 << 30).to_bytes(8, "big"))
            while sent < 1 << 30:
                peer.sendall(bytes(1 << 20))
                sent += 1 << 20
        assert sent < 1 << 26
        setting.witness(oracle, f"beside-giant-{door}")


def test_malformed_headers_are_answered_and_touch_no_stream(setting: Setting, daemon: Daemon, oracle: Oracle) -> None:
    chance = random.Random(2)
    good = {"kind": "start", "stream": "x", "rate": 8000, "channels": 1, "dtype": "int16"}
    values = [None, True, -1, 2**63, 1e300, "", "\0", "x" * 3000, [], {}, [[]] * 50]
    with unmoved(daemon), zmq.Context() as context, context.socket(zmq.DEALER) as peer:
        peer.linger = 0
        peer.connect(daemon.ingest)
        answers = 0
        for _ in range(by_form(300, 20_000)):
            broken = {**good, chance.choice([*good, "more"]): chance.choice(values)}
            text = json.dumps(broken).encode()
            place = chance.randrange(len(text))
            text = chance.choice([text[:place], text[:place] + chance.randbytes(3) + text[place:], b"[" * 3000, b"{}"])
            peer.send_multipart([text, *[b"\0\0"] * chance.randrange(3)])
            while peer.poll(5):
                answer = ingest.decode_answer(peer.recv_multipart())
                answers += isinstance(answer, ingest.Error)
        while answers <= 100 and peer.poll(60_000):
            answers += isinstance(ingest.decode_answer(peer.recv_multipart()), ingest.Error)
        assert answers > 100
        setting.witness(oracle, "beside-malformed")


def test_very_many_subscriptions_slow_nobody_down_and_are_given_back(
    setting: Setting, daemon: Daemon, oracle: Oracle
) -> None:
    many = by_form(3000, 50_000)
    before = footprint(daemon.process.pid)
    with unmoved(daemon, 20.0), zmq.Context() as context, context.socket(zmq.SUB) as peer:
        peer.linger = 0
        peer.connect(daemon.results)
        for i in range(many):
            peer.subscribe(f"v1/detection/stream-{i}/")
        setting.witness(oracle, "beside-many")
        grew = footprint(daemon.process.pid).rss_mb - before.rss_mb
        print(f"{many} subscriptions: {grew:.1f} MB")
        assert grew < 30


def test_a_subscriber_that_does_not_read_costs_the_others_nothing(
    setting: Setting, daemon: Daemon, oracle: Oracle
) -> None:
    with unmoved(daemon, 10.0), zmq.Context() as context, context.socket(zmq.SUB) as stalled:
        stalled.rcvhwm, stalled.linger = 1, 0
        stalled.setsockopt(zmq.RCVBUF, 1024)
        stalled.subscribe(b"")
        stalled.connect(daemon.results)
        begun = time.monotonic()
        with Oracle(setting.results) as other:
            other.greeted(since=begun)
            streams = [setting.producer(f"beside-stalled-{i}", by_form(3, 200), seed=i, speed=0) for i in range(8)]
            with Playing(streams) as playing:
                playing.until(lambda: all(each.ended for each in streams), 120.0 * by_form(1, 10))
                for each in streams:
                    for listening in (oracle, other):
                        listening.over(each.stream)
            assert not setting.verdict(other, *streams)
            assert not setting.verdict(oracle, *streams)


def test_in_the_end_no_message_was_left_out_and_the_daemon_stops_in_time(daemon: Daemon, oracle: Oracle) -> None:
    assert not judge.duplicates(oracle.messages) + judge.left_out(oracle.messages)
    assert daemon.stop() < 2.0
    assert daemon.process.returncode == 0
    assert not [line for line in daemon.said if "Traceback" in line]
