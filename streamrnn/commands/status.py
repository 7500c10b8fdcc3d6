"""What a daemon is doing: its bundles, streams and sources, as a table or as JSON.

Example:
  streamrnn status
  streamrnn status tcp://127.0.0.1:5562 --json
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from streamrnn.calls import ENDPOINT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which daemon, and how to print it."""
    parser.add_argument("endpoint", nargs="?", default=ENDPOINT, metavar="ENDPOINT", help="where it takes calls")
    parser.add_argument("--keys", default="", metavar="FILE", help="your secret certificate, of streamrnn keygen")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="S", help="seconds to wait for an answer")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    from streamrnn.client import Control

    with Control(arguments.endpoint, keys=arguments.keys) as control:
        status = control.call("status", timeout=arguments.timeout)
    if arguments.json:
        print(json.dumps(status))
    else:
        print("\n".join(lines(status)))
    return 0


def _condition(source: dict[str, Any]) -> str:
    if source["closed"] or source["paused"]:
        return "closed" if source["closed"] else "paused"
    drift = f", clock {source['drift_ppm']:+g} ppm" if source["drift_ppm"] else ""
    return f"{source['condition'] or 'open'}{drift}"


def _inputs(channels: list[dict[str, str]]) -> str:
    told = ", ".join(f"{each['name']} ({each['unit']})" if each.get("unit") else each["name"] for each in channels)
    return f", takes {told}" if told else ""


def _troubles(stream: dict[str, Any]) -> list[str]:
    """What is to be said of a stream's rows and channels."""
    rows = ", ".join(f"{n} {name}" for name, n in stream.get("grid", {}).items() if n)
    told = [f"{stream['stream']}: of its rows {rows}"] if rows else []
    return told + [f"{stream['stream']}: channel {name} {state}" for name, state in stream["channels"].items()]


def lines(status: dict[str, Any]) -> list[str]:
    """A status for people."""
    told = [
        f"streamrnn {status['version']}, run {status['run']}, up {status['uptime_s']:g} s, "
        f"generation {status['generation']}"
    ]
    told += [f"bundle {each['name']} {each['sha'][:12]}{_inputs(each['inputs'])}" for each in status["bundles"]]
    told += [
        f"shadow {each['name']} {each['sha'][:12]} beside {each['beside']}: {each['agreed']} agreed, "
        f"{each['only_serving']} only serving, {each['only_shadow']} only shadow"
        for each in status["shadows"]
    ]
    told += [
        f"source {each['place']}: {_condition(each)}, streams: {len(each['streams'])}"
        f"{', dropped: ' + str(each['dropped']) if each['dropped'] else ''}"
        for each in status["sources"]
    ]
    state = status["state"]
    if state["directory"]:
        told.append(state["trouble"] or f"state in {state['directory']}")
    if not status["streams"]:
        return [*told, "no stream is open"]
    rows: list[tuple[str, ...]] = [("stream", "rate", "epoch", "sample", "heard", "lost", "twice")]
    rows += [
        tuple(str(each[key]) for key in ("stream", "rate", "epoch", "expected", "heard", "lost", "duplicates"))
        for each in status["streams"]
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        *told,
        *(trouble for each in status["streams"] for trouble in _troubles(each)),
        *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows),
    ]
