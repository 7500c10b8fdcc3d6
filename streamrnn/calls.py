"""The control wire: calls of methods and their answers, checked as they come in. No sockets here; see docs/wire.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from streamrnn import mistakes
from streamrnn.wire import WireError, parse

ENDPOINT = "tcp://127.0.0.1:5562"
LARGEST_CALL = 1 << 16  # bytes of one message
DEEPEST = 16  # brackets within brackets
DEADLINE_MS = 5000
_LONGEST_DEADLINE_MS = 600_000

_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[{\]}]")


class Call(msgspec.Struct, frozen=True):
    """Do `method` with `params`, and answer within `deadline_ms`; `id` comes back with the answer."""

    id: Annotated[str, Meta(max_length=64)] | Annotated[int, Meta(ge=0, le=2**53)]
    method: Annotated[str, Meta(max_length=64)]
    params: dict[str, Any] = {}
    deadline_ms: Annotated[int, Meta(ge=1, le=_LONGEST_DEADLINE_MS)] = DEADLINE_MS


class Fault(msgspec.Struct, frozen=True):
    """Why a call was not done: `code` is for programs, `text` for people."""

    code: str
    text: str


class Done(msgspec.Struct, frozen=True):
    """The answer `ok` to the call `id`."""

    id: str | int | None
    ok: Any


class Failed(msgspec.Struct, frozen=True):
    """The call `id` was not done; the id is null where none could be read."""

    id: str | int | None
    error: Fault


Answer = Done | Failed


class CallError(WireError):
    """A call that was answered with an error, or not at all; `code` is for programs, `text` for people."""


def decode_call(parts: Sequence[bytes]) -> Call:
    """The call in the received parts `[json]`. Raises CallError with the code `parts` or `malformed`."""
    if len(parts) != 1:
        raise CallError("parts", f"{len(parts)} parts; a call is one part of JSON")
    if depth(parts[0]) > DEEPEST:
        raise CallError("malformed", f"brackets are nested deeper than {DEEPEST}")
    call: Call = _parse(parts[0], Call)
    return call


class _Id(msgspec.Struct, frozen=True):
    id: Annotated[str, Meta(max_length=64)] | int


def id_of(parts: Sequence[bytes]) -> str | int | None:
    """The id of a call that was refused, if one can be read."""
    try:
        return parse(parts[0], _Id).id if len(parts) == 1 and depth(parts[0]) <= DEEPEST else None
    except WireError:
        return None


def decode_answer(parts: Sequence[bytes]) -> Answer:
    """The answer in the received parts `[json]`. Raises CallError with the code `parts` or `malformed`."""
    if len(parts) != 1:
        raise CallError("parts", f"{len(parts)} parts; an answer is one part of JSON")
    fields = _parse(parts[0], dict[str, Any])
    try:
        return msgspec.convert(fields, Failed) if "error" in fields else msgspec.convert(fields, Done)
    except msgspec.ValidationError as error:
        raise CallError(
            "malformed", f"an answer of no daemon of this version: {mistakes.told(error, fields)}"
        ) from None


def depth(data: bytes) -> int:
    """How deep the brackets of a JSON text are nested; it need not be valid."""
    deepest = now = 0
    for bracket in _BRACKETS.findall(_TEXT.sub(b"", data)):
        now += 1 if bracket in b"[{" else -1
        deepest = max(deepest, now)
    return deepest


def _parse(data: bytes, kind: Any) -> Any:
    try:
        return parse(data, kind)
    except WireError as error:
        raise CallError(error.code, error.text) from None
