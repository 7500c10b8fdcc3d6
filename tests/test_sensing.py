"""Features of sensors: lengths that no turn changes, values without their slow part, spectra that find a tone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.errors import ConfigError
from streamrnn.recognizer import (
    CentreConfig,
    ClassesConfig,
    FrameConfig,
    GruConfig,
    MagnitudeConfig,
    RecognizerConfig,
    SpectrumConfig,
)
from streamrnn.stage import Inputs, Stage, build
from streamrnn.testing.torch import check_stage
from streamrnn.training.wearing import rotation, turned

torch.set_num_threads(1)

SIX = Inputs(width=6, rate=50.0, sample_rate=50, channels=6)


def through(stage: Stage, x: np.ndarray) -> np.ndarray:
    y, _ = stage(torch.from_numpy(x.astype(np.float32))[None], stage.initial_state(1))
    return y[0].detach().numpy()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_lengths_are_the_same_however_the_sensor_is_turned(seed: int) -> None:
    random = np.random.default_rng(seed)
    stage = build(MagnitudeConfig(), SIX)
    x = random.standard_normal((40, 6)).astype(np.float32)
    plain, other = through(stage, x), through(stage, turned(x, rotation(random, 180)))
    assert plain[:, 6:] == pytest.approx(other[:, 6:], abs=1e-5)
    assert plain[:, 6] == pytest.approx(np.linalg.norm(x[:, :3], axis=1), abs=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 30), st.floats(-2000, 2000))
def test_what_never_changes_is_nothing_once_it_is_centred_from_the_first_frame_on(frames: int, level: float) -> None:
    stage = build(CentreConfig(frames=frames), SIX)
    assert np.abs(through(stage, np.full((80, 6), level))).max() < 1e-3 + 1e-5 * abs(level)


def test_a_mean_is_one_of_the_last_frames_only() -> None:
    x = np.random.default_rng(0).standard_normal((50, 6))
    y = through(build(CentreConfig(frames=8), SIX), x)
    assert y[49] == pytest.approx(x[49] - x[42:].mean(axis=0), abs=1e-5)
    assert y[2] == pytest.approx(x[2] - x[:3].mean(axis=0), abs=1e-5)


WINDOWS = Inputs(width=2 * 128, rate=2.5, sample_rate=50, channels=2)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.6, 20.0))
def test_a_tone_is_in_the_band_it_belongs_to_and_its_channel_alone(hz: float) -> None:
    stage = build(SpectrumConfig(bands=10, high_hz=22, floor=0.01), WINDOWS)
    time = np.arange(128) / 50
    window = np.concatenate([3.0 + np.sin(2 * np.pi * hz * time), np.full(128, -1.0)])
    (first, second) = through(stage, window[None])[0].reshape(2, 11)
    assert first[0] == pytest.approx(3.0 + np.sin(2 * np.pi * hz * time).mean(), abs=1e-4)
    assert second[0] == pytest.approx(-1.0)
    assert np.abs(second[1:]).max() < 1e-3
    higher = np.concatenate([np.sin(2 * np.pi * (hz * 1.6 + 0.5) * time), np.zeros(128)])
    if hz * 1.6 + 0.5 < 20:
        assert first[1:].argmax() <= through(stage, higher[None])[0].reshape(2, 11)[0, 1:].argmax()


@pytest.mark.parametrize("bands", [1, 2, 12, 60])
def test_every_band_hears_something_and_spectra_keep_the_law(bands: int) -> None:
    stage = build(SpectrumConfig(bands=bands), WINDOWS)
    assert through(stage, np.random.default_rng(0).standard_normal((3, 256))).shape == (3, 2 * (bands + 1))
    assert bool((stage.get_buffer("bands").sum(dim=0) > 0).all())
    check_stage(stage, 256, trials=1)


@pytest.mark.parametrize(
    ("config", "inputs", "says"),
    [
        (MagnitudeConfig(axes=4), SIX, "axes: 6 values"),
        (SpectrumConfig(), SIX, "put {kind: frame} right before it"),
        (SpectrumConfig(bands=65), WINDOWS, "bands: 65 are more than the 64 frequencies"),
        (SpectrumConfig(high_hz=26), WINDOWS, "high_hz: 26 is above half the rate"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_key(config: object, inputs: Inputs, says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("{", r"\{")):
        build(config, inputs)  # type: ignore[arg-type]


def test_windows_are_cut_of_the_lengths_too() -> None:
    from streamrnn.decoders import SegmentsConfig
    from streamrnn.network import Network

    config = RecognizerConfig(
        name="walks",
        rate=50,
        channels=6,
        labels={"a": (), "b": ()},
        features=(MagnitudeConfig(), FrameConfig(window_ms=1280, hop_ms=320), SpectrumConfig(bands=4)),
        model=GruConfig(hidden=4, layers=1),
        head=ClassesConfig(),
        decoder=SegmentsConfig(),
    )
    network = Network(config)
    assert network.hop == 16
    logits, _ = network(torch.zeros(2, 64, 6), network.initial_state(2))
    assert logits.shape == (2, 4, 3)


def test_a_class_counts_as_much_as_its_weight_and_a_weight_of_no_label_is_refused() -> None:
    from streamrnn.heads import Classes

    head = Classes(ClassesConfig(background_weight=0.5, weights={"rare": 4.0}), 3, ("plain", "rare"))
    logits = torch.tensor([[[0.0, 1.0, -1.0], [0.3, 0.0, 2.0], [0.1, 0.5, 0.0]]])
    target = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]])
    each = -torch.log_softmax(logits, -1)[0, [0, 1, 2], [1, 2, 0]]
    weights = torch.tensor([1.0, 4.0, 0.5])
    expected = float((each * weights).sum() / weights.sum())
    assert float(head.loss(logits, target, torch.ones(1, 3))) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ConfigError, match=r"head.weights.rar: no label; did you mean 'rare'"):
        Classes(ClassesConfig(weights={"rar": 2.0}), 3, ("plain", "rare"))
