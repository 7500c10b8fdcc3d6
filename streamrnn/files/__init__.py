"""Files of samples by their ending, sound, NPZ or CSV: what they say of themselves, and their samples, checked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from streamrnn.chunk import Samples
from streamrnn.errors import RecordingError
from streamrnn.files import arrays, sound
from streamrnn.files.sound import Header

SUFFIXES = (*sound.SUFFIXES, ".npz", ".csv")


def header(path: Path) -> Header:
    """Rate, channels and length of a file. Raises RecordingError."""
    suffix = path.suffix.lower()
    if suffix in sound.SUFFIXES:
        return sound.header(path)
    if suffix == ".npz":
        return arrays.npz_header(path)
    if suffix == ".csv":
        table = arrays.read_csv(path)
        return Header(table.rate, table.samples.shape[1], len(table.samples), table.names)
    raise RecordingError(f"{path}: {suffix or 'a name without ending'} is not read; give {', '.join(SUFFIXES)}")


def read(path: Path, start: int, end: int) -> Samples:
    """Samples `[start, end)` of a file, float32 `(time, channels)`. Raises RecordingError, also for NaN."""
    suffix = path.suffix.lower()
    if suffix in sound.SUFFIXES:
        samples = sound.read(path, start, end)
    elif suffix == ".npz":
        samples = arrays.read_npz(path, start, end)
    else:
        samples = arrays.read_csv(path).samples[start:end]
    wrong = ~np.isfinite(samples).all(axis=1)
    if wrong.any():
        place = int(np.argmax(wrong))
        value = samples[place][~np.isfinite(samples[place])][0]
        raise RecordingError(f"{path}: sample {start + place} is {value}; mend or cut out what is not a number")
    return samples


def blocks(path: Path, start: int, end: int, length: int) -> Iterator[Samples]:
    """The same in blocks of at most `length`: of sound, no more than one is in memory. Raises RecordingError."""
    if path.suffix.lower() in sound.SUFFIXES:
        for place in range(start, end, length):
            yield read(path, place, min(place + length, end))
    else:
        # Arrays and tables are not laid out to be read in pieces.
        samples = read(path, start, end)
        yield from (samples[place : place + length] for place in range(0, len(samples), length))


def has_labels(path: Path) -> bool:
    """Whether each sample of a file has a label of its own. Raises RecordingError."""
    return path.suffix.lower() not in sound.SUFFIXES and arrays.has_labels(path)


def label_runs(path: Path) -> Iterator[tuple[int, int, str]]:
    """The runs of equal labels of a file that labels each sample: start, end, label. Raises RecordingError."""
    is_npz = path.suffix.lower() == ".npz"
    labels = arrays.npz_labels(path) if is_npz else arrays.read_csv(path).labels
    start = 0
    for label, run in itertools.groupby(labels):
        end = start + sum(1 for _ in run)
        yield start, end, label
        start = end
