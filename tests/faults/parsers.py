"""Every parser of what comes from outside: how its inputs are made, and what it may raise."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import soundfile
from mutations import mutate, mutate_archive

from streamrnn import bundle, calls, config, files, ingest, journal, snapshot, wire
from streamrnn.daemon_config import DaemonConfig
from streamrnn.engine import Engine, serving
from streamrnn.errors import UserError
from streamrnn.evaluation import manifest
from streamrnn.evaluation.recordings import read_data
from streamrnn.events import BundleRef, Heard, Lost
from streamrnn.testing.signals import tone
from streamrnn.training.plan import TrainingConfig
from streamrnn.wire import Beat, Body, Bye, Hello, Message, Moment, Status

CONFIGS = Path(__file__).parents[2] / "configs"


@dataclass(frozen=True)
class Parser:
    """A name, how an input is made by chance, and how it is read: to a value, or to a UserError."""

    name: str
    make: Callable[[random.Random], bytes]
    read: Callable[[bytes], object]

    def survives(self, data: bytes) -> bool:
        """Whether the input was taken; any error but a UserError goes on its way."""
        try:
            self.read(data)
        except UserError as error:
            if not str(error).strip():
                raise RuntimeError("an error that says nothing") from error
            return False
        return True


def every(folder: Path, made: Path) -> list[Parser]:
    """All parsers; files lie in `folder`, `made` is a bundle."""
    return [*_messages(made), *_configs(folder), *_files(folder), *_texts(folder), _bundle(folder, made)]


def _mutated(seeds: Sequence[bytes]) -> Callable[[random.Random], bytes]:
    return lambda chance: mutate(chance, seeds)


def _messages(made: Path) -> list[Parser]:
    bodies: list[tuple[str, Body]] = [
        ("detection", Heard("low", 100, 200, 8000, 0.75)),
        ("gap", Lost(0, 800, 8000, "missing")),
        ("status", Status("opened", "8000 Hz")),
        ("heartbeat", Beat({"v1/gap/mic/tones/": 3})),
        ("hello", Hello("0.1.0", (BundleRef("tones", "5b"),), ("mic",), {})),
        ("bye", Bye("SIGTERM", {"v1/gap/mic/tones/": 3})),
    ]
    results = []
    for kind, body in bodies:
        message = Message(
            1, kind, "mic", BundleRef("tones", "5b"), "9f", 0, 3, Moment(1, 8000, 2, 3), "warm", 0, "", body
        )
        results.append(b"\n".join(wire.encode(message)))
    requests = [
        ingest.encode_header(ingest.Start("mic", 8000, 2, "int16", "7c1e", 4)) + b"\n",
        ingest.encode_header(ingest.Data("mic", 4, 3)) + b"\n" + bytes(12),
        ingest.encode_header(ingest.End("mic", 4)) + b"\n",
    ]
    answers = [
        ingest.encode_header(each)
        for each in (ingest.Credit("mic", 9), ingest.Error("size", "text", "mic"), ingest.End("mic"))
    ]
    call = msgspec.json.encode(calls.Call("a", "reset", {"stream": "mic"}, 500))
    replies = [
        msgspec.json.encode(calls.Done("a", {"x": 1})),
        msgspec.json.encode(calls.Failed(1, calls.Fault("c", "t"))),
    ]
    records = journal.MAGIC + b"".join(journal.encode(i, b'{"seq":%d}' % i) for i in range(3))
    memory = _remembered(made)
    return [
        Parser("wire.decode", _mutated(results), lambda data: wire.decode(data.split(b"\n", 1))),
        Parser("ingest.decode_request", _mutated(requests), _request),
        Parser("ingest.decode_answer", _mutated(answers), lambda data: ingest.decode_answer([data])),
        Parser("calls.decode_call", _mutated([call]), lambda data: (calls.decode_call([data]), calls.id_of([data]))),
        Parser("calls.decode_answer", _mutated(replies), lambda data: calls.decode_answer([data])),
        Parser("journal.scan", _mutated([records]), lambda data: list(journal.scan(data, []))),
        Parser("snapshot.decode", _mutated([memory]), snapshot.decode),
    ]


def _request(data: bytes) -> object:
    head, _, payload = data.partition(b"\n")
    header, payload = ingest.decode_request([head, payload])
    ingest.stream_of([head])
    return ingest.unpack(payload, header.n, 2, "int16") if isinstance(header, ingest.Data) else header


def _remembered(made: Path) -> bytes:
    """The memory of a stream in the middle of a word."""
    engine = Engine([serving(bundle.read(made))])
    engine.open("mic", 8000, 1)
    engine.push("mic", 400, tone(340.0, 0.1, 8000))
    engine.run()
    return snapshot.encode(engine.snapshot("mic"))


def _configs(folder: Path) -> list[Parser]:
    daemons = [path.read_bytes() for path in sorted(CONFIGS.glob("daemon*.yaml"))]
    plans = [path.read_bytes() for path in sorted(CONFIGS.glob("*.yaml")) if not path.name.startswith("daemon")]
    path = folder / "config.yaml"
    return [
        Parser("config of a daemon", _mutated(daemons), _from(path, lambda path: config.load(path, DaemonConfig))),
        Parser("config of a training", _mutated(plans), _from(path, lambda path: config.load(path, TrainingConfig))),
    ]


def _files(folder: Path) -> list[Parser]:
    samples = tone(440.0, 0.05, 8000)[:, 0]
    parsers = []
    for suffix, variants in (
        ("wav", (("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAVEX", "PCM_24"))),
        ("flac", (("FLAC", "PCM_16"),)),
        ("ogg", (("OGG", "VORBIS"),)),
    ):
        seeds = []
        for kind, subtype in variants:
            memory = io.BytesIO()
            soundfile.write(memory, samples, 8000, format=kind, subtype=subtype)
            seeds.append(memory.getvalue())
        parsers.append(Parser(suffix, _mutated(seeds), _from(folder / f"a.{suffix}", _play)))
    memory = io.BytesIO()
    np.savez(memory, x=np.stack([samples, samples], 1), fs=np.array(50), y=np.zeros(len(samples), np.int64))
    npz = memory.getvalue()
    tables = [
        b"time,x,y,label\n" + b"".join(b"%.2f,%d,0.5,walk\n" % (i / 50, i) for i in range(20)),
        b"timestamp,x\n" + b"".join(b"2024-01-01T00:00:%02d.5,%d\n" % (i, i) for i in range(20)),
    ]
    parsers.append(Parser("npz", lambda chance: mutate_archive(chance, [npz]), _from(folder / "a.npz", _play)))
    parsers.append(Parser("csv", _mutated(tables), _from(folder / "a.csv", _play)))
    return parsers


def _play(path: Path) -> object:
    """All that is read of a recording: header, labels, samples."""
    header = files.header(path)
    if files.has_labels(path):
        list(files.label_runs(path))
    return [block.shape for block in files.blocks(path, 0, header.length, 1 << 16)]


def _texts(folder: Path) -> list[Parser]:
    track = b"0.5\t1.25\tlow\n\\\t100.0\t2000.0\n1.5\t1.5\thigh\n"
    table = b"start,end,label,source\n0.5,1.25,low,a.wav\n2,,high,\n"
    rows = b"path,label,speaker,split,start,end,case\na.wav,low,ann,train,0,0.01,\na.wav,high,ann,dev,0.02,0.04,1\n"
    noise = b"path,start,end,noise,snr_db\na.wav,0,1,street,10\na.wav,1,2,,\n"
    data = folder / "data"
    data.mkdir(exist_ok=True)
    soundfile.write(data / "a.wav", tone(440.0, 0.1, 8000), 8000)
    return [
        Parser("label track", _mutated([track]), _from(folder / "a.txt", manifest.read_marks)),
        Parser("csv of events", _mutated([table]), _from(folder / "events.csv", manifest.read_marks)),
        Parser("noise.csv", _mutated([noise]), _from(folder / "noise.csv", manifest.read_noise)),
        Parser("manifest.csv", _mutated([rows]), _from(data / "manifest.csv", lambda path: read_data([path.parent]))),
    ]


def _bundle(folder: Path, made: Path) -> Parser:
    seed = made.read_bytes()
    return Parser(
        "bundle",
        lambda chance: mutate_archive(chance, [seed], "bundle.json"),
        _from(folder / "a.bundle", bundle.read),
    )


def _from(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Reads an input as a file."""

    def written(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return written
