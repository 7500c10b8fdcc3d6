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

from streamrnn.errors import ConfigError, RecordingError, UserError

if TYPE_CHECKING:
    from streamrnn.chunk import Samples
    from streamrnn.sources import Source

_LARGEST_RANDOM = 5000
_PATIENCE_S = 10.0  # a daemon may be starting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is sent, as which stream, to whom and how fast."""
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
    sizes = _sizes(arguments.chunk)
    items = _source(arguments).items()
    opened = next(items)
    assert isinstance(opened, Opened)
    with Pusher(
        arguments.endpoint,
        stream=arguments.stream,
        rate=opened.rate,
        channels=opened.channels,
        timeout=_PATIENCE_S,
        waiting=_say,
        keys=arguments.keys,
    ) as pusher:
        sent = 0
        for item in items:
            if isinstance(item, Chunk):
                sent += len(item.samples)
                for samples in _cut(item.samples, sizes):
                    pusher.push(samples)
    if not sent:
        raise RecordingError(f"{arguments.file}: no samples came; look at what writes them")
    _say(f"{arguments.stream}: {sent / opened.rate:.2f} s sent and heard")
    return 0


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
