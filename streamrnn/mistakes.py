"""What a validator finds wrong with data, told for people: where, the value that stands there, and what to write."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from streamrnn.errors import did_you_mean

_LONGEST = 60  # characters of a value that are shown
_AT = re.compile(r" - at `?(?:key in )?`?\$(?P<path>[^`]*)`?$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_EXPECTED = re.compile(r"Expected `(?P<kind>[^`]+)`(?P<bound>[^,]*)(?:, got `(?P<got>[^`]+)`)?")
_LENGTH = re.compile(r" of length (<= |>= )?(\d+)")
_BOUNDS = {"<= ": "at most ", ">= ": "at least "}
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]+)`")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "null": "nothing",
    "object": "`key: value` lines",
    "array": "a list",
}
_IN_JSON = {**_WORDS, "object": "an object", "null": "null"}
# The one pattern that configs and the wire know is that of names.
_NAME = "use 1 to 64 of a-z 0-9 _ . -"


def told(error: Exception, document: Any, kind: Any = Any, words: dict[str, str] = _IN_JSON) -> str:
    """`rate: 'fast': write a whole number, not text`, of a document that is none of the type `kind`.

    `words` are those for the types of JSON, as its author knows them.
    """
    text = str(error)
    found = _AT.search(text)
    path = found["path"] if found else ""
    steps = [key or index for key, index in _STEP.findall(path)]
    complaint = text[: found.start()] if found else text
    value, there = _value_at(document, steps), _type_at(kind, steps, document)
    if named := _MISSING.fullmatch(complaint):
        return f"{'.'.join([*_shown(steps), named[1]])}: missing; add it"
    if named := _UNKNOWN.fullmatch(complaint):
        known = [field.encode_name for each in _structs(there, *value)[:1] for field in msgspec.structs.fields(each)]
        return f"{'.'.join([*_shown(steps), named[1]])}: unknown; {did_you_mean(named[1], known)}"
    repair = repaired(complaint, words, _choices(there))
    return ": ".join([*([".".join(_shown(steps))] if steps else []), *map(_short, value), repair])


def unread(error: Exception) -> str:
    """What is wrong with bytes that are no JSON at all."""
    text = str(error)
    if isinstance(error, RecursionError):
        return "brackets are nested too deeply; send a flatter one"
    if isinstance(error, UnicodeDecodeError) or "utf-8" in text:
        return "is no UTF-8 text; send JSON in UTF-8"
    if "truncated" in text:
        return "is no JSON: it ends too early; send one whole JSON text"
    why = text.removeprefix("JSON is malformed: ")
    return f"is no JSON: {' '.join(why.split())}; send one JSON text"


def repaired(complaint: str, words: dict[str, str] = _WORDS, choices: Iterable[str] = ()) -> str:
    """What to write where a validator complains, without where that is."""
    if "matching regex" in complaint:
        return _NAME
    expected = _EXPECTED.fullmatch(complaint)
    if expected is None:
        known = list(choices)
        if complaint.startswith("Invalid ") and known:
            return f"use one of {', '.join(known)}"
        plain = " ".join(complaint.replace("`", "").split())
        return plain[:1].lower() + plain[1:]
    wanted = " or ".join(words.get(each, each) for each in expected["kind"].split(" | "))
    things = "characters" if expected["kind"] == "str" else "entries"
    bound = _LENGTH.sub(lambda found: f" of {_BOUNDS.get(found[1], '')}{found[2]} {things}", expected["bound"])
    if not expected["got"]:
        return f"write {wanted}{bound}"
    # The two kinds of numbers are told apart by what only one of them has.
    got = "a fraction" if expected["got"] == "float" else words.get(expected["got"], expected["got"])
    return f"write {wanted}{bound}, not {got}"


def _shown(steps: list[str]) -> list[str]:
    """The steps of a path, indexes behind what they count."""
    shown: list[str] = []
    for step in steps:
        if step.isdecimal() and shown:
            shown[-1] += f"[{step}]"
        elif step != "...":
            shown.append(step)
    return shown


def _value_at(document: Any, steps: list[str]) -> tuple[Any, ...]:
    """What stands at a path; nothing if that cannot be told, as of a key that is any."""
    for step in steps:
        try:
            document = document[int(step)] if isinstance(document, list | tuple) else document[step]
        except (LookupError, TypeError, ValueError):
            return ()
    return (document,)


def _short(value: Any) -> str:
    shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def _type_at(kind: Any, steps: list[str], document: Any) -> Any:
    """The type that is read at a path, Any if it is not known."""
    for step in steps:
        kind, document = _inner(kind, step, document), next(iter(_value_at(document, [step])), None)
    return kind


def _inner(kind: Any, step: str, document: Any) -> Any:
    origin = get_origin(kind)
    if origin is Annotated:
        return _inner(get_args(kind)[0], step, document)
    if origin in (tuple, list):
        return get_args(kind)[0]
    for struct in _structs(kind, document):
        if step == struct.__struct_config__.tag_field:
            return Literal[tuple(each.__struct_config__.tag for each in _all_structs(kind))]
        for field in msgspec.structs.fields(struct):
            if field.encode_name == step:
                return field.type
    return Any


def _all_structs(kind: Any) -> list[type[msgspec.Struct]]:
    members = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return [each for each in members if isinstance(each, type) and issubclass(each, msgspec.Struct)]


def _structs(kind: Any, document: Any = None) -> list[type[msgspec.Struct]]:
    """The struct that a document is read as, by its tag if there are several."""
    found = _all_structs(kind)
    tagged = [
        each
        for each in found
        if isinstance(document, dict) and each.__struct_config__.tag == document.get(each.__struct_config__.tag_field)
    ]
    return tagged or found


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Annotated:
        return _choices(get_args(kind)[0])
    return [str(each) for each in get_args(kind)] if get_origin(kind) is Literal else []
