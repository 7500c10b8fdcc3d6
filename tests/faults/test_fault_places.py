"""Files and ports that fail: disks that are full or read-only, readers that are gone, damaged bundles, taken ports."""

from __future__ import annotations

import json
import random
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import judge
from daemons import command
from disks import read_only
from oracle import Oracle
from producer import Playing
from setting import Setting, by_form

from streamrnn import bundle
from streamrnn.errors import BundleError


def fails(config: Path) -> str:
    """The one line of a daemon that does not start by a mistake that a user can mend."""
    done = subprocess.run(command("serve", config), capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done
    *before, line = done.stderr.splitlines()
    assert not before
    return line


def soon(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something. Raises AssertionError if it does not come."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def detections(lines: Path) -> list[int]:
    """Where the detections of a file of JSON lines begin; one line of it may be torn, and one be half written."""
    starts, torn = [-1], 0
    for line in lines.read_text().splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            torn += 1
        else:
            starts += [said["body"]["start"]] if said["kind"] == "detection" else []
    assert torn <= 2
    return starts


def test_a_disk_that_is_full_costs_lines_that_are_counted_and_no_result_on_the_wire(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    lines = tmp_path / "out.jsonl"
    with Setting(tmp_path, tiny_bundle, sinks=[{"kind": "jsonl", "path": str(lines)}]) as setting:
        daemon = setting.start()
        with Oracle(setting.results) as oracle:
            oracle.greeted()
            producer = setting.producer("mic", 1e3, speed=4)
            with Playing([producer]) as playing:
                oracle.word("mic", 0)
                # A file that may not grow: what a write to a full disk gives, and it can be made to hold again.
                _, most = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
                full = lines.stat().st_size + 100
                resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (full, most))
                soon(lambda: lines.stat().st_size >= full)
                for _ in range(2):  # so that lines behind the torn one are lost as well
                    oracle.word("mic", producer.at)
                resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (most, most))
                fresh = producer.at
                oracle.word("mic", fresh)
                soon(lambda: max(detections(lines)) >= fresh)
                playing.finish()
                oracle.over("mic")
            assert not setting.verdict(oracle, producer)
            assert not judge.gaps(oracle.messages, "mic")
            assert daemon.stop() < 2.0
    assert any("lines lost" in line for line in daemon.said), daemon.said


def test_a_disk_that_is_read_only_is_one_line(tmp_path: Path, tiny_bundle: Path) -> None:
    with read_only(tmp_path / "disk") as place:
        sink = {"kind": "jsonl", "path": str(place / "out.jsonl")}
        with Setting(tmp_path, tiny_bundle, sinks=[sink]) as setting:
            line = fails(setting.config)
    assert str(place) in line
    assert "choose another path" in line


def test_a_reader_that_is_gone_costs_its_lines_and_nothing_else(tmp_path: Path, tiny_bundle: Path) -> None:
    with Setting(tmp_path, tiny_bundle, sinks=[{"kind": "jsonl"}, {"kind": "console"}]) as setting:
        daemon = setting.start(stdout=subprocess.PIPE)
        assert daemon.process.stdout
        daemon.process.stdout.close()
        with Oracle(setting.results) as oracle:
            oracle.greeted()
            setting.witness(oracle, "mic")
            assert daemon.stop() < 2.0
            oracle.wait(lambda message: message.kind == "bye")
    assert daemon.process.returncode == 0
    assert any("lines lost" in line for line in daemon.said), daemon.said
    assert not [line for line in daemon.said if "Traceback" in line]


def test_a_second_daemon_on_taken_ports_is_one_line_and_leaves_the_first_alone(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    with Setting(tmp_path, tiny_bundle) as setting:
        setting.start()
        with Oracle(setting.results) as oracle:
            oracle.greeted()
            line = fails(setting.config)
            assert "taken" in line
            assert "tcp://127.0.0.1:" in line
            setting.witness(oracle, "mic")


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """The file cut short, with a bit turned, or with a stretch of zeros."""
    place = chance.randrange(len(whole))
    how = chance.randrange(3)
    if how == 0:
        return whole[:place]
    if how == 1:
        return whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :]
    return whole[:place] + bytes(min(64, len(whole) - place)) + whole[place + 64 :]


def test_a_damaged_bundle_is_refused_or_the_same(tmp_path: Path, tiny_bundle: Path) -> None:
    whole, chance = tiny_bundle.read_bytes(), random.Random(1)
    sound = bundle.read(tiny_bundle)
    path = tmp_path / "damaged.bundle"
    lines = []
    for _ in range(by_form(300, 100_000)):
        path.write_bytes(damaged(whole, chance))
        try:
            there = bundle.read(path)
        except BundleError as error:
            lines.append(str(error))
        else:
            # Dates and the like of the archive may be damaged: of what was trained every bit is checked.
            assert (there.sha, there.graph, there.recognizer) == (sound.sha, sound.graph, sound.recognizer)
    assert lines
    assert all(str(path) in line and "\n" not in line for line in lines)


def test_a_daemon_with_a_truncated_bundle_is_one_line_and_one_whose_bundle_is_damaged_goes_on(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    whole = tiny_bundle.read_bytes()
    path = tmp_path / "mine.bundle"
    path.write_bytes(whole)
    with Setting(tmp_path, path) as setting:
        daemon = setting.start()
        with Oracle(setting.results) as oracle:
            oracle.greeted()
            path.write_bytes(whole[: len(whole) // 2])
            setting.bundle = tiny_bundle
            setting.witness(oracle, "mic")
        assert daemon.stop() < 2.0
        assert str(path) in fails(setting.config)
