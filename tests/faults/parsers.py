"""Every parser of what comes from outside: messages, conversations, sensors and configs here, files beside it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from mutations import mutate
from parsers_of_files import of_bundles, of_labels, of_recordings, of_what_is_kept
from parsing import Parser
from structures import mutate_json, mutate_lines, mutate_message, mutate_msgpack, mutate_yaml

from streamrnn import bundle, calls, config, ingest, snapshot, wire
from streamrnn.chunk import Item
from streamrnn.client.ledger import Hole, Ledger
from streamrnn.client.recovery import Recovery
from streamrnn.daemon_config import DaemonConfig
from streamrnn.engine import Engine, serving
from streamrnn.errors import UserError
from streamrnn.events import BundleRef, Heard, Lost
from streamrnn.service import Service
from streamrnn.sources import readings
from streamrnn.sources.stdin import StdinConfig, StdinSource
from streamrnn.sources.zeromq import ZeromqConfig, ZeromqSource
from streamrnn.testing.signals import tone
from streamrnn.training.plan import TrainingConfig
from streamrnn.wire import Beat, Body, Bye, Hello, Message, Moment, Status

CONFIGS = Path(__file__).parents[2] / "configs"
_TONES = BundleRef("tones", "5b")


@contextlib.contextmanager
def every(folder: Path, made: Path) -> Iterator[list[Parser]]:
    """All parsers; files lie in `folder`, `made` is a bundle. What they have open is closed in the end."""
    with contextlib.ExitStack() as stack:
        yield _every(folder, made, stack)


def _every(folder: Path, made: Path, stack: contextlib.ExitStack) -> list[Parser]:
    remembered = _remembered(made)
    results = [wire.encode(each) for each in _messages()]
    return [
        *_of_messages(results, remembered),
        *_of_control(results, stack),
        Parser("ingest, whole", [_CONVERSATION], mutate_json, _Ingest(stack)),
        *_of_sensors(),
        *_of_configs(folder),
        *of_recordings(folder),
        *of_labels(folder),
        *of_what_is_kept(folder, remembered, [text for _, text in results]),
        *of_bundles(folder, made),
    ]


def _messages() -> list[Message]:
    bodies: list[tuple[str, Body]] = [
        ("detection", Heard("low", 100, 200, 8000, 0.75)),
        ("gap", Lost(0, 800, 8000, "missing")),
        ("status", Status("opened", "8000 Hz")),
        ("heartbeat", Beat({"v1/gap/mic/tones/": 3})),
        ("hello", Hello("0.1.0", (_TONES,), ("mic",), {})),
        ("bye", Bye("SIGTERM", {"v1/gap/mic/tones/": 3})),
    ]
    at = Moment(1, 8000, 2, 3)
    return [Message(1, kind, "mic", _TONES, "9f", 0, 3, at, "warm", 0, "", body) for kind, body in bodies]


def _of_messages(results: list[list[bytes]], remembered: bytes) -> list[Parser]:
    requests = [
        ingest.encode_header(ingest.Start("mic", 8000, 2, "int16", "7c1e", 4)) + b"\n",
        ingest.encode_header(ingest.Data("mic", 4, 3)) + b"\n" + bytes(12),
        ingest.encode_header(ingest.End("mic", 4)) + b"\n",
    ]
    answers: list[ingest.Answer] = [ingest.Credit("mic", 9), ingest.Error("size", "text", "mic"), ingest.End("mic")]
    call = msgspec.json.encode(calls.Call("a", "reset", {"stream": "mic"}, 500))
    replies: list[calls.Answer] = [calls.Done("a", {"x": 1}), calls.Failed(1, calls.Fault("c", "t"))]
    return [
        Parser("wire.decode", [b"\n".join(each) for each in results], mutate_message, _subscribe),
        Parser("ingest.decode_request", requests, mutate_lines(mutate_json, mutate), _request),
        Parser(
            "ingest.decode_answer",
            [ingest.encode_header(each) for each in answers],
            mutate_json,
            lambda data: ingest.decode_answer([data]),
        ),
        Parser("calls.decode_call", [call], mutate_json, lambda data: (calls.id_of([data]), calls.decode_call([data]))),
        Parser(
            "calls.decode_answer",
            [msgspec.json.encode(each) for each in replies],
            mutate_json,
            lambda data: calls.decode_answer([data]),
        ),
        Parser("snapshot.decode", [remembered], mutate_msgpack, snapshot.decode),
    ]


def _subscribe(data: bytes) -> object:
    """A message as a subscriber takes it: read, and counted after a hello that names its topics."""
    message = wire.decode(data.split(b"\n", 1))
    ledger = Ledger([wire.PREFIX])
    return [ledger.follow(each) for each in (message, *_messages()[-2:], message)]


def _request(data: bytes) -> object:
    head, _, payload = data.partition(b"\n")
    ingest.stream_of([head])
    header, payload = ingest.decode_request([head, payload])
    return ingest.unpack(payload, header.n, 2, "int16") if isinstance(header, ingest.Data) else header


def _remembered(made: Path) -> bytes:
    """The memory of a stream in the middle of a word."""
    engine = Engine([serving(bundle.read(made))])
    engine.open("mic", 8000, 1)
    engine.push("mic", 400, tone(340.0, 0.1, 8000))
    engine.run()
    return snapshot.encode(engine.snapshot("mic"))


def _of_control(results: list[list[bytes]], stack: contextlib.ExitStack) -> list[Parser]:
    """Calls of every method that a daemon has, with their params; a replay is looked up, and its answer read."""
    document = {
        "bundles": [{"path": "nowhere.bundle"}],
        "sources": [{"kind": "zeromq", "endpoint": "tcp://127.0.0.1:*"}],
        "sinks": [{"kind": "console"}],
    }
    service = Service(config.convert(document, DaemonConfig))
    stack.callback(_end, service)
    history, control = service.history, service.control
    history.open("9f")
    for message, parts in zip(_messages(), results, strict=True):
        history.publish(message, parts)
    every_role = frozenset(("read", "ingest", "admin"))
    params: dict[str, dict[str, Any]] = {
        "replay": {"topics": ["v1/"], "run": "9f", "after": {"v1/gap/mic/tones/": 1}, "to": {}, "from": 0, "limit": 9},
        "snapshot": {"topics": ["v1/"], "from": 0},
        "source_add": {"source": {"kind": "zeromq", "endpoint": "tcp://127.0.0.1:5561"}},
        "log_level": {"level": "info"},
    }
    methods = control._methods
    requests = [json.dumps({"id": i, "method": name, "params": params.get(name, {"stream": "mic"})}).encode()
                for i, name in enumerate(methods)]  # fmt: skip

    def request(data: bytes) -> object:
        job = control._job([], [data], every_role)
        return job.method.do(job.params) if job.call.method in ("replay", "snapshot", "history", "methods") else job

    page = history.replay(msgspec.convert(params["replay"], control._methods["replay"].params))
    answer = msgspec.json.encode(calls.Done("a", page))
    return [
        Parser("control request", requests, mutate_json, request),
        Parser("replay request", [requests[list(methods).index("replay")]], mutate_json, request),
        Parser("answer of replay", [answer], mutate_json, _recover),
    ]


def _end(service: Service) -> None:
    """A daemon that is refused at its start gives back all that it has."""
    with contextlib.suppress(UserError):
        service.startup()


class _Answering:
    """Stands where a client's connection does: whatever is asked, the daemon has answered this."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def call(self, method: str, timeout: float, **params: Any) -> Any:
        answer = calls.decode_answer([self.data])
        if isinstance(answer, calls.Failed):
            raise calls.CallError(answer.error.code, answer.error.text)
        return answer.ok

    def close(self) -> None:
        """Nothing is open."""


def _recover(data: bytes) -> object:
    recovery = Recovery("tcp://127.0.0.1:1", "off", ["v1/"], "")
    recovery._control = _Answering(data)  # type: ignore[assignment]
    return list(recovery.fill([Hole("9f", "v1/gap/mic/tones/", 1, 5)]))


# Who says it, the header, and how many bytes of payload.
_CONVERSATION = json.dumps(
    [
        ["a", {"type": "start", "stream": "mic", "rate": 8000, "channels": 1, "run": "7c"}, 0],
        ["a", {"type": "data", "stream": "mic", "start": 0, "n": 100}, 200],
        ["a", {"type": "data", "stream": "mic", "start": 300, "n": 50}, 100],
        ["b", {"type": "start", "stream": "mic", "rate": 8000, "channels": 1, "run": "7c"}, 0],
        ["b", {"type": "data", "stream": "mic", "start": 100, "n": 200}, 400],
        ["b", {"type": "end", "stream": "mic", "total": 300}, 0],
    ]
).encode()


class _Ingest:
    """The ingest of a daemon, told what clients say in turn; everything is taken by an engine that is at hand."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._source = ZeromqSource(ZeromqConfig(endpoint="tcp://127.0.0.1:*", same_stream="newest"))
        stack.callback(self._source.close)

    def __call__(self, data: bytes) -> int:
        source = self._source
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            said = [["a", {}, 0]]
        items = 0
        for each in said[:20] if isinstance(said, list) else []:
            who, header, size = each if isinstance(each, list) and len(each) == 3 else ("a", each, 0)
            payload = bytes(min(size, 100_000)) if isinstance(size, int) and size > 0 else b""
            parts = [json.dumps(header).encode(), payload]
            burst: list[Item] = []
            source._handle(str(who).encode(errors="replace") or b"a", parts, burst)
            for item in burst:
                source.taken(item)
            items += len(burst)
            source._answer()
        for left in (source._clients, source._leaving, source._ended, source._owed, source._told):
            left.clear()
        return items


def _of_sensors() -> list[Parser]:
    lines = [b"1.5,2.5,-3\n4;5;6\r\n 7 8 9e-3\n", b"1,2,3\n"]
    objects = [b'{"x": 1.5, "y": -2, "z": 3}', b'[{"x": 1, "y": 2, "z": 3}, {"x": 4, "y": 5, "z": 6}]', b"[1, 2, 3]"]
    raw = [bytes(64), b"\0\x80\xff\x7f" * 9 + b"\1"]
    return [
        Parser("lines of a serial port", lines, mutate, _serial),
        Parser("mqtt, json", objects, mutate_json, lambda data: readings.of_json(data, 3, ("x", "y", "z"))),
        Parser("mqtt, csv", lines, mutate, lambda data: readings.of_csv(data, 3, ())),
        Parser("standard input", raw, mutate, _pipe),
    ]


def _serial(data: bytes) -> object:
    return [readings.reading([readings.of_line(line, 3)], 3) for line in data.split(b"\n")]


def _pipe(data: bytes) -> object:
    """Raw PCM through a pipe, of two channels."""
    reading, writing = os.pipe()
    with open(reading, "rb") as there, contextlib.ExitStack() as stack:
        os.write(writing, data[:60_000])
        os.close(writing)
        stack.callback(setattr, sys, "stdin", sys.stdin)
        sys.stdin = there  # type: ignore[assignment]
        return len(list(StdinSource(StdinConfig(rate=8000, channels=2)).items()))


_YAML = (
    b"a: [1, -2.5, 1e-3, true, null, ~]\nb: {c: 'd', \"e\": f}\n",
    b"- &a x: 1\n  y: |\n    text\n- *a\n- {}\n",
    b"# c\na:\n  b: >-\n    folded\n  c: !!str 5\n? k\n: v\n",
)
_DAEMONS = (
    b"bundles: [{path: digits, name: a, decoder: {enter: 0.6}}]\n"
    b"sources:\n  - {kind: microphone, device: '', stream: m}\n  - {kind: zeromq, endpoint: 'tcp://127.0.0.1:5561'}\n"
    b"sinks:\n  - {kind: zeromq, endpoint: 'tcp://127.0.0.1:5560'}\n",
    b"bundles:\n  - path: digits\nsources:\n  - kind: serial\n    device: /dev/ttyUSB0\n    stream: s\n    rate: 100\n"
    b"sinks: [{kind: console}, {kind: jsonl, path: a}]\nuntil: finished\n",
    b"bundles: [{path: x.bundle}]\nshadows: [{path: y.bundle}]\n"
    b"sources: [{kind: mqtt, topic: a/b, stream: q, rate: 5}]\n"
    b"sinks: [{kind: mqtt}, {kind: command, argv: [cat]}]\nhealth: {endpoint: 'http://127.0.0.1:9464'}\n"
    b"state: {directory: s}\nhistory: {messages: 9, journal: j}\nclips: {directory: c}\nlog: {format: json}\n",
)
_TRAININGS = (
    b"recognizer:\n  name: a\n  rate: 8000\n  labels: {yes: [y], no: []}\n"
    b"  features: [{kind: frame}, {kind: log_mel}]\n  model: {kind: gru}\n  head: {kind: classes}\n"
    b"  decoder: {kind: hysteresis, enter: 0.5}\nmaterial: {kind: words}\ntraining: {steps: 10}\n",
    b"recognizer:\n  name: b\n  rate: 50\n  channels: 3\n  labels: {walk: []}\n"
    b"  features: [{kind: frame, hop_ms: 20}]\n  model: {kind: lstm}\n  head: {kind: per_frame}\n"
    b"  decoder: {kind: segments}\nmaterial: {kind: whole}\n",
)


def _of_configs(folder: Path) -> list[Parser]:
    """YAML, and what it says; files of both as a command reads them, which takes long and is done less often."""
    path = folder / "config.yaml"

    def document(cls: type[Any]) -> Callable[[bytes], object]:
        return lambda data: config.convert(_parsed(data), cls)

    def whole(data: bytes) -> object:
        path.write_bytes(data)
        return config.load(path, DaemonConfig)

    return [
        Parser("YAML", _YAML, mutate_yaml, lambda data: config.parse_yaml(data.decode(errors="replace"))),
        Parser("config of a daemon", _documents(_DAEMONS), mutate_json, document(DaemonConfig)),
        Parser("config of a training", _documents(_TRAININGS), mutate_json, document(TrainingConfig)),
        Parser("config file", _DAEMONS, mutate_yaml, whole),
    ]


def _documents(texts: Sequence[bytes]) -> list[bytes]:
    return [json.dumps(config.parse_yaml(text.decode())).encode() for text in texts]


def _parsed(data: bytes) -> Any:
    """A document as `parse_yaml` gives it, without the scanner of YAML, which takes most of a load."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
