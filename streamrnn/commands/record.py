"""Record words from a microphone, one clip each, into a data folder that `streamrnn train --data` reads.

Speak when the meter is quiet; each word is cut out by its energy, written and played back.

Example:
  streamrnn record --label lights --count 10 --out recordings
  streamrnn record --label lights --count 10 --out recordings --from-file long-take.wav
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from streamrnn.errors import RecordingError, UserError

if TYPE_CHECKING:
    from streamrnn.chunk import Samples
    from streamrnn.sources import Source

_LEAST_HZ, _MOST_HZ = 1000, 384_000
_COLUMNS = ["path", "label", "speaker"]
_METER = 40  # characters of the level meter
_LOUDEST, _QUIETEST = 0.0, -60.0  # dB of full scale at its ends
_ECHO_S = 0.3  # how long a loudspeaker rings on


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is said, how often, where from and where to."""
    parser.add_argument("--label", required=True, help="what is said; begin it with _ for what must not be recognised")
    parser.add_argument("--count", type=int, default=10, help="clips to record; default %(default)s")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the data folder; clips are added to it")
    parser.add_argument("--speaker", default="", help="who speaks, so that training can tell speakers apart")
    parser.add_argument("--device", default="", help="(part of) the name of a microphone, see `streamrnn devices`")
    parser.add_argument("--rate", type=int, default=16000, help="in Hz, of microphone and raw PCM; default %(default)s")
    parser.add_argument("--from-file", metavar="FILE|-", help="cut a recording, or raw s16le PCM from standard input")
    parser.add_argument("--playback", choices=("on", "off"), default="on", help="play each clip; default %(default)s")


def run(arguments: argparse.Namespace) -> int:
    """Record until there are enough clips; 1 if the stream ended before that."""
    if arguments.count < 1:
        raise UserError(f"--count {arguments.count}: write 1 or more")
    if not _LEAST_HZ <= arguments.rate <= _MOST_HZ:
        raise UserError(f"--rate {arguments.rate}: write {_LEAST_HZ} to {_MOST_HZ} Hz")
    source = _source(arguments)
    clips = 0
    try:
        folder = _Folder(arguments.out, arguments.label, arguments.speaker)
        for samples, rate in _clips(source, arguments):
            path = folder.add(samples, rate)
            clips += 1
            print(f"{clips}/{arguments.count}  {len(samples) / rate:.2f} s  {path}", flush=True)
            if clips == arguments.count:
                break
    finally:
        source.stop()
        source.close()
    if clips < arguments.count:
        print(f"streamrnn record: the recording ended after {clips} of {arguments.count} clips", file=sys.stderr)
    return 0 if clips == arguments.count else 1


def _source(arguments: argparse.Namespace) -> Source:
    if arguments.from_file == "-":
        from streamrnn.sources.stdin import StdinConfig, StdinSource

        return StdinSource(StdinConfig(rate=arguments.rate))
    if arguments.from_file:
        from streamrnn.sources.wav import WavConfig, WavSource

        return WavSource(WavConfig(path=arguments.from_file, stream="file", pace="fastest"))
    from streamrnn.sources.microphone import MicrophoneConfig, MicrophoneSource

    return MicrophoneSource(MicrophoneConfig(device=arguments.device, rate=arguments.rate))


def _clips(source: Source, arguments: argparse.Namespace) -> Iterator[tuple[Samples, int]]:
    """The words of a source, with its rate in Hz. One that lost samples is cut at the gap."""
    from streamrnn.chunk import Chunk, Note, Opened
    from streamrnn.cutting import Cutter

    from_microphone = not arguments.from_file
    items = source.items()
    opened = next(items)
    assert isinstance(opened, Opened)
    cutter = Cutter(opened.rate)
    if from_microphone:
        print(f"{source.place}: say {arguments.label!r} {arguments.count} times, with a pause after each", flush=True)
    for item in items:
        if isinstance(item, Note):
            print(f"{source.place}: {item.state}: {item.text}", file=sys.stderr, flush=True)
            continue
        if isinstance(item, Chunk):
            ready = cutter.push(item.samples)
        else:
            ready, cutter = cutter.finish(), Cutter(opened.rate)
        if from_microphone:
            _show(cutter.level_db)
        for clip in ready:
            yield clip, opened.rate
            if from_microphone and arguments.playback == "on":
                cutter.ignore(_play(clip, opened.rate) + _ECHO_S)


def _play(clip: Samples, rate: int) -> float:
    """Play a clip; the seconds it took."""
    from streamrnn.sources.portaudio import play

    play(clip, rate)
    return len(clip) / rate


def _show(level_db: float) -> None:
    if sys.stderr.isatty():
        filled = round(_METER * (level_db - _QUIETEST) / (_LOUDEST - _QUIETEST))
        bar = "#" * max(0, min(_METER, filled))
        print(f"\r[{bar:<{_METER}}] {level_db:6.1f} dB ", end="", file=sys.stderr, flush=True)


class _Folder:
    """A data folder: clips in a folder per label, and a line for each in manifest.csv."""

    def __init__(self, root: Path, label: str, speaker: str) -> None:
        """Raises RecordingError if there is another kind of manifest, or the folder cannot be written."""
        from streamrnn.wire import as_name

        self._root, self._label, self._speaker = root, label, speaker
        self._name = ("_" if label.startswith("_") else "") + as_name(label)
        self._manifest = root / "manifest.csv"
        self._number = 0
        try:
            (root / self._name).mkdir(parents=True, exist_ok=True)
            if not self._manifest.exists():
                self._append(_COLUMNS)
            with self._manifest.open(newline="", encoding="utf-8") as file:
                self._columns = next(csv.reader(file), [])
        except OSError as error:
            raise RecordingError(f"{root}: {error.strerror or error}; choose another --out") from None
        if not {"path", "label"} <= set(self._columns):
            raise RecordingError(f"{self._manifest}: has no columns path and label; choose another --out")

    def add(self, samples: Samples, rate: int) -> Path:
        """Write a clip and its line. Raises RecordingError."""
        import soundfile

        path = self._free()
        values = {"path": path.relative_to(self._root).as_posix(), "label": self._label, "speaker": self._speaker}
        try:
            soundfile.write(str(path), samples, rate, subtype="PCM_16")
            self._append([values.get(column, "") for column in self._columns])
        except (OSError, soundfile.SoundFileError) as error:
            raise RecordingError(f"{path}: cannot be written ({error}); choose another --out") from None
        return path

    def _free(self) -> Path:
        while True:
            self._number += 1
            path = self._root / self._name / f"{self._name}-{self._number:04d}.wav"
            if not path.exists():
                return path

    def _append(self, row: list[str]) -> None:
        with self._manifest.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(row)
