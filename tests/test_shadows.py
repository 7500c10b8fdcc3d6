"""Shadows: they run beside what serves, are compared with it, and take its place without a loss or a repetition."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from daemons import INGEST, RESULTS, Daemon, command, write_config
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine import bursts, make
from test_restart import has
from test_service import SAID, subscriber, talk, until_ended

from streamrnn.calls import CallError
from streamrnn.client import Control, Pusher
from streamrnn.decoders import HysteresisConfig
from streamrnn.engine import Engine, Serving
from streamrnn.errors import ConfigError, StreamError
from streamrnn.events import Event, Heard
from streamrnn.metrics import Meter
from streamrnn.shadowing import OfShadow, Shadowing
from streamrnn.wire import Status

RATE = 8000
# Both tell what has been confirmed for so long: one decides early, the other late.
EARLY = HysteresisConfig(smooth_ms=20, enter=0.5, leave=0.3, min_frames=1, refractory_ms=50)
LATE = HysteresisConfig(smooth_ms=60, enter=0.5, leave=0.3, min_frames=4, refractory_ms=50)


class Watched:
    """An engine whose events a Shadowing sees, as a daemon has them."""

    def __init__(self, *servings: Serving) -> None:
        self.engine = Engine(servings)
        self.events: list[Event] = []
        self.told: list[Status] = []
        self.methods: dict[str, Any] = {}
        self.shadowing = Shadowing(
            Meter(), step=self.step, publish=self.events.append, tell=self.told.append, changed=lambda: None
        )
        self.shadowing.oversee(self.engine)

    def step(self) -> None:
        while self.engine.pending:
            for event in self.engine.step():
                self.events += self.shadowing.hear(event)
        self.shadowing.settle()

    def call(self, method: str, name: str) -> Any:
        from streamrnn.control import Control as Door
        from streamrnn.sources.bell import Bell

        bell = Bell()
        door = Door(bell)
        self.shadowing.answer_on(door)
        try:
            return door._methods[method].do(OfShadow(name))
        finally:
            door.close()
            bell.close()

    def of(self, name: str) -> list[Event]:
        return [each for each in self.events if each.bundle.name == name and isinstance(each.body, Heard)]


def shadow(**more: Any) -> Serving:
    return dataclasses.replace(make("trial", **more), beside="bursts")


def play(watched: Watched, samples: np.ndarray, sizes: list[int], promote_at: int) -> None:
    """Push in chunks; before the one in which sample `promote_at` lies, the shadow is promoted."""
    start, turn, promoted = 0, 0, promote_at < 0
    while start < len(samples):
        if not promoted and start + sizes[turn % len(sizes)] > promote_at:
            promoted = True
            watched.call("promote", "trial")
        chunk = samples[start : start + sizes[turn % len(sizes)]]
        watched.engine.push("mic", start, chunk)
        start, turn = start + len(chunk), turn + 1
        if turn % 3:  # so that something waits when it is promoted
            watched.step()
    watched.engine.finish("mic")
    watched.step()


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 30),
    sizes=st.lists(st.integers(40, 900), min_size=1, max_size=3),
    at=st.floats(0, 1),
    decoders=st.permutations([EARLY, LATE]),
    rate=st.sampled_from([8000, 16000]),
)
def test_wherever_it_is_promoted_each_word_is_told_once(
    seed: int, sizes: list[int], at: float, decoders: list[HysteresisConfig], rate: int
) -> None:
    samples = bursts(seed, rate)
    before, after = make(decoder=decoders[0]), shadow(decoder=decoders[1])
    alone = Watched(before, after)
    alone.engine.open("mic", rate, 1)
    play(alone, samples, sizes, -1)
    wanted = alone.of("bursts")
    assert len(wanted) == len(alone.of("trial")) >= 4
    assert {(each.bundle.shadow, each.bundle.sha) for each in alone.of("trial")} == {(True, "sha-trial")}
    (counts,) = alone.shadowing.listed()
    assert (counts["agreed"], counts["only_serving"], counts["only_shadow"]) == (len(wanted), 0, 0)
    # With a promotion: the words of both ends, each once, in their order, from whichever heard it.
    watched = Watched(before, after)
    watched.engine.open("mic", rate, 1)
    play(watched, samples, sizes, int(at * len(samples)))
    given_ = watched.of("bursts")
    assert [each.body.label for each in given_] == [each.body.label for each in wanted]  # type: ignore[union-attr]
    for one, other in zip(given_, wanted, strict=True):
        assert abs(one.body.start - other.body.start) < 0.25 * rate  # type: ignore[union-attr]
    assert len({each.id for each in watched.events}) == len(watched.events)
    assert [each.ref.shadow for each in watched.engine.servings] == [False]


def test_the_comparison_tells_whose_a_word_is() -> None:
    """The shadow is deaf to quiet words, and hears one more than what serves once that is reset in the midst of it."""
    deaf = HysteresisConfig(smooth_ms=30, enter=0.9, leave=0.8, refractory_ms=50)
    watched = Watched(make(), shadow(decoder=deaf))
    samples = bursts(1)
    watched.engine.open("mic", RATE, 1)
    play(watched, samples, [500], -1)
    heard, faint = len(watched.of("bursts")), len(watched.of("trial"))
    (counts,) = watched.shadowing.listed()
    assert counts["agreed"] + counts["only_serving"] == heard
    assert counts["agreed"] + counts["only_shadow"] == faint
    assert counts["only_serving"] >= heard - faint > 0
    values = watched.shadowing._meter.values["shadow_events_total"]
    assert values.get(("trial", "only_serving")) == counts["only_serving"]
    watched.call("drop", "trial")
    assert watched.shadowing.listed() == []
    assert [each.name for each in watched.engine.servings] == ["bursts"]
    with pytest.raises(CallError, match="no shadow"):
        watched.call("promote", "bursts")


def test_a_shadow_that_is_new_costs_no_memory_of_what_serves() -> None:
    samples = bursts(3, count=8)
    whole = Engine([make()])
    whole.open("mic", RATE, 1)
    whole.push("mic", 0, samples)
    whole.finish("mic")
    wanted = whole.run()
    cut = len(samples) // 2
    before = Engine([make()])
    before.open("mic", RATE, 1, ["bursts"])
    before.push("mic", 0, samples[:cut])
    told = before.run()
    after = Engine([make(), shadow()])
    after.restore(before.snapshot("mic"), ["bursts"])
    after.push("mic", cut, samples[cut:])
    after.finish("mic")
    late = after.run()
    both = [*told, *(each for each in late if each.bundle.name == "bursts")]
    assert [(each.id, each.sample) for each in both] == [(each.id, each.sample) for each in wanted]
    assert [each for each in late if each.bundle.name == "trial"]


def test_an_engine_promotes_between_two_steps_only() -> None:
    engine = Engine([make(), shadow()])
    engine.open("mic", RATE, 1)
    engine.push("mic", 0, np.zeros((800, 1), np.float32))
    with pytest.raises(StreamError, match="wait"):
        engine.promote("trial")
    engine.run()
    with pytest.raises(ConfigError, match="no such shadow"):
        engine.promote("bursts")
    assert engine.promote("trial") == {"mic"}


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Path) -> Path:
    log, acted = tmp_path / "events.jsonl", tmp_path / "acted"
    act = [sys.executable, "-c", f"import sys; open({str(acted)!r}, 'a').write(sys.stdin.read())"]
    sinks = [RESULTS, {"kind": "jsonl", "path": str(log)}, {"kind": "console"}, {"kind": "command", "argv": act}]
    trial = {"path": str(tiny_bundle), "name": "trial", "decoder": {"smooth_ms": 70}}
    # A source that names its bundle: the shadow hears along.
    return write_config(
        tmp_path / "daemon.yaml", tiny_bundle, [{**INGEST, "bundles": ["tones"]}], sinks, shadows=[trial]
    )


def test_a_shadow_runs_beside_a_daemons_bundle_and_takes_its_place(config: Path, tmp_path: Path) -> None:
    samples = np.concatenate([talk(1), talk(2)])
    with (
        Daemon(config, stdout=subprocess.PIPE) as daemon,
        subscriber(daemon) as listening,
        Control(daemon.control) as control,
    ):
        pusher = Pusher(daemon.ingest, stream="mic", rate=RATE)
        half = len(talk(1))
        pusher.push(samples[:half])
        deadline = time.monotonic() + 60
        while (status := control.call("status"))["shadows"][0]["agreed"] < len(SAID) - 1:
            assert time.monotonic() < deadline, status
            time.sleep(0.02)
        assert [each["name"] for each in status["bundles"]] == ["tones"]
        table = subprocess.run(
            command("status", daemon.control), capture_output=True, text=True, timeout=30, check=True
        )
        assert "beside tones" in table.stdout
        given_ = subprocess.run(
            command("control", "promote", "bundle=trial", "--endpoint", daemon.control),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert json.loads(given_.stdout)["bundle"] == "tones"
        assert control.call("status")["shadows"] == []
        pusher.push(samples[half:])
        pusher.end()
        heard = until_ended(listening, 1)
        assert any(has("promoted")(each) for each in heard)
        daemon.stop()
        assert daemon.process.stdout
        shown = daemon.process.stdout.read()
    detections = [each for each in heard if each.kind == "detection"]
    serving = [each for each in detections if each.topic == "v1/detection/mic/tones/"]
    assert [each.body.label for each in serving] == SAID * 2  # type: ignore[union-attr]
    assert not any(each.bundle.shadow for each in serving)
    trial = [each for each in detections if each.topic == "v1/detection/mic/trial/"]
    assert all(each.bundle.shadow for each in trial)
    assert len(trial) == len(SAID)
    # What acts has heard nothing of it; the record has all.
    assert "trial" not in "".join(line for line in shown.splitlines() if "promoted" not in line)
    acted = [json.loads(line) for line in (tmp_path / "acted").read_text().splitlines()]
    assert Counter(each["bundle"]["name"] for each in acted) == {"tones": 2 * len(SAID)}
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert sum(each["bundle"].get("shadow", False) for each in lines if each["kind"] == "detection") == len(SAID)


def test_a_shadow_comes_and_goes_by_a_reload(config: Path, tiny_bundle: Path) -> None:
    text = config.read_text()
    begin = text.index("shadows:")
    end = text.find("\nsinks:", begin)
    config.write_text(text[:begin] + text[end + 1 :])
    with Daemon(config, stdout=subprocess.DEVNULL) as daemon, Control(daemon.control) as control:
        assert control.call("status")["shadows"] == []
        config.write_text(text)
        control.call("reload")
        assert [each["beside"] for each in control.call("status")["shadows"]] == ["tones"]
        assert control.call("drop", bundle="trial") == {"bundle": "trial"}
        assert control.call("status")["shadows"] == []
        with pytest.raises(CallError, match="no shadow"):
            control.call("promote", bundle="trial")


@pytest.mark.parametrize(
    ("shadow_", "words"),
    [
        ({"path": "wakeword"}, "no bundle that serves has its labels"),
        ({"path": "digits"}, "add `name:`"),
        ({"path": "digits", "nome": "x"}, "did you mean"),
    ],
)
def test_a_shadow_that_cannot_be_compared_is_refused(tmp_path: Path, shadow_: dict[str, str], words: str) -> None:
    path = write_config(tmp_path / "daemon.yaml", Path("digits"), [INGEST], [RESULTS], shadows=[shadow_])
    done = subprocess.run(command("config", path), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert "shadows[0]" in done.stderr
