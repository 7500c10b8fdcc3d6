"""A table of state: row r of every array is what one stream remembers; rows are reused and it grows by doubling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

State = dict[str, NDArray[Any]]


class Table:
    """Rows are copied out, stepped and copied back; nothing outside holds a view of it."""

    def __init__(self, initial: Mapping[str, NDArray[Any]], rows: int) -> None:
        """`initial` holds `(1, ...)` arrays, the state of a stream that has heard nothing; room for `rows` at first."""
        self._initial = {name: array.copy() for name, array in initial.items()}
        self._arrays = {name: np.repeat(array, rows, axis=0) for name, array in self._initial.items()}
        self._rows = rows

    def reset(self, row: int) -> None:
        """Make a row a fresh stream's; a row beyond the last doubles the table."""
        while row >= self._rows:
            for name, array in self._arrays.items():
                self._arrays[name] = np.concatenate([array, np.repeat(self._initial[name], self._rows, axis=0)])
            self._rows *= 2
        for name, array in self._arrays.items():
            array[row] = self._initial[name][0]

    def gather(self, rows: Sequence[int]) -> State:
        """The state of some rows, in their order, as `(len(rows), ...)` copies."""
        index = np.asarray(rows)
        return {name: array[index] for name, array in self._arrays.items()}

    def scatter(self, rows: Sequence[int], state: Mapping[str, NDArray[Any]]) -> None:
        """Put the state of some rows back."""
        index = np.asarray(rows)
        for name, array in self._arrays.items():
            array[index] = state[name]
