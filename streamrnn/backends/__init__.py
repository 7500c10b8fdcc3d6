"""What runs a bundle's step on numpy arrays: a compiled kernel or ONNX Runtime, and torch as the reference."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
ArrayState = dict[str, Array]


class Step(Protocol):
    """A recognizer's step: pure, the same for any batch and any split at a multiple of its hop."""

    def __call__(self, samples: Array, state: ArrayState) -> tuple[Array, ArrayState]:
        """(batch, time, channels), state -> posteriors (batch, time / hop, columns), state."""
        ...
