"""How large the hidden state is over a long stream: the norm of each layer's vector, looked at every few seconds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from streamrnn.backends import ArrayState

_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(slots=True)
class Norms:
    """Euclidean norms by the name of the state, such as `gru.0.h`, and the seconds at which they were taken."""

    at: list[float] = field(default_factory=list)
    of: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, at: float, state: ArrayState) -> None:
        """Look at a state `(1, ...)` after so many seconds.

        What a layer carries on is a vector, `(1, hidden)`. Tails of samples and frames, `(1, time, width)`, are sound
        and no memory of their own.
        """
        self.at.append(at)
        for name, array in sorted(state.items()):
            if array.ndim == 2:
                self.of[name].append(float(np.linalg.norm(array[0].astype(np.float64))))

    def between(self, first_s: float, last_s: float) -> dict[str, dict[str, float]]:
        """Of those taken in `[first_s, last_s)`: `median`, and 5 and 95 % as `low` and `high`, of each; {} of none."""
        those = slice(*np.searchsorted(self.at, [first_s, last_s]).tolist())
        if not self.at[those]:
            return {}
        found = {}
        for name, values in self.of.items():
            low, median, high = np.quantile(values[those], _QUANTILES).tolist()
            found[name] = {"median": median, "low": low, "high": high}
        return found


def change(rows: list[Mapping[str, dict[str, float]]]) -> dict[str, dict[str, float | bool]]:
    """Of each layer: the median of the last hour over that of the first, and whether it lies within its 5 to 95 %."""
    if len(rows) < 2:
        return {}
    first, last = rows[0], rows[-1]
    return {
        name: {
            "ratio": last[name]["median"] / max(1e-12, first[name]["median"]),
            "inside": first[name]["low"] <= last[name]["median"] <= first[name]["high"],
        }
        for name in first
    }
