"""`streamrnn COMMAND ...`: finds the command, turns a user's mistake into one line and exit code 2."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys

from streamrnn.errors import UserError, did_you_mean
from streamrnn.release import VERSION

COMMANDS = {
    "demo": "the bundled recognizer on a bundled recording or yours, events printed as they arrive over ZeroMQ",
    "record": "microphone -> labelled recordings",
    "synth": "text -> labelled recordings of speech",
    "train": "recordings -> bundle",
    "crossval": "train and judge once for each speaker, subject or record left out",
    "calibrate": "what each threshold costs, for a budget of false accepts an hour",
    "eval": "how well a bundle recognises labelled recordings",
    "detect": "events of recordings",
    "serve": "the daemon",
    "config": "validate a config, or print an example",
    "status": "what a daemon is doing",
    "control": "ask a daemon to do something: mute a source, reload, promote a shadow",
    "listen": "print what a daemon publishes",
    "push": "send a recording to a daemon",
    "replay": "hear an event again that a daemon kept as a clip with its state",
    "check": "the law and the golden answer, on your own bundle",
    "devices": "microphones of this machine",
    "keygen": "keys for a daemon that the network can reach",
    "doctor": "what a daemon needs of this machine, and what to mend",
    "bench": "microseconds a frame on this machine",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done, 1 judged and found wanting, 2 a mistake to mend."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if words[0] == "--version":
        print(f"streamrnn {VERSION}")
        return 0
    name = words[0]
    if name not in COMMANDS:
        print(f"streamrnn: {name!r} is no command; {did_you_mean(name, COMMANDS)}", file=sys.stderr)
        return 2
    try:
        command = importlib.import_module(f"streamrnn.commands.{name}")
        example = (command.__doc__ or "").strip()
        parser = argparse.ArgumentParser(
            prog=f"streamrnn {name}", description=example, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        command.add_arguments(parser)
        code: int = command.run(parser.parse_args(words[1:]))
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"streamrnn {name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does: no fault, and nothing left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"streamrnn {name}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT


def _usage() -> str:
    lines = [f"  {name:<9} {what}" for name, what in COMMANDS.items()]
    head = "usage: streamrnn COMMAND ...   (streamrnn COMMAND --help shows an example)\n\n"
    return head + "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
