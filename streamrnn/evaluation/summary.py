"""The check before training: how much there is of each label in each split, and what looks wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamrnn.chunk import Samples
from streamrnn.errors import RecordingError
from streamrnn.evaluation.recordings import Dataset, LeftOut, Recording
from streamrnn.files import sound
from streamrnn.recognizer import BACKGROUND, RecognizerConfig, label_of

# More samples at full scale than this share is heard as distortion.
_CLIPPED_SHARE = 0.001
_FULL_SCALE = 0.999
# A recording that never rises above -60 dB of full scale holds no speech.
_SILENT_PEAK = 10 ** (-60 / 20)
_NAMED = 3


@dataclass(frozen=True, slots=True)
class LabelCount:
    """What there is of one label (as published, or "_..." of the data) in one split."""

    label: str
    split: str
    segments: int
    seconds: float
    groups: int  # speakers or subjects that are named


@dataclass(frozen=True, slots=True)
class Summary:
    """The table and the warnings; `usable` are the recordings whose samples can be read and go into training."""

    recordings: int
    seconds: float
    rates: tuple[tuple[int, int], ...]  # (rate in Hz, recordings)
    labels: tuple[LabelCount, ...]
    warnings: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    usable: tuple[Recording, ...]

    def lines(self) -> list[str]:
        """The summary as text for people, a line each."""
        rates = ", ".join(f"{count} at {rate} Hz" for rate, count in self.rates)
        lines = [f"{self.recordings} recordings, {_duration(self.seconds)} ({rates})"]
        rows = [("label", "split", "segments", "duration", "speakers")]
        for c in self.labels:
            row = (c.label, c.split or "-", str(c.segments), _duration(c.seconds), str(c.groups or "-"))
            rows.append(row)
        lines += _table(rows)
        lines += [f"warning: {warning}" for warning in self.warnings]
        lines += [f"left out: {left.reason}" for left in self.left_out]
        return lines


@dataclass(frozen=True, slots=True)
class _Look:
    """What one pass over the samples of a recording shows."""

    digest: bytes
    clipped: bool
    silent: bool


def summary(data: Dataset, config: RecognizerConfig) -> Summary:
    """Read every recording once and sum up. Raises RecordingError if none is usable for the recognizer."""
    left_out = list(data.left_out)
    looks: list[tuple[Recording, _Look]] = []
    for each in data.recordings:
        recording = each
        try:
            _check_channels(recording, config)
            recording = recording.in_order(config.inputs, config.name)
            looks.append((recording, _look(recording)))
        except RecordingError as error:
            labels = tuple(segment.label for segment in recording.segments)
            left_out.append(LeftOut(recording.path, str(error), labels))
    if not looks:
        raise RecordingError(left_out[0].reason if left_out else "no recordings; give a folder that holds some")
    usable = tuple(recording for recording, _ in looks)
    return Summary(
        recordings=len(usable),
        seconds=sum(recording.seconds for recording in usable),
        rates=tuple(sorted(Counter(recording.rate for recording in usable).items())),
        labels=_count(usable, config),
        warnings=tuple(_warnings(looks, config)),
        left_out=tuple(left_out),
        usable=usable,
    )


def check_left_out(looked_at: Summary, config: RecognizerConfig) -> None:
    """Raises RecordingError for a label of which all recordings were left out: nobody meant to do without it."""
    there = {count.label for count in looked_at.labels}
    for left in looked_at.left_out:
        for label in sorted({label_of(config, name) for name in left.labels} - {BACKGROUND, *there}):
            raise RecordingError(
                f"label {label!r}: all its recordings are left out, as {left.reason}; mend them or take the label out"
            )


def name_of(config: RecognizerConfig, name: str) -> str:
    """How a name of the data is counted: as its published label, as itself with '_' in front, else as background."""
    label = label_of(config, name)
    return name if label == BACKGROUND and name.startswith("_") else label


def unknown_names(recordings: Iterable[Recording], config: RecognizerConfig) -> Counter[str]:
    """Names in the data that are neither labels of the recognizer nor background by their '_'; with their counts."""
    names = Counter(segment.label for recording in recordings for segment in recording.segments)
    return Counter({name: count for name, count in names.items() if name_of(config, name) == BACKGROUND})


def _check_channels(recording: Recording, config: RecognizerConfig) -> None:
    # Any number of channels can be mixed into one, none can be made up.
    if config.channels not in (1, recording.channels):
        raise RecordingError(
            f"{recording.path}: {recording.channels} channels, the recognizer takes {config.channels}; set `channels`"
        )


def _look(recording: Recording) -> _Look:
    samples = recording.samples()
    digest = hashlib.sha256(samples.tobytes()).digest()
    if recording.path.suffix.lower() not in sound.SUFFIXES:
        return _Look(digest, clipped=False, silent=bool(np.ptp(samples, axis=0).max() == 0))
    return _Look(digest, clipped=_is_clipped(samples), silent=float(np.abs(samples).max()) < _SILENT_PEAK)


def _is_clipped(samples: Samples) -> bool:
    return float(np.mean(np.abs(samples) >= _FULL_SCALE)) > _CLIPPED_SHARE


def _count(recordings: Sequence[Recording], config: RecognizerConfig) -> tuple[LabelCount, ...]:
    segments: Counter[tuple[str, str]] = Counter()
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    for recording in recordings:
        for segment in recording.segments:
            key = name_of(config, segment.label), recording.split
            segments[key] += 1
            seconds[key] += (segment.end - segment.start) / recording.rate
            groups[key] |= {recording.group} - {""}
    order = {label: place for place, label in enumerate(config.labels)}
    keys = sorted(segments, key=lambda key: (order.get(key[0], len(order)), key))
    return tuple(LabelCount(*key, segments[key], seconds[key], len(groups[key])) for key in keys)


def _warnings(looks: Sequence[tuple[Recording, _Look]], config: RecognizerConfig) -> Iterable[str]:
    recordings = [recording for recording, _ in looks]
    names = {label_of(config, segment.label) for recording in recordings for segment in recording.segments}
    for label in config.labels:
        if label not in names:
            yield f"label {label!r} has no recording"
    unknown = unknown_names(recordings, config)
    if unknown:
        yield f"{_some(sorted(unknown))} are no labels of the recognizer and count as background"
    yield from _copies(looks)
    clipped = [recording.path for recording, look in looks if look.clipped]
    if clipped:
        yield f"{len(clipped)} recordings are clipped: {_some(clipped)}; record at a lower level"
    silent = [recording.path for recording, look in looks if look.silent]
    if silent:
        yield f"{len(silent)} recordings are silent: {_some(silent)}"
    yield from _shared_groups(recordings)
    # Below the recognizer's rate the upper band is empty, and a network may learn the recorder instead of the label.
    narrow = [recording.path for recording in recordings if recording.rate < config.rate]
    if narrow and len(narrow) < len(recordings):
        yield f"{len(narrow)} recordings have less than the recognizer's {config.rate} Hz: {_some(narrow)}"


def _copies(looks: Sequence[tuple[Recording, _Look]]) -> Iterable[str]:
    alike: dict[bytes, list[Recording]] = defaultdict(list)
    for recording, look in looks:
        alike[look.digest].append(recording)
    copies = [same for same in alike.values() if len(same) > 1]
    if copies:
        yield f"{len(copies)} recordings stand more than once: {_some([same[0].path for same in copies])}"
    split = [same[0].path for same in copies if len({recording.split for recording in same}) > 1]
    if split:
        yield f"{len(split)} recordings stand in two splits, which flatters the result: {_some(split)}"
    torn = [same[0].path for same in copies if len({_said(recording) for recording in same}) > 1]
    if torn:
        yield f"{len(torn)} recordings have different labels in two places: {_some(torn)}"


def _said(recording: Recording) -> tuple[str, ...]:
    return tuple(segment.label for segment in recording.segments)


def _shared_groups(recordings: Iterable[Recording]) -> Iterable[str]:
    splits: dict[str, set[str]] = defaultdict(set)
    for recording in recordings:
        if recording.group:
            splits[recording.group].add(recording.split or "-")
    shared = sorted(group for group, names in splits.items() if len(names) > 1)
    if shared:
        yield f"{_some(shared)} stand in several splits: the result says nothing of new speakers; see crossval"


def _some(names: Sequence[str | Path]) -> str:
    shown = ", ".join(str(name) for name in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns of text as wide as their widest cell, numbers at the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
