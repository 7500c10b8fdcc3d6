"""The JSON Schema of the wire, made from the types that read and write it.

Example:
  python -m streamrnn.schema > docs/wire.schema.json
"""

from __future__ import annotations

import json
import typing
from typing import Any

import msgspec

from streamrnn import calls, ingest, wire
from streamrnn.events import KINDS, SCHEMA
from streamrnn.history import Page, Replay, Snapshot

_REF = "#/$defs/"


def schema() -> dict[str, Any]:
    """Everything that is JSON on the wire, as definitions; the schema itself is that of a published message."""
    requests, answers = typing.get_args(ingest.Request), typing.get_args(ingest.Answer)
    bodies = set(wire.BODIES.values())
    ours = (calls.Call, calls.Done, calls.Failed, Page, Replay, Snapshot)
    types = [wire.Envelope, *bodies, *requests, *answers, *ours]
    # By name and once, so that the text is the same each time.
    named = {each.__name__: each for each in types}
    _, parts = msgspec.json.schema_components([named[name] for name in sorted(named)], ref_template=f"{_REF}{{name}}")
    messages = {kind: _message(kind) for kind in KINDS}
    definitions = {
        **{f"message.{kind}": each for kind, each in messages.items()},
        "IngestRequest": _one_of(each.__name__ for each in requests),
        "IngestAnswer": _one_of(each.__name__ for each in answers),
        "ControlAnswer": _one_of(["Done", "Failed"]),
        **parts,
    }
    made = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"streamrnn wire, version {SCHEMA}",
        "description": "A published message. $defs has the bodies, what ingest and control say, and pages of a replay.",
        **_one_of(f"message.{kind}" for kind in KINDS),
        "$defs": dict(sorted(definitions.items())),
    }
    # \Z is Python's; JSON Schema knows the $ of ECMAScript, which is the same where no line can end.
    plain: dict[str, Any] = json.loads(json.dumps(made).replace("\\\\Z", "$"), object_hook=_unfolded)
    return plain


def text() -> str:
    """The schema as it stands in docs/wire.schema.json."""
    return json.dumps(schema(), indent=1) + "\n"


def _message(kind: str) -> dict[str, Any]:
    body = wire.BODIES.get(kind)
    there = {"$ref": f"{_REF}{body.__name__}"} if body else {"type": "object"}
    return {
        "allOf": [{"$ref": f"{_REF}Envelope"}],
        "properties": {"v": {"const": SCHEMA}, "kind": {"const": kind}, "body": there},
        "required": ["body"],
    }


def _unfolded(there: dict[str, Any]) -> dict[str, Any]:
    # Versions of Python indent docstrings in ways of their own.
    told = there.get("description")
    return {**there, "description": " ".join(told.split())} if isinstance(told, str) else there


def _one_of(names: Any) -> dict[str, Any]:
    return {"oneOf": [{"$ref": f"{_REF}{name}"} for name in names]}


if __name__ == "__main__":
    print(text(), end="")
