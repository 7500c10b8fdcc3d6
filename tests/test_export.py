"""Export: graph and torch agree on any chunking, whatever the cells and features, and the golden proof sees more."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import SENSORS, plan

from streamrnn import registry
from streamrnn.backends import Step
from streamrnn.bundle import Bundle, Golden, open_step, prove, read
from streamrnn.errors import BundleError
from streamrnn.network import Network
from streamrnn.training import export as exporting
from streamrnn.training.export import export

torch.set_num_threads(1)

SOUND = [{"kind": "frame", "window_ms": 25, "hop_ms": 10}]
CASES = {
    "gru": [
        *SOUND,
        {"kind": "log_mel", "bands": 8},
        {"kind": "scale"},
        {"kind": "mask"},
        {"kind": "convolution", "maps": 2, "hop_frames": 2, "hop_bands": 2},
        {"kind": "convolution", "inputs": 2, "maps": 3},
        {"kind": "stack"},
    ],
    "lstm": [*SOUND, {"kind": "mfcc", "bands": 12, "coefficients": 6}, {"kind": "delta"}],
    "rnn": [{"kind": "statistics", "frames": 6}, {"kind": "stack", "frames": 4}, {"kind": "scale"}],
}
HEADS = {"gru": "classes", "lstm": "labels", "rnn": "classes"}


def network(cell: str) -> Network:
    rate, channels = (50, 3) if cell == "rnn" else (8000, 1)
    model = {"kind": cell, "layers": 2, "hidden": 6, "projection": 5, "dropout": 0.3}
    made = plan(
        recognizer__rate=rate,
        recognizer__channels=channels,
        recognizer__features=CASES[cell],
        recognizer__model=model,
        recognizer__head={"kind": HEADS[cell]},
    )
    torch.manual_seed(1)
    built = Network(made.recognizer)
    built.measure(0.1 * torch.randn(1, 40 * built.hop, channels))
    return built


@pytest.fixture(scope="module", params=list(CASES))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export(network(request.param), tmp_path_factory.mktemp("export") / f"{request.param}.bundle", {})


@pytest.fixture(scope="module")
def steps(exported: Bundle) -> tuple[Step, Step]:
    return open_step(exported, "onnx"), open_step(exported, "torch")


def test_the_cases_hold_every_cell_feature_and_head() -> None:
    assert set(CASES) == {plug.kind for plug in registry.plugs("model")}
    kinds = {feature["kind"] for features in CASES.values() for feature in features}
    assert kinds | SENSORS == {plug.kind for plug in registry.plugs("feature")}
    assert set(HEADS.values()) | {"forecast"} == {plug.kind for plug in registry.plugs("head")}


def heard(step: Step, bundle: Bundle, samples: np.ndarray, cuts: list[int]) -> np.ndarray:
    state = {name: np.repeat(array, len(samples), axis=0) for name, array in bundle.initial.items()}
    parts, at, hop = [], 0, bundle.recognizer.hop
    for hops in cuts:
        said, state = step(np.ascontiguousarray(samples[:, at * hop : (at + hops) * hop]), state)
        parts.append(said)
        at += hops
    return np.concatenate(parts, axis=1)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    other=st.integers(1, 9),
    rows=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_graph_and_torch_agree_on_any_chunking(
    exported: Bundle, steps: tuple[Step, Step], cuts: list[int], other: int, rows: int, seed: int
) -> None:
    total = sum(cuts)
    shape = (rows, total * exported.recognizer.hop, exported.recognizer.channels)
    samples = (0.3 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)
    again = [other] * (total // other) + ([total % other] if total % other else [])
    by_graph, by_torch = heard(steps[0], exported, samples, cuts), heard(steps[1], exported, samples, again)
    assert by_graph.shape == by_torch.shape == (rows, total, len(exported.recognizer.columns))
    assert np.abs(by_graph - by_torch).max() < 1e-5


def test_both_prove_the_golden_audio_and_neither_another_answer(exported: Bundle, steps: tuple[Step, Step]) -> None:
    for step in steps:
        prove(exported, step)
        wrong = dataclasses.replace(
            exported, golden=Golden(exported.golden.samples, exported.golden.posteriors + np.float32(0.01))
        )
        with pytest.raises(BundleError, match=r"golden audio differs by 0\.01"):
            prove(wrong, step)


def test_a_graph_names_no_path_of_this_machine(exported: Bundle) -> None:
    assert b".py" not in exported.graph
    assert str(Path(exporting.__file__).parents[2]).encode() not in exported.graph


def test_a_second_export_elsewhere_is_the_same_file(tmp_path: Path) -> None:
    one, other = (export(network("rnn"), tmp_path / name / f"{name}.bundle", {}) for name in "ab")
    assert one.path.read_bytes() == other.path.read_bytes()


def test_a_graph_that_says_something_else_leaves_the_place_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "kept.bundle"
    place.write_bytes(b"before")
    other = exporting.graph(network("rnn"))
    monkeypatch.setattr(exporting, "graph", lambda built: other)
    changed = network("rnn")
    with torch.no_grad():
        changed.head.layer.bias[0] += 3.0
    with pytest.raises(BundleError, match="golden audio differs"):
        export(changed, place, {})
    assert place.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [place]


def test_the_state_of_a_bundle_is_that_of_a_network(exported: Bundle) -> None:
    fresh = network(exported.path.stem).initial_state(1)
    assert {n: a.shape for n, a in exported.initial.items()} == {n: tuple(v.shape) for n, v in fresh.items()}
    assert read(exported.path).sha == exported.sha
