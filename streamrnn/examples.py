"""Runnable example configs, made from the plugs themselves: a daemon, or any kind in a config that uses it."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from streamrnn import registry
from streamrnn.errors import ConfigError, did_you_mean
from streamrnn.registry import Plug

DAEMON = """\
# A daemon: streamrnn serve daemon.yaml, and in another terminal: streamrnn listen
bundles:
  - path: digits            # a file, or the name of a bundle that is shipped
    # name: digits          # another name on the wire
    # backend: onnx         # or native, compiled; auto is that where it is installed, else onnx; torch is the reference
    # decoder: {enter: 0.6} # settings that replace the bundle's own, or a budget instead of thresholds:
    # decoder: {max_false_accepts_per_hour: 0.5}
sources:                    # each stream has a name of a-z 0-9 _ . -
  - kind: microphone
    device: ""              # (part of) a name from `streamrnn devices`; "" is the system's choice
    stream: microphone
  - kind: zeromq            # streams that clients bring: streamrnn push talk.wav --stream talk
    endpoint: tcp://127.0.0.1:5561
sinks:
  - kind: zeromq            # results for any number of subscribers
    endpoint: tcp://127.0.0.1:5560
  # - kind: console         # a line an event, for people
  # - {kind: jsonl, path: events.jsonl}
# health: {endpoint: http://127.0.0.1:9464}   # /livez, /readyz, /metrics: docs/operations.md
# log: {format: json}                         # or keyvalue; text is for people
engine:
  max_streams: 256          # open at once
history:                    # what is sent again to subscribers that missed it
  messages: 10000           # in memory
  journal: ""               # a folder, and it outlasts a restart
# clips: {directory: clips}  # the samples around each detection; without it none are kept: docs/operations.md
control:
  endpoint: auto            # calls of programs, on tcp://127.0.0.1:5562 if it is free; write off for no control
until: stopped              # or finished: end when all sources have, as files do
"""

# What a required key may look like.
_VALUES: dict[str, Any] = {
    "path": "talk.wav",
    "stream": "talk",
    "rate": 16000,
    "device": "/dev/ttyUSB0",
    "topic": "home/boiler/vibration",
    "argv": ["cat"],
    "texts": {"yes": "yes", "no": "no"},
    "frames": [100],
}
_TRAINING: dict[str, Any] = {
    "recognizer": {
        "name": "answers",
        "rate": 16000,
        "labels": {"yes": [], "no": []},
        "features": [{"kind": "frame"}, {"kind": "log_mel"}, {"kind": "scale"}],
        "model": {"kind": "gru"},
        "head": {"kind": "classes"},
        "decoder": {"kind": "hysteresis"},
    },
    "material": {"kind": "words"},
}
_SERVING = ("source", "sink")
_SENSORS = ("serial", "mqtt")
_FINITE = ("wav", "csv", "stdin")


def example(kind: str) -> str:
    """The YAML of a config for `daemon` or any kind of plug. Raises ConfigError for an unknown kind."""
    if kind == "daemon":
        return DAEMON
    plugs = [plug for role in registry.ROLES for plug in registry.plugs(role) if plug.kind == kind]
    if not plugs:
        known = {"daemon", *(plug.kind for role in registry.ROLES for plug in registry.plugs(role))}
        raise ConfigError(f"--example {kind}: no such kind; {did_you_mean(kind, known)}")
    serving = plugs[0].role in _SERVING
    document = _daemon(plugs) if serving else _training(plugs[0])
    command = "streamrnn serve this.yaml" if serving else "streamrnn train this.yaml --data DIR --out answers.bundle"
    head = [f"# {command}", *(f"# {plug.role} {kind}: {_sentence(plug)}" for plug in plugs)]
    return "\n".join(head) + "\n" + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _daemon(plugs: list[Plug]) -> dict[str, Any]:
    by_role = {plug.role: _document(plug) for plug in plugs}
    source = by_role.get("source", {"kind": "microphone"})
    return {
        "bundles": [{"path": "digits"}],
        "sources": [source],
        "sinks": [by_role.get("sink", {"kind": "console"})],
        "until": "finished" if source["kind"] in _FINITE else "stopped",
    }


def _training(plug: Plug) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(_TRAINING))
    made = _document(plug)
    recognizer = document["recognizer"]
    if plug.role == "material":
        document["material"] = made
    elif plug.role != "feature":
        recognizer[plug.role] = made
    elif plug.kind == "mfcc":
        recognizer["features"][1] = made
    else:
        there = [each["kind"] for each in recognizer["features"]]
        place = there.index(plug.kind) if plug.kind in there else len(there)
        recognizer["features"][place : place + 1] = [made]
    return document


def _document(plug: Plug) -> dict[str, Any]:
    """Every key of a plug with its default, or a likely value where there is none."""
    fields = msgspec.structs.fields(plug.config)
    values = {
        field.encode_name: _VALUES[field.name]
        if field.required
        else msgspec.to_builtins(field.default_factory() if field.default is msgspec.NODEFAULT else field.default)
        for field in fields
    }
    if plug.kind == "csv":
        values["path"] = "sensor.csv"
    if plug.role == "source" and plug.kind in _SENSORS:
        values |= {"stream": "boiler", "rate": 100}
    return {"kind": plug.kind, **values}


def _sentence(plug: Plug) -> str:
    return " ".join((plug.config.__doc__ or "").split("\n\n")[0].split())
