"""Heart beats as a stage: each is told once and in time, a beat that comes early is seen to, and no unit matters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamrnn.errors import ConfigError
from streamrnn.recognizer import BeatsConfig
from streamrnn.stage import Inputs, build

torch.set_num_threads(1)

LEAD = Inputs(width=1, rate=120.0, sample_rate=120)
WAIT_S, HOP_S = BeatsConfig().wait_ms / 1000, BeatsConfig().hop_ms / 1000


def lead(beats: NDArray[np.float64], seconds: float, width_s: float = 0.02) -> NDArray[np.float32]:
    """A narrow spike a beat and a low wave after it."""
    time = np.arange(int(seconds * 120)) / 120
    x = np.zeros(len(time))
    for beat in beats:
        x += 200 * np.exp(-(((time - beat) / width_s) ** 2)) + 30 * np.exp(-(((time - beat - 0.25) / 0.06) ** 2))
    return x.astype(np.float32)


def told(x: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """When each frame of a beat is out, in seconds, and what it says."""
    stage = build(BeatsConfig(), LEAD)
    whole = torch.from_numpy(x[: len(x) // stage.hop * stage.hop])[None, :, None]
    y, _ = stage(whole, stage.initial_state(1))
    frames = np.flatnonzero(y[0, :, 0].numpy())
    return (frames + 1) * HOP_S, y[0].numpy()[frames]


def rhythm(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    beats: NDArray[np.float64] = 1.0 + np.cumsum(random.uniform(0.75, 0.8, count))
    return beats


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(-1000, 1000))
def test_each_beat_is_told_once_in_time_and_alike_in_any_unit(seed: int, gain: float, level: float) -> None:
    random = np.random.default_rng(seed)
    beats = rhythm(random, 20)
    x = lead(beats, 20) + random.normal(0, 1, 20 * 120).astype(np.float32)
    at, values = told(x)
    heard = beats[beats < 20 - WAIT_S - HOP_S]
    assert len(at) >= len(heard)
    for beat in heard:
        late = at - beat
        assert ((late > WAIT_S - 0.05) & (late < WAIT_S + HOP_S + 0.05)).sum() == 1
    # A lead of another gain and offset says the same, as far as single precision has digits for it.
    other_at, others = told((gain * x + gain * level).astype(np.float32))
    assert other_at == pytest.approx(at)
    assert others == pytest.approx(values, abs=0.1)


def test_a_beat_that_comes_early_is_early_and_one_of_another_shape_is_unlike_the_others() -> None:
    beats = rhythm(np.random.default_rng(0), 30)
    beats[20] -= 0.3
    x = lead(beats, 26)
    x += -2 * lead(beats[24:25], 26) + lead(beats[24:25], 26, 0.06)
    _, values = told(x)
    early, alike = values[:, 1], values[:, 19]
    assert early[1:].argmin() == 19
    assert early[20] == pytest.approx(np.log((beats[20] - beats[19]) / 0.775), abs=0.05)
    assert np.abs(np.delete(early[1:], [19, 20])).max() < 0.1
    assert alike[2:].argmin() == 22
    assert np.delete(alike[2:], 22).min() > 0.9


def test_silence_and_a_constant_have_no_beats() -> None:
    for level in (0.0, 1024.0):
        assert len(told(np.full(1200, level, np.float32))[0]) == 0


@pytest.mark.parametrize(
    ("config", "inputs", "said"),
    [
        (BeatsConfig(), Inputs(width=3, rate=120.0, sample_rate=120), "one lead"),
        (BeatsConfig(hop_ms=300), LEAD, "200 ms at most"),
        (BeatsConfig(wait_ms=400), LEAD, "are enough"),
        (BeatsConfig(), Inputs(width=1, rate=20.0, sample_rate=20), "100 Hz"),
    ],
)
def test_what_cannot_be_is_refused(config: BeatsConfig, inputs: Inputs, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build(config, inputs)
