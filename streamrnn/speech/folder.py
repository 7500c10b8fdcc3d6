"""A data folder of speech: recordings in a folder per label and manifest.csv, whole or not there at all."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import soundfile

from streamrnn.errors import SpeechError
from streamrnn.speech.espeak import Samples
from streamrnn.wire import as_name

_COLUMNS = ("path", "label", "speaker", "split", "text", "engine")


@dataclass(frozen=True, slots=True)
class Said:
    """What is known of a recording: its label, the voice, the split, the text in English letters, and the engine."""

    label: str
    speaker: str
    split: str
    text: str
    engine: str


@dataclass
class Folder:
    """A folder that comes to be at `place` when the block ends without a mistake; until then it lies beside it."""

    place: Path
    rate: int
    _numbers: dict[str, int] = field(default_factory=dict)
    _rows: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def _beside(self) -> Path:
        return self.place.with_name(f".{self.place.name}.making")

    def __enter__(self) -> Folder:
        """Raises SpeechError if something is at the place already, or it cannot be written to."""
        if self.place.exists() and not (self.place.is_dir() and not any(self.place.iterdir())):
            raise SpeechError(f"--out {self.place}: is there already and not empty; choose another, or take it away")
        try:
            shutil.rmtree(self._beside, ignore_errors=True)
            self._beside.mkdir(parents=True)
        except OSError as error:
            raise self._unwritable(error) from None
        return self

    def add(self, samples: Samples, said: Said) -> None:
        """Write a recording (time,). Raises SpeechError."""
        name = ("_" if said.label.startswith("_") else "") + as_name(said.label)
        number = self._numbers[name] = self._numbers.get(name, 0) + 1
        path = Path(name) / f"{name}-{number:05d}.wav"
        try:
            (self._beside / name).mkdir(exist_ok=True)
            soundfile.write(str(self._beside / path), samples, self.rate, subtype="PCM_16")
        except (OSError, soundfile.SoundFileError) as error:
            raise self._unwritable(error) from None
        self._rows.append((path.as_posix(), said.label, said.speaker, said.split, said.text, said.engine))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with (self._beside / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
                    csv.writer(file, lineterminator="\n").writerows([_COLUMNS, *self._rows])
                self._beside.replace(self.place)
        except OSError as failed:
            raise self._unwritable(failed) from None
        finally:
            shutil.rmtree(self._beside, ignore_errors=True)

    def _unwritable(self, error: Exception) -> SpeechError:
        return SpeechError(f"--out {self.place}: {getattr(error, 'strerror', None) or error}; choose another folder")
