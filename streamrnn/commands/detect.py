"""What a bundle hears in recordings, by the same engine as the daemon.

  streamrnn detect digits talk.wav
  streamrnn detect digits.bundle a.flac b.flac --json

Any sample rate will do; more channels than the bundle takes are mixed down to one. With --json each line is an event
with its file, label, score, and start and end in samples of the file at `rate` Hz.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from streamrnn.commands import add_budget
from streamrnn.events import Alarm, Event, Forecast, Lost
from streamrnn.sinks.console import blame
from streamrnn.wire import as_name

if TYPE_CHECKING:
    from streamrnn.detector import Detector
    from streamrnn.evaluation.recordings import Recording

_BLOCK_S = 10  # seconds of a file that are in memory at once


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "bundle", metavar="BUNDLE", help="a bundle file, or the name of one that comes along: digits, voice, wakeword"
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="WAV, FLAC, OGG, NPZ (x, fs) or CSV")
    add_budget(parser)
    parser.add_argument("--json", action="store_true", help="print JSON lines, one an event")


def run(arguments: argparse.Namespace) -> int:
    """Print the events of each file; the exit code."""
    from tqdm import tqdm

    from streamrnn import bundle, engine
    from streamrnn.detector import Detector
    from streamrnn.evaluation.playing import check_channels
    from streamrnn.evaluation.recordings import read_recording

    read = bundle.with_budget(bundle.read(bundle.locate(arguments.bundle)), arguments.max_false_accepts_per_hour)
    serving = engine.serving(read)
    inputs = serving.recognizer.config.inputs
    recordings = [read_recording(path).in_order(inputs, serving.name) for path in arguments.files]
    for recording in recordings:
        check_channels(serving, recording)
    for recording in recordings:
        if len(recordings) > 1 and not arguments.json:
            print(f"{recording.path}:")
        heard = 0
        # The bar is for terminals: None leaves it out elsewhere. What is printed goes around it.
        with tqdm(total=recording.length, unit="samples", leave=False, disable=None) as bar:
            for event in _events(Detector(serving), recording, bar.update):
                tqdm.write(_json(recording.path, event) if arguments.json else _line(event))
                heard += 1
        if not heard and not arguments.json:
            print("nothing heard")
    return 0


def _events(detector: Detector, recording: Recording, read: Callable[[int], object]) -> Iterator[Event]:
    """The events of a file as it is read from disk; `read` is told how many samples each block had."""
    stream = detector.stream(recording.rate, recording.channels, as_name(recording.path.stem))
    for block in recording.blocks(_BLOCK_S * recording.rate):
        yield from stream.push(block)
        read(len(block))
    yield from stream.finish()


def _line(event: Event) -> str:
    body = event.body
    if isinstance(body, Lost):
        return f"{body.start / body.rate:9.2f} {body.end / body.rate:9.2f} s  gap: {body.reason}"
    said = "forecast" if isinstance(body, Forecast) else f"{body.score:.2f}"
    why = f"  {blame(body)}" if isinstance(body, Alarm) else ""
    return f"{body.start / body.rate:9.2f} {body.end / body.rate:9.2f} s  {body.label}  {said}{why}"


def _json(path: Path, event: Event) -> str:
    document = msgspec.to_builtins(event)
    return json.dumps({"file": str(path), **document.pop("body"), **document})
