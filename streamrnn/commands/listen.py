"""Print what a daemon publishes, as it comes; Ctrl-C ends it.

Example:
  streamrnn listen
  streamrnn listen tcp://127.0.0.1:5560 --topic v1/detection/ --json
"""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where, what, and how it is printed."""
    from streamrnn.wire import PREFIX, RESULTS_ENDPOINT

    parser.add_argument("endpoint", nargs="?", default=RESULTS_ENDPOINT, metavar="ENDPOINT", help="default %(default)s")
    parser.add_argument("--topic", action="append", default=[], metavar="PREFIX", help=f"default {PREFIX}: everything")
    parser.add_argument("--json", action="store_true", help="JSON lines, as on the wire")
    parser.add_argument(
        "--until", choices=("closed", "bye"), default="closed", help="bye: end when the daemon says goodbye"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print until interrupted; 1 if messages were lost."""
    import msgspec

    from streamrnn.client import Subscriber
    from streamrnn.sinks.console import describe
    from streamrnn.wire import PREFIX

    with Subscriber(arguments.endpoint, arguments.topic or [PREFIX], until=arguments.until) as subscriber:
        for message in subscriber:
            line = msgspec.json.encode(message).decode() if arguments.json else describe(message)
            print(line or f"{'':<25}{message.topic} {message.body}", flush=True)
        if subscriber.lost:
            print(f"streamrnn listen: {subscriber.lost} messages never came", file=sys.stderr)
        return 1 if subscriber.lost else 0
