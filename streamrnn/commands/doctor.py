"""Look at what a daemon needs of this machine: a line each, `ok|warn|fail what: how it is and the repair`.

Example:
  streamrnn doctor
  streamrnn doctor daemon.yaml
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The config that is to run, and how it is printed."""
    parser.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help="a daemon's YAML; default: the example")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key of the config")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Print findings as they are made; 0 all is well, 1 there are warnings, 2 the daemon would not run."""
    from streamrnn.config import convert, load, parse_yaml
    from streamrnn.daemon_config import DaemonConfig
    from streamrnn.doctor import Finding, examine, verdict
    from streamrnn.examples import example

    config: DaemonConfig = (
        load(arguments.config, DaemonConfig, arguments.set)
        if arguments.config
        else convert(parse_yaml(example("daemon")), DaemonConfig)
    )
    findings: list[Finding] = []
    # Nobody has asked for the example's microphone: a machine that is brought its streams has none.
    for finding in examine(config, "fail" if arguments.config else "warn"):
        findings.append(finding)
        if not arguments.json:
            print(finding, flush=True)
    if arguments.json:
        print(json.dumps([{"grade": each.grade, "what": each.what, "text": each.text} for each in findings]))
    return verdict(findings)
