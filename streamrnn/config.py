"""Strict YAML into frozen structs: an unknown key is an error with its path and the nearest known key."""

from __future__ import annotations

import contextlib
import functools
import math
import re
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
import yaml

from streamrnn import mistakes, registry
from streamrnn.errors import BundleError, ConfigError, did_you_mean

T = TypeVar("T")

# Values of a document when every alias is written out: a few hundred bytes of YAML can stand for billions.
_MOST_VALUES = 100_000
_DEEPEST = 64  # brackets within brackets
_MOST_TOLD = 5  # mistakes that one line tells


@dataclass(frozen=True, slots=True)
class Role:
    """Marks a field, `Annotated[PlugConfig, Role("feature")]`, whose class the registry finds by `kind`."""

    name: str


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads only true and false as booleans, 1e-3 as a number, and refuses a repeated key."""

    def fetch_flow_collection_start(self, token: Any) -> None:
        """A bracket; PyYAML's time grows with the square of how deep they are nested."""
        if self.flow_level >= _DEEPEST:
            raise yaml.scanner.ScannerError(None, None, f"brackets deeper than {_DEEPEST}", self.get_mark())
        super().fetch_flow_collection_start(token)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """Text; an escape can name half a character, which no file, socket or terminal takes."""
        text = super().construct_scalar(node)
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ConfigError(f"line {node.start_mark.line + 1}: {text!r} is no text in Unicode; mend its escapes")
        return text


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise ConfigError(f"line {key_node.start_mark.line + 1}: key {key!r} is not text; quote it")
        if key in seen:
            raise ConfigError(f"line {key_node.start_mark.line + 1}: key {key!r} stands twice; keep one")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


# The resolvers of YAML 1.2's core schema, without timestamps, octals and sexagesimals that surprise people.
_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse_yaml(text: str) -> Any:
    """YAML text -> plain dicts, lists, strings and numbers. Raises ConfigError naming the line."""
    try:
        document = yaml.load(text, Loader=_Loader)
        written_out = _count(document, {})
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"line {line}: {error.problem or 'not YAML'}; mend the YAML there") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"not YAML: {' '.join(str(error).split())}") from None
    if written_out > _MOST_VALUES:
        raise ConfigError(f"its aliases stand for more than {_MOST_VALUES} values; write out what is meant")
    return document


def _count(value: Any, known: dict[int, int]) -> int:
    """How many values a document has with its aliases written out; too many if one holds itself."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = _MOST_VALUES + 1
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count(each, known) for each in inner)
    return known[id(value)]


def load(path: Path, cls: type[T], overrides: list[str] | None = None) -> T:
    """A YAML file as the struct `cls`, after `key.path=value` overrides. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; give the path of a config file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text; give the path of a YAML config file") from None
    with naming(path):
        document = parse_yaml(text)
        if not isinstance(document, dict):
            is_now = "empty" if document is None else f"a {_kind(document)}"
            raise ConfigError(f"is {is_now}; write `key: value` lines, as `streamrnn config --example daemon` prints")
        for override in overrides or []:
            override_key(document, override, cls)
        converted: T = convert(document, cls)
        return converted


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """While inside, what is found wrong with a config, or with a bundle that it names, names its file."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None


def override_key(document: Any, override: str, expected: Any = Any) -> Any:
    """`training.steps=100` set in a document of dicts and lists (`features.0.hop_ms=20`); the value is read as YAML.

    A section that the type `expected` of the document knows and that is absent is made. Raises ConfigError.
    """
    key_path, equals, text = override.partition("=")
    if not equals or not key_path:
        raise ConfigError(f"--set {override}: write key.path=value")
    keys = key_path.split(".")
    place = document
    for key in keys[:-1]:
        place, expected = _child(place, key, override, expected), _within(expected, place, key)
    last = keys[-1]
    if isinstance(place, list):
        _child(place, last, override, expected)
        place[int(last)] = _value(text, _within(expected, place, last))
    elif isinstance(place, dict):
        place[last] = _value(text, _within(expected, place, last))
    else:
        raise ConfigError(f"--set {override}: {key_path} is no place in this config")
    return document


def _value(text: str, expected: Any) -> Any:
    """What is written behind the `=`, as YAML; nothing at all is the empty text where a text may stand."""
    if not text:
        with contextlib.suppress(ConfigError):
            return convert(text, expected)
    return parse_yaml(text)


def _child(place: Any, key: str, override: str, expected: Any) -> Any:
    known: Iterable[str] = []
    if isinstance(place, list):
        if key.isdecimal() and int(key) < len(place):
            return place[int(key)]
        known = [str(i) for i in range(len(place))]
    elif isinstance(place, dict):
        if isinstance(place.get(key), (dict, list)):
            return place[key]
        inner = _within(expected, place, key)
        if place.get(key) is None and (_struct_of(inner, {}) is not None or get_origin(inner) is dict):
            place[key] = {}
            return place[key]
        struct = _struct_of(expected, place)
        known = {*place, *(struct.__struct_encode_fields__ if struct is not None else ())}
    raise ConfigError(f"--set {override}: {key!r} is no place in this config; {did_you_mean(key, known)}")


def _struct_of(expected: Any, place: dict[str, Any]) -> type[msgspec.Struct] | None:
    """The struct that a mapping is read as where a type is expected; of a plug its `kind` tells."""
    if get_origin(expected) is Annotated:
        role = next((note for note in expected.__metadata__ if isinstance(note, Role)), None)
        if role is None or not isinstance(place.get("kind"), str):
            return None
        return registry.find(role.name, place["kind"]).config
    choices = get_args(expected) if get_origin(expected) in (Union, types.UnionType) else (expected,)
    structs = [each for each in choices if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    return structs[0] if len(structs) == 1 else None


def _within(expected: Any, place: Any, key: str) -> Any:
    """The type of what stands under a key of a place that is read as `expected`; Any if that is not known."""
    origin, inner = get_origin(expected), get_args(expected)
    if origin in (tuple, dict):
        return inner[0] if origin is tuple else inner[1]
    struct = _struct_of(expected, place) if isinstance(place, dict) else None
    fields = _fields(struct) if struct is not None else {}
    return fields[key].type if key in fields else Any


def convert(document: Any, expected: Any, where: str = "") -> Any:
    """Plain data -> the type `expected`, struct by struct. Raises ConfigError with the path of each offending key."""
    origin = get_origin(expected)
    if origin is Annotated:
        role = next((note for note in expected.__metadata__ if isinstance(note, Role)), None)
        if role is not None:
            return _plug(document, role.name, where)
    elif origin is tuple and document is not None:
        inner = get_args(expected)[0]
        if not isinstance(document, (list, tuple)):
            raise ConfigError(f"{_at(where)}{document!r} is not a list; write [ ... ] or lines that begin with '- '")
        found = _Found()
        items = tuple(found.converted(item, inner, f"{where}[{i}]") for i, item in enumerate(document))
        found.tell()
        return items
    elif origin is dict and isinstance(document, dict):
        inner = get_args(expected)[1]
        return {key: convert(item, inner, _join(where, key)) for key, item in document.items()}
    elif origin in (Union, types.UnionType) and document is not None:
        structs = [t for t in get_args(expected) if isinstance(t, type) and issubclass(t, msgspec.Struct)]
        if len(structs) == 1 and isinstance(document, dict):
            return _struct(document, structs[0], where)
    elif isinstance(expected, type) and issubclass(expected, msgspec.Struct):
        return _struct(document, expected, where)
    elif origin is Literal and document not in get_args(expected):
        raise ConfigError(f"{_at(where)}{document!r}: use one of {', '.join(map(str, get_args(expected)))}")
    try:
        value = msgspec.convert(document, expected, strict=True)
    except (msgspec.ValidationError, OverflowError) as error:
        complaint, _, inner = str(error).partition(" - at `$")
        inside = where + inner.rstrip("`")
        raise ConfigError(f"{_at(inside.lstrip('.'))}{document!r}: {mistakes.repaired(complaint)}") from None
    if isinstance(value, str) and "\0" in value:
        raise ConfigError(f"{_at(where)}{document!r}: no text has a zero character in it; take it out")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{_at(where)}{document!r}: no finite number; use one")
    return value


class _Found:
    """The mistakes of one place, so that all are told and not only the first."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []

    def converted(self, document: Any, expected: Any, where: str) -> Any:
        """As `convert`, but a mistake is noted and None stands for the value."""
        try:
            return convert(document, expected, where)
        except _MistakesError as error:
            self.mistakes += error.each
        except ConfigError as error:
            self.mistakes.append(str(error))
        return None

    def tell(self) -> None:
        """Raises ConfigError if there were any."""
        if self.mistakes:
            raise _MistakesError(self.mistakes)


class _MistakesError(ConfigError):
    """Several, in one line."""

    def __init__(self, each: list[str]) -> None:
        more = f"; and {len(each) - _MOST_TOLD} more" if len(each) > _MOST_TOLD else ""
        super().__init__("; also ".join(each[:_MOST_TOLD]) + more)
        self.each = each


def _plug(document: Any, role: str, where: str) -> Any:
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        known = ", ".join(plug.kind for plug in registry.plugs(role))
        raise ConfigError(f"{_at(where)}needs `kind:`, one of {known}")
    try:
        plug = registry.find(role, document["kind"])
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}" if where else str(error)) from None
    return _struct({key: value for key, value in document.items() if key != "kind"}, plug.config, where)


def _struct(document: Any, cls: type[msgspec.Struct], where: str) -> Any:
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise ConfigError(f"{_at(where)}{document!r} is not a mapping; write `key: value` lines")
    fields = _fields(cls)
    found = _Found()
    for key in document:
        if key not in fields:
            found.mistakes.append(f"{_join(where, key)}: unknown key; {did_you_mean(key, fields)}")
    values: dict[str, Any] = {}
    for key, field in fields.items():
        if key in document:
            values[field.name] = found.converted(document[key], field.type, _join(where, key))
        elif field.required:
            found.mistakes.append(f"{_join(where, key)}: missing; add `{key}:`")
    found.tell()
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(_join(where, str(error))) from None
    except ValueError as error:
        raise ConfigError(f"{_at(where)}{error}") from None


@functools.cache
def _fields(cls: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields of a struct by key; once, for each time their types are evaluated anew, which is most of a load."""
    return {field.encode_name: field for field in msgspec.structs.fields(cls)}


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _at(where: str) -> str:
    return f"{where}: " if where else ""


def _kind(document: Any) -> str:
    return "list" if isinstance(document, list) else "single value"
