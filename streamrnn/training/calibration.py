"""Calibration: one temperature for all logits, fitted on recordings that were held out, so that posteriors are shares.

Guo et al. (2017), On calibration of modern neural networks: dividing all logits by one number moves no maximum, and is
nearly as good as any other way of calibrating.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from streamrnn.evaluation.reliability import calibration_error, reliability
from streamrnn.network import Network
from streamrnn.training.judge import heard
from streamrnn.training.pieces import Piece

# Beyond these a handful of recordings that are all right, or all wrong, would send it to nothing or without end.
COLDEST, HOTTEST = 0.2, 5.0
_PRECISION = 1e-4
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """The temperature, and negative log-likelihood (nats a frame) and expected calibration error before and after."""

    temperature: float
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float


def calibrate(network: Network, pieces: Sequence[Piece]) -> Calibration:
    """Set the temperature of the network's head to the one that makes the held-out pieces most likely."""
    network.eval()
    logits, target = _taught(network, pieces)
    head = network.head

    def heat(temperature: float) -> float:
        head.temperature.fill_(temperature)
        return float(head.surprise(logits, target).mean())

    def error() -> float:
        said = head.posterior(logits)[0].cpu().numpy()
        wanted = target[0].cpu().numpy()
        return calibration_error(
            reliability(network.recognizer, said, wanted, np.ones(len(wanted), np.float32)).all_frames
        )

    nll_before, ece_before = heat(1.0), error()
    best = math.exp(lowest(lambda log: heat(math.exp(log)), math.log(COLDEST), math.log(HOTTEST)))
    # No better than none is none: so a head that cannot be mended is left as it is.
    best = best if heat(best) < nll_before else 1.0
    nll_after, ece_after = heat(best), error()
    return Calibration(best, nll_before, nll_after, ece_before, ece_after)


def lowest(of: Callable[[float], float], left: float, right: float) -> float:
    """Where a function with one valley is lowest between two places, by golden sections (Kiefer 1953)."""
    a, b = right - _GOLDEN * (right - left), left + _GOLDEN * (right - left)
    at_a, at_b = of(a), of(b)
    while right - left > _PRECISION:
        if at_a <= at_b:
            right, b, at_b = b, a, at_a
            a = right - _GOLDEN * (right - left)
            at_a = of(a)
        else:
            left, a, at_a = a, b, at_b
            b = left + _GOLDEN * (right - left)
            at_b = of(b)
    return (left + right) / 2.0


def _taught(network: Network, pieces: Sequence[Piece]) -> tuple[Tensor, Tensor]:
    """Logits (1, frames, columns) and targets (1, frames, labels) of all frames that teach; no gradient flows back."""
    kept: list[tuple[Tensor, Tensor]] = []
    with torch.no_grad():
        for logits, target, teaches in heard(network, pieces):
            kept.append((logits[teaches > 0], target[teaches > 0]))
    return torch.cat([each for each, _ in kept])[None].double(), torch.cat([each for _, each in kept])[None].double()
