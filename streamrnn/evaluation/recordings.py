"""Recordings with their labels, one by one or by the folder: headers are read at once, samples on demand."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from streamrnn import files
from streamrnn.channels import order_of
from streamrnn.chunk import Samples
from streamrnn.errors import RecordingError, StreamError
from streamrnn.evaluation.manifest import MANIFEST, NOISE, Mark, NoiseMark, Row, read_manifest, read_marks, read_noise
from streamrnn.evaluation.playable import Noise, Segment
from streamrnn.events import Channel
from streamrnn.files.sound import Header

# Names that data sets give to the samples that nobody has labelled.
_UNLABELLED = ("", "unlabelled", "unlabeled")


@dataclass(frozen=True, slots=True)
class Recording:
    """A labelled recording, or the cut `span` (start, end in samples) of a longer file; segments count from the cut.

    `group` is the speaker, subject or record, "" if unknown; `split` is "" if none is said. `labelled` says what the
    labels tell: of "events", outside of which is background, or of all "samples", outside of which nobody knows.
    `noises` says which parts were mixed with what, where a `noise.csv` does.
    """

    path: Path
    rate: int
    channels: int
    split: str
    group: str
    segments: tuple[Segment, ...]
    span: tuple[int, int]
    labelled: Literal["events", "samples"]
    noises: tuple[Noise, ...] = ()
    names: tuple[str, ...] = ()  # of its channels as they stand in the file, if it names them
    order: tuple[int, ...] = ()  # in which they are read, if another is wanted

    @property
    def length(self) -> int:
        """Its number of samples."""
        return self.span[1] - self.span[0]

    @property
    def seconds(self) -> float:
        """Its duration in seconds."""
        return self.length / self.rate

    def samples(self) -> Samples:
        """Its samples, read now: float32 `(time, channels)`. Raises RecordingError, also where one is not finite."""
        return self._ordered(files.read(self.path, *self.span))

    def blocks(self, length: int) -> Iterator[Samples]:
        """The same in blocks of at most `length` samples, so that an hour of sound never stands in memory."""
        return map(self._ordered, files.blocks(self.path, *self.span, length))

    def in_order(self, wanted: Sequence[Channel], taker: str) -> Recording:
        """The same with its channels as a recognizer takes them, by their names, if both have some.

        Raises RecordingError if they are not the same names.
        """
        if not wanted or not self.names:
            return self
        try:
            return replace(self, order=order_of(str(self.path), self.names, wanted, taker))
        except StreamError as error:
            raise RecordingError(str(error)) from None

    def _ordered(self, samples: Samples) -> Samples:
        return samples[:, list(self.order)] if self.order else samples


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A recording of a data folder that is not used, the reason, which names its path, and the names it should hold."""

    path: Path
    reason: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """What data folders hold: the recordings, and what was left out of them."""

    recordings: tuple[Recording, ...]
    left_out: tuple[LeftOut, ...]

    def in_order(self, wanted: Sequence[Channel], taker: str) -> Dataset:
        """The same with channels as a recognizer takes them, see Recording. Raises RecordingError."""
        return replace(self, recordings=tuple(each.in_order(wanted, taker) for each in self.recordings))


def read_audio(path: Path) -> tuple[Samples, int]:
    """The samples of a file, float32 `(time, channels)`, and its rate in Hz. Raises RecordingError, also for NaN."""
    recording = read_recording(path)
    return recording.samples(), recording.rate


def read_recording(path: Path) -> Recording:
    """A file without labels, of which only the header has been read. Raises RecordingError."""
    header = files.header(path)
    return Recording(path, header.rate, header.channels, "", "", (), (0, header.length), "events", names=header.names)


def read_folder(path: Path) -> list[Recording]:
    """The usable recordings of a data folder, see `read_data`."""
    return list(read_data([path]).recordings)


def read_data(paths: Sequence[Path]) -> Dataset:
    """The recordings of data folders, each with a `manifest.csv`, a folder per label or label tracks.

    A file that cannot be read is left out with its reason; a manifest that names a missing file, times that are not in
    the recording and a folder without any usable recording raise RecordingError.
    """
    recordings: list[Recording] = []
    left_out: list[LeftOut] = []
    for path in paths:
        if not path.is_dir():
            what = "not a folder" if path.exists() else "no such folder"
            raise RecordingError(f"{path}: {what}; give a folder of recordings")
        manifest = path / MANIFEST
        found = list(_from_manifest(manifest) if manifest.is_file() else _from_folder(path))
        if (path / NOISE).is_file():
            found = _under_noise(found, read_noise(path / NOISE), path)
        usable = [item for item in found if isinstance(item, Recording)]
        unusable = [item for item in found if isinstance(item, LeftOut)]
        if not usable:
            # Reasons name their files already.
            reason = unusable[0].reason if unusable else f"{path}: no recordings"
            raise RecordingError(f"{reason}; put a folder per label, label tracks or a {MANIFEST} into {path}")
        recordings += usable
        left_out += unusable
    return Dataset(tuple(recordings), tuple(left_out))


def _under_noise(found: list[Recording | LeftOut], marks: list[NoiseMark], folder: Path) -> list[Recording | LeftOut]:
    """The same with the noises that lie under them. Raises RecordingError for a line that belongs to none of them."""
    paths = {item.path for item in found}
    for mark in marks:
        if mark.path == folder and len(paths) > 1:
            raise RecordingError(f"{mark.where}: no path, and there are {len(paths)} recordings; say which in a column")
        if mark.path not in {*paths, folder}:
            raise RecordingError(f"{mark.where}: names {mark.path}, which is no recording here; mend the path")
    by_path: dict[Path, list[NoiseMark]] = {}
    for mark in marks:
        by_path.setdefault(mark.path, []).append(mark)
    return [
        _noisy(item, by_path.get(item.path, by_path.get(folder, []))) if isinstance(item, Recording) else item
        for item in found
    ]


def _noisy(recording: Recording, marks: list[NoiseMark]) -> Recording:
    """With the stretches of noise as far as they lie in the recording, which may be a cut of the file."""
    first, last = recording.span
    noises = []
    for mark in marks:
        end = last if mark.end is None else min(last, round(mark.end * recording.rate))
        start = max(first, round(mark.start * recording.rate))
        if start < end:
            noises.append(Noise(start - first, end - first, mark.noise, mark.snr_db))
    return replace(recording, noises=tuple(sorted(noises, key=lambda noise: noise.start)))


def _from_folder(folder: Path) -> Iterator[Recording | LeftOut]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            for inner in sorted(path.iterdir()):
                if not inner.name.startswith(".") and inner.suffix.lower() != ".txt":
                    yield _from_file(inner, [Mark(str(inner), path.name, 0.0, None)])
        elif path.suffix.lower() in files.SUFFIXES:
            yield _from_file(path, [])


def _from_file(path: Path, marks: list[Mark]) -> Recording | LeftOut:
    """A recording without a manifest: a label track beside it, or labels within it, say more than its folder's name."""
    try:
        header = files.header(path)
    except RecordingError as error:
        return LeftOut(path, str(error), tuple(mark.label for mark in marks))
    track = path.with_suffix(".txt")
    if track.is_file():
        marks = read_marks(track)
    elif not marks and not files.has_labels(path):
        return LeftOut(path, f"{path}: no label track {track.name} beside it")
    return _recording(path, header, marks, (0, header.length), split="", group="")


def _from_manifest(manifest: Path) -> Iterator[Recording | LeftOut]:
    by_path: dict[Path, list[Row]] = {}
    for row in read_manifest(manifest):
        by_path.setdefault(row.path, []).append(row)
    for path, rows in by_path.items():
        if not path.is_file():
            raise RecordingError(f"{rows[0].where}: names {path}, which is missing; restore it or take out the line")
        try:
            header = files.header(path)
        except RecordingError as error:
            yield LeftOut(path, str(error), tuple(row.mark.label for row in rows))
            continue
        cases = _cases(rows, header)
        whole = (0, header.length)
        for case in cases:
            stretches = [_segment(row.mark, header, whole) for row in case]
            span = (min(s.start for s in stretches), max(s.end for s in stretches)) if len(cases) > 1 else whole
            yield _from_rows(path, header, case, span)


def _cases(rows: list[Row], header: Header) -> list[list[Row]]:
    """The rows of one file, parted into recordings; mostly they are the segments of a single one.

    They are recordings of their own, laid one after another in a file, if a column `case` says so, if their splits
    differ, or if they fill the file without a gap and a label follows itself: in one recording that is one row.
    """
    if any(row.case for row in rows):
        return [[row for row in rows if row.case == case] for case in dict.fromkeys(row.case for row in rows)]
    stretches = [_segment(row.mark, header, (0, header.length)) for row in rows]
    ordered = sorted(stretches, key=lambda segment: segment.start)
    borders = [0, *(segment.start for segment in ordered[1:]), header.length]
    fills = borders[:-1] == [s.start for s in ordered] and borders[1:] == [s.end for s in ordered]
    repeats = any(before.label == after.label for before, after in itertools.pairwise(ordered))
    if len({row.split for row in rows}) > 1 or (fills and repeats):
        return [[row] for row in rows]
    return [rows]


def _from_rows(path: Path, header: Header, rows: list[Row], span: tuple[int, int]) -> Recording:
    marks: list[Mark] = []
    for row in rows:
        marks += read_marks(row.labels) if row.labels else [row.mark] if row.mark.label else []
    groups = {row.group for row in rows}
    group = rows[0].group if len(groups) == 1 else ""
    return _recording(path, header, marks, span, split=rows[0].split, group=group)


def _recording(
    path: Path, header: Header, marks: list[Mark], span: tuple[int, int], *, split: str, group: str
) -> Recording:
    by_sample = files.has_labels(path)
    segments: Iterable[Segment] = (_segment(mark, header, span) for mark in marks)
    if by_sample and not marks:
        segments = (Segment(*run) for run in files.label_runs(path))
    return Recording(
        path=path,
        rate=header.rate,
        channels=header.channels,
        split=split,
        group=group,
        segments=_joined(segment for segment in segments if segment.label.lower() not in _UNLABELLED),
        span=span,
        labelled="samples" if by_sample else "events",
        names=header.names,
    )


def _segment(mark: Mark, header: Header, span: tuple[int, int]) -> Segment:
    """Seconds of the file -> samples of the cut; an instant is the one sample that it falls on."""
    first, last = span
    start = round(mark.start * header.rate)
    end = last if mark.end is None else round(mark.end * header.rate)
    # Times are written with two digits after the point or so: the rounding of the last one is no mistake.
    allowed = 1 + header.rate // 100
    if start >= last or end > last + allowed or start < first - allowed:
        raise RecordingError(
            f"{mark.where}: {mark.start:g} to {end / header.rate:g} s lies outside of the recording, "
            f"{first / header.rate:g} to {last / header.rate:g} s; mend the times"
        )
    start, end = max(start, first), min(end, last)
    return Segment(start - first, max(end, start + 1) - first, mark.label, mark.source)


def _joined(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """In order of time, with overlaps of one label joined: two people who speak at once are one stretch of speech."""
    joined: list[Segment] = []
    latest: dict[str, int] = {}
    for segment in sorted(segments, key=lambda s: (s.start, s.end, s.label)):
        place = latest.get(segment.label)
        if place is not None and segment.start < joined[place].end:
            before = joined[place]
            joined[place] = replace(before, end=max(before.end, segment.end))
        else:
            latest[segment.label] = len(joined)
            joined.append(segment)
    return tuple(joined)
