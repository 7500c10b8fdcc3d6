"""Training recordings of any English phrase, from text: in many voices, rates and pitches, the same for the same seed.

  streamrnn synth "turn on the lights" --near-misses --out lights
  streamrnn synth jarvis --near-misses --talk 10 --count 400 --out jarvis
  streamrnn synth jarvis --voices held-out --out jarvis-unheard

Each phrase becomes a label; what sounds like it is labelled _near_miss, talk in which it does not occur _speech.
manifest.csv names the voice of a recording as its speaker; those that training never hears are of the split dev.
It needs espeak-ng (apt-get install espeak-ng). SVOX Pico (pip install 'streamrnn[speech]') and flite (apt-get install
flite) speak as well where they are installed, and Piper with a voice of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamrnn.errors import SpeechError

if TYPE_CHECKING:
    from streamrnn.speech.engines import Engine
    from streamrnn.speech.folder import Said
    from streamrnn.speech.voices import Group

_LONGEST_PHRASE = 200
# More of them, and a network that has heard no person takes people for near misses too.
_WORDS_A_NEAR_MISS = 4
_RATES_HZ = (4000, 192000)
_TOLD = 10  # lines while it works, where there is no terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is said, how often, by whom and where to."""
    parser.add_argument("phrases", nargs="+", metavar="PHRASE", help="what is said, in English words")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the data folder to make")
    parser.add_argument("--count", type=int, default=200, metavar="N", help="recordings of each; default %(default)s")
    parser.add_argument("--label", metavar="NAME", help="one label for all phrases; default: each phrase as a name")
    parser.add_argument("--near-misses", action="store_true", help="a quarter as many that sound like it")
    parser.add_argument("--talk", type=float, default=0.0, metavar="MINUTES", help="talk in which no phrase occurs")
    parser.add_argument(
        "--voices",
        choices=("training", "held-out", "all"),
        help="those that training may hear (the default), those that it never hears, or both",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, other recordings; default 0")
    parser.add_argument("--rate", type=int, default=16000, metavar="HZ", help="default %(default)s")
    parser.add_argument(
        "--engine",
        choices=("espeak-ng", "pico", "flite", "piper"),
        action="append",
        default=[],
        help="repeatable: they speak in turn; default: all that are installed, without piper",
    )
    parser.add_argument(
        "--voice", type=Path, action="append", default=[], metavar="PIPER.onnx", help="a voice of Piper; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Speak, write, sum up; the exit code."""
    from streamrnn.speech.folder import Folder
    from streamrnn.speech.recordings import Order, plan, record

    phrases = tuple(dict.fromkeys(" ".join(phrase.split()) for phrase in arguments.phrases))
    _check(arguments)
    labels = tuple(_label(phrase, arguments.label) for phrase in phrases)
    engine = _engine(arguments)
    made = _Made(arguments, engine.name())
    near_misses = -(-arguments.count // _WORDS_A_NEAR_MISS) if arguments.near_misses else 0
    with Folder(arguments.out, arguments.rate) as folder:
        order = Order(phrases, labels, arguments.count, near_misses, 60.0 * arguments.talk, arguments.seed)
        planned = plan(order, engine)
        progress = _Progress(planned.recordings, arguments.out)
        try:
            for samples, said in record(planned, arguments.rate):
                folder.add(samples, said)
                made.add(said, len(samples) / arguments.rate)
                progress.one_more()
        finally:
            progress.close()
    document = made.document()
    print(json.dumps(document, indent=1) if arguments.json else "\n".join(_lines(document)))
    return 0


def _check(arguments: argparse.Namespace) -> None:
    least, most = _RATES_HZ
    if arguments.count < 1:
        raise SpeechError(f"--count {arguments.count}: write 1 or more")
    if arguments.seed < 0:
        raise SpeechError(f"--seed {arguments.seed}: write 0 or more")
    if not 0.0 <= arguments.talk < float("inf"):
        raise SpeechError(f"--talk {arguments.talk:g}: write minutes, 0 or more")
    if not least <= arguments.rate <= most:
        raise SpeechError(f"--rate {arguments.rate}: write {least} to {most} Hz")
    for phrase in arguments.phrases:
        if len(phrase) > _LONGEST_PHRASE:
            raise SpeechError(f"{phrase[:40]!r}...: {len(phrase)} characters; a phrase has {_LONGEST_PHRASE} at most")


def _label(phrase: str, wanted: str | None) -> str:
    from streamrnn.wire import as_name

    if wanted is not None:
        if not 1 <= len(wanted) <= 128 or not wanted.isprintable():
            raise SpeechError(f"--label {wanted!r}: write 1 to 128 letters")
        return wanted
    if not any(letter.isascii() and letter.isalnum() for letter in phrase):
        raise SpeechError(f"{phrase!r}: no label can be made of it; name one with --label, or write English words")
    return as_name(phrase)


def _engine(arguments: argparse.Namespace) -> Engine:
    from streamrnn.speech.engines import Piper
    from streamrnn.speech.together import as_one, chosen

    others = tuple(name for name in dict.fromkeys(arguments.engine) if name != "piper")
    group: Group = arguments.voices or "training"
    if "piper" in arguments.engine:
        if not arguments.voice:
            raise SpeechError("--engine piper: needs a voice; add --voice VOICE.onnx")
        if arguments.voices:
            raise SpeechError(f"--voices {arguments.voices}: Piper has none; its voices are --voice VOICE.onnx")
        return as_one([*(chosen(others, group) if others else ()), Piper(tuple(arguments.voice))])
    if arguments.voice:
        raise SpeechError(f"--voice {arguments.voice[0]}: is a voice of Piper; add --engine piper")
    return as_one(chosen(others, group))


class _Made:
    """Counts what was made."""

    def __init__(self, arguments: argparse.Namespace, engine: str) -> None:
        self._known = {"out": str(arguments.out), "engine": engine, "seed": arguments.seed, "rate": arguments.rate}
        self._labels: dict[str, dict[str, float]] = {}
        self._voices: set[str] = set()

    def add(self, said: Said, seconds: float) -> None:
        label = self._labels.setdefault(said.label, {"recordings": 0, "seconds": 0.0})
        label["recordings"] += 1
        label["seconds"] += seconds
        self._voices.add(said.speaker)

    def document(self) -> dict[str, Any]:
        labels = {name: {**label, "seconds": round(label["seconds"], 2)} for name, label in self._labels.items()}
        return {
            **self._known,
            "recordings": sum(label["recordings"] for label in labels.values()),
            "seconds": round(sum(label["seconds"] for label in labels.values()), 2),
            "voices": len(self._voices),
            "labels": labels,
        }


def _lines(document: dict[str, Any]) -> list[str]:
    told = [
        f"{document['out']}: {document['recordings']} recordings, {document['seconds'] / 60:.1f} min, "
        f"{document['voices']} voices of {document['engine']}, seed {document['seed']}"
    ]
    for name, label in document["labels"].items():
        told.append(f"  {name:<24} {label['recordings']:>6}  {label['seconds'] / 60:7.1f} min")
    return told


class _Progress:
    """A bar on a terminal, a line for every tenth elsewhere."""

    def __init__(self, total: int, out: Path) -> None:
        from tqdm import tqdm

        self._total, self._done, self._out = total, 0, out
        self._bar = tqdm(total=total, unit="recording", leave=False, disable=None)

    def one_more(self) -> None:
        self._done += 1
        self._bar.update()
        every = max(1, self._total // _TOLD)
        if self._bar.disable and self._done % every == 0:
            print(f"{self._out}: {self._done} of {self._total} recordings", file=sys.stderr, flush=True)

    def close(self) -> None:
        self._bar.close()
