"""List the microphones of this machine, by the names that a config takes.

Example:
  streamrnn devices
"""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How it is printed."""
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Print them; 1 if there is none."""
    from streamrnn.sources.portaudio import default_device, devices

    found = devices()
    chosen = default_device()
    if arguments.json:
        keys = ("name", "max_input_channels", "default_samplerate")
        listed = [{**{key: each[key] for key in keys}, "default": each["index"] == chosen} for each in found]
        print(json.dumps(listed))
    elif not found:
        print("no microphone; plug one in, or use a source of kind wav, stdin or zeromq")
    else:
        for each in found:
            mark = "*" if each["index"] == chosen else " "
            rate = round(each["default_samplerate"])
            print(f"{mark} {each['name']}  ({each['max_input_channels']} channels, {rate} Hz)")
        print("* is used when a config names no device; give (part of) a name as `device:`")
    return 0 if found else 1
