"""Print what a daemon publishes, as it comes; Ctrl-C ends it.

Example:
  streamrnn listen
  streamrnn listen tcp://127.0.0.1:5560 --topic v1/detection/ --json
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamrnn.client import Subscriber


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where, what, and how it is printed."""
    from streamrnn.wire import PREFIX, RESULTS_ENDPOINT

    parser.add_argument("endpoint", nargs="?", default=RESULTS_ENDPOINT, metavar="ENDPOINT", help="default %(default)s")
    parser.add_argument("--topic", action="append", default=[], metavar="PREFIX", help=f"default {PREFIX}: everything")
    parser.add_argument("--keys", default="", metavar="FILE", help="your secret certificate, of streamrnn keygen")
    parser.add_argument("--json", action="store_true", help="JSON lines, as on the wire")
    parser.add_argument(
        "--until", choices=("closed", "bye"), default="closed", help="bye: end when the daemon says goodbye"
    )
    parser.add_argument(
        "--with-stdin", action="store_true", help="end also when standard input ends, with the program that holds it"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print until interrupted; 1 if messages were lost for good."""
    from streamrnn.stopping import leave_with_stdin

    if arguments.with_stdin:
        # First of all: who started us may be gone already.
        leave_with_stdin()
    from streamrnn.client import Subscriber
    from streamrnn.wire import PREFIX

    with Subscriber(
        arguments.endpoint, arguments.topic or [PREFIX], until=arguments.until, keys=arguments.keys
    ) as subscriber:
        _tell(f"listening to {arguments.endpoint}; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            _listen(subscriber, arguments)
        if subscriber.malformed:
            _say(f"{subscriber.malformed} messages were malformed: is it a streamrnn daemon of this version?")
        if subscriber.lost:
            _say(f"{subscriber.lost} messages never came and could not be had again")
        return 1 if subscriber.lost or subscriber.malformed else 0


def _listen(subscriber: Subscriber, arguments: argparse.Namespace) -> None:
    import msgspec

    from streamrnn.client.subscriber import STALE_S
    from streamrnn.sinks.console import describe
    from streamrnn.wire import Bye, Hello

    run, last, told = "", "", False
    while True:
        try:
            message = subscriber.receive(math.inf if told else STALE_S)
        except TimeoutError:
            if run:
                _say(f"stale: not a heartbeat for {STALE_S:g} s; waiting for the daemon to come back")
            else:
                _say(f"{arguments.endpoint}: no daemon answers yet; waiting for one")
            run, told = "", True
            continue
        # In a log as well: who was told that it is away is told that it is not, and who was not that it is another run.
        anew = f"{', ' if told else ''}started again" if last not in ("", message.run) else ""
        if told or anew:
            _say(f"{arguments.endpoint}: the daemon {'was ' if not told else 'is back' if last else 'answers'}{anew}")
        last, told = message.run, False
        for loss in subscriber.take_losses():
            _say(str(loss))
        body = message.body
        if isinstance(body, Hello) and message.run != run:
            run = message.run
            _tell(f"connected: {', '.join(each.name for each in body.bundles)} on {len(body.streams)} streams")
        if isinstance(body, Bye):
            _tell(f"the daemon says goodbye: {body.reason}")
            if arguments.until == "bye":
                return
        if subscriber.asked(message):
            text = msgspec.json.encode(message).decode() if arguments.json else describe(message)
            print(text or f"{message.topic} {body}", flush=True)


def _say(line: str) -> None:
    # Standard output belongs to the messages.
    print(f"streamrnn listen: {line}", file=sys.stderr, flush=True)


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        _say(line)
