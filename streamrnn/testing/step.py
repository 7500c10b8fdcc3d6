"""`check_step`: is this numpy step a pure function of samples and state, the same for every split and every batch?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.testing.law import LawBroken, Memory, Subject, X, check

AnyStep = Callable[[Any, Any], tuple[NDArray[Any], Any]]


def check_step(
    step: AnyStep,
    initial_state: Memory,
    hop: int,
    channels: int,
    *,
    seed: int = 0,
    trials: int = 3,
    atol: float = 1e-5,
    dtype: type[np.floating[Any]] = np.float32,
) -> None:
    """Hold a step to the law. Raises LawBroken with one sentence at the first law that it breaks.

    `step(samples (batch, time, channels), state) -> (output (batch, time / hop, ...), state)`; `initial_state` holds
    `(1, ...)` arrays, the state of a stream that has heard nothing; outputs may differ by `atol` at most, as floating
    point sums do in another order.
    """
    initial = {name: np.asarray(array) for name, array in initial_state.items()}
    for name, array in initial.items():
        if array.ndim < 1 or len(array) != 1:
            raise LawBroken(f"dim 0 of a state is the stream: initial {name!r} has shape {array.shape}, not (1, ...)")
    check(_Stepped(step, initial, hop, _Samples(channels, dtype), atol), np.random.default_rng(seed), trials)


@dataclass(frozen=True, slots=True)
class _Samples:
    channels: int
    dtype: type[np.floating[Any]]


class _Stepped(Subject[NDArray[Any]]):
    def __init__(self, step: AnyStep, initial: Memory, hop: int, samples: _Samples, atol: float) -> None:
        self.step, self.initial, self.hop = step, initial, hop
        self.channels, self.dtype, self.atol = samples.channels, samples.dtype, atol

    def fresh(self, batch: int) -> Memory:
        return {name: np.repeat(array, batch, axis=0) for name, array in self.initial.items()}

    def inputs(self, batch: int, hops: int, random: np.random.Generator) -> X:
        # Noise whose loudness wanders from hop to hop, so that no split meets the same energy on both sides.
        loud = np.repeat(10.0 ** random.uniform(-2.0, 0.0, (batch, hops, 1)), self.hop, axis=1)
        return (loud * random.standard_normal((batch, hops * self.hop, self.channels))).astype(self.dtype)

    def call(self, x: X, memory: Memory) -> tuple[NDArray[Any], Memory]:
        return self.step(x, memory)

    def end(self, memory: Memory) -> NDArray[Any]:
        # All that a step still holds comes out by feeding it zeros, as samples.
        return np.zeros((0, 0), self.dtype)

    def check_output(self, y: NDArray[Any], x: X, heard: int) -> None:
        steps = x.shape[1] // self.hop
        if y.ndim < 2 or y.shape[:2] != (len(x), steps):
            raise LawBroken(f"a hop makes one frame: {x.shape} with hop {self.hop} gave {y.shape}, not {steps} frames")
        if not np.isfinite(y).all():
            raise LawBroken(f"finite samples give finite output: {int((~np.isfinite(y)).sum())} values are not")

    def join(self, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(parts, axis=1)

    def row(self, y: NDArray[Any], row: int) -> NDArray[Any]:
        return y[row : row + 1]

    def difference(self, left: NDArray[Any], right: NDArray[Any]) -> str:
        return self._by(left, right, self.atol)

    def memory_difference(self, left: NDArray[Any], right: NDArray[Any]) -> str:
        # A state may hold energies or counts of any size: its tolerance grows with them.
        largest = float(np.max(np.abs(left), initial=1.0)) if left.dtype.kind in "fiu" else 1.0
        return self._by(left, right, 10 * self.atol * largest)

    @staticmethod
    def _by(left: NDArray[Any], right: NDArray[Any], atol: float) -> str:
        if left.shape != right.shape:
            return f"shape {left.shape} against {right.shape}"
        if left.size == 0:
            return ""
        if left.dtype.kind == "b":
            return "" if np.array_equal(left, right) else "flags differ"
        apart = np.abs(left.astype(np.float64) - right.astype(np.float64))
        apart[np.isnan(apart)] = np.inf
        if apart.max() <= atol:
            return ""
        where = tuple(int(i) for i in np.unravel_index(int(apart.argmax()), apart.shape))
        return f"by {apart.max():.3g} at {where}, more than {atol:.3g}"
