"""Ask a daemon to do something: a method of its control endpoint, with its params as YAML; the answer is JSON.

Example:
  streamrnn control methods
  streamrnn control pause source=microphone
  streamrnn control add 'source={kind: wav, path: talk.wav, stream: talk}'
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from streamrnn.calls import ENDPOINT
from streamrnn.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and which daemon."""
    parser.add_argument("method", metavar="METHOD", help="its name; `methods` lists them")
    parser.add_argument("params", nargs="*", metavar="KEY=VALUE", help="one param each")
    parser.add_argument("--endpoint", default=ENDPOINT, metavar="E", help="where the daemon takes calls")
    parser.add_argument("--keys", default="", metavar="FILE", help="your secret certificate, of streamrnn keygen")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="S", help="seconds to wait for an answer")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    from streamrnn.client import Control

    params = dict(map(_param, arguments.params))
    with Control(arguments.endpoint, keys=arguments.keys) as control:
        print(json.dumps(control.call(arguments.method, timeout=arguments.timeout, **params), indent=1))
    return 0


def _param(word: str) -> tuple[str, Any]:
    from streamrnn.config import parse_yaml

    key, equals, text = word.partition("=")
    if not key or not equals or key == "timeout":
        raise ConfigError(f"{word!r}: no param; write KEY=VALUE, such as source=microphone")
    try:
        return key, parse_yaml(text)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None
