"""A forecast that stands on a linear one: as good as least squares before a step, and what it stood on stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamrnn.alarms import AlarmConfig
from streamrnn.errors import RecordingError
from streamrnn.forecast import Forecast
from streamrnn.network import Network
from streamrnn.recognizer import ForecastConfig, GruConfig, LagConfig, RecognizerConfig
from streamrnn.training import autoregression
from streamrnn.training.pieces import Piece

torch.set_num_threads(1)
NOISE = 0.5


def network(steps: int = 1) -> Network:
    return Network(
        RecognizerConfig(
            name="wave",
            rate=1,
            labels={"anomaly": ()},
            features=(LagConfig(frames=(1, 2)),),
            model=GruConfig(layers=1, hidden=4),
            head=ForecastConfig(steps=steps, stands_on="autoregression"),
            decoder=AlarmConfig(),
        )
    )


def piece(frames: int = 3000) -> Piece:
    """What an autoregression of two makes, with a stretch in it that must not teach."""
    noise = NOISE * np.random.default_rng(0).standard_normal(frames)
    values = np.zeros(frames, np.float32)
    for i in range(2, frames):
        values[i] = 1.2 * values[i - 1] - 0.5 * values[i - 2] + 3.0 + noise[i]
    teaches = np.ones(frames, np.float32)
    values[frames // 2 : frames // 2 + 50] += 1000.0
    teaches[frames // 2 : frames // 2 + 60] = 0.0
    return Piece(values[:, None], np.zeros((frames, 1), np.float32), teaches, anew=True)


def test_it_is_as_good_as_the_process_before_a_step_of_training() -> None:
    made, one = network().eval(), piece()
    autoregression.begin(made, [one], 20)
    head = made.head
    assert isinstance(head, Forecast)
    assert head.linear[:3, 0].tolist() == pytest.approx([1.2, -0.5, 0.0], abs=0.06)
    assert torch.equal(head.linear[3:], torch.zeros(4, 1))
    with torch.inference_mode():
        logits, _ = made(torch.from_numpy(one.samples)[None], made.initial_state(1))
    error = (logits[0, 100:1400, 1] - logits[0, 100:1400, 3]).numpy()
    assert np.mean(error**2) == pytest.approx(NOISE**2, rel=0.1)
    assert float(logits[0, 200, 2]) == pytest.approx(np.log(NOISE**2), abs=0.1)


def test_it_looks_as_far_ahead_as_the_head() -> None:
    made = network(steps=2)
    autoregression.begin(made, [piece()], 20)
    assert isinstance(made.head, Forecast)
    # Two steps of the process: 1.2 * 1.2 - 0.5, and 1.2 * -0.5.
    assert made.head.linear[:2, 0].tolist() == pytest.approx([0.94, -0.6], abs=0.08)


def test_training_leaves_what_it_stands_on() -> None:
    names = dict(network().named_parameters())
    assert not [name for name in names if name.endswith(("linear", "offset"))]


def test_recordings_that_are_too_short_are_refused() -> None:
    with pytest.raises(RecordingError, match="settle"):
        autoregression.begin(network(), [piece(2)], 20)


def test_weights_from_before_it_forecast_the_same() -> None:
    old = {name: value for name, value in network().state_dict().items() if not name.endswith(("linear", "offset"))}
    made = network()
    made.load_state_dict(old)
    assert isinstance(made.head, Forecast)
    assert not made.head.linear.any()
