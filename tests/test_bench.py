"""The bench: what is compared computes the same, and its commands print what they promise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from streamrnn import bench, cli
from streamrnn.testing.signals import write_tone_words
from streamrnn.training.plain_loop import Contestants, PlainCells, PlainLoop, cells, network

torch.set_num_threads(1)

CONFIG = """
recognizer:
  name: tones
  rate: 8000
  labels: {low: [], high: []}
  features:
    - {kind: frame, window_ms: 32, hop_ms: 20}
    - {kind: log_mel, bands: 12}
    - {kind: scale}
  model: {kind: gru, layers: 1, hidden: 8}
  head: {kind: classes}
  decoder: {kind: endpoint}
material: {kind: recordings}
training: {steps: 2, lanes: 4, unroll_ms: 400, judge_every: 2}
"""


@pytest.fixture(scope="module")
def contestants(tmp_path_factory: pytest.TempPathFactory) -> Contestants:
    return Contestants(tmp_path_factory.mktemp("bench"), network(), PlainLoop)


def test_all_contestants_give_the_same_posteriors_chunk_after_chunk(contestants: Contestants) -> None:
    samples = bench.noise(contestants.recognizer, 3, 12)
    heard = {}
    for name, hear in contestants(3).items():
        parts = [hear(np.ascontiguousarray(part)) for part in np.split(samples, [160, 800], axis=1)]
        heard[name] = np.concatenate(parts, axis=1)
    assert heard["onnx"].shape == (3, 12, 11)
    for name in ("torch", "loop"):
        np.testing.assert_allclose(heard[name], heard["onnx"], atol=1e-5)


def test_the_cells_of_the_bench_are_those_of_torch() -> None:
    source = cells()
    frames = bench.noise(source.recognizer, 2, 9)
    hidden = PlainCells(source, 2)(frames)
    _, state = source(torch.from_numpy(frames), source.initial_state(2))
    np.testing.assert_allclose(hidden[:, -1], state["gru.1.h"].detach(), atol=1e-6)


def test_a_race_tells_slow_from_fast() -> None:
    calls = {"slow": 0, "fast": 0}

    def slow(samples: np.ndarray) -> np.ndarray:
        calls["slow"] += 1
        return np.sort(np.sort(np.tile(samples.ravel(), 200))[::-1])

    def fast(samples: np.ndarray) -> np.ndarray:
        calls["fast"] += 1
        return samples

    took = bench.race({"slow": slow, "fast": fast}, np.ones((1, 160, 1), np.float32), 16_000, 0.01)
    assert took["slow"] > 3 * took["fast"] > 0
    assert calls["fast"] > calls["slow"] >= 7


def test_bench_measures_a_bundle(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", str(tiny_bundle), "--batches", "1,3", "--seconds", "0.01"]
    assert cli.main([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    # A hop of the bundle is 25 ms: no chunk can be shorter.
    assert [(row["batch"], row["chunk_ms"]) for row in rows] == [(1, 25.0), (3, 25.0), (1, 100.0), (3, 100.0)]
    assert all(row["microseconds"]["onnx"] > 0 for row in rows)
    assert cli.main(arguments) == 0
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == 6
    assert "native" not in shown  # a bundle whose graph is not what its config says


def test_bench_of_the_loop_shows_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--loop", "--batches", "1", "--seconds", "0.01"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("loop/onnx") == 2
    assert "GRU 2 x 128 alone" in shown
    assert shown.count("x") >= 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--batches", "0"], "--batches 0"),
        (["--batches", "1,,2"], "--batches 1,,2"),
        (["--models", "configs/digits.yaml"], "add --data DIR"),
        (["nowhere.bundle"], "nowhere.bundle"),
    ],
)
def test_bench_refuses_in_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_models_are_compared_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "tones"
    write_tone_words(data, clips=3)
    config, page = tmp_path / "tones.yaml", tmp_path / "comparison.md"
    config.write_text(CONFIG)
    arguments = ["bench", "--models", str(config), "--data", str(data), "--set", "training.steps=3", "--json"]
    assert cli.main([*arguments, "--out", str(page)]) == 0
    compared = json.loads(capsys.readouterr().out)
    assert compared["steps"] == 3
    assert list(compared["models"]) == ["gru", "lstm", "rnn"]
    for model in compared["models"].values():
        assert model["microseconds"] > 0
        assert set(model["estimates"]) >= {"accuracy"}
        norms = {row["frames"]: row["state"] for row in model["gradients"]}
        # Untrained cells forget: what was a second ago moves the loss less than what was just now.
        assert norms[100] < norms[10]
    shown = page.read_text()
    assert "| lstm |" in shown
    assert "--data tones --set training.steps=3" in shown
    assert str(tmp_path / "tones ") not in shown


def test_ways_to_carry_state_are_compared_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_tone_words(tmp_path / "words", clips=3).parent
    config, out = tmp_path / "tiny.yaml", tmp_path / "carried.md"
    config.write_text(tiny.WORDS)
    arguments = ["bench", "--carrying", str(config), "--data", str(data), "--set", "training.steps=3", "--json"]
    kept = tmp_path / "kept"
    assert cli.main([*arguments, "--out", str(out), "--keep", str(kept)]) == 0
    assert sorted(path.stem for path in kept.glob("*.bundle")) == ["carried", "stateless", "tbptt"]
    compared = json.loads(capsys.readouterr().out)
    assert len(compared["trained"]) == 3
    for played in compared["trained"].values():
        lost = played.pop("lost without reset")
        assert list(played) == ["whole clip", "streamed, reset before each", "streamed, never reset"]
        assert all(0 <= each["low"] <= each["value"] <= each["high"] <= 1 for each in played.values())
        reset, carried = (each["value"] for each in list(played.values())[1:])
        assert lost["value"] == pytest.approx(reset - carried)
        assert lost["low"] <= lost["value"] <= lost["high"]
    assert "| trained | whole clip |" in out.read_text()
