"""The long-stream protocol: a composed day heard with the state carried and with resets, hour by hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamrnn import bundle as bundles
from streamrnn import engine
from streamrnn.errors import RecordingError
from streamrnn.evaluation import comparing, drift, hours
from streamrnn.evaluation.calibrating import in_split
from streamrnn.evaluation.composing import CLEAN, Recipe, compose
from streamrnn.evaluation.recordings import Recording, read_data
from streamrnn.evaluation.run import evaluate
from streamrnn.evaluation.stock import gather
from streamrnn.recognizer import BACKGROUND, RecognizerConfig, label_of

_RESETS = "resets"


@dataclass(frozen=True, slots=True)
class Day:
    """What is played: `hours` composed from a `seed` of the recordings of a `split` in data folders."""

    folders: tuple[Path, ...]
    split: str
    hours: float
    seed: int
    recipe: Recipe = field(default_factory=Recipe)


@dataclass(frozen=True, slots=True)
class Lived:
    """A bundle through its day: the report of its hours (`evaluation.hours`), and how many words were said."""

    sha: str
    words: int
    report: dict[str, Any]


def play(name: str, day: Day, heard_s: Callable[[float], object] = lambda seconds: None) -> Lived:
    """Play a bundle, of a path or shipped, its day twice: carried through, and with a reset before every utterance.

    A folder whose words are all unknown to it is another bundle's and left out. Raises BundleError, and RecordingError
    for data without words that it knows or without negatives.
    """
    serving = engine.serving(bundles.read(bundles.locate(name)))
    config = serving.recognizer.config
    folders = [folder for folder in day.folders if _is_for(config, folder)]
    stock = gather(_recordings(folders, day.split), config)
    if not stock.words:
        raise RecordingError(f"{name}: none of its words ({', '.join(config.labels)}) are in the data; add --data DIR")
    (composed,) = compose(stock, day.recipe, 3600 * day.hours, 1, day.seed, split=day.split)
    (carried,) = evaluate(serving, [composed], heard_s=heard_s).streams
    other = hours.PROTOCOLS[_RESETS](serving, composed, heard_s)
    report = hours.judged(carried, composed, folders) | hours.beside(_RESETS, carried, other, serving)
    return Lived(serving.sha, len(composed.words), report)


def _is_for(config: RecognizerConfig, folder: Path) -> bool:
    names = {s.label for recording in read_data([folder]).recordings for s in recording.segments}
    words = {name for name in names if not name.startswith("_")}
    return not words or any(label_of(config, name) != BACKGROUND for name in words)


def _recordings(folders: Sequence[Path], split: str) -> list[Recording]:
    """Of each folder those of the split; of a folder that has no such split, all."""
    found: list[Recording] = []
    for folder in folders:
        recordings = read_data([folder]).recordings
        there = split in {each.split for each in recordings}
        found += in_split(recordings, split if there else "")
    return found


def document(lived: Mapping[str, Lived], day: Day) -> dict[str, Any]:
    """All of it as one JSON document."""
    return {
        "hours": day.hours,
        "seed": day.seed,
        "bundles": {name: {"sha": each.sha, "words": each.words, **each.report} for name, each in lived.items()},
    }


def lines(lived: Mapping[str, Lived], day: Day) -> list[str]:
    """The page in Markdown, which people read on a terminal as well."""
    recipe = day.recipe
    noises = ", ".join(f"{snr:g}" for snr in recipe.snr_db if snr != CLEAN)
    written = [
        f"{recipe.words_per_hour:g} words an hour at random places among talk in which there is none, with pauses of "
        f"{recipe.pause_s[0]:g} to {recipe.pause_s[1]:g} s,",
        f"scenes of {recipe.scene_s[0]:g} to {recipe.scene_s[1]:g} s under no noise or noise at {noises} dB. "
        "The state is carried from the",
        "first sample to the last; then the same sound is played once more with a fresh state before every utterance",
        "(*resets*). Intervals are of 95 %, for words Wilson's, for false accepts Poisson's. The norm is that of the",
        "hidden state of a layer, looked at every five seconds: the median of the hour, and 5 to 95 %.",
        "",
        "The last hour is held against the interval of the first. It is a weak test, for the last hour is a sample",
        "too: where nothing drifts, one in six lies outside. So the trend over all hours stands beside it: the change",
        "from the first to the last on a line through all of them, and how often chance alone would give as much (p).",
        "Where hours scatter more than independent events would, for the same recordings come again, the interval of",
        "the trend is as much wider.",
    ]
    for name, each in lived.items():
        written += ["", f"## {_shown(name)}", "", *_bundle_lines(each)]
    return written


def _bundle_lines(lived: Lived) -> list[str]:
    report = lived.report
    (stream,), resets = report["hours"], report["beside"][_RESETS]
    layers = list(stream["hours"][0]["state_norms"])
    sources = ", ".join(f"{name} {seconds / 60:.1f}" for name, seconds in report["composed"]["sources"].items())
    columns = ["hour", "words found", "false accepts", *(f"norm of {name}" for name in layers)]
    columns += ["words found, resets", "false accepts, resets"]
    told = [*drift.sentences(stream["drift"]), *(f"With resets: {line}" for line in _last(resets["drift"]))]
    compared = [" ".join(line.split()) for line in comparing.compared_lines(resets["compared"])]
    return [
        f"Bundle {lived.sha[:12]}; {report['composed']['hours']:g} hours with {lived.words} words, of "
        f"{report['distinct_minutes']:g} minutes of different material (minutes: {sources}).",
        "",
        *(f"- {sentence}" for sentence in told),
        *(f"- Carried (here) against resets (there), on the same sound: {line}." for line in compared),
        "",
        f"| {' | '.join(columns)} |",
        f"|{'---:|' * len(columns)}",
        *(_row(row, other, layers) for row, other in zip(stream["hours"], resets["hours"], strict=True)),
    ]


def _last(found: dict[str, Any]) -> list[str]:
    """What is said of words and false accepts; there are no norms of a state that is never carried."""
    return drift.sentences({name: each for name, each in found.items() if name in drift.MEASURES})


def _row(row: dict[str, Any], other: dict[str, Any], layers: Sequence[str]) -> str:
    cells = [str(row["hour"]), _found(row), _false(row)]
    norms = (row["state_norms"].get(name) for name in layers)
    cells += [f"{each['median']:.2f} ({each['low']:.2f} to {each['high']:.2f})" if each else "" for each in norms]
    return f"| {' | '.join([*cells, _found(other), _false(other)])} |"


def _found(row: dict[str, Any]) -> str:
    if "recall" not in row:
        return ""
    each = row["recall"]
    return f"{each['count']} of {each['of']:.0f}, {each['value']:.1%} ({each['low']:.1%} to {each['high']:.1%})"


def _false(row: dict[str, Any]) -> str:
    each = row["false_accepts_per_hour"]
    return f"{each['count']} ({each['low']:.1f} to {each['high']:.1f})"


def _shown(name: str) -> str:
    """A shipped bundle by its name, a file by that of the file, wherever it lies."""
    return Path(name).stem
