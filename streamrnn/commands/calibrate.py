"""Measure what each threshold costs, so that a budget of false accepts an hour can be asked for instead of one.

  streamrnn calibrate words.bundle --data recordings/ --data talk/
  streamrnn calibrate digits --data recordings/ --split dev --hours 48 --out mine.bundle

Hours of audio are composed of the recordings: words at random places among negatives, whose labels begin with '_' or
are unknown to the bundle, under noise (`_noise...`) and in rooms (`_impulse_response`). The table says what it costs to
keep a budget, and the bundle carries it from then on. Recordings that the bundle was trained on flatter it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle file, which is written again, or a shipped one")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, metavar="DIR", help="a data folder; repeatable"
    )
    parser.add_argument("--split", default="", metavar="NAME", help="only recordings of this split, and of none")
    parser.add_argument("--hours", type=_hours, default=24.0, metavar="H", help="hours to compose; default %(default)g")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what is composed; default %(default)s")
    parser.add_argument("--out", type=Path, metavar="BUNDLE", help="write here instead")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Compose, hear, count, write; the exit code."""
    import msgspec
    from tqdm import tqdm

    from streamrnn import bundle
    from streamrnn.errors import ConfigError
    from streamrnn.evaluation.calibrating import Calibration, calibrate, in_split, lines, promises
    from streamrnn.evaluation.recordings import read_data
    from streamrnn.evaluation.run import check_labels

    if arguments.seed < 0:
        raise ConfigError(f"--seed {arguments.seed}: at least 0")
    path = bundle.locate(arguments.bundle)
    out = arguments.out or path
    if not arguments.out and path != Path(arguments.bundle):
        raise ConfigError(f"{arguments.bundle}: is shipped and stays as it is; add --out BUNDLE")
    read = bundle.read(path)
    data = read_data(arguments.data).in_order(read.recognizer.config.inputs, read.recognizer.name)
    recordings = in_split(data.recordings, arguments.split)
    unknown = check_labels(recordings, read.recognizer.config, arguments.data)
    if unknown:
        names = ", ".join(unknown)
        print(f"streamrnn calibrate: {names}: unknown to the bundle, taken as negatives", file=sys.stderr)
    calibration = Calibration(recordings, tuple(arguments.data), arguments.hours, arguments.seed)
    # The bar is for terminals: None leaves it out elsewhere.
    with tqdm(unit="s", leave=False, disable=None, bar_format="{percentage:3.0f} % {bar} {remaining} left") as bar:

        def heard(seconds: float, total: float) -> None:
            bar.total = total
            bar.update(seconds)

        det = calibrate(read, calibration, heard)
    bundle.write(out, bundle.measured(read, det))
    if arguments.json:
        print(json.dumps({"bundle": str(out), "det": msgspec.to_builtins(det), "budgets": promises(det)}, indent=1))
    else:
        print("\n".join([*lines(det), f"written to {out}"]))
    return 0


def _hours(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e4:
        raise argparse.ArgumentTypeError(f"{text!r}: give hours above 0")
    return value
