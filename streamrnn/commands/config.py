"""Check a config of a daemon or of training without running it, or print an example.

Example:
  streamrnn config daemon.yaml
  streamrnn config --example daemon > daemon.yaml
  streamrnn config --example microphone
"""

from __future__ import annotations

import argparse
from pathlib import Path

_DAEMON_KEYS = ("bundles", "sources", "sinks", "engine", "health", "log", "control", "state", "history", "until")
_TRAINING_KEYS = ("recognizer", "material", "training", "validation")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One of the two."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help="a YAML file of either kind")
    what.add_argument(
        "--example", metavar="KIND", help="daemon, or a kind of source, sink, feature, model, decoder ..."
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what the config is, or the example."""
    if arguments.example:
        from streamrnn.examples import example

        print(example(arguments.example), end="")
        return 0
    print(f"{arguments.config}: {_describe(arguments.config)}")
    return 0


def _describe(path: Path) -> str:
    """Which kind of config it is and what it holds. Raises ConfigError or BundleError."""
    from streamrnn.assembly import check
    from streamrnn.config import load, naming
    from streamrnn.daemon_config import DaemonConfig
    from streamrnn.summary import counted
    from streamrnn.training.plan import TrainingConfig

    keys = load(path, dict[str, object])
    of_daemon, of_training = (sum(key in known for key in keys) for known in (_DAEMON_KEYS, _TRAINING_KEYS))
    if of_training > of_daemon:
        recognizer = load(path, TrainingConfig).recognizer
        tried = _try_to_build(path)
        labels = counted(len(recognizer.labels), "label")
        return f"training of {recognizer.name}: {labels} at {recognizer.rate} Hz; it is valid{tried}"
    daemon = load(path, DaemonConfig)
    with naming(path):
        names = check(daemon)
    counts = f"{counted(len(daemon.sources), 'source')}, {counted(len(daemon.sinks), 'sink')}"
    return f"daemon with {', '.join(names)}: {counts}; it is valid"


def _try_to_build(path: Path) -> str:
    """What could not be tried of a training config. Raises ConfigError where its parts do not fit one another."""
    try:
        from streamrnn.training import trial
    except ModuleNotFoundError as error:
        return f" as far as can be told without {error.name}, which is not installed"
    trial.load(path)
    return ""
