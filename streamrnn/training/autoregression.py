"""What a forecast stands on: a linear one by least squares, of the features that go into the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.errors import RecordingError
from streamrnn.forecast import Beside, Forecast
from streamrnn.network import Network
from streamrnn.stage import Stage
from streamrnn.training.pieces import Piece

_RIDGE = 1.0  # of features near unit deviation: it settles only what the frames leave open
Values = NDArray[np.float64]


def begin(network: Network, pieces: Sequence[Piece], settle: int) -> None:
    """Give the head of a network the linear forecast with the least squares over pieces, each from its begin.

    The first `settle` frames of a piece are left out, as those are that teach nothing. Raises RecordingError if none is
    left.
    """
    head = network.head
    assert isinstance(head, Forecast)
    tables = [_examples(network, head, piece, settle) for piece in pieces]
    count = sum(len(wanted) for _, wanted in tables)
    if not count:
        raise RecordingError("every recording is shorter than what it takes to settle; lower material.settle_ms")
    gram = sum(table.T @ table for table, _ in tables) + _RIDGE * np.eye(tables[0][0].shape[1])
    moment = sum(table.T @ wanted for table, wanted in tables)
    weights: Values = np.asarray(np.linalg.solve(gram, moment), np.float64)
    off = sum(((wanted - table @ weights) ** 2).sum(axis=0) for table, wanted in tables) / count
    made = (weights[:-1], weights[-1], np.log(np.maximum(off, 1e-8)))
    head.stand_on(*(torch.from_numpy(each).float() for each in made))


def _examples(network: Network, head: Forecast, piece: Piece, settle: int) -> tuple[Values, Values]:
    """(frames, inputs + 1) features and a one, and (frames, channels) what came after each; both must teach."""
    features = _features(network, piece)
    steps, frames = head.steps, len(features)
    teaches = piece.teaches > 0
    teaches[: min(settle, frames // 2)] = False
    use = np.flatnonzero(teaches[: frames - steps] & teaches[steps:]) if frames > steps else np.zeros(0, np.int64)
    table = np.concatenate([features[use], np.ones((len(use), 1))], axis=1)
    return table, features[use + steps, : head.channels]


def _features(network: Network, piece: Piece) -> Values:
    """(frames, inputs): what goes into the model."""
    x = torch.from_numpy(piece.samples)[None]
    with torch.inference_mode():
        for stage in network.chain.stages:
            assert isinstance(stage, Stage)
            if isinstance(stage, Beside):
                break
            x, _ = stage(x, stage.initial_state(1))
    return x[0].numpy().astype(np.float64)
