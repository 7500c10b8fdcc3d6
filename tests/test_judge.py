"""Held-out recordings are judged a bounded part at a time, and the figure is that of the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import plan

from streamrnn.network import Network
from streamrnn.training import judge
from streamrnn.training.pieces import Piece


def piece(network: Network, frames: int, seed: int) -> Piece:
    random = np.random.default_rng(seed)
    target = np.eye(2, dtype=np.float32)[random.integers(0, 2, frames)] * (random.random((frames, 1)) < 0.5)
    samples = 0.1 * random.standard_normal((frames * network.hop, 1))
    teaches = random.random(frames) < 0.9
    return Piece(samples.astype(np.float32), target.astype(np.float32), teaches.astype(np.float32), anew=True)


def test_recordings_of_any_length_are_judged_as_if_heard_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    network = Network(plan().recognizer)
    pieces = [piece(network, frames, frames) for frames in (3, 40, 7, 41, 20, 19)]
    whole = judge.judge(network, pieces)
    monkeypatch.setattr(judge, "_CHUNK_S", 10 / network.recognizer.frame_rate)
    in_parts = judge.judge(network, pieces)
    rows = [logits.shape[:2] for logits, _, _ in judge.heard(network, pieces)]
    assert rows == [(6, 10), (4, 10), (2, 10), (2, 10), (1, 1)]
    assert in_parts.loss == pytest.approx(whole.loss, rel=1e-5)
    assert in_parts.accuracy == whole.accuracy
