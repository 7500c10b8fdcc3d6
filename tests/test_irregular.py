"""Sensors as they really come, through a real daemon: jitter, bursts, drops, a channel that freezes, other orders."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from daemons import INGEST, RESULTS, Daemon, command, write_config
from motions import RATE, motion, write_bundle
from test_service import subscriber, until_ended

import streamrnn
from streamrnn.client import Control, Pusher, Subscriber
from streamrnn.errors import StreamError
from streamrnn.events import Lost
from streamrnn.wire import Message, Status

NAMES = ("ax", "ay", "temperature")
SECONDS = 24
GRID = {"policy": "interpolate", "up_to_ms": 200, "reorder_ms": 200}
ON_GRID = np.arange(SECONDS * RATE) / RATE


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "motion.bundle").path


@pytest.fixture(scope="module")
def daemon(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    source = {**INGEST, "grid": GRID, "watch": {"frozen_s": 3, "still": ["temperature"]}}
    config = write_config(tmp_path_factory.mktemp("daemon") / "daemon.yaml", bundle, [source], [RESULTS])
    with Daemon(config) as running:
        yield running


@pytest.fixture
def listening(daemon: Daemon) -> Iterator[Subscriber]:
    with subscriber(daemon) as made:
        yield made


def push(daemon: Daemon, times: np.ndarray, samples: np.ndarray, sizes: Sequence[int], **more: Any) -> dict[str, Any]:
    """Rows in chunks of these sizes, over and over; the status of the stream before it ends."""
    more = {"names": NAMES, **more}
    with Pusher(daemon.ingest, stream="wrist", rate=RATE, channels=3, times="ns", **more) as pusher:
        at, turn = 0, 0
        nanoseconds = np.round(times * 1e9).astype(np.int64)
        while at < len(times):
            end = at + sizes[turn % len(sizes)]
            pusher.push(samples[at:end], nanoseconds[at:end])
            at, turn = end, turn + 1
        with Control(daemon.control) as control:
            while True:
                told: dict[str, Any] = control.call("status")["streams"][0]
                if told["expected"] >= SECONDS * RATE - 10:
                    return told


def swings(heard: Sequence[Message]) -> list[tuple[int, int]]:
    return [(each.body.start, each.body.end) for each in heard if each.kind == "detection"]  # type: ignore[union-attr]


def expected(bundle: Path) -> list[tuple[int, int]]:
    events = streamrnn.load(bundle).detect(motion(ON_GRID), RATE)
    return [(each.body.start, each.body.end) for each in events if each.kind == "detection"]  # type: ignore[union-attr]


def states(heard: Sequence[Message]) -> list[str]:
    return [each.body.state for each in heard if isinstance(each.body, Status) and each.stream == "wrist"]


def gaps(heard: Sequence[Message]) -> list[tuple[int, int, str]]:
    return [(each.body.start, each.body.end, each.body.reason) for each in heard if isinstance(each.body, Lost)]


def test_a_sensor_that_jitters_is_heard_as_one_that_does_not(
    daemon: Daemon, listening: Subscriber, bundle: Path
) -> None:
    """Each row comes up to 8 ms before or after its time, measured when it says: 40 % of a step."""
    times = ON_GRID + np.random.default_rng(0).uniform(-0.008, 0.008, len(ON_GRID))
    times[0] = 0.0
    told = push(daemon, times, motion(times), [7])
    heard = until_ended(listening, 1)
    assert swings(heard) == expected(bundle)
    assert len(swings(heard)) == 4
    assert gaps(heard) == []
    assert told["grid"]["filled"] == told["grid"]["late"] == 0


def test_bursts_out_of_order_and_twice_are_heard_once_and_in_order(
    daemon: Daemon, listening: Subscriber, bundle: Path
) -> None:
    """A radio that brings a second at once, some rows swapped, some twice: the same events, and all is counted."""
    random = np.random.default_rng(1)
    mixed = np.argsort(np.arange(1, len(ON_GRID)) + random.integers(0, 4, len(ON_GRID) - 1), kind="stable") + 1
    order = [0, *(each for i, each in enumerate(mixed) for _ in range(1 + (i % 100 == 7)))]
    times = ON_GRID[order] + 1.7e9  # since 1970: nobody's clock is asked
    told = push(daemon, times, motion(ON_GRID[order]), [50, 1, 99])
    heard = until_ended(listening, 1)
    assert swings(heard) == expected(bundle)
    assert gaps(heard) == []
    # A row that comes again after those behind it went on is too late.
    assert told["grid"]["duplicate"] + told["grid"]["late"] == 12
    assert told["grid"]["reordered"] > 100
    assert told["grid"]["filled"] == 0
    assert "irregular" in states(heard)


def test_rows_that_are_missing_are_filled_if_few_and_a_gap_if_many(
    daemon: Daemon, listening: Subscriber, bundle: Path
) -> None:
    there = np.ones(len(ON_GRID), bool)
    there[[10, 11, 200, 510, 511, 512]] = False  # at most three in a row, of ten that are filled
    there[700:760] = False
    told = push(daemon, ON_GRID[there], motion(ON_GRID[there]), [20, 3])
    heard = until_ended(listening, 1)
    assert gaps(heard) == [(700, 760, "missing")]
    assert (told["grid"]["filled"], told["lost"]) == (6, 60)
    assert len({each.epoch for each in heard if each.kind == "detection"}) == 2
    assert [each for each in swings(heard) if each[1] <= 700] == [each for each in expected(bundle) if each[1] <= 700]


def test_a_channel_that_freezes_or_vanishes_is_told_of_by_its_name(daemon: Daemon, listening: Subscriber) -> None:
    samples = motion(ON_GRID)
    samples[300:700, 1] = 0.5
    samples[900:1000, 0] = np.nan
    samples[:, 2] = 20  # may stand still
    push(daemon, ON_GRID, samples, [13])
    heard = until_ended(listening, 1)
    told = [(each.body.state, each.body.text.split(":")[0]) for each in heard if isinstance(each.body, Status)]
    assert told[1:-1] == [
        ("frozen", "channel ay"),
        ("recovered", "channel ay"),
        ("vanished", "channel ax"),
        ("recovered", "channel ax"),
    ]
    assert gaps(heard) == [(900, 1000, "not finite")]


def test_channels_in_another_order_are_put_in_order_and_others_refused(
    daemon: Daemon, listening: Subscriber, bundle: Path
) -> None:
    push(daemon, ON_GRID, motion(ON_GRID)[:, [2, 0, 1]], [100], names=("temperature", "ax", "ay"))
    assert swings(until_ended(listening, 1)) == expected(bundle)
    with pytest.raises(StreamError, match="no channel 'ay' among ax, az, temperature, and motion takes"):
        push(daemon, ON_GRID, motion(ON_GRID), [100], names=("ax", "az", "temperature"))
    with Control(daemon.control) as control:
        inputs = control.call("status")["bundles"][0]["inputs"]
    assert [each["name"] for each in inputs] == list(NAMES)
    assert inputs[0]["unit"] == "g"


@pytest.mark.parametrize("pace", ["fastest", "lines"])
def test_a_file_and_lines_lie_at_their_times(pace: str, bundle: Path, tmp_path: Path) -> None:
    """A CSV with its columns in another order and rows missing; the same as lines on standard input."""
    there = np.ones(len(ON_GRID), bool)
    there[[50, 51, 600]] = False
    rows = [f"{t:.2f},{c[2]},{c[0]},{c[1]}" for t, c in zip(ON_GRID[there], motion(ON_GRID[there]), strict=True)]
    text = "\n".join(["time,temperature,ax,ay", *rows, ""])
    (tmp_path / "wrist.csv").write_text(text)
    source = {"kind": "csv", "path": str(tmp_path / "wrist.csv"), "pace": "fastest"}
    if pace == "lines":
        source = {"kind": "stdin", "format": "lines", "channels": 3}
    source |= {"stream": "wrist", "rate": RATE, "grid": GRID}
    told = tmp_path / "told.jsonl"
    config = write_config(
        tmp_path / "d.yaml", bundle, [source], [{"kind": "jsonl", "path": str(told)}], until="finished"
    )
    subprocess.run(command("serve", config), input=text, text=True, timeout=60, check=True, capture_output=True)
    messages = [streamrnn.wire.read(line) for line in told.read_bytes().splitlines()]
    assert swings(messages) == expected(bundle)
    assert gaps(messages) == []
    assert "irregular" in states(messages)
