"""Plugs by role and kind: which config class a `kind` names and where its implementation lives. No torch here."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from streamrnn.errors import ConfigError, did_you_mean

# The rooms that register the built-in plugs of a role when they are imported.
_ROOMS = {
    "feature": ("streamrnn.recognizer",),
    "model": ("streamrnn.recognizer",),
    "head": ("streamrnn.recognizer",),
    "decoder": ("streamrnn.decoders", "streamrnn.alarms", "streamrnn.novelty"),
    "material": ("streamrnn.training.plan",),
    "source": (
        "streamrnn.sources.microphone",
        "streamrnn.sources.wav",
        "streamrnn.sources.zeromq",
        "streamrnn.sources.csv",
        "streamrnn.sources.stdin",
        "streamrnn.sources.serial",
        "streamrnn.sources.mqtt",
    ),
    "sink": (
        "streamrnn.sinks.zeromq",
        "streamrnn.sinks.jsonl",
        "streamrnn.sinks.console",
        "streamrnn.sinks.command",
        "streamrnn.sinks.mqtt",
    ),
}
ROLES = tuple(_ROOMS)
_BIDIRECTIONAL = (
    "reads the future too, which a live stream has not got: no bundle of it exists and `serve` cannot run one; use gru "
    "(bidirectional networks label recordings offline, in streamrnn.training.bidirectional)"
)


class PlugConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """What a config file says of one plug; its `kind` chooses the class."""


@dataclass(frozen=True, slots=True)
class Plug:
    """One kind of one role: its config class and `module:attribute` of what is built from it."""

    role: str
    kind: str
    config: type[PlugConfig]
    implementation: str

    def load(self) -> Any:
        """Import the implementation; torch comes in here if it needs it."""
        module, attribute = self.implementation.split(":")
        return getattr(importlib.import_module(module), attribute)


_PLUGS: dict[tuple[str, str], Plug] = {}
C = TypeVar("C", bound=type[PlugConfig])


def register(role: str, implementation: str) -> Callable[[C], C]:
    """Class decorator: the config class's tag becomes a kind of `role`, built by `module:attribute`."""

    def add(config: C) -> C:
        kind = config.__struct_config__.tag
        if role not in _ROOMS or not isinstance(kind, str):
            raise TypeError(f"{config.__name__}: role {role!r} is unknown or the class has no tag")
        _PLUGS[role, kind] = Plug(role, kind, config, implementation)
        return config

    return add


@functools.cache
def _load_rooms(role: str) -> None:
    for room in _ROOMS[role]:
        importlib.import_module(room)


@functools.cache
def _load_entry_points() -> None:
    from importlib.metadata import entry_points  # looks through all that is installed

    for entry in entry_points(group="streamrnn"):
        entry.load()


def plugs(role: str) -> list[Plug]:
    """Every plug of a role, built in and installed, by kind."""
    _load_rooms(role)
    _load_entry_points()
    return sorted((plug for (r, _), plug in _PLUGS.items() if r == role), key=lambda plug: plug.kind)


def find(role: str, kind: str) -> Plug:
    """The plug of a role and kind. Raises ConfigError with the nearest known kind."""
    _load_rooms(role)
    if (role, kind) not in _PLUGS:
        _load_entry_points()
    try:
        return _PLUGS[role, kind]
    except KeyError:
        if role == "model" and kind.startswith("bi"):
            raise ConfigError(f"kind: {kind!r} {_BIDIRECTIONAL}") from None
        known = [k for r, k in _PLUGS if r == role]
        raise ConfigError(f"kind: {kind!r} is no {role}; {did_you_mean(kind, known)}") from None


def of(config: PlugConfig) -> Plug:
    """The plug whose config this is. Raises ConfigError if nobody registered it."""
    for plug in _PLUGS.values():
        if plug.config is type(config):
            return plug
    raise ConfigError(f"{type(config).__name__} is not a registered config; import the module that registers it")
