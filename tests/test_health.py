"""The probes and what is counted: real daemons, real HTTP, and an engine that really hangs."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import math
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
import soundfile
from daemons import INGEST, RESULTS, Daemon, write_config
from hypothesis import given, settings
from hypothesis import strategies as st
from manager import Manager, hanging_sink
from test_sinks import gap
from tones import HOP, RATE

from streamrnn.client import Pusher
from streamrnn.errors import ConfigError
from streamrnn.events import BundleRef
from streamrnn.loopback import address_of
from streamrnn.metrics import Histogram, Meter
from streamrnn.notify import Notifier, take_from_environment
from streamrnn.publisher import Publisher
from streamrnn.testing.signals import sentence
from streamrnn.vitals import Vitals
from streamrnn.watch import Tally

HEALTH = {"endpoint": "http://127.0.0.1:*"}
NOBODY_TO_TELL = Notifier("", 0.0)
needs_prometheus = pytest.mark.skipif(
    importlib.util.find_spec("prometheus_client") is None, reason="prometheus_client is not installed"
)


def get(place: str, page: str) -> tuple[int, str]:
    try:
        with urlopen(place + page, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def value(text: str, series: str) -> float:
    """The value of `name{labels}` on a page of metrics, 0 if it is not there."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def talk(words: list[str]) -> np.ndarray:
    return sentence(words, RATE, np.random.default_rng(1))[0]


def place_of(daemon: Daemon) -> str:
    return next(line.split()[-1] for line in daemon.said if "health at" in line)


@needs_prometheus
def test_a_daemon_counts_what_it_hears_and_says_that_it_is_ready(tmp_path: Path, tiny_bundle: Path) -> None:
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS], health=HEALTH)
    with Daemon(config) as daemon:
        place = place_of(daemon)
        until(lambda: get(place, "/readyz") == (200, "ok\n"))
        assert get(place, "/livez") == (200, "ok\n")
        assert get(place, "/nowhere")[0] == 404
        samples = talk(["low", "high", "low"])
        with Pusher(daemon.ingest, stream="a", rate=RATE) as pusher:
            pusher.push(samples)
            bad = np.full((HOP, 1), np.nan, np.float32)
            pusher.push(bad)
        until(lambda: value(get(place, "/metrics")[1], 'streamrnn_streams_closed_total{state="ended"}') == 1)
        until(lambda: value(get(place, "/metrics")[1], "streamrnn_samples_heard_total") == len(samples))
        _, text = get(place, "/metrics")
        assert value(text, 'streamrnn_detections_total{bundle="tones",label="low"}') == 2
        assert value(text, 'streamrnn_detections_total{bundle="tones",label="high"}') == 1
        assert value(text, 'streamrnn_events_total{kind="detection"}') == 3
        assert value(text, 'streamrnn_samples_lost_total{reason="not finite"}') == HOP
        assert value(text, 'streamrnn_gaps_total{reason="not finite"}') == 1
        assert value(text, "streamrnn_epochs_total") == 1
        frames = value(text, 'streamrnn_frames_total{bundle="tones"}')
        assert frames >= len(samples) // HOP
        assert value(text, 'streamrnn_audio_seconds_total{bundle="tones"}') == pytest.approx(frames * HOP / RATE)
        assert value(text, 'streamrnn_step_seconds_bucket{bundle="tones",le="+Inf"}') > 0
        assert 0 < value(text, 'streamrnn_real_time_factor{bundle="tones"}') < 1
        assert value(text, "streamrnn_streams_open") == 0
        assert value(text, "streamrnn_ready") == 1
        assert value(text, "streamrnn_sources_running") == 1
        assert value(text, "process_open_fds") > 0
        assert daemon.stop() < 4


@needs_prometheus
def test_an_engine_that_hangs_is_dead_though_the_probe_answers(tmp_path: Path, tiny_bundle: Path) -> None:
    environment, sink = hanging_sink(tmp_path)
    config = write_config(
        tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS, sink], health={**HEALTH, "stall_s": 2.0}
    )
    with Daemon(config, env=environment) as daemon:
        place = place_of(daemon)
        until(lambda: get(place, "/livez")[0] == 200)
        # Longer than stall_s: an idle daemon is alive.
        time.sleep(2.5)
        assert get(place, "/livez")[0] == 200
        with contextlib.closing(Pusher(daemon.ingest, stream="a", rate=RATE)) as pusher:
            pusher.push(talk(["low"]))
            until(lambda: get(place, "/livez")[0] == 503)
            assert "has not moved for" in get(place, "/readyz")[1]
            assert value(get(place, "/metrics")[1], "streamrnn_ready") == 0
            daemon.process.kill()


@needs_prometheus
def test_without_a_source_nothing_is_ready_to_come(tmp_path: Path, tiny_bundle: Path) -> None:
    soundfile.write(tmp_path / "v.wav", talk(["low"]), RATE)
    source = {"kind": "wav", "path": str(tmp_path / "v.wav"), "stream": "v", "pace": "fastest"}
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [source], [RESULTS], health=HEALTH)
    with Daemon(config) as daemon:
        place = place_of(daemon)
        until(lambda: get(place, "/readyz") == (503, "no source is left\n"))
        assert get(place, "/livez")[0] == 200


@needs_prometheus
def test_clients_that_say_nothing_shut_nobody_out(tmp_path: Path, tiny_bundle: Path) -> None:
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS], health=HEALTH)
    with Daemon(config) as daemon:
        place = place_of(daemon)
        host, port = place.removeprefix("http://").split(":")
        threads = Path(f"/proc/{daemon.process.pid}/task")
        idle = [socket.create_connection((host, int(port))) for _ in range(200)]
        try:
            for garbage, connection in zip((b"\0" * 70_000, b"GET / HTTP/9.9\r\n\r\n", b"X" * 100), idle, strict=False):
                try:
                    connection.sendall(garbage)
                except OSError:
                    break  # it has made room already
            assert get(place, "/livez") == (200, "ok\n")
            assert len(list(threads.iterdir())) < 64
        finally:
            for connection in idle:
                connection.close()
        asked = http.client.HTTPConnection(host, int(port), timeout=30)
        asked.request("POST", "/livez", body=b"x")
        assert asked.getresponse().status == 501
        asked.close()
        assert daemon.stop() < 4


@pytest.mark.parametrize(
    "endpoint", ["http://0.0.0.0:1", "http://example.org:80", "http://:1", "tcp://127.0.0.1:1", "http://127.0.0.1", "x"]
)
def test_the_probes_are_for_this_machine_alone(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"health\.endpoint: "):
        address_of(endpoint)


def test_addresses() -> None:
    assert address_of("http://127.0.0.1:*") == ("127.0.0.1", 0)
    assert address_of("http://[::1]:9464/") == ("::1", 9464)


@settings(deadline=None)
@given(st.lists(st.floats(0, 20), max_size=50))
def test_a_histogram_counts_every_value_once_below_its_bound(values: list[float]) -> None:
    histogram = Histogram()
    for each in values:
        histogram.observe(each)
    assert sum(histogram.counts) == len(values)
    below = 0
    for bound, count in zip((*histogram.bounds, math.inf), histogram.counts, strict=True):
        below += count
        assert below == sum(each <= bound for each in values)


def test_labels_are_bounded_and_nothing_is_lost_from_the_sum() -> None:
    meter = Meter()
    for i in range(1000):
        meter.add("gaps_total", 1, f"reason {i}")
    assert len(meter.values["gaps_total"]) <= 101
    assert sum(meter.values["gaps_total"].values()) == 1000


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=8), st.integers(1, 3))
def test_a_gap_that_several_bundles_tell_is_lost_once(steps: list[tuple[int, int]], bundles: int) -> None:
    meter = Meter()
    tally = Tally(meter, Vitals(NOBODY_TO_TELL, 1.0))
    publisher = Publisher([tally], [BundleRef("tones", "ab")])
    at = lost = 0
    for heard, missing in steps:
        at += heard
        for _ in range(bundles):
            publisher.event(gap(at, at + missing))
        at, lost = at + missing, lost + missing
    assert sum(meter.values["samples_lost_total"].values()) == lost
    assert sum(meter.values["gaps_total"].values()) == bundles * len(steps)


def test_the_daemon_hears_of_its_manager_once_and_its_children_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody-listens-here")
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    notifier = take_from_environment()
    assert notifier.watchdog_s == 3.0
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & set(os.environ)
    notifier.tell("READY=1")  # nobody listens: no error
    notifier.close()
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert take_from_environment().watchdog_s == 0.0


def test_the_manager_hears_ready_signs_of_life_and_stopping(tmp_path: Path, tiny_bundle: Path) -> None:
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS])
    with Manager(tmp_path / "notify", watchdog_s=1.0) as manager, Daemon(config, env=manager.environment) as daemon:
        assert "READY=1" in manager.heard(60)
        begun = time.monotonic()
        for _ in range(3):
            assert "WATCHDOG=1" in manager.heard(60)
        assert time.monotonic() - begun > 0.5  # by the loop's own pace, not all at once
        daemon.process.send_signal(signal.SIGTERM)
        said = ""
        while "STOPPING=1" not in said:
            said = manager.heard(60)
        assert "STATUS=stopping: SIGTERM" in said
        daemon.wait()


def test_an_engine_that_hangs_gives_no_sign_of_life(tmp_path: Path, tiny_bundle: Path) -> None:
    environment, sink = hanging_sink(tmp_path)
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS, sink])
    with (
        Manager(tmp_path / "notify", watchdog_s=1.0) as manager,
        Daemon(config, env={**environment, **manager.told}) as daemon,
    ):
        assert "READY=1" in manager.heard(60)
        assert "WATCHDOG=1" in manager.heard(60)
        with contextlib.closing(Pusher(daemon.ingest, stream="a", rate=RATE)) as pusher:
            pusher.push(talk(["low"]))
            # Silent for three times as long as systemd would wait, with all other threads alive.
            with pytest.raises(TimeoutError):
                manager.until_silent(3)
            assert daemon.process.poll() is None
            daemon.process.kill()
