"""Sources over control: muted ones are not heard, others come and go, and all that is left out is declared."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from daemons import INGEST, RESULTS, Daemon, command, write_config
from test_restart import has
from test_service import RATE, SAID, as_event, subscriber, talk, until_ended

import streamrnn
from streamrnn.calls import CallError
from streamrnn.chunk import MUTED, Chunk, Ended, Gap, Item, Opened
from streamrnn.cli import main
from streamrnn.client import Control, Pusher
from streamrnn.events import Lost, same
from streamrnn.intake import Closed, Intake
from streamrnn.security import keys
from streamrnn.sources import Source, SourceConfig


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Path) -> Path:
    return write_config(tmp_path / "daemon.yaml", tiny_bundle, [INGEST], [RESULTS])


def wait(control: Control, until: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + 10
    while not until(status := control.call("status")):
        assert time.monotonic() < deadline, status
        time.sleep(0.02)


def ask(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=30, check=False)


def test_a_muted_source_is_not_heard_and_what_is_left_out_is_one_gap(config: Path, tiny_bundle: Path) -> None:
    parts = [talk(1), np.concatenate([talk(i) for i in range(2, 6)]), talk(6)]  # far more than the credit for one
    ends = np.cumsum([len(each) for each in parts])
    with Daemon(config) as daemon, subscriber(daemon) as listening, Control(daemon.control) as control:
        with Pusher(daemon.ingest, stream="mic", rate=RATE, dtype="float32") as pusher:
            pusher.push(parts[0])
            wait(control, lambda status: any(each["heard"] == ends[0] for each in status["streams"]))
            assert control.call("pause", source=daemon.ingest) == {"source": daemon.ingest, "paused": True}
            assert control.call("pause", source=daemon.ingest)["paused"]  # once more is no fault
            pusher.push(parts[1])
            wait(control, lambda status: status["streams"][0]["expected"] == ends[1])
            assert "paused" in ask("status", daemon.control).stdout
            assert control.call("sources")[0]["paused"]
            assert ask("control", "resume", f"source={daemon.ingest}", "--endpoint", daemon.control).returncode == 0
            pusher.push(parts[2])
        heard = until_ended(listening, 1)
    told = [(each.stream, each.body.state) for each in heard if each.kind == "status"]  # type: ignore[union-attr]
    assert told[1:] == [("_", "muted"), ("mic", "muted"), ("_", "unmuted"), ("mic", "unmuted"), ("mic", "ended")]
    gaps = [each.body for each in heard if isinstance(each.body, Lost)]
    assert {each.reason for each in gaps} == {MUTED}
    # In pieces of ten seconds, one after another.
    assert [gaps[0].start, *(each.end for each in gaps)] == [ends[0], *(each.start for each in gaps[1:]), ends[1]]
    detector = streamrnn.load(tiny_bundle)
    wanted = [each.body.label for part in (parts[0], parts[2]) for each in detector.detect(part, RATE)]  # type: ignore[union-attr]
    assert len(wanted) == 2 * len(SAID)
    assert [each.body.label for each in heard if each.kind == "detection"] == wanted  # type: ignore[union-attr]


def test_sources_come_and_go(config: Path, tmp_path: Path, tiny_bundle: Path) -> None:
    samples = talk(3)
    soundfile.write(tmp_path / "talk.wav", samples, RATE, subtype="FLOAT")
    wav = {"kind": "wav", "path": str(tmp_path / "talk.wav"), "stream": "talk", "pace": "fastest"}
    with Daemon(config) as daemon, subscriber(daemon) as listening, Control(daemon.control) as control:
        assert control.call("add", source=wav) == {"source": "talk"}
        heard = until_ended(listening, 1)
        assert any(has("added")(each) for each in heard)
        wanted = streamrnn.load(tiny_bundle).detect(samples, RATE, "talk")
        given = [as_event(each) for each in heard if each.kind == "detection"]
        assert len(given) == len(wanted) == len(SAID)
        assert all(same(one, other) for one, other in zip(given, wanted, strict=True))
        wait(control, lambda status: all(each["closed"] for each in status["sources"] if each["name"] == "talk"))
        # A live one is taken away in the midst of its stream: it ends, and its port is free.
        pusher = Pusher(daemon.ingest, stream="mic", rate=RATE)
        pusher.push(samples)
        wait(control, lambda status: any(each["heard"] == len(samples) for each in status["streams"]))
        control.call("remove", source=daemon.ingest)
        pusher.close()
        heard = until_ended(listening, 1)
        assert len([each for each in heard if each.kind == "detection"]) == len(SAID)
        assert "removed" in next(each.body.text for each in heard if has("ended")(each))  # type: ignore[union-attr]
        wait(control, lambda status: [each["name"] for each in status["sources"]] == ["talk"])
        control.call("add", source={**INGEST, "endpoint": daemon.ingest})
        with Pusher(daemon.ingest, stream="mic2", rate=RATE) as again:
            again.push(samples)
        heard = [each for each in until_ended(listening, 1) if each.stream == "mic2"]
        assert len([each for each in heard if each.kind == "detection"]) == len(SAID)
        assert daemon.stop() < 2.5


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"kind": "wav", "path": "nowhere.wav", "stream": "talk"}, "nowhere.wav"),
    ({"kind": "wev"}, "did you mean"),
    ({"kind": "wav", "path": "x.wav", "stream": "talk", "pece": 1}, r"sources\[1\].pece: unknown key"),
    ({"kind": "wav", "path": "x.wav", "stream": "talk", "bundles": ["tone"]}, "did you mean"),
    ({"kind": "zeromq", "endpoint": "tcp://0.0.0.0:5999"}, "keygen"),
)


def test_a_source_that_cannot_be_is_refused_as_in_a_config(config: Path) -> None:
    with Daemon(config) as daemon, Control(daemon.control) as control:
        for source, words in (*REFUSED, ({**INGEST, "endpoint": daemon.ingest}, "taken by another")):
            with pytest.raises(CallError, match=words) as caught:
                control.call("add", source=source)
            assert caught.value.code == "refused"
            assert "\n" not in caught.value.text
        with pytest.raises(CallError, match="there is none"):
            control.call("remove", source="talk")
        assert len(control.call("sources")) == 1


def test_the_command_and_the_level_of_the_log(config: Path) -> None:
    with Daemon(config) as daemon:
        there = ("--endpoint", daemon.control)
        assert json.loads(ask("control", "log_level", "level=debug", *there).stdout) == {"level": "debug"}
        with Pusher(daemon.ingest, stream="mic", rate=RATE) as pusher:
            pusher.push(talk(1))
        for words in (["pause", "microphone"], ["log_level", "level=loud"]):
            done = ask("control", *words, *there)
            assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        daemon.stop()
        assert any("mic: opened" in line for line in daemon.said)


def test_only_an_admin_mutes(tmp_path: Path, tiny_bundle: Path) -> None:
    folder = tmp_path / "keys"
    for name, role in (("reader", "read"), ("boss", "admin")):
        assert main(["keygen", name, "--role", role, "--out", str(folder)]) == 0
    path = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS], security={"keys": str(folder)})
    with Daemon(path) as daemon:
        with Control(daemon.control, keys=str(folder / f"reader{keys.SECRET_SUFFIX}")) as control:
            assert [each["paused"] for each in control.call("sources")] == [False]
            for method in ("pause", "resume", "remove"):
                with pytest.raises(CallError) as caught:
                    control.call(method, source=daemon.ingest)
                assert caught.value.code == "not_allowed"
        with Control(daemon.control, keys=str(folder / f"boss{keys.SECRET_SUFFIX}")) as control:
            assert control.call("pause", source=daemon.ingest)["paused"]


class Told(Source):
    """Brings items as they are put, so that what lies between them is exact."""

    def __init__(self) -> None:
        super().__init__("told")
        self.given: list[Item] = []

    def items(self) -> Any:
        yield from self.given


@pytest.mark.parametrize("when_full", ["block", "drop_oldest", "drop_newest"])
def test_an_inlet_keeps_nothing_of_what_is_muted_and_its_gaps_have_no_hole(when_full: Any) -> None:
    intake = Intake()
    inlet = intake.add(Told(), SourceConfig(when_full=when_full))
    chunks = [Chunk("s", start, np.ones((100, 1), np.float32)) for start in range(0, 30_000, 100)]
    inlet._put(Opened("s", RATE, 1))
    for i, chunk in enumerate(chunks):
        if i == 50:
            inlet.mute()
        if i == 250:
            inlet.unmute()
        inlet._put(chunk)
    inlet._put(Ended("s"))
    taken = [entry for _, entry in intake.take()]
    spans = [each for each in taken if isinstance(each, Chunk | Gap)]
    assert [each.start for each in spans] == [0, *(each.end for each in spans[:-1])]
    assert [(each.start, each.end) for each in spans if isinstance(each, Gap)] == [(5_000, 25_000)]
    assert not any(isinstance(each, Closed) for each in taken)
    intake.bell.close()
