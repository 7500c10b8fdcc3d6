"""What a pool's calls work in: a table of state, whose row r is what one stream remembers, and a place for samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

State = dict[str, NDArray[Any]]
_LARGEST = 1 << 20  # values of a batch of samples whose place is kept


class Place:
    """Where the samples of a batch are put together: the same memory for every call, but for a rare large one."""

    def __init__(self) -> None:
        self._values = np.empty(0, np.float32)

    def batch(self, rows: int, samples: int, channels: int) -> NDArray[np.float32]:
        """(rows, samples, channels), of any content; it holds until the next."""
        size = rows * samples * channels
        if size > _LARGEST:
            return np.empty((rows, samples, channels), np.float32)
        if size > len(self._values):
            self._values = np.empty(min(2 * size, _LARGEST), np.float32)
        return self._values[:size].reshape(rows, samples, channels)


class Table:
    """Rows are copied out, stepped and copied back; nothing outside holds a view of it."""

    def __init__(self, initial: Mapping[str, NDArray[Any]], rows: int) -> None:
        """`initial` holds `(1, ...)` arrays, the state of a stream that has heard nothing; room for `rows` at first."""
        self._initial = {name: array.copy() for name, array in initial.items()}
        self._arrays = {name: np.repeat(array, rows, axis=0) for name, array in self._initial.items()}
        self._rows = rows
        self._lending: State = {}
        self._room = 0  # rows that can be lent

    def reset(self, row: int) -> None:
        """Make a row a fresh stream's; a row beyond the last doubles the table."""
        while row >= self._rows:
            for name, array in self._arrays.items():
                # The new half is not written before a stream has it: untouched pages are no memory.
                self._arrays[name] = np.empty((2 * self._rows, *array.shape[1:]), array.dtype)
                self._arrays[name][: self._rows] = array
            self._rows *= 2
        for name, array in self._arrays.items():
            array[row] = self._initial[name][0]

    def gather(self, rows: Sequence[int]) -> State:
        """The state of some rows, in their order, as `(len(rows), ...)` copies."""
        index = np.asarray(rows)
        return {name: array[index] for name, array in self._arrays.items()}

    def lend(self, rows: Sequence[int]) -> State:
        """The same as `gather`, over what was lent before: for one call, no page of memory is touched first."""
        index = np.asarray(rows)
        if self._room < len(index):
            self._room = 2 * len(index)
            self._lending = {
                name: np.empty((self._room, *array.shape[1:]), array.dtype) for name, array in self._arrays.items()
            }
        # With "raise" numpy fills a copy first; rows that are given out are there.
        return {
            name: np.take(array, index, axis=0, out=self._lending[name][: len(index)], mode="clip")
            for name, array in self._arrays.items()
        }

    def scatter(self, rows: Sequence[int], state: Mapping[str, NDArray[Any]]) -> None:
        """Put the state of some rows back."""
        index = np.asarray(rows)
        for name, array in self._arrays.items():
            array[index] = state[name]
