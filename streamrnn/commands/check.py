"""The law and the golden answer, on your own bundle: whether live it says what it says of a recording.

  streamrnn check digits.bundle
  streamrnn check digits --audio talk.wav

Prints a line a check. Exit code 0 if all hold, 1 if one does not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from streamrnn.errors import BundleError

if TYPE_CHECKING:
    import numpy as np

    from streamrnn.chunk import Samples
    from streamrnn.engine import Serving
    from streamrnn.events import Event

# Posteriors may differ by as much as published scores are rounded to.
_TOLERANCE = 1e-4
_COMPANY = 3  # streams that are heard at the same time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "bundle", metavar="BUNDLE", help="a bundle file, or the name of one that comes along: digits, voice, wakeword"
    )
    parser.add_argument("--audio", type=Path, metavar="FILE", help="a recording whose events must not depend on chunks")
    parser.add_argument(
        "--backend",
        default="auto",
        help="native, onnx or torch; auto, as the daemon, is native where it can be, else onnx",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check the bundle and print what holds; the exit code."""
    from streamrnn import bundle, engine
    from streamrnn.evaluation.recordings import read_audio
    from streamrnn.testing import check_step

    read = bundle.read(bundle.locate(arguments.bundle))
    # The law holds at any threshold: a budget without evidence must not be in the way.
    serving = engine.serving(bundle.with_own_thresholds(read), arguments.backend)
    recognizer = serving.recognizer
    for place, each in enumerate(recognizer.config.inputs):
        print(f"channel {place}: {each.name}{f' ({each.unit})' if each.unit else ''}")
    checks: list[tuple[str, Callable[[], None]]] = [
        ("golden audio gives the posteriors of the training machine", lambda: bundle.prove(read, serving.step)),
        (
            "step: the same for every split and batch, nothing written to, no neighbour touched",
            lambda: check_step(serving.step, serving.initial, recognizer.hop, recognizer.channels, atol=_TOLERANCE),
        ),
        (
            "decoder: the same events for every split and batch",
            lambda: _check_decoder(serving),
        ),
    ]
    if arguments.audio:
        samples, rate = read_audio(arguments.audio)
        checks.append(
            (
                f"{arguments.audio}: the same events for chunks of any size, alone and in company",
                lambda: check_chunks(serving, samples, rate),
            )
        )
    held = [_holds(law, check) for law, check in checks]
    return 0 if all(held) else 1


def _check_decoder(serving: Serving) -> None:
    """Raises LawBroken. One that takes forecasts is given some, and is not on probation: that would be all there is."""
    import msgspec

    from streamrnn import decoders
    from streamrnn.testing import check_decoder
    from streamrnn.testing.decoder import wandering_forecasts

    recognizer, columns = serving.recognizer, len(serving.recognizer.columns)
    if not recognizer.forecasts:
        check_decoder(serving.decoder, columns)
        return
    config = msgspec.structs.replace(recognizer.config.decoder, probation_ms=0.0)
    check_decoder(decoders.build(config, recognizer), columns, posteriors=wandering_forecasts)


def check_chunks(serving: Serving, samples: Samples, rate: int) -> None:
    """Samples `(time, channels)` whole and in random chunks, alone and beside other streams. Raises LawBroken."""
    import numpy as np

    from streamrnn import events
    from streamrnn.testing import LawBroken

    random = np.random.default_rng(0)
    whole = _play(serving, samples, rate, [len(samples)], streams=1)["0"]
    splits = {
        "chunks of 1 to 5000 samples": _sizes(len(samples), 5000, random),
        "chunks of 1 to 50 samples": _sizes(len(samples), 50, random),
    }
    for how, sizes in splits.items():
        for streams in (1, _COMPANY):
            for name, heard in _play(serving, samples, rate, sizes, streams).items():
                where = f"{how}, stream {int(name) + 1} of {streams}"
                if len(heard) != len(whole):
                    raise LawBroken(f"every split gives the same events: {where}, {len(heard)} against {len(whole)}")
                for one, other in zip(whole, heard, strict=True):
                    if not events.same(one, other):
                        raise LawBroken(f"every split gives the same events: {where}, {other.body} for {one.body}")


def _sizes(length: int, largest: int, random: np.random.Generator) -> list[int]:
    sizes = []
    while length > 0:
        sizes.append(min(length, int(random.integers(1, largest + 1))))
        length -= sizes[-1]
    return sizes


def _play(serving: Serving, samples: Samples, rate: int, sizes: list[int], streams: int) -> dict[str, list[Event]]:
    """The events of each stream, all of the same samples, each starting later than the one before."""
    from streamrnn.engine import Engine

    engine = Engine([serving])
    at = [0] * streams
    heard: list[Event] = []
    for turn in range(len(sizes) + streams - 1):
        for stream in range(streams):
            place = turn - stream
            if place == 0:
                engine.open(str(stream), rate, samples.shape[1])
            if 0 <= place < len(sizes):
                engine.push(str(stream), at[stream], samples[at[stream] : at[stream] + sizes[place]])
                at[stream] += sizes[place]
            if place == len(sizes) - 1:
                engine.finish(str(stream))
        heard += engine.step()
    heard += engine.run()
    # By the name of the first: what is compared is what was heard, not who was.
    import msgspec

    named = {str(stream): [event for event in heard if event.stream == str(stream)] for stream in range(streams)}
    return {name: [msgspec.structs.replace(event, stream="0") for event in events] for name, events in named.items()}


def _holds(law: str, check: Callable[[], None]) -> bool:
    from streamrnn.testing import LawBroken

    try:
        check()
    except (LawBroken, BundleError) as error:
        print(f"BROKEN  {law}: {' '.join(str(error).split())}")
        return False
    print(f"ok      {law}")
    return True
