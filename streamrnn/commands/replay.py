"""Hear an event again that a daemon kept as a clip with its state, and say whether it is the same.

  streamrnn replay clips/20260101T120000.000000Z-pump-0123456789abcdef.json
  streamrnn replay clips/20260101T120000.000000Z-pump-0123456789abcdef.json --bundle pump.bundle --json

The daemon's config asks for it: clips: {directory: clips, kinds: [alarm], state_every_s: 1}. Exit code 0 if it is the
same event (label, samples, score within 1e-4), 1 if another or none is heard, 2 if the clip or the bundle is another.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamrnn.events import Event


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("event", type=Path, metavar="EVENT", help="the .json of a clip")
    parser.add_argument(
        "--bundle", default="", metavar="BUNDLE", help="where the bundle is now, if not where the daemon had it"
    )
    parser.add_argument("--backend", default="auto", help="native, onnx or torch; auto, as the daemon")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Hear it again and say what came out; the exit code."""
    import msgspec

    from streamrnn.clips import replaying

    evidence = replaying.read(arguments.event)
    there = replaying.locate(evidence, arguments.bundle)
    heard = replaying.hear(evidence, replaying.serve(evidence, there, arguments.backend))
    found = replaying.again(evidence.told, heard)
    if arguments.json:
        document = {"same": bool(found), "from": evidence.snapshot.expected, "told": evidence.told, "heard": heard}
        print(json.dumps(msgspec.to_builtins(document)))
        return 0 if found else 1
    told = evidence.told
    print(f"told     {_line(told)}, by {told.bundle.name} {told.bundle.sha[:12]} on {told.stream}")
    seconds = len(evidence.samples) / told.rate
    print(f"replayed {seconds:.2f} s from sample {evidence.snapshot.expected}, with what was remembered there")
    for event in found or heard:
        print(f"heard    {_line(event)}")
    if not found:
        print("another event: nothing of what was heard is the one that was told" if heard else "nothing was heard")
        return 1
    print("the same event")
    return 0


def _line(event: Event) -> str:
    body = event.body
    score = f", score {body.score:.4f}" if hasattr(body, "score") else ""
    name = getattr(body, "label", getattr(body, "reason", ""))
    return f"{event.kind} {name}, samples {body.start} to {body.end}{score}"
