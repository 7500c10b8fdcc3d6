"""How a network does on recordings it does not train on: the loss that early stopping looks at, and an accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from streamrnn.network import Network
from streamrnn.training.pieces import Piece, Samples

ROWS = 64
_CHUNK_S = 30.0  # heard at a time: a recording may last for hours


@dataclass(frozen=True, slots=True)
class Judgement:
    """Mean loss of the frames that teach, and the share of labelled frames whose label has the highest posterior.

    `labelled` is how many of those there are: a forecast has none.
    """

    loss: float
    accuracy: float
    labelled: int


def judge(network: Network, pieces: Sequence[Piece]) -> Judgement:
    """Run pieces from the initial state, each to its end; the network comes back in the mode it was in."""
    was_training = network.training
    network.eval()
    loss, frames, right, labelled = 0.0, 0.0, 0.0, 0.0
    with torch.inference_mode():
        for logits, target, teaches in heard(network, pieces):
            count = float(teaches.sum())
            loss += float(network.head.loss(logits, target, teaches)) * count
            frames += count
            matters = (target.amax(dim=-1) > 0) & (teaches > 0)
            shown = logits[..., -target.shape[-1] :]  # the labels' columns; background, if any, stands before them
            hit = shown.argmax(dim=-1) == target.argmax(dim=-1)
            best = logits.argmax(dim=-1) >= logits.shape[-1] - target.shape[-1]
            right += float((hit & best & matters).sum())
            labelled += float(matters.sum())
    network.train(was_training)
    return Judgement(loss / max(1.0, frames), right / max(1.0, labelled), int(labelled))


def heard(network: Network, pieces: Sequence[Piece]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Logits (rows, frames, columns), target and teaches of all frames of pieces, a bounded part of them at a time."""
    device = next(network.parameters()).device
    most = max(1, round(_CHUNK_S * network.recognizer.frame_rate))
    for first in range(0, len(pieces), ROWS):
        rest = list(pieces[first : first + ROWS])
        state = {name: value.to(device) for name, value in network.initial_state(len(rest)).items()}
        while rest:
            samples, target, teaches = (part.to(device) for part in batch([_part(each, slice(most)) for each in rest]))
            logits, state = network(samples, state)
            yield logits, target, teaches
            going = [row for row, each in enumerate(rest) if each.frames > most]
            state = {name: value[going] for name, value in state.items()}
            rest = [_part(rest[row], slice(most, None)) for row in going]


def _part(piece: Piece, frames: slice) -> Piece:
    hop = len(piece.samples) // piece.frames
    first, last, _ = frames.indices(piece.frames)
    samples = piece.samples[first * hop : last * hop]
    return replace(piece, samples=samples, target=piece.target[frames], teaches=piece.teaches[frames])


def batch(pieces: Sequence[Piece]) -> tuple[Tensor, Tensor, Tensor]:
    """Pieces as rows of one batch, the shorter ones followed by frames that teach nothing."""
    frames = max(piece.frames for piece in pieces)

    def padded(array: Samples, size: int) -> Samples:
        return np.concatenate([array, np.zeros((size - len(array), *array.shape[1:]), np.float32)])

    hop = len(pieces[0].samples) // pieces[0].frames
    return (
        torch.from_numpy(np.stack([padded(piece.samples, frames * hop) for piece in pieces])),
        torch.from_numpy(np.stack([padded(piece.target, frames) for piece in pieces])),
        torch.from_numpy(np.stack([padded(piece.teaches, frames) for piece in pieces])),
    )
