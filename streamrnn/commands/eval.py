"""How well a bundle recognises labelled recordings.

  streamrnn eval digits --data recordings/ --split dev
  streamrnn eval digits.bundle --data recordings/ --json --report report/
  streamrnn eval words.bundle --data recordings/ --data talk/ --hours 8 --max-false-accepts-per-hour 0.5
  streamrnn eval words.bundle --data recordings/ --data talk/ --hours 24 --beside resets
  streamrnn eval new.bundle --data recordings/ --against old.bundle
  streamrnn eval activity.bundle --data walks/ --windows 128 --hop 64

A short recording of one word is a clip: it is right when it gives exactly one detection, of the right label, played
with half a second of silence before and after. In longer recordings words are matched one to one with what was
detected. Values stand with their 95 % interval. Some recordings are played a second time in odd chunks: were there
other events, the exit code would be 1. With --hours one stream of so many is composed of the recordings, words among
negatives, whose labels begin with '_', and judged hour by hour: recall, false accepts and the norm of the hidden state,
the last hour against the first, and whether all hours together rise or fall.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamrnn.commands import add_budget

if TYPE_CHECKING:
    from streamrnn.engine import Serving
    from streamrnn.evaluation.composing import Composed
    from streamrnn.evaluation.playable import Playable
    from streamrnn.evaluation.recordings import Recording
    from streamrnn.evaluation.run import Result

_BAR = "{percentage:3.0f} % {bar} {remaining} left"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "bundle", metavar="BUNDLE", help="a bundle file, or the name of one that comes along: digits, voice, wakeword"
    )
    parser.add_argument(
        "--data", type=Path, action="append", required=True, metavar="DIR", help="a data folder; repeatable"
    )
    parser.add_argument("--split", default="", metavar="NAME", help="only recordings of this split, such as dev")
    add_budget(parser)
    parser.add_argument("--hours", type=_positive, metavar="H", help="judge a stream of H hours composed of the data")
    parser.add_argument(
        "--beside",
        choices=["resets"],
        help="of --hours: play them once more, with a fresh state before every utterance",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what is composed; default %(default)s")
    parser.add_argument("--against", metavar="BUNDLE", help="another bundle: the difference, and whether it is chance")
    parser.add_argument(
        "--windows",
        type=_samples,
        metavar="N",
        help="judge windows of N samples of one label by the frame that ends them",
    )
    parser.add_argument(
        "--hop", type=_samples, metavar="N", help="of --windows: one every N samples; default half a window"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write report.json and report.html into it")
    parser.add_argument(
        "--chunk-ms", type=_positive, metavar="N", help="hand over N ms of each recording at a time; changes nothing"
    )


def run(arguments: argparse.Namespace) -> int:
    """Judge; the exit code."""
    from tqdm import tqdm

    from streamrnn import bundle, engine
    from streamrnn.evaluation import comparing, gallery, hours
    from streamrnn.evaluation.calibrating import in_split
    from streamrnn.evaluation.invariance import compare_chunks
    from streamrnn.evaluation.playing import BLOCK_S
    from streamrnn.evaluation.progress import Lines
    from streamrnn.evaluation.recordings import read_data
    from streamrnn.evaluation.report import lines, report
    from streamrnn.evaluation.run import choose_split, evaluate

    read = bundle.with_budget(bundle.read(bundle.locate(arguments.bundle)), arguments.max_false_accepts_per_hour)
    serving = engine.serving(read)
    data = read_data(arguments.data).in_order(serving.recognizer.config.inputs, serving.name)
    recordings = choose_split(data.recordings, arguments.split) if arguments.split else list(data.recordings)
    _tell_negatives(recordings, serving, arguments.data)
    composed = _composed(arguments, in_split(data.recordings, arguments.split), serving) if arguments.hours else []
    judged: list[Playable] = [*composed] or [*recordings]
    chunk_s = arguments.chunk_ms / 1000 if arguments.chunk_ms else BLOCK_S
    total = sum(each.seconds for each in judged)
    # A bar is for terminals; elsewhere long work says in lines how far it is.
    in_terminal = sys.stderr.isatty()
    with tqdm(total=total, leave=False, bar_format=_BAR) if in_terminal else Lines(total, "s") as bar:

        def ended(each: Playable) -> None:
            if each.labelled == "samples":  # of the others every second is told
                bar.update(each.seconds)

        result = evaluate(serving, judged, chunk_s=chunk_s, ended=ended, heard_s=bar.update)
    invariance = compare_chunks(serving, judged)
    document = report(result, serving, arguments.split, data.left_out, det=read.det, invariance=invariance)
    written = lines(document)
    more, told = _measures(arguments, serving, result, judged, data.recordings)
    document |= more
    written += told
    if composed:
        carried = result.streams[0]
        document |= hours.judged(carried, composed[0], arguments.data) | hours.kept(carried, read)
        if arguments.beside:
            other = hours.PROTOCOLS[arguments.beside](serving, composed[0], lambda seconds: None)
            document |= hours.beside(arguments.beside, carried, other, serving)
        written += hours.lines(document)
    if arguments.against:
        against = engine.serving(bundle.read(bundle.locate(arguments.against)))
        theirs = evaluate(against, judged, chunk_s=chunk_s)
        document["against"] = comparing.compare(result, theirs, against)
        written += comparing.lines(document["against"])
    if arguments.report:
        document["gallery"] = gallery.drawn(serving, result)
        _write(arguments.report, document)
        written.append(f"  to read in a browser: {arguments.report / 'report.html'}")
    print(json.dumps(document, indent=1) if arguments.json else "\n".join(written))
    return 1 if invariance.difference else 0


def _measures(
    arguments: argparse.Namespace,
    serving: Serving,
    result: Result,
    judged: Sequence[Playable],
    whole: Sequence[Recording],
) -> tuple[dict[str, Any], list[str]]:
    """What is asked for, and what a bundle that forecasts has beside: for the document, and in lines."""
    from streamrnn.evaluation import alarming, forecasts, windows

    document: dict[str, Any] = {}
    told: list[str] = []
    if arguments.windows:
        cut = windows.Windows(arguments.windows, arguments.hop or -(-arguments.windows // 2))
        document |= windows.judged(serving, judged, cut)
        told += windows.lines(document)
    if serving.recognizer.forecasts:
        document["forecast"] = forecasts.document(serving, judged, whole)
        document["alarms"] = alarming.judged(result.streams + result.words)
        told += forecasts.lines(document["forecast"]) + alarming.lines(document["alarms"])
    return document, told


def _tell_negatives(recordings: Sequence[Recording], serving: Serving, folders: Sequence[Path]) -> None:
    """On standard error: what of the data the bundle must not detect as anything, where its labels do not say so."""
    from streamrnn.evaluation.run import check_labels, said_in

    config = serving.recognizer.config
    unknown = check_labels(recordings, config, folders)
    if unknown:
        names = ", ".join(unknown)
        print(f"streamrnn eval: {names}: unknown to the bundle, must not be detected as anything", file=sys.stderr)
    if not any(said_in(recording, config) for recording in recordings):
        where = ", ".join(map(str, folders))
        told = "has no label of the bundle: all of it is judged as what must not be detected"
        print(f"streamrnn eval: {where}: {told}", file=sys.stderr)


def _composed(arguments: argparse.Namespace, recordings: Sequence[Recording], serving: Serving) -> list[Composed]:
    """One stream of all the hours, so that what drifts can be seen to."""
    from streamrnn.errors import ConfigError
    from streamrnn.evaluation.composing import Recipe, compose
    from streamrnn.evaluation.stock import gather

    if arguments.seed < 0:
        raise ConfigError(f"--seed {arguments.seed}: at least 0")
    stock = gather(recordings, serving.recognizer.config)
    return compose(stock, Recipe(), 3600 * arguments.hours, 1, arguments.seed, split=arguments.split)


def _write(folder: Path, document: dict[str, object]) -> None:
    from streamrnn.errors import UserError
    from streamrnn.evaluation.page import page

    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (folder / "report.html").write_text(page(document), encoding="utf-8")
    except OSError as error:
        raise UserError(f"--report {folder}: {error.strerror or error}; choose another folder") from None


def _samples(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of samples, at least 1")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: give a number above 0")
    return value
