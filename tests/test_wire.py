"""The wire: what is encoded is decoded again, and nothing that comes in makes it crash."""

from __future__ import annotations

import contextlib
import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn import ingest, wire
from streamrnn.errors import StreamError, UserError
from streamrnn.events import KINDS, BundleRef, Heard, Lost

NAMES = st.from_regex(r"\A[a-z0-9_.-]{1,64}\Z")
NATURALS = st.integers(0, 2**62)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
HEARD = st.builds(
    Heard, label=st.text(min_size=1), start=NATURALS, end=NATURALS, rate=NATURALS, score=st.floats(0.0, 1.0)
)
LOST = st.builds(Lost, start=NATURALS, end=NATURALS, rate=NATURALS, reason=st.text())
SAID = (
    st.tuples(st.sampled_from(["detection", "segment"]), HEARD)
    | st.tuples(st.just("gap"), LOST)
    | st.tuples(st.just("status"), st.builds(wire.Status, state=st.text(), text=st.text()))
    | st.tuples(st.just("heartbeat"), st.builds(wire.Beat, topics=st.dictionaries(NAMES, NATURALS, max_size=3)))
)


def message(kind: str = "detection", **changes: object) -> wire.Message:
    fields = {
        "v": 1,
        "kind": kind,
        "stream": "mic",
        "bundle": BundleRef("digits", "ab"),
        "run": "r1",
        "epoch": 0,
        "seq": 1,
        "t": wire.Moment(8000, 8000, 1, 2),
        "readiness": "warm",
        "gap": 0,
        "id": "x",
        "body": Heard("three", 4000, 6000, 8000, 0.9),
    }
    return wire.Message(**{**fields, **changes})  # type: ignore[arg-type]


@given(said=SAID, stream=NAMES, bundle=NAMES, seq=st.integers(1, 2**62), sample=NATURALS)
def test_a_message_is_itself_again(
    said: tuple[str, wire.Body], stream: str, bundle: str, seq: int, sample: int
) -> None:
    sent = message(
        said[0], body=said[1], stream=stream, bundle=BundleRef(bundle, ""), seq=seq, t=wire.Moment(sample, 1, 0, 0)
    )
    parts = wire.encode(sent)
    assert wire.decode(parts) == sent
    assert wire.decode([*parts, b"raw"]) == sent
    assert parts[0] == f"v1/{said[0]}/{stream}/{bundle}/".encode()


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_random_bytes_are_refused_with_a_code(parts: list[bytes]) -> None:
    for decode in (wire.decode, ingest.decode_request, ingest.decode_answer):
        with pytest.raises(wire.WireError) as caught:
            decode(parts)
        assert caught.value.code in ("parts", "malformed")


@given(JSONS, st.binary(max_size=4))
def test_any_json_is_taken_or_refused_with_a_code(value: object, payload: bytes) -> None:
    text = json.dumps(value).encode()
    for decode, parts in (
        (wire.decode, [b"v1/", text]),
        (ingest.decode_request, [text, payload]),
        (ingest.decode_answer, [text]),
    ):
        with pytest.raises(wire.WireError):
            decode(parts)


@given(st.sampled_from(["v", "kind", "stream", "bundle", "run", "epoch", "seq", "t", "gap", "id", "body"]), JSONS)
def test_a_message_with_any_field_replaced_is_a_message_or_refused(field: str, value: object) -> None:
    topic, text = wire.encode(message())
    document = {**json.loads(text), field: value}
    with contextlib.suppress(wire.WireError):
        wire.decode([topic, json.dumps(document).encode()])


def test_nesting_deeper_than_the_stack_is_refused() -> None:
    deep = b'{"kind":"start","stream":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(wire.WireError, match="too_large"):
        ingest.decode_request([deep])
    with pytest.raises(wire.WireError, match="malformed"):
        wire.decode([b"v1/", deep])


def test_fields_of_a_later_version_are_passed_over() -> None:
    topic, text = wire.encode(message())
    document = {**json.loads(text), "news": 1}
    assert wire.decode([topic, json.dumps(document).encode()]) == message()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"v": 2}, "version"),
        ({"kind": "shout"}, "kind"),
        ({"stream": "Mic"}, "malformed"),
        ({"stream": "mic\n"}, "malformed"),
        ({"seq": 0}, "malformed"),
        ({"epoch": -1}, "malformed"),
        ({"gap": 2**70}, "malformed"),
        ({"bundle": {"name": "a/b", "sha": ""}}, "name"),
        ({"stream": "mic2"}, "topic"),
        ({"body": {"label": "x"}}, "malformed"),
    ],
)
def test_a_wrong_field_is_refused_with_its_code(change: dict[str, object], code: str) -> None:
    topic, text = wire.encode(message())
    with pytest.raises(wire.WireError) as caught:
        wire.decode([topic, json.dumps({**json.loads(text), **change}).encode()])
    assert caught.value.code == code


def test_kinds_without_a_struct_are_plain_json() -> None:
    for kind in set(KINDS) - set(wire.BODIES):
        sent = message(kind, body={"any": [1, 2]})
        assert wire.decode(wire.encode(sent)) == sent


@pytest.mark.parametrize("name", ["", "Mic", "a/b", "küche", "a" * 65, "_", "mic\n", " mic"])
def test_a_name_that_fits_no_topic_is_refused_with_one_that_does(name: str) -> None:
    with pytest.raises(StreamError) as caught:
        wire.check_name(name)
    assert "\n" not in str(caught.value)
    assert wire.check_name(wire.as_name(name)) in str(caught.value)


@given(st.text())
def test_any_text_has_a_name(text: str) -> None:
    assert wire.check_name(wire.as_name(text))


def test_headers_are_themselves_again() -> None:
    for header in (ingest.Start("mic", 8000, 2, "float32"), ingest.Data("mic", 7, 3), ingest.End("mic")):
        assert ingest.decode_request([ingest.encode_header(header)])[0] == header
    for answer in (ingest.Credit("mic", 100), ingest.Error("size", "too short", "mic"), ingest.End("mic")):
        assert ingest.decode_answer([ingest.encode_header(answer)]) == answer


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"kind": "start", "stream": "mic", "rate": 0}, "malformed"),
        ({"kind": "start", "stream": "mic", "rate": 8000, "channels": 0}, "malformed"),
        ({"kind": "start", "stream": "mic", "rate": 8000, "chanels": 1}, "malformed"),
        ({"kind": "start", "stream": "mic", "rate": 8000, "dtype": "float16"}, "dtype"),
        ({"kind": "start", "stream": "_", "rate": 8000}, "name"),
        ({"kind": "start", "stream": "a/b", "rate": 8000}, "malformed"),
        ({"kind": "data", "stream": "mic", "start": -1, "n": 1}, "malformed"),
        ({"kind": "data", "stream": "mic", "start": 0, "n": 10**9}, "malformed"),
        ({"kind": "data", "stream": "mic", "start": 0.5, "n": 1}, "malformed"),
        ({"kind": "stop", "stream": "mic"}, "malformed"),
        ({"stream": "mic"}, "malformed"),
    ],
)
def test_a_wrong_ingest_header_is_refused_with_its_code(header: dict[str, object], code: str) -> None:
    with pytest.raises(wire.WireError) as caught:
        ingest.decode_request([json.dumps(header).encode(), b""])
    assert caught.value.code == code


def test_a_payload_belongs_to_data() -> None:
    with pytest.raises(wire.WireError) as caught:
        ingest.decode_request([ingest.encode_header(ingest.End("mic")), b"\0\0"])
    assert caught.value.code == "size"


@given(st.integers(1, 50), st.integers(1, 4), st.integers(0, 2**31))
def test_int16_survives_the_wire_to_the_bit(n: int, channels: int, seed: int) -> None:
    whole = np.random.default_rng(seed).integers(-32768, 32768, (n, channels)).astype(np.float32) / 32768
    for dtype in ingest.DTYPES:
        np.testing.assert_array_equal(ingest.unpack(ingest.pack(whole, dtype), n, channels, dtype), whole)


def test_int16_clips_what_is_too_loud() -> None:
    loud = np.array([[1.5], [-1.5], [1.0]], np.float32)
    assert ingest.unpack(ingest.pack(loud, "int16"), 3, 1, "int16").ravel().tolist() == [
        32767 / 32768,
        -1.0,
        32767 / 32768,
    ]


@pytest.mark.parametrize("size", [0, 1, 5, 7, 600])
def test_a_payload_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(wire.WireError) as caught:
        ingest.unpack(bytes(size), 3, 1, "int16")
    assert caught.value.code == "size"


def test_errors_are_for_people_too() -> None:
    assert issubclass(wire.WireError, UserError)
    assert "code" in msgspec.json.decode(ingest.encode_header(ingest.Error("size", "x")))
