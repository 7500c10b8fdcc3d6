"""The in-process API and `streamrnn check`, on a small real network exported to ONNX."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pytest
import soundfile
import torch

import streamrnn
from streamrnn import bundle, cli, engine, registry
from streamrnn.bundle import Bundle, open_step
from streamrnn.config import Role, convert, parse_yaml
from streamrnn.detector import Detector, as_samples
from streamrnn.engine import Engine
from streamrnn.errors import BundleError, StreamError
from streamrnn.events import Event, Heard, Lost, same
from streamrnn.network import Network
from streamrnn.recognizer import RecognizerConfig
from streamrnn.registry import PlugConfig
from streamrnn.testing import LawBroken, check_step
from streamrnn.testing.signals import sentence
from streamrnn.training.export import export
from streamrnn.watching import WatchConfig

torch.set_num_threads(1)

CONFIG = """
name: tones
rate: 8000
labels: {low: [], high: []}
features:
  - {kind: frame, window_ms: 32, hop_ms: 10}
  - {kind: log_mel, bands: 16}
  - {kind: delta}
  - {kind: stack, frames: 2}
model: {kind: gru, layers: 1, hidden: 12}
head: {kind: classes}
decoder: {kind: hysteresis, smooth_ms: 40, enter: 0.5, leave: 0.3}
"""


def tiny(path: Path) -> Bundle:
    """A real bundle of random weights, loud enough to say something: what it hears is nonsense."""
    torch.manual_seed(3)
    network = Network(convert(parse_yaml(CONFIG), RecognizerConfig))
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.mul_(12.0)
    return export(network, path, {"purpose": "a test"})


def rewritten(good: Bundle, path: Path, **changed: Any) -> Bundle:
    """The same bundle with other contents."""
    same_as_before = {field.name: getattr(good, field.name) for field in dataclasses.fields(bundle.Contents)}
    return bundle.write(path, bundle.Contents(**{**same_as_before, **changed}))


# Decoders of posteriors: those of forecasts have no words to hear.
OF_WORDS = [plug.kind for plug in registry.plugs("decoder") if not issubclass(plug.config, WatchConfig)]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    first = tiny(folder / "first.bundle")
    written = {}
    for plug in registry.plugs("decoder"):
        decoder = convert({"kind": plug.kind, "smooth_ms": 40}, Annotated[PlugConfig, Role("decoder")])
        config = msgspec.structs.replace(first.recognizer.config, decoder=decoder)
        recognizer = msgspec.structs.replace(first.recognizer, config=config)
        written[plug.kind] = rewritten(first, folder / f"{plug.kind}.bundle", recognizer=recognizer)
    return written


def speech(seed: int, rate: int = 8000) -> np.ndarray:
    samples, _ = sentence(["low", "high", "mid", "rise", "low"], rate, np.random.default_rng(seed), pause_s=0.2)
    return samples


def assert_same(left: list[Event], right: list[Event]) -> None:
    assert len(left) == len(right)
    assert left
    for one, other in zip(left, right, strict=True):
        assert same(one, other), (one, other)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_the_step_of_a_real_bundle_keeps_the_law(bundles: dict[str, Bundle], backend: str) -> None:
    first = next(iter(bundles.values()))
    recognizer = first.recognizer
    check_step(open_step(first, backend), first.initial, recognizer.hop, recognizer.channels, trials=1, atol=1e-4)


@pytest.mark.parametrize("kind", OF_WORDS)
@pytest.mark.parametrize("rate", [8000, 44100])
def test_a_real_bundle_hears_the_same_in_any_chunks_and_company(
    bundles: dict[str, Bundle], kind: str, rate: int
) -> None:
    serving = engine.serving(bundles[kind])
    takes = {f"mic{i}": speech(i, rate) for i in range(7)}
    running = Engine([serving], rows_a_call=4)
    random = np.random.default_rng(1)
    at = dict.fromkeys(takes, 0)
    heard: list[Event] = []
    for name in takes:
        running.open(name, rate, 1)
    while at:
        name = str(random.choice(list(at)))
        chunk = takes[name][at[name] : at[name] + int(random.integers(1, 5000))]
        running.push(name, at[name], chunk)
        at[name] += len(chunk)
        if at[name] == len(takes[name]):
            running.finish(name)
            del at[name]
        heard += running.step()
    heard += running.run()
    for name, samples in takes.items():
        whole = Detector(serving).detect(samples, rate, name)
        assert_same(whole, [event for event in heard if event.stream == name])


def test_both_backends_hear_the_same(bundles: dict[str, Bundle]) -> None:
    path = bundles["hysteresis"].path
    onnx, reference = streamrnn.load(path), streamrnn.load(str(path), backend="torch")
    assert_same(onnx.detect(speech(1), 8000), reference.detect(speech(1), 8000))


def test_a_live_stream_hears_what_detect_hears(bundles: dict[str, Bundle]) -> None:
    detector = streamrnn.load(bundles["endpoint"].path)
    assert detector.labels == ("low", "high")
    assert detector.rate == 8000
    samples = speech(2)
    stream = detector.stream(8000, name="array")
    heard: list[Event] = []
    for start in range(0, len(samples), 333):
        heard += stream.push(samples[start : start + 333, 0])
    heard += stream.push([])
    heard += stream.finish()
    whole = detector.detect(samples, 8000)
    assert_same(whole, heard)
    assert_same(whole, detector.detect(samples[:, 0], 8000))
    with pytest.raises(StreamError, match="no such stream"):
        stream.push(samples)


def test_pcm_hears_what_floats_hear(bundles: dict[str, Bundle]) -> None:
    detector = streamrnn.load(bundles["hysteresis"].path)
    pcm = np.round(speech(3) * 32767).astype(np.int16)
    assert_same(detector.detect(pcm, 8000), detector.detect(pcm / 32768.0, 8000))


def test_a_live_stream_that_lost_samples_says_so_and_begins_fresh(bundles: dict[str, Bundle]) -> None:
    stream = streamrnn.load(bundles["hysteresis"].path).stream(8000)
    stream.push(speech(4))
    heard = [*stream.lose(100), *stream.push(speech(4)), *stream.finish()]
    gaps = [event for event in heard if isinstance(event.body, Lost)]
    assert [gap.body for gap in gaps] == [Lost(len(speech(4)), len(speech(4)) + 100, 8000, "dropped")]
    assert {event.epoch for event in heard if isinstance(event.body, Heard)} <= {0, 1}


def test_as_samples_scales_pcm_and_keeps_floats() -> None:
    assert as_samples([0.5, -0.5]).shape == (2, 1)
    assert as_samples(np.array([[-32768, 16384]], np.int16)).tolist() == [[-1.0, 0.5]]
    assert as_samples(np.array([0, 128, 192], np.uint8)).ravel().tolist() == [-1.0, 0.0, 0.5]
    assert as_samples(np.array([-(2**31)], np.int32)).ravel().tolist() == [-1.0]
    assert as_samples(np.array([64], np.int8)).ravel().tolist() == [0.5]
    assert as_samples(np.array([1e300])).dtype == np.float32
    for wrong in (np.zeros((2, 2, 2)), np.zeros((3, 0)), np.array(["a"]), np.zeros(3, np.int64), np.zeros(3, bool)):
        with pytest.raises(StreamError, match="samples"):
            as_samples(wrong)


def test_a_bundle_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"none\.bundle"):
        streamrnn.load(tmp_path / "none.bundle")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, streamrnn; print([m for m in ('numpy', 'torch', 'onnxruntime', 'zmq') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_check_says_line_by_line_what_holds(
    bundles: dict[str, Bundle], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio = tmp_path / "talk.wav"
    soundfile.write(audio, speech(5, 16000), 16000)
    assert cli.main(["check", str(bundles["endpoint"].path), "--audio", str(audio)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("ok ") for line in lines)


def test_check_names_what_is_broken(
    bundles: dict[str, Bundle], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = bundles["hysteresis"]
    wrong = bundle.Golden(good.golden.samples, good.golden.posteriors[::-1].copy())
    path = rewritten(good, tmp_path / "wrong.bundle", golden=wrong).path
    assert cli.main(["check", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("BROKEN  golden audio")
    assert all(line.startswith("ok ") for line in lines[1:])


def test_check_refuses_what_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "no.bundle"
    path.write_bytes(b"nothing")
    assert cli.main(["check", str(path)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "not a bundle" in told


def test_a_recording_whose_events_depend_on_chunks_is_told(bundles: dict[str, Bundle]) -> None:
    from streamrnn.commands.check import check_chunks

    serving = engine.serving(bundles["hysteresis"])

    def forgetful(samples: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        fresh = {name: np.repeat(array, len(samples), axis=0) for name, array in serving.initial.items()}
        return serving.step(samples, fresh)

    check_chunks(serving, speech(6), 8000)
    with pytest.raises(LawBroken, match="every split gives the same events"):
        check_chunks(dataclasses.replace(serving, step=forgetful), speech(6), 8000)
