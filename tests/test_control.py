"""The control endpoint: every call is answered in time, whatever the engine does and whoever asks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn import calls
from streamrnn.calls import CallError
from streamrnn.client import Control as Client
from streamrnn.control import Control, ControlConfig, NoParams
from streamrnn.errors import DeviceError, StreamError
from streamrnn.sources.bell import Bell

ANY = ControlConfig(endpoint="tcp://127.0.0.1:*")


class Size(msgspec.Struct, forbid_unknown_fields=True):
    n: int


def refuse(_: NoParams) -> None:
    raise StreamError("mic: not open; open it")


def fail(_: NoParams) -> None:
    raise ZeroDivisionError("ours")


def code(client: Client, method: str, **params: object) -> str:
    with pytest.raises(CallError) as caught:
        client.call(method, **params)
    return caught.value.code


@pytest.fixture
def control() -> Iterator[Control]:
    """One whose engine works when the test says so."""
    bell = Bell()
    made = Control(bell)
    made.add("size", Size, lambda params: "x" * params.n, where="control")
    made.add("refuse", NoParams, refuse, where="control")
    made.add("fail", NoParams, fail, where="worker")
    made.add("thread", NoParams, lambda _: threading.current_thread().name, where="engine")
    made.bind(ANY)
    made.start()
    yield made
    made.close()
    bell.close()


@pytest.fixture
def client(control: Control) -> Iterator[Client]:
    with Client(control.place) as made:
        yield made


def test_it_answers_and_says_in_codes_why_it_does_not(client: Client) -> None:
    assert client.call("ping")["mono_ns"] > 0
    assert client.call("methods") == ["fail", "methods", "ping", "refuse", "size", "thread"]
    assert client.call("size", n=3) == "xxx"
    assert code(client, "pong") == "unknown_method"
    assert code(client, "size", n="3") == code(client, "size", n=1, m=2) == code(client, "ping", n=1) == "params"
    assert code(client, "size", n=1 << 21) == "too_large"
    assert code(client, "refuse") == "refused"
    assert code(client, "fail") == "internal"
    with pytest.raises(CallError, match="did you mean 'ping'"):
        client.call("pin")


def test_an_engine_that_is_stuck_misses_a_deadline_and_blocks_nobody(control: Control, client: Client) -> None:
    begun = time.monotonic()
    assert code(client, "thread", timeout=0.2) == "deadline"
    assert 0.2 <= time.monotonic() - begun < 2.0
    assert client.call("ping")
    # What was given up is not done when the engine comes back.
    done: list[object] = []
    control.add("late", NoParams, done.append, where="engine")
    assert code(client, "late", timeout=0.05) == "deadline"
    control.work()
    assert not done


def test_the_engine_does_its_work_on_its_own_thread(control: Control, client: Client) -> None:
    working = threading.Event()

    def engine() -> None:
        while not working.wait(0.01):
            control.work()

    thread = threading.Thread(target=engine, name="the-engine")
    thread.start()
    try:
        assert client.call("thread") == "the-engine"
    finally:
        working.set()
        thread.join()


def test_who_waits_at_the_end_is_told(control: Control) -> None:
    told: list[str] = []

    def ask() -> None:
        with Client(control.place) as asker:
            told.append(code(asker, "thread", timeout=20.0))

    thread = threading.Thread(target=ask)
    thread.start()
    while not control._for_engine:
        time.sleep(0.01)
    control.close()
    thread.join(10)
    assert told == ["closing"]


def raw(control: Control, kind: int, *messages: list[bytes]) -> list[dict[str, object]]:
    with zmq.Context() as context, context.socket(kind) as socket:
        socket.linger = 0
        socket.connect(control.place)
        answers = []
        for parts in messages:
            socket.send_multipart(parts)
            assert socket.poll(5000)
            answers.append(json.loads(socket.recv_multipart()[-1]))
        return answers


def test_any_socket_of_any_language_may_ask(control: Control) -> None:
    ping = b'{"id":"a","method":"ping"}'
    for kind in (zmq.REQ, zmq.DEALER):
        (answer,) = raw(control, kind, [ping])
        assert answer["id"] == "a"
        assert "ok" in answer


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.recursive(st.none(), st.lists, max_leaves=30).map(lambda x: json.dumps(x).encode()))
def test_rubbish_is_malformed_and_nothing_else(data: bytes) -> None:
    with pytest.raises(CallError, match="malformed"):
        calls.decode_call([data])


def test_rubbish_is_answered_with_a_code(control: Control) -> None:
    deep = b'{"id":7,"method":"ping","params":{"x":' + b"[" * 5000 + b"]" * 5000 + b"}}"
    answers = raw(control, zmq.DEALER, [b"{"], [b"\xff\xfe"], [b"a", b"b"], [deep], [b'{"id":7,"method":1}'])
    assert [each["error"]["code"] for each in answers] == [  # type: ignore[index]
        "malformed",
        "malformed",
        "parts",
        "malformed",
        "malformed",
    ]
    assert [each["id"] for each in answers] == [None, None, None, None, 7]


def test_a_call_beyond_the_limit_is_cut_off_and_the_endpoint_lives(control: Control, client: Client) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(control.place)
        socket.send(b" " * (calls.LARGEST_CALL + 1))
        assert client.call("ping")


def test_a_taken_port_is_refused_and_the_usual_one_done_without(control: Control) -> None:
    bell = Bell()
    second = Control(bell)
    with pytest.raises(DeviceError, match="taken"):
        second.bind(ControlConfig(endpoint=control.place))
    second.bind(ControlConfig(endpoint="off"))
    assert second.place == ""
    second.start()
    second.close()
    bell.close()


def test_nobody_answers() -> None:
    with Client("tcp://127.0.0.1:1") as client, pytest.raises(DeviceError, match="no daemon answers"):
        client.call("ping", timeout=0.2)
