"""Send a recording (sound, NPZ, CSV) or raw PCM from standard input ("-") to a daemon.

Example:
  streamrnn push talk.wav --stream kitchen
  arecord -t raw -f S16_LE -r 16000 | streamrnn push - --stream desk --rate 16000
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from streamrnn.errors import ConfigError, DeviceError, RecordingError, StreamError, UserError

if TYPE_CHECKING:
    from streamrnn.chunk import Samples
    from streamrnn.client import Pusher
    from streamrnn.sources import Source

_LARGEST_RANDOM = 5000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is sent, as which stream, to whom and how fast."""
    from streamrnn.client.pusher import TIMEOUT_S
    from streamrnn.ingest import ENDPOINT

    parser.add_argument("file", metavar="FILE|-", help="a recording, or - for raw PCM from standard input")
    parser.add_argument("--stream", required=True, metavar="NAME", help="its name in the results")
    parser.add_argument("--endpoint", default=ENDPOINT, help="default %(default)s")
    parser.add_argument("--keys", default="", metavar="FILE", help="your secret certificate, of streamrnn keygen")
    parser.add_argument(
        "--realtime",
        dest="pace",
        action="store_const",
        const="realtime",
        default="fastest",
        help="as fast as it was recorded, not as fast as possible",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT_S,
        metavar="SECONDS",
        help="how long a daemon may be away, as in a restart; inf: for ever; default %(default)g",
    )
    parser.add_argument("--chunk", default="1024", metavar="SIZE|random", help="samples at once; random: 1 to 5000")
    parser.add_argument("--rate", type=int, default=16000, help="of raw PCM, in Hz; default %(default)s")
    parser.add_argument("--channels", type=int, default=1, help="of raw PCM; default %(default)s")
    parser.add_argument("--format", choices=("s16le", "f32le"), default="s16le", help="of raw PCM; default %(default)s")


def run(arguments: argparse.Namespace) -> int:
    """Send all of it and wait until its results are published."""
    from streamrnn.chunk import Chunk, Opened
    from streamrnn.client import Pusher
    from streamrnn.wire import check_name

    check_name(arguments.stream)
    if not arguments.timeout > 0:
        raise UserError(f"--timeout {arguments.timeout:g}: write seconds above 0, or inf")
    sizes = _sizes(arguments.chunk)
    items = _source(arguments).items()
    opened = next(items)
    assert isinstance(opened, Opened)
    with Pusher(
        arguments.endpoint,
        stream=arguments.stream,
        rate=opened.rate,
        channels=opened.channels,
        timeout=arguments.timeout,
        waiting=_say,
        keys=arguments.keys,
    ) as pusher:
        sent = 0
        try:
            for item in items:
                if isinstance(item, Chunk):
                    sent += len(item.samples)
                    for samples in _cut(item.samples, sizes):
                        pusher.push(samples)
            pusher.end()
        except (DeviceError, StreamError) as error:
            raise type(error)(f"{_told(arguments.stream, pusher, sent, opened.rate)}: {error}") from None
    if not sent:
        raise RecordingError(f"{arguments.file}: no samples came; look at what writes them")
    _say(_told(arguments.stream, pusher, sent, opened.rate))
    return 0


def _told(stream: str, pusher: Pusher, sent: int, rate: int) -> str:
    """What became of the samples that were read, for people."""
    taken = min(sent, pusher.taken)
    left, seconds = sent - taken, f"{taken / rate:.2f} s"
    said = f"all {sent} samples ({seconds}) were delivered"
    if left:
        said = f"{taken} samples ({seconds}) were delivered, {left} that were read ({left / rate:.2f} s) were not"
    away = f", the daemon was away {pusher.restarts} times" if pusher.restarts > 1 else ", the daemon was away once"
    return f"{stream}: {said}{away if pusher.restarts else ''}"


def _say(line: str) -> None:
    print(f"streamrnn push: {line}", file=sys.stderr, flush=True)


def _source(arguments: argparse.Namespace) -> Source:
    from streamrnn.config import convert
    from streamrnn.sources.csv import CsvConfig, CsvSource
    from streamrnn.sources.stdin import StdinConfig, StdinSource
    from streamrnn.sources.wav import WavConfig, WavSource

    if arguments.file == "-":
        pcm = {"rate": arguments.rate, "channels": arguments.channels, "format": arguments.format}
        try:
            return StdinSource(convert(pcm, StdinConfig))
        except ConfigError as error:
            option = str(error).replace(":", "", 1)
            raise UserError(f"--{option}") from None
    # Cut again below: one block of this size is what real time waits for.
    chunk = int(arguments.chunk) if arguments.chunk != "random" else _LARGEST_RANDOM
    keys = {"path": arguments.file, "stream": arguments.stream, "pace": arguments.pace, "chunk": chunk}
    if Path(arguments.file).suffix.lower() in (".csv", ".npz"):
        return CsvSource(CsvConfig(**keys))
    return WavSource(WavConfig(**keys))


def _sizes(chunk: str) -> Iterator[int]:
    if chunk == "random":
        return iter(lambda: random.randint(1, _LARGEST_RANDOM), 0)
    if not chunk.isdecimal() or not int(chunk):
        raise UserError(f"--chunk {chunk}: write a number of samples from 1 up, or random")
    return iter(lambda: int(chunk), 0)


def _cut(samples: Samples, sizes: Iterator[int]) -> Iterator[Samples]:
    start = 0
    while start < len(samples):
        size = next(sizes)
        yield samples[start : start + size]
        start += size
