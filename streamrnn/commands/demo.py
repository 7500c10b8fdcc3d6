"""Hear spoken digits: the daemon plays a recording, and a process of its own prints what is published over ZeroMQ.

Example:
  streamrnn demo
  streamrnn demo talk.wav more.flac
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from streamrnn.commands import add_budget
from streamrnn.sinks import Sink

if TYPE_CHECKING:
    from streamrnn.daemon_config import DaemonConfig
    from streamrnn.wire import Message

_RECORDING = Path(__file__).parent.parent / "recordings" / "demo.flac"
_LISTENER_S = 5.0  # for the listener to print what it has received
_STOPPED_S = 0.3  # the same, of the 2 s in which a process is gone that was asked to stop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is played, to which bundle, and how fast."""
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="sound files; default: the bundled recording"
    )
    parser.add_argument(
        "--bundle", default="digits", help="a bundle, or the name of a shipped one; default %(default)s"
    )
    add_budget(parser)
    parser.add_argument("--pace", choices=("realtime", "fastest"), help="default: realtime for the bundled recording")


def run(arguments: argparse.Namespace) -> int:
    """Play, print, sum up; 1 if the listener did not get all of it."""
    from streamrnn.service import Service
    from streamrnn.stopping import heed_signals

    files = arguments.files or [_RECORDING]
    pace: Literal["realtime", "fastest"] = "fastest" if arguments.files else "realtime"
    if arguments.pace:
        pace = arguments.pace
    kept = _Kept()
    service = Service(_config(arguments.bundle, arguments.max_false_accepts_per_hour, files, pace), [kept])
    asked: list[str] = []

    def stop(reason: str) -> None:
        asked.append(reason)
        service.stop(reason)

    with heed_signals(stop):
        service.startup()
        endpoint = service.sinks[-1].place
        print(f"playing {', '.join(path.name for path in files)}; heard over ZeroMQ ({endpoint}):", flush=True)
        command = [sys.executable, "-m", "streamrnn", "listen", endpoint, "--topic", "v1/detection/"]
        command += ["--topic", "v1/segment/", "--topic", "v1/gap/", "--until", "bye", "--with-stdin"]
        # It ends with us, by the pipe, however we end; and Ctrl-C in a terminal is for us, from whom it hears the bye.
        with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as listener:
            try:
                service.main_loop()
                summary = service.shutdown()
                # One that was still starting when we were asked to stop has missed the bye.
                code = listener.wait(_STOPPED_S if asked else _LISTENER_S)
            except subprocess.TimeoutExpired:
                code = 1
            finally:
                listener.kill()
    for trouble in summary.troubles:
        print(f"streamrnn demo: {trouble}", file=sys.stderr)
    for path, stream in zip(files, _names(files), strict=True):
        print(_judge(path, [message for message in kept.heard if message.stream == stream]))
    if not arguments.files:
        print(_NEXT)
    return 1 if code or summary.troubles else 0


_NEXT = """\
Next, your microphone:
  streamrnn config --example daemon > daemon.yaml
  streamrnn serve daemon.yaml
and in another terminal:
  streamrnn listen"""


class _Kept(Sink):
    """What was published, for the summary."""

    place = "this process"

    def __init__(self) -> None:
        self.heard: list[Message] = []

    def publish(self, message: Message, parts: list[bytes]) -> None:
        if message.kind in ("detection", "segment", "gap"):
            self.heard.append(message)

    def close(self, seconds: float) -> str:
        return ""


def _config(bundle: str, budget: float, files: list[Path], pace: Literal["realtime", "fastest"]) -> DaemonConfig:
    """A daemon that plays the files, publishes on a free port, and waits for its listener."""
    from streamrnn.control import ControlConfig
    from streamrnn.daemon_config import BundleConfig, DaemonConfig
    from streamrnn.sinks.zeromq import ZeromqConfig
    from streamrnn.sources.wav import WavConfig

    return DaemonConfig(
        bundles=(BundleConfig(path=bundle, decoder={"max_false_accepts_per_hour": budget} if budget else {}),),
        sources=tuple(
            WavConfig(path=str(path), stream=stream, pace=pace)
            for path, stream in zip(files, _names(files), strict=True)
        ),
        sinks=(ZeromqConfig(endpoint="tcp://127.0.0.1:*", wait_for=1),),
        until="finished",
        control=ControlConfig(endpoint="off"),
    )


def _names(files: list[Path]) -> list[str]:
    """A stream name for each file, no two the same."""
    from streamrnn.wire import as_name

    names: list[str] = []
    for path in files:
        name = as_name(path.stem)
        same = sum(each == name or each.startswith(f"{name}.") for each in names)
        names.append(f"{name[:60]}.{same + 1}" if same else name)
    return names


def _judge(path: Path, heard: list[Message]) -> str:
    """What was heard of a recording, against the labels beside it if there are any."""
    from streamrnn.evaluation.manifest import read_marks
    from streamrnn.evaluation.matching import Interval, match
    from streamrnn.events import Heard, Lost

    gaps = [each.body for each in heard if isinstance(each.body, Lost)]
    lost = sum((gap.end - gap.start) / gap.rate for gap in gaps)
    also = f"; {lost:.2f} s of it were not heard: {gaps[0].reason}" if gaps else ""
    found = [each.body for each in heard if isinstance(each.body, Heard)]
    labels = path.with_name(f"{path.stem}.labels.csv")
    if not labels.is_file():
        return f"{path.name}: {len(found)} words: {' '.join(each.label for each in found)}{also}"
    said = [Interval(mark.start, mark.end or mark.start, mark.label) for mark in read_marks(labels)]
    said = [each for each in said if not each.label.startswith("_")]
    matching = match(said, [Interval(each.start / each.rate, each.end / each.rate, each.label) for each in found])
    return f"{path.name}: {len(matching.hits)} of {len(said)} words right, {len(matching.false)} false{also}"
