"""Empty parts before what clients send: an envelope comes back as it was sent, and none where there was none."""

from __future__ import annotations

import json
from collections.abc import Iterator

import peers
import pytest
import zmq

from streamrnn import ingest
from streamrnn.chunk import Item
from streamrnn.control import Control, ControlConfig
from streamrnn.ingest import Error
from streamrnn.sources.bell import Bell
from streamrnn.sources.zeromq import ZeromqConfig, ZeromqSource

ANY_PORT = "tcp://127.0.0.1:*"
PING = b'{"id":"a","method":"ping"}'


@pytest.fixture
def place() -> Iterator[str]:
    bell = Bell()
    control = Control(bell)
    control.bind(ControlConfig(ANY_PORT))
    control.start()
    yield control.place
    control.close()
    bell.close()


def asked(place: str, kind: int, parts: list[bytes]) -> list[bytes]:
    with peers.context() as context, context.socket(kind) as socket:
        socket.connect(place)
        socket.send_multipart(parts)
        assert socket.poll(30_000)
        return socket.recv_multipart()


@pytest.mark.parametrize(
    ("kind", "sent", "envelope", "code"),
    [
        (zmq.DEALER, [PING], [], ""),
        (zmq.DEALER, [b"", PING], [b""], ""),
        (zmq.REQ, [PING], [], ""),  # it takes its own off by itself
        (zmq.DEALER, [b""], [], "malformed"),
        (zmq.DEALER, [b"", b""], [b""], "malformed"),
        (zmq.DEALER, [b"", b"", PING], [b""], "parts"),
        (zmq.REQ, [b""], [], "malformed"),
    ],
)
def test_the_answer_has_the_delimiter_that_the_call_had(
    place: str, kind: int, sent: list[bytes], envelope: list[bytes], code: str
) -> None:
    *before, answer = asked(place, kind, sent)
    assert before == envelope
    assert json.loads(answer).get("error", {}).get("code", "") == code


def test_ingest_knows_no_delimiter() -> None:
    source = ZeromqSource(ZeromqConfig(endpoint=ANY_PORT))
    with peers.context() as context, context.socket(zmq.DEALER) as socket:
        socket.connect(source.place)
        socket.send_multipart([b"", ingest.encode_header(ingest.Start("mic", 8000))])
        assert source._router.poll(30_000)
        identity, *parts = source._router.recv_multipart()
        burst: list[Item] = []
        source._handle(identity, parts, burst)
        assert burst == []
        assert socket.poll(30_000)
        answer = ingest.decode_answer(socket.recv_multipart())
    assert isinstance(answer, Error)
    assert answer.code == "malformed"
    source.close()
