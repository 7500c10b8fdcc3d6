"""Hears the event of a clip again: from what was remembered before it, its samples, and the bundle that told of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from streamrnn import bundle, disk, files, resampling, snapshot, wire
from streamrnn.bundle import Bundle
from streamrnn.chunk import Samples
from streamrnn.clips.clip import MAGIC, RECORD, SCHEMA, STATE, Memory, Record, digest
from streamrnn.config import Role, convert
from streamrnn.engine import Engine, Serving, serving
from streamrnn.errors import BundleError, ConfigError, RecordingError, StreamError, plain
from streamrnn.events import Event, Heard, same
from streamrnn.files import lossless
from streamrnn.registry import PlugConfig
from streamrnn.snapshot import ListenerMemory, Snapshot

_LARGEST_RECORD = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Evidence:
    """A clip with its state, read and found whole: `samples` `(time, channels)` go on where the snapshot ends."""

    record: Path
    told: Event
    end: int  # sample just past the last
    samples: Samples
    snapshot: Snapshot
    listener: ListenerMemory
    bundle: str  # where the daemon has read it from; "" if nobody knows


def read(path: Path) -> Evidence:
    """A clip by the path of any of its files. Raises RecordingError where there is none, or it is not whole."""
    if path.suffix in (STATE, *lossless.SUFFIXES):
        path = path.with_suffix(RECORD)
    text = _contents(path, _LARGEST_RECORD)
    try:
        record = msgspec.json.decode(text, type=Record)
        message = wire.read(bytes(record.event))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, wire.WireError) as error:
        raise RecordingError(f"{path}: no record of a clip: {plain(error)}; give the .json of one") from None
    body = message.body
    if record.v != SCHEMA or not isinstance(body, Heard):
        raise RecordingError(f"{path}: record {record.v} of a {message.kind}, this reads {SCHEMA} of events")
    if not record.state:
        raise RecordingError(f"{path}: no state was kept with it; set clips.state_every_s in the daemon's config")
    for name in (record.state, record.file):
        if Path(name).name != name or Path(name).stem != path.stem:
            raise RecordingError(f"{path}: {name!r} is no file of this clip; it was renamed or altered")
    memory = _memory(path.with_name(record.state))
    sound = path.with_name(record.file)
    for each, contents, wanted in ((path, text, memory.record), (sound, _contents(sound), memory.samples)):
        if digest(contents) != wanted:
            raise RecordingError(f"{each}: truncated or altered since it was written; nothing can be told from it")
    try:
        taken = snapshot.decode(memory.snapshot)
        samples = files.read(sound, taken.expected - record.first, record.end - record.first)
        heard_by = (message.bundle.name, message.bundle.sha)
        (listener,) = [each for each in taken.listeners if (each.bundle, each.sha) == heard_by]
    except (StreamError, ValueError) as error:
        raise RecordingError(f"{path}: its state does not fit it: {plain(error)}") from None
    told = Event(
        message.kind, message.stream, message.bundle, message.epoch, message.t.sample, record.rate, message.readiness,
        message.id, body,
    )  # fmt: skip
    return Evidence(path, told, record.end, samples, taken, listener, memory.bundle)


def serve(evidence: Evidence, there: Bundle, backend: str) -> Serving:
    """The bundle as it told the event, by its name and decoder then. Raises BundleError if it is another bundle."""
    told = evidence.told.bundle
    if there.sha != told.sha:
        raise BundleError(
            f"{there.path}: is bundle {there.sha[:12]}, and the event was told by {told.name} {told.sha[:12]}; "
            "give that one with --bundle"
        )
    try:
        settings = msgspec.json.decode(evidence.listener.decoder)
        decoder = convert(settings, Annotated[PlugConfig, Role("decoder")], "decoder")
        config = msgspec.structs.replace(there.recognizer.config, name=told.name, decoder=decoder)
        recognizer = msgspec.structs.replace(there.recognizer, config=config)
        made = serving(dataclasses.replace(there, recognizer=recognizer), backend)
    except (ConfigError, msgspec.MsgspecError) as error:
        raise BundleError(f"{evidence.record}: its decoder is none of this version: {plain(error)}") from None
    if made.made != evidence.listener.decoder:
        raise BundleError(f"{evidence.record}: the decoder that told it has other settings in this version")
    return made


def hear(evidence: Evidence, served: Serving) -> list[Event]:
    """What is told of the samples from where the snapshot was taken. Raises StreamError if it does not fit."""
    taken, told = evidence.snapshot, evidence.told
    engine = Engine([served])
    if taken.start == taken.expected:
        engine.open(told.stream, taken.rate, taken.channels, epoch=told.epoch, start=taken.expected)
    else:
        engine.restore(taken)
    if len(evidence.samples):
        engine.push(told.stream, taken.expected, evidence.samples)
    heard = engine.run()
    delay = resampling.delay(taken.rate, served.recognizer.rate)
    if not again(told, heard) and evidence.end <= told.sample + delay:
        # It was told when its samples ended, by the zeros that bring out what is held back.
        engine.finish(told.stream)
        heard += engine.run()
    return heard


def again(told: Event, heard: list[Event]) -> list[Event]:
    """Those of what was heard that are the same event as the one that was told."""
    return [each for each in heard if same(each, told)]


def locate(evidence: Evidence, named: str) -> Bundle:
    """The bundle that a user `named`, or if that is "" the one that the daemon had. Raises BundleError."""
    if not named and not evidence.bundle:
        raise BundleError(f"{evidence.record}: does not say where its bundle is; give it with --bundle")
    return bundle.read(bundle.locate(named or evidence.bundle))


def _memory(path: Path) -> Memory:
    try:
        memory = msgspec.msgpack.decode(disk.unseal(MAGIC, _contents(path)), type=Memory)
    except (ValueError, msgspec.MsgspecError) as error:
        raise RecordingError(f"{path}: {plain(error)}; without it the event cannot be heard again") from None
    if memory.v != SCHEMA:
        raise RecordingError(f"{path}: state {memory.v}, this reads {SCHEMA}; use the daemon's version")
    return memory


def _contents(path: Path, most: int = 1 << 30) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise RecordingError(
            f"{path}: {error.strerror or error}; give the .json of a clip with its other files"
        ) from None
    if len(data) > most:
        raise RecordingError(f"{path}: larger than {most} bytes; give the .json of a clip")
    return data
