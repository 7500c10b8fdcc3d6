"""How well a bundle recognises labelled recordings.

  streamrnn eval digits --data recordings/ --split dev
  streamrnn eval digits.bundle --data recordings/ --json --report report/

A short recording of one word is a clip: it is right when it gives exactly one detection, of the right label, played
with half a second of silence before and after. In longer recordings words are matched one to one with what was
detected. Values stand with their 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "bundle", metavar="BUNDLE", help="a bundle file, or the name of a bundle that comes along: digits"
    )
    parser.add_argument(
        "--data", type=Path, action="append", required=True, metavar="DIR", help="a data folder; repeatable"
    )
    parser.add_argument("--split", default="", metavar="NAME", help="only recordings of this split, such as dev")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write report.json and report.html into it")
    parser.add_argument(
        "--chunk-ms", type=_positive, metavar="N", help="hand over N ms of each recording at a time; changes nothing"
    )


def run(arguments: argparse.Namespace) -> int:
    """Judge; the exit code."""
    from tqdm import tqdm

    from streamrnn import bundle, engine
    from streamrnn.evaluation.playing import BLOCK_S
    from streamrnn.evaluation.progress import Lines
    from streamrnn.evaluation.recordings import read_data
    from streamrnn.evaluation.report import lines, report
    from streamrnn.evaluation.run import check_labels, choose_split, evaluate

    serving = engine.serving(bundle.read(bundle.locate(arguments.bundle)))
    data = read_data(arguments.data)
    recordings = choose_split(data.recordings, arguments.split) if arguments.split else list(data.recordings)
    unknown = check_labels(recordings, serving.recognizer.config, arguments.data)
    if unknown:
        names = ", ".join(unknown)
        print(f"streamrnn eval: {names}: unknown to the bundle, must not be detected as anything", file=sys.stderr)
    chunk_s = arguments.chunk_ms / 1000 if arguments.chunk_ms else BLOCK_S
    # A bar is for terminals; elsewhere long work says in lines how far it is.
    count = len(recordings)
    in_terminal = sys.stderr.isatty()
    with tqdm(total=count, unit="recording", leave=False) if in_terminal else Lines(count, "recordings") as bar:
        result = evaluate(serving, recordings, chunk_s=chunk_s, ended=lambda recording: bar.update())
    document = report(result, serving, arguments.split, data.left_out)
    if arguments.report:
        _write(arguments.report, document)
    print(json.dumps(document, indent=1) if arguments.json else "\n".join(lines(document)))
    return 0


def _write(folder: Path, document: dict[str, object]) -> None:
    from streamrnn.errors import UserError
    from streamrnn.evaluation.page import page

    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (folder / "report.html").write_text(page(document), encoding="utf-8")
    except OSError as error:
        raise UserError(f"--report {folder}: {error.strerror or error}; choose another folder") from None


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: give milliseconds above 0")
    return value
