"""The texts that describe recordings: `manifest.csv`, `noise.csv`, files of events, and Audacity label tracks."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from streamrnn.errors import RecordingError, did_you_mean

MANIFEST = "manifest.csv"
NOISE = "noise.csv"
_LONGEST_PART, _LONGEST_PATH = 255, 3000  # bytes of a name of a file, and of the whole of it, that systems take
# Whoever of these columns is filled says which recordings belong together: who spoke, wore the sensor, or which record.
GROUP_COLUMNS = ("speaker", "subject", "record", "group")


@dataclass(frozen=True, slots=True)
class Mark:
    """A label over a stretch of a recording, in seconds; `where` names its line for people; no `end` is the file's.

    `source` names the recording that the stretch was taken from, where one was composed of others; "" if nobody says.
    """

    where: str
    label: str
    start: float
    end: float | None
    source: str = ""


@dataclass(frozen=True, slots=True)
class NoiseMark:
    """What lies under a stretch of a recording: a noise, `snr_db` below the speech; infinity for none.

    `path` is the recording, or the manifest's folder where there is but one recording in it.
    """

    where: str
    path: Path
    start: float
    end: float | None
    noise: str
    snr_db: float


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a manifest: the recording, its split and group, the case it is of ("" none), the label and its stretch.

    `labels` is a file of further marks, or none; `placed` tells a label over a stretch from one over the whole file.
    """

    where: str
    path: Path
    mark: Mark
    placed: bool
    split: str
    group: str
    case: str
    labels: Path | None


def read_manifest(path: Path) -> list[Row]:
    """The lines of a `manifest.csv`; paths count from its folder or `data` in it. Raises RecordingError."""
    rows: list[Row] = []
    for where, line in _lines(path, ("path", "label")):
        if not line["path"]:
            raise RecordingError(f"{where}: no path; name the recording")
        if line.get("labels"):
            _check_name(where, line["labels"])
        rows.append(
            Row(
                where=where,
                path=_place(where, path.parent, line["path"]),
                mark=_mark(where, line),
                placed=bool(line.get("start") or line.get("end")),
                split=line.get("split", ""),
                group=next((line[column] for column in GROUP_COLUMNS if line.get(column)), ""),
                case=line.get("case", ""),
                labels=path.parent / line["labels"] if line.get("labels") else None,
            )
        )
    if not rows:
        raise RecordingError(f"{path}: a header and no rows; name the recordings in it")
    return rows


def read_marks(path: Path) -> list[Mark]:
    """The marks of an Audacity label track (.txt) or of a CSV with `start,end,label`. Raises RecordingError."""
    if path.suffix.lower() == ".txt":
        return _label_track(path)
    lines = _lines(path, ("start", "end", "label"))
    return [replace(_mark(where, line), source=line.get("source", "")) for where, line in lines]


def read_noise(path: Path) -> list[NoiseMark]:
    """The lines of a `noise.csv`: `start,end,noise,snr_db`, and `path` as in the manifest. Raises RecordingError."""
    marks = []
    for where, line in _lines(path, ("noise", "snr_db")):
        mark = _mark(where, line)
        # What is empty, or called so, is no noise: people write both.
        none = line["noise"].lower() in ("", "none")
        if none and line["snr_db"]:
            raise RecordingError(f"{where}: snr_db {line['snr_db']} under no noise; name the noise or leave it empty")
        snr_db = math.inf if none else _decibels(where, line["snr_db"])
        place = _place(where, path.parent, line["path"]) if line.get("path") else path.parent
        marks.append(NoiseMark(where, place, mark.start, mark.end, "" if none else line["noise"], snr_db))
    return marks


def _place(where: str, folder: Path, name: str) -> Path:
    _check_name(where, name)
    inner = folder / "data" / name
    return inner if inner.exists() and not (folder / name).exists() else folder / name


def _check_name(where: str, name: str) -> None:
    """Refuse what the system would not take for the name of a file. Raises RecordingError."""
    longest = max(len(part.encode(errors="replace")) for part in name.split("/"))
    if longest > _LONGEST_PART or len(name.encode(errors="replace")) > _LONGEST_PATH or "\0" in name:
        raise RecordingError(f"{where}: {name[:40]!r}... is no name of a file; mend it")


def _label_track(path: Path) -> list[Mark]:
    marks = []
    for number, text in enumerate(_text(path).splitlines(), start=1):
        # A line that begins with a backslash holds the frequencies of the mark before it.
        if not text.strip() or text.startswith("\\"):
            continue
        where = f"{path} line {number}"
        start, _, rest = text.partition("\t")
        end, tab, label = rest.partition("\t")
        if not tab or not label.strip():
            raise RecordingError(f"{where}: {text!r} is not start, end and label with tabs between; mend the line")
        marks.append(_mark(where, {"start": start, "end": end, "label": label.strip()}))
    return marks


def _mark(where: str, line: dict[str, str]) -> Mark:
    start = _seconds(where, "start", line.get("start") or "0")
    end = _seconds(where, "end", line["end"]) if line.get("end") else None
    if start < 0 or (end is not None and end < start):
        raise RecordingError(f"{where}: start {start:g} s, end {end} s; write 0 <= start <= end")
    return Mark(where, line.get("label", ""), start, end)


def _decibels(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= 200:
        raise RecordingError(f"{where}: snr_db is {text!r}; write decibels, as 10")
    return value


def _seconds(where: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:
        raise RecordingError(f"{where}: {column} is {text!r}; write seconds, as 1.25")
    return value


def _lines(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row of a CSV as column -> text, with its place for people; empty rows are left out."""
    reader = csv.reader(_text(path).splitlines(keepends=True))
    try:
        columns = [column.strip() for column in next(reader, [])]
        for column in needed:
            if column not in columns:
                raise RecordingError(f"{path}: no column {column!r}; {did_you_mean(column, filter(None, columns))}")
        for cells in reader:
            where = f"{path} line {reader.line_num}"
            if not any(cells):
                continue
            if len(cells) != len(columns):
                raise RecordingError(f"{where}: {len(cells)} values under {len(columns)} columns; mend the row")
            yield where, dict(zip(columns, (cell.strip() for cell in cells), strict=True))
    except csv.Error as error:
        raise RecordingError(f"{path} line {reader.line_num}: {error}; mend the row") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}; give a file of labels that is there") from None
    except UnicodeDecodeError:
        raise RecordingError(f"{path}: not UTF-8 text; save it as UTF-8") from None
