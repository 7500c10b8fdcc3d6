"""What is wrong with JSON and configs is told by where it stands, what stands there and what to write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn import calls, config, history, ingest, wire
from streamrnn.calls import CallError
from streamrnn.daemon_config import DaemonConfig
from streamrnn.errors import ConfigError
from streamrnn.statefile import StateConfig
from streamrnn.wire import WireError

TYPES: list[Any] = [ingest.Request, ingest.Answer, calls.Call, history.Replay, wire.Status, wire.Moment, wire.Hello]
RAW = ("Expected", "got ", "`", "$.", "Object ", "regex", "Invalid ")


def complaint(data: bytes, kind: Any) -> str:
    with pytest.raises(WireError) as caught:
        wire.parse(data, kind)
    assert caught.value.code == "malformed"
    return caught.value.text


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        (
            ingest.Request,
            '{"kind":"start","stream":"mic","rate":"fast"}',
            "rate: 'fast': write a whole number, not text",
        ),
        (ingest.Request, '{"kind":"start","stream":"Mic","rate":1}', "stream: 'Mic': use 1 to 64 of a-z 0-9 _ . -"),
        (ingest.Request, '{"kind":"start","rate":1}', "stream: missing; add it"),
        (ingest.Request, '{"kind":"stort","stream":"a"}', "kind: 'stort': use one of start, data, end"),
        (ingest.Request, '{"kind":"data","stream":"a","strat":1,"n":7}', "strat: unknown; did you mean 'start'?"),
        (ingest.Request, '{"kind":"data","stream":"a","start":0,"n":0}', "n: 0: write a whole number >= 1"),
        (ingest.Request, "[]", "[]: write an object, not a list"),
        (ingest.Request, "{", "is no JSON: it ends too early; send one whole JSON text"),
        (calls.Call, '{"id":null,"method":"x"}', "id: null: write a whole number or text, not null"),
        (calls.Call, '{"id":1,"method":"%s"}' % ("x" * 65), "write text of at most 64 characters"),
        (history.Replay, '{"topics":["a",7]}', "topics[1]: 7: write text, not a whole number"),
        (history.Replay, '{"after":{"v1/":-1}}', "after: write a whole number >= 0"),
    ],
)
def test_what_is_wrong_is_told_with_path_value_and_repair(kind: Any, data: str, told: str) -> None:
    assert complaint(data.encode(), kind).endswith(told)


def test_bytes_that_are_no_text_and_brackets_without_end_are_told_too() -> None:
    assert complaint(b'{"id":1,"method":"\xff"}', calls.Call) == "is no UTF-8 text; send JSON in UTF-8"
    deep = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert "nested too deeply" in complaint(deep, wire.Status)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(TYPES),
    st.dictionaries(
        st.sampled_from(["kind", "stream", "rate", "n", "start", "id", "topics", "after", "state", "before", "x"]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.text(max_size=70)
            | st.sampled_from(["start", "data", "mic"]),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=5,
        ),
    ),
)
def test_whatever_is_wrong_nothing_raw_reaches_people(kind: Any, document: dict[str, Any]) -> None:
    told = ""
    try:
        wire.parse(json.dumps(document).encode(), kind)
    except WireError as error:
        told = error.text
    assert "\n" not in told
    assert not any(raw in told.rpartition(": ")[2] for raw in RAW)


def test_an_answer_that_is_none_is_told_with_its_place() -> None:
    with pytest.raises(CallError, match=r"error\.code: missing; add it"):
        calls.decode_answer([b'{"id":1,"error":{"text":"x"}}'])
    with pytest.raises(CallError, match="error: 7: write an object, not a whole number"):
        calls.decode_answer([b'{"id":1,"error":7}'])


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"every_s": "often"}, "state.every_s: 'often': write a number, not text"),
        ({"every_s": 0}, "state.every_s: 0: write a number > 0.0"),
        ({"directory": 7}, "state.directory: 7: write text, not a whole number"),
    ],
)
def test_a_config_says_it_in_the_same_words(section: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.convert(section, StateConfig, "state")
    assert str(caught.value) == told
    with pytest.raises(ConfigError) as caught:
        config.convert({"bundles": [{"path": "a"}], "sources": [], "sinks": [], "state": section}, DaemonConfig)
    assert told in str(caught.value)
