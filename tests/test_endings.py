"""No close of a socket holds up its caller for longer than was promised, whatever the peer does."""

from __future__ import annotations

import time

import peers
import zmq

from streamrnn import security, sources
from streamrnn.control import Control, ControlConfig
from streamrnn.sinks.zeromq import ZeromqConfig as ResultsConfig
from streamrnn.sinks.zeromq import ZeromqSink
from streamrnn.sources.bell import Bell
from streamrnn.sources.zeromq import ZeromqConfig, ZeromqSource

ANY_PORT = "tcp://127.0.0.1:*"


def test_a_context_that_does_not_end_is_left_in_time() -> None:
    context = zmq.Context()
    held = context.socket(zmq.REP)
    begun = time.monotonic()
    assert not security.end(context, 0.1)
    assert 0.5 < time.monotonic() - begun < 1.5
    held.close(0)
    assert security.end(zmq.Context(), 0.0)


def test_every_door_has_its_linger_before_it_opens() -> None:
    # libzmq gives a connection that ends by itself the linger of that moment: set at the close only, it is too late.
    source = ZeromqSource(ZeromqConfig(endpoint=ANY_PORT))
    sink = ZeromqSink(ResultsConfig(endpoint=ANY_PORT))
    bell = Bell()
    control = Control(bell)
    try:
        control.bind(ControlConfig(endpoint=ANY_PORT))
        for socket in (source._router, sink._socket, control._router):
            assert socket.linger == security.LINGER_MS
    finally:
        source.close()
        sink.close(0.2)
        control.close()
        bell.close()


def test_a_last_answer_to_a_client_that_is_just_leaving_holds_up_nobody() -> None:
    for _ in range(40):
        context = zmq.Context()
        router = context.socket(zmq.ROUTER)
        security.secure(router, context, "ingest", ANY_PORT, keys="", largest=1024)
        router.bind(ANY_PORT)
        with peers.context() as theirs, theirs.socket(zmq.DEALER) as client:
            client.connect(router.getsockopt_string(zmq.LAST_ENDPOINT))
            client.send(b"hello")
            identity, _ = router.recv_multipart()
        router.send_multipart([identity, b"bye"], zmq.NOBLOCK)
        router.close(security.LINGER_MS)
        assert security.end(context, security.LINGER_MS / 1000.0)


def test_a_source_that_cannot_be_closed_at_once_is_closed_in_time() -> None:
    source = sources.build(ZeromqConfig(endpoint=ANY_PORT))
    assert isinstance(source, ZeromqSource)
    held = source._context.socket(zmq.PAIR)
    begun = time.monotonic()
    source.close()
    assert time.monotonic() - begun < 1.7
    held.close(0)
