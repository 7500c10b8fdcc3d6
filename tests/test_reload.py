"""A daemon reloads its bundles while it hears: nothing is lost, and what cannot be served changes nothing."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from daemons import INGEST, RESULTS, Daemon, command, write_config
from test_restart import collect, has
from test_service import SAID, as_event, subscriber, talk, until_ended

import streamrnn
from streamrnn.calls import CallError
from streamrnn.client import Control, Pusher
from streamrnn.events import same


@pytest.fixture
def bundle(tmp_path: Path, tiny_bundle: Path) -> Path:
    return Path(shutil.copy(tiny_bundle, tmp_path / "own.bundle"))


@pytest.fixture
def config(tmp_path: Path, bundle: Path) -> Path:
    return write_config(tmp_path / "daemon.yaml", bundle, [INGEST], [RESULTS])


def test_reloads_under_load_lose_nothing(config: Path, bundle: Path) -> None:
    talks = {f"s{i}": np.concatenate([talk(i), talk(i + 10), talk(i + 20)]) for i in range(3)}
    stop = threading.Event()
    generations: list[int] = []

    def again(endpoint: str) -> None:
        with Control(endpoint) as control:
            while not stop.is_set():
                generations.append(control.call("reload", timeout=20.0)["generation"])

    with Daemon(config) as daemon, subscriber(daemon) as listening:
        reloading = threading.Thread(target=again, args=(daemon.control,))
        reloading.start()
        pushers = {name: Pusher(daemon.ingest, stream=name, rate=8000, dtype="int16") for name in talks}
        for start in range(0, max(map(len, talks.values())), 400):
            for name, pusher in pushers.items():
                if len(talks[name][start : start + 400]):
                    pusher.push(talks[name][start : start + 400])
        while len(generations) < 5:  # however quick the pushing was
            reloading.join(0.01)
        stop.set()
        reloading.join(20)
        for pusher in pushers.values():
            pusher.end()
        heard = until_ended(listening, len(talks))
        assert listening.lost == 0
        daemon.stop()
    assert generations == list(range(2, 2 + len(generations)))
    detector = streamrnn.load(bundle)
    for name, samples in talks.items():
        wanted = detector.detect(samples, 8000, name)
        given = [as_event(each) for each in heard if each.stream == name and each.kind != "status"]
        assert len(wanted) >= 3 * len(SAID) - 2
        assert [(each.id, each.readiness) for each in given] == [(each.id, each.readiness) for each in wanted]
        assert all(same(one, other) for one, other in zip(given, wanted, strict=True))


def test_what_cannot_be_served_changes_nothing(config: Path, bundle: Path) -> None:
    whole = bundle.read_bytes()
    with Daemon(config) as daemon, subscriber(daemon) as listening, Control(daemon.control) as control:
        bundle.write_bytes(whole[:-2000])
        with pytest.raises(CallError, match=r"own\.bundle") as caught:
            control.call("reload")
        assert caught.value.code == "refused"
        kept = collect(listening, has("kept"))[-1]
        assert str(bundle) in kept.body.text  # type: ignore[union-attr]
        daemon.process.send_signal(signal.SIGHUP)
        collect(listening, has("kept"))
        bundle.write_bytes(whole)
        config.write_text(config.read_text().replace("bundles:", "bundels:"))
        with pytest.raises(CallError, match="bundels"):
            control.call("reload")
        config.write_text(config.read_text().replace("bundels:", "bundles:"))
        assert control.call("status")["generation"] == 1
        daemon.process.send_signal(signal.SIGHUP)
        told = collect(listening, has("reloaded"))[-1]
        assert told.body.text == "generation 2"  # type: ignore[union-attr]
        # All the while it serves.
        with Pusher(daemon.ingest, stream="mic", rate=8000) as pusher:
            pusher.push(talk(1))
        heard = [each for each in until_ended(listening, 1) if each.kind == "detection"]
        assert len(heard) == len(SAID)
        daemon.stop()


def test_status_for_people_and_programs_and_a_reset(config: Path) -> None:
    with Daemon(config) as daemon, subscriber(daemon) as listening, Control(daemon.control) as control:
        pusher = Pusher(daemon.ingest, stream="mic", rate=8000)
        pusher.push(talk(1)[:8000])
        assert control.call("reset", stream="mic") == {"stream": "mic"}
        with pytest.raises(CallError, match="no such stream"):
            control.call("reset", stream="other")
        with pytest.raises(CallError, match="keeps no state") as caught:
            control.call("keep")
        assert caught.value.code == "no_state"
        pusher.push(talk(1)[8000:])
        gap = collect(listening, lambda message: message.kind == "gap")[-1]
        assert (gap.body.reason, gap.epoch) == ("reset", 1)  # type: ignore[union-attr]
        given = subprocess.run(
            command("status", daemon.control, "--json"), capture_output=True, text=True, timeout=30, check=True
        )
        status = json.loads(given.stdout)
        assert [each["stream"] for each in status["streams"]] == ["mic"]
        assert status["streams"][0]["epoch"] == 1
        assert status["sources"][0]["place"] == daemon.ingest
        table = subprocess.run(
            command("status", daemon.control), capture_output=True, text=True, timeout=30, check=True
        )
        assert "generation 1" in table.stdout
        assert "mic" in table.stdout.splitlines()[-1]
        pusher.end()
        control.call("drain")
        assert collect(listening, lambda message: message.kind == "bye")[-1].body.reason == "drained by control"  # type: ignore[union-attr]
        assert daemon.wait() == 0
    gone = subprocess.run(
        command("status", daemon.control, "--timeout", "0.2"), capture_output=True, text=True, timeout=30, check=False
    )
    assert gone.returncode == 2
    assert gone.stderr.count("\n") == 1
