"""Means of the past: each frame beside what the stream was lately, and as much of it as there was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.recognizer import PastConfig
from streamrnn.stage import Inputs, build

torch.set_num_threads(1)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 6), min_size=1, max_size=3, unique=True))
def test_each_frame_has_the_means_of_the_last_ones_or_of_as_many_as_there_were(seed: int, doublings: list[int]) -> None:
    x = np.random.default_rng(seed).standard_normal((70, 2)).astype(np.float32)
    stage = build(PastConfig(doublings=tuple(doublings)), Inputs(width=2, rate=1.0, sample_rate=1))
    y, _ = stage(torch.from_numpy(x)[None], stage.initial_state(1))
    assert y.shape == (1, 70, stage.width)
    for frame in (0, 1, 30, 69):
        means = [x[max(0, frame + 1 - 2**d) : frame + 1].mean(axis=0) for d in doublings]
        assert y[0, frame].numpy() == pytest.approx(np.concatenate([x[frame], *means]), abs=1e-5)
