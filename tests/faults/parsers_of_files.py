"""Parsers of files: recordings, tables of labels, bundles, and what a daemon keeps: journal, state, keys."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import soundfile
import zmq
from mutations import mutate, mutate_archive
from parsing import Parser
from structures import mutate_bundle, mutate_journal, mutate_keys, mutate_ogg, mutate_state

from streamrnn import bundle, files, journal, snapshot, statefile
from streamrnn.errors import DeviceError
from streamrnn.evaluation import manifest
from streamrnn.evaluation.recordings import read_data
from streamrnn.security import keys
from streamrnn.testing.signals import tone


def of_recordings(folder: Path) -> list[Parser]:
    """Sound, NPZ and CSV: header, labels and samples."""
    samples = tone(440.0, 0.05, 8000)[:, 0]
    parsers = []
    for suffix, how, variants in (
        ("wav", mutate, (("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAVEX", "PCM_24"))),
        ("flac", mutate, (("FLAC", "PCM_16"),)),
        ("ogg", mutate_ogg, (("OGG", "VORBIS"),)),
    ):
        seeds = []
        for kind, subtype in variants:
            memory = io.BytesIO()
            soundfile.write(memory, samples, 8000, format=kind, subtype=subtype)
            seeds.append(memory.getvalue())
        parsers.append(Parser(suffix, seeds, how, _from(folder / f"a.{suffix}", _play)))
    memory = io.BytesIO()
    np.savez(memory, x=np.stack([samples, samples], 1), fs=np.array(50), y=np.zeros(len(samples), np.int64))
    npz = memory.getvalue()
    tables = [
        b"time,x,y,label\n" + b"".join(b"%.2f,%d,0.5,walk\n" % (i / 50, i) for i in range(20)),
        b"timestamp,x\n" + b"".join(b"2024-01-01T00:00:%02d.5,%d\n" % (i, i) for i in range(20)),
    ]
    parsers.append(Parser("npz", [npz], mutate_archive, _from(folder / "a.npz", _play)))
    parsers.append(Parser("csv", tables, mutate, _from(folder / "a.csv", _play)))
    return parsers


def _play(path: Path) -> object:
    """All that is read of a recording: header, labels, samples."""
    header = files.header(path)
    if files.has_labels(path):
        list(files.label_runs(path))
    return [block.shape for block in files.blocks(path, 0, header.length, 1 << 16)]


def of_labels(folder: Path) -> list[Parser]:
    """Label tracks, tables of events and noise, manifests."""
    track = b"0.5\t1.25\tlow\n\\\t100.0\t2000.0\n1.5\t1.5\thigh\n"
    table = b"start,end,label,source\n0.5,1.25,low,a.wav\n2,,high,\n"
    rows = b"path,label,speaker,split,start,end,case\na.wav,low,ann,train,0,0.01,\na.wav,high,ann,dev,0.02,0.04,1\n"
    noise = b"path,start,end,noise,snr_db\na.wav,0,1,street,10\na.wav,1,2,,\n"
    data = folder / "data"
    data.mkdir(exist_ok=True)
    soundfile.write(data / "a.wav", tone(440.0, 0.1, 8000), 8000)
    return [
        Parser("label track", [track], mutate, _from(folder / "a.txt", manifest.read_marks)),
        Parser("csv of events", [table], mutate, _from(folder / "events.csv", manifest.read_marks)),
        Parser("noise.csv", [noise], mutate, _from(folder / "noise.csv", manifest.read_noise)),
        Parser("manifest.csv", [rows], mutate, _from(data / "manifest.csv", lambda path: read_data([path.parent]))),
    ]


def of_bundles(folder: Path, made: Path) -> list[Parser]:
    """A bundle, wholly read; one of little golden audio and no graph to speak of: what is in them is not read here."""
    there = bundle.read(made)
    golden = bundle.Golden(there.golden.samples[: 4 * there.recognizer.hop], there.golden.posteriors[:4])
    contents = replace(bundle.measured(there, there.det), golden=golden, graph=there.graph[:64])
    small = bundle.write(folder / "small.bundle", contents).path
    return [Parser("bundle", [small.read_bytes()], mutate_bundle, _from(folder / "a.bundle", bundle.read))]


def of_what_is_kept(folder: Path, remembered: bytes, results: list[bytes]) -> list[Parser]:
    """Journal, state and keys, as a daemon opens them at its start."""
    records = journal.MAGIC + b"".join(journal.encode(i, text) for i, text in enumerate(results, start=1))
    small = journal.MAGIC + b"".join(journal.encode(i, b'{"seq":%d}' % i) for i in range(3))
    where = folder / "journal"
    where.mkdir(exist_ok=True)
    segment = where / journal.Segment(1, "9f", 1).name
    kept = statefile.Kept(3, {"mic": statefile.KeptStream("7c", remembered)})
    rest = msgspec.msgpack.encode(kept)
    state = statefile.MAGIC + hashlib.sha256(rest).digest() + rest
    return [
        Parser("journal.scan", [small, records], mutate_journal, lambda data: list(journal.scan(data, []))),
        Parser("journal's folder", [small, records], mutate_journal, _from(segment, _reopen)),
        Parser("state file", [state], mutate_state, _from(folder / "state" / statefile.NAME, _remember)),
        *_keys(folder / "keys"),
    ]


def _reopen(segment: Path) -> int:
    """A journal is mended and read."""
    opened = journal.Journal(segment.parent, "9f", 1 << 20)
    try:
        return sum(len(record.payload) for record in opened.records("9f"))
    finally:
        opened.close()


def _remember(path: Path) -> int:
    """A state file is opened, told if it is damaged, and its streams are read."""
    opened = statefile.StateFile(statefile.StateConfig(str(path.parent)))
    try:
        kept = opened.open()
        if opened.trouble:
            raise DeviceError(opened.trouble)
        return len([snapshot.decode(each.snapshot) for each in kept.streams.values()])
    finally:
        opened.close()


def _keys(folder: Path) -> list[Parser]:
    public, secret = zmq.curve_keypair()
    other, _ = zmq.curve_keypair()
    folder.mkdir(0o700, exist_ok=True)
    lines = b'public-key = "%s"', b'secret-key = "%s"', b'server-key = "%s"'
    pair = b'# Secret\nmetadata\n    name = "a"\ncurve\n    ' + b"\n    ".join(lines) % (public, secret, other) + b"\n"
    allowed = b"# who\nread,ingest %s ann\nadmin %s bob\n" % (public, other)
    return [
        Parser("certificate", [pair], mutate_keys, _from(folder / "a.key_secret", keys.load_client)),
        Parser(
            "allowed", [allowed], mutate_keys, _from(folder / "allowed", lambda path: keys.read_allowed(path.parent))
        ),
    ]


def _from(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Reads an input as a file."""

    path.parent.mkdir(0o700, exist_ok=True)

    def written(data: bytes) -> object:
        # Anew each time, for its owner alone: what is read of a key's file is its mode as well.
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(data)
        return read(path)

    return written
