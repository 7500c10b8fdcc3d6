"""Sensor files: NPZ with `x` and `fs`, CSV with a header and a time column first; both may carry a label a sample."""

from __future__ import annotations

import csv
import sys
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.chunk import Samples, Times
from streamrnn.errors import RecordingError
from streamrnn.files.sound import HIGHEST_RATE, Header
from streamrnn.instants import nanoseconds

TIME_COLUMNS = ("time", "timestamp")
LABEL_COLUMN = "label"
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_ROUNDED = 1e-6  # a rate that was reckoned as 1 / 0.02 is off by less, as a share of it
_OFF = 0.1  # clocks that drift and times that are rounded are off by less, as a share of the rate


@dataclass(frozen=True, slots=True)
class Table:
    """A sensor CSV: rate in Hz, samples `(time, channels)` float32 and a label a row, "" where none is said.

    `step_s` is how many seconds lie between rows; where that is more than one, as between dates, rows are counted.
    `names` are those of the columns of values.
    """

    rate: int
    samples: Samples
    labels: tuple[str, ...]
    step_s: float
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a sensor CSV, as they stand: samples `(time, channels)`, and of each when it was, in seconds."""

    path: Path
    samples: Samples
    seconds: NDArray[np.float64]
    written: tuple[str, ...]
    labels: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def dates(self) -> bool:
        """Whether the times are dates."""
        return not _is_number(self.written[0])

    def times(self, unit: str) -> Times:
        """The same in nanoseconds, where numbers are of a unit. Raises RecordingError."""
        try:
            return np.array([_nanoseconds(each, unit) for each in self.written], np.int64)
        except ValueError as error:
            raise RecordingError(f"{self.path}: {error}; count from another moment") from None

    def rate(self, times: Times) -> int:
        """That of most steps from row to row. Raises RecordingError if it is near no whole number."""
        steps = np.diff(times) / 1e9
        return _rate(self.path, float(np.median(steps[steps > 0]))) if (steps > 0).any() else 1


def npz_header(path: Path) -> Header:
    """Rate, channels and length of an NPZ from the headers of its arrays. Raises RecordingError."""
    shape = _npz_shape(path, "x")
    length, channels = (shape[0], 1) if len(shape) == 1 else shape
    if not length or not channels:
        raise RecordingError(f"{path}: x has shape {shape} and so no samples; take the file out")
    fs = _npz_array(path, "fs")
    if fs.dtype.kind not in "iuf":
        raise RecordingError(f"{path}: fs is of type {fs.dtype}; store a number of Hz")
    if fs.size != 1:
        raise RecordingError(f"{path}: fs holds {fs.size} numbers; store one, in Hz")
    rate = float(fs.reshape(-1)[0])
    if not 1 <= rate <= HIGHEST_RATE or abs(rate - round(rate)) > _ROUNDED * rate:
        raise RecordingError(
            f"{path}: fs is {rate}; it must be a whole number of Hz from 1 to {HIGHEST_RATE}; resample the data"
        )
    return Header(round(rate), channels, length)


def read_npz(path: Path, start: int, end: int) -> Samples:
    """Samples `[start, end)` of the array `x` as float32 `(time, channels)`. Raises RecordingError."""
    x = _npz_array(path, "x")[start:end]
    if x.dtype.kind not in "biuf":
        raise RecordingError(f"{path}: x is of type {x.dtype}; store numbers")
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and found where it is checked
        samples = x.astype(np.float32)
    return samples.reshape(len(samples), -1)


def has_labels(path: Path) -> bool:
    """Whether each sample of a sensor file has a label of its own: `y` in an NPZ, a `label` column in a CSV."""
    if path.suffix.lower() == ".npz":
        return "y.npy" in _members(path)
    return LABEL_COLUMN in _columns(path)


def npz_labels(path: Path) -> tuple[str, ...]:
    """The label of each sample: ids `y`, named by a `classes.csv` beside the file. Raises RecordingError."""
    y = _npz_array(path, "y").reshape(-1)
    length = _npz_shape(path, "x")[0]
    if len(y) != length:
        raise RecordingError(f"{path}: y has {len(y)} labels for {length} samples; give one a sample")
    classes = path.parent / "classes.csv"
    names = _class_names(classes) if classes.is_file() else {}
    return tuple(names.get(str(value), str(value)) for value in y.tolist())


def read_csv(path: Path, declared: int = 0) -> Table:
    """A CSV whose first column is `time` or `timestamp`, in seconds or ISO 8601. Raises RecordingError.

    The rate is the `declared` one, or that of most steps from row to row, which must be near a whole number. Dates that
    are more than a second apart, the rows of days or years, are counted instead: the rate is 1, a second is a row.
    """
    rows = read_rows(path)
    step = _step(path, rows.seconds)
    rate = declared or (1 if rows.dates and step > 1.0 else _rate(path, step))
    return Table(rate, rows.samples, rows.labels, step, rows.names)


def read_rows(path: Path) -> Rows:
    """A CSV whose first column is `time` or `timestamp`, a number or ISO 8601. Raises RecordingError."""
    columns, rows = _columns(path), _rows(path)
    if columns[0] not in TIME_COLUMNS:
        raise RecordingError(f"{path}: the first column is {columns[0]!r}; put `time` (seconds) or `timestamp` first")
    places = [i for i, name in enumerate(columns) if i and name != LABEL_COLUMN]
    if not places:
        raise RecordingError(f"{path}: no column of values beside {', '.join(columns)}; add at least one")
    label_place = columns.index(LABEL_COLUMN) if LABEL_COLUMN in columns else -1
    times: list[float] = []
    written: list[str] = []
    values: list[list[float]] = []
    labels: list[str] = []
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(row) != len(columns):
            raise RecordingError(f"{path} line {line}: {len(row)} values under {len(columns)} columns; mend the row")
        try:
            times.append(_seconds(row[0]))
            values.append([float(row[place]) for place in places])
        except ValueError:
            raise RecordingError(f"{path} line {line}: {','.join(row)!r} is not all numbers; mend the row") from None
        written.append(row[0].strip())
        labels.append(row[label_place].strip() if label_place >= 0 else "")
    if not values:
        raise RecordingError(f"{path}: a header and no rows; take the file out")
    names = tuple(columns[place] for place in places)
    return Rows(path, np.array(values, dtype=np.float32), np.array(times), tuple(written), tuple(labels), names)


def npz_times(path: Path, unit: str) -> Times:
    """The time of each sample of an NPZ: its array `t`, in a unit. Raises RecordingError."""
    if "t.npy" not in _members(path):
        raise RecordingError(f"{path}: no array 't', and a grid needs times; store t (time,) or take out `grid`")
    t = _npz_array(path, "t").reshape(-1)
    length = _npz_shape(path, "x")[0]
    if len(t) != length or t.dtype.kind not in "iuf":
        raise RecordingError(
            f"{path}: t has {len(t)} times of type {t.dtype} for {length} samples; store a number each"
        )
    try:
        return np.array([nanoseconds(each, unit) for each in t.tolist()], np.int64)
    except ValueError as error:
        raise RecordingError(f"{path}: t: {error}; mend the times") from None


def _npz_shape(path: Path, name: str) -> tuple[int, ...]:
    _require(path, name)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            version = np.lib.format.read_magic(member)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, _ = reader(member)
    except Exception as error:  # zipfile, zlib, tokenize and numpy have errors of their own for what is damaged
        raise RecordingError(f"{path}: {name} is no array ({_line(error)}); store it with numpy.savez") from None
    if len(shape) not in (1, 2):
        raise RecordingError(f"{path}: {name} has shape {shape}; it must be (time, channels)")
    return shape


def _npz_array(path: Path, name: str) -> NDArray[Any]:
    _require(path, name)
    try:
        with np.load(path, allow_pickle=False) as archive:
            array: NDArray[Any] = archive[name]
            if not isinstance(array, np.ndarray):  # numpy gives the bytes of what has another beginning
                raise ValueError("its beginning is not that of an array")
    except Exception as error:
        raise RecordingError(f"{path}: {name} cannot be read ({_line(error)}); store it with numpy.savez") from None
    if not array.size:
        raise RecordingError(f"{path}: {name} is empty; store it with numpy.savez")
    return array


def _require(path: Path, name: str) -> None:
    members = _members(path)
    if f"{name}.npy" not in members:
        known = ", ".join(member.removesuffix(".npy") for member in members) or "nothing"
        raise RecordingError(f"{path}: no array {name!r} (it holds {known}); store x (time, channels) and fs (Hz)")


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}; give the path of a recording") from None
    except (zipfile.BadZipFile, NotImplementedError):  # or of a version of ZIP that nobody has written yet
        raise RecordingError(f"{path}: not an NPZ file; store x and fs with numpy.savez") from None


def _class_names(path: Path) -> dict[str, str]:
    columns = _columns(path)
    if columns[:2] != ["label_id", "label"]:
        raise RecordingError(f"{path}: columns {', '.join(columns)}; write label_id,label")
    return {row[0]: row[1] for row in _rows(path) if len(row) >= 2}


def _columns(path: Path) -> list[str]:
    return [name.strip() for name in _csv(path, 0, 1)[0]]


def _rows(path: Path) -> list[list[str]]:
    return _csv(path, 1, sys.maxsize)


def _csv(path: Path, first: int, last: int) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(islice(csv.reader(file), first, last))
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}; give the path of a recording") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise RecordingError(f"{path}: not CSV in UTF-8 ({_line(error)}); export it again") from None
    if not first and not (rows and rows[0]):
        raise RecordingError(f"{path}: {'its first line is ' if rows else ''}empty; write a header and rows")
    return rows


def _nanoseconds(text: str, unit: str) -> int:
    """Raises ValueError."""
    if _is_number(text):
        return nanoseconds(text, unit)
    return nanoseconds((_moment(text) - _1970) // timedelta(microseconds=1), "us")


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return _moment(text).timestamp()


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.strip())
    # Local time would jump with daylight saving, and differ from machine to machine.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _rate(path: Path, step: float) -> int:
    rate = 1.0 / step
    whole = round(rate)
    if whole < 1 or abs(rate - whole) > _OFF * whole:
        raise RecordingError(
            f"{path}: rows every {step:.4g} s are {rate:.4g} a second, no whole number; resample them, or "
            "count them: write 0, 1, 2, ... under `time`, and a second is a row"
        )
    return whole


def _step(path: Path, times: NDArray[np.float64]) -> float:
    """Seconds from row to row, pauses apart. Raises RecordingError where the time does not grow."""
    if len(times) < 2:
        return 1.0
    steps = np.diff(times)
    wrong = ~(steps > 0)
    # A clock may be set back once in a while, as it is for winter; a time that does not grow at all is another column.
    if np.mean(wrong) > 0.01:
        raise RecordingError(f"{path} line {int(np.argmax(wrong)) + 3}: the time does not grow; sort the rows")
    steps = steps[~wrong]
    # Rounded times jitter, which evens out in a mean, and pauses do not: what is no pause tells the rate.
    return float(np.mean(steps[steps <= 3.0 * np.median(steps)]))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
