"""The law as a list of trials on anything that folds: steps, stages and decoders are put to the same ones.

A fold is a pure function `y, memory = fold(x, memory)` whose memory is a dict of arrays with dim 0 the stream.
`Subject` says how to make inputs for one and how to compare what comes out of it; `check` runs the trials.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Memory = Mapping[str, NDArray[Any]]
X = NDArray[Any]
Y = TypeVar("Y")

_ROWS = 3
_LONGEST = 24  # hops of the longest input of a trial


class LawBroken(AssertionError):  # noqa: N818  (the word of the law)
    """One sentence: which law, at which split or row, and by how much."""


class Subject(ABC, Generic[Y]):
    """What is put to the trials: `hop` input steps make one output step of it."""

    hop: int

    @abstractmethod
    def fresh(self, batch: int) -> Memory:
        """Memory of `batch` streams that have heard nothing."""

    @abstractmethod
    def inputs(self, batch: int, hops: int, random: np.random.Generator) -> X:
        """Typical inputs `(batch, hops * hop, ...)`."""

    @abstractmethod
    def call(self, x: X, memory: Memory) -> tuple[Y, Memory]:
        """The fold itself."""

    @abstractmethod
    def end(self, memory: Memory) -> Y:
        """What the end of all streams brings out of the memory alone."""

    @abstractmethod
    def check_output(self, y: Y, x: X, heard: int) -> None:
        """Raise LawBroken if `y` is no proper output for `x` after `heard` output steps."""

    @abstractmethod
    def join(self, parts: Sequence[Y]) -> Y:
        """Outputs one after another in time as one."""

    @abstractmethod
    def row(self, y: Y, row: int) -> Y:
        """What came out for one row, as an output of batch 1."""

    @abstractmethod
    def difference(self, left: Y, right: Y) -> str:
        """In words, how two outputs differ; empty if they are the same by the law."""

    @abstractmethod
    def memory_difference(self, left: NDArray[Any], right: NDArray[Any]) -> str:
        """In words, how two arrays of a memory differ; empty if they are the same by the law."""


def check(subject: Subject[Y], random: np.random.Generator, trials: int) -> None:
    """Put a subject to every law, `trials` times with other inputs. Raises LawBroken at the first that it breaks."""
    for _ in range(trials):
        hops = int(random.integers(4, _LONGEST + 1))
        x = subject.inputs(_ROWS, hops, random)
        whole, after = _observed(subject, x, subject.fresh(_ROWS), 0)
        _deterministic(subject, x, whole)
        _splits(subject, x, whole, after, random)
        _alone(subject, x, whole, after)
        _neighbours(subject, x, whole, random)
        _reset(subject, x, random)
        _join_and_leave(subject, x, whole, after, random)


def _observed(subject: Subject[Y], x: X, memory: Memory, heard: int) -> tuple[Y, Memory]:
    """Call, and check what every call must keep: arguments as they were, memory of the same make, a proper output."""
    samples = x.copy()
    before = {name: array.copy() for name, array in memory.items()}
    y, after = subject.call(x, memory)
    if not np.array_equal(x, samples, equal_nan=True):
        raise LawBroken("arguments are not written to: the input was changed in place")
    for name, array in before.items():
        if name not in memory or not np.array_equal(memory[name], array, equal_nan=array.dtype.kind == "f"):
            raise LawBroken(f"arguments are not written to: the state {name!r} was changed in place")
    if set(after) != set(before):
        odd = ", ".join(sorted(set(after) ^ set(before)))
        raise LawBroken(f"the names of the state never change: {odd} came or went")
    for name, array in after.items():
        was = before[name]
        if array.shape != was.shape or array.dtype != was.dtype:
            raise LawBroken(
                f"the shape of the state never changes: {name!r} was {was.dtype} {was.shape} and became "
                f"{array.dtype} {array.shape} after {x.shape[1]} input steps"
            )
        for given_name, given in memory.items():
            if np.may_share_memory(array, given) and not np.array_equal(array, before[given_name], equal_nan=True):
                raise LawBroken(f"arguments are not written to: the new state {name!r} lives in the given state")
    subject.check_output(y, x, heard)
    return y, after


def _run(subject: Subject[Y], x: X, memory: Memory, cuts: Sequence[int]) -> tuple[Y, Memory]:
    """Fold `x` in chunks of the given numbers of hops."""
    parts: list[Y] = []
    at = 0
    for hops in cuts:
        chunk = np.ascontiguousarray(x[:, at * subject.hop : (at + hops) * subject.hop])
        part, memory = _observed(subject, chunk, memory, at)
        parts.append(part)
        at += hops
    return subject.join(parts), memory


def _hops(subject: Subject[Y], x: X) -> int:
    return int(x.shape[1]) // subject.hop


def _deterministic(subject: Subject[Y], x: X, whole: Y) -> None:
    again, _ = _observed(subject, x, subject.fresh(len(x)), 0)
    found = subject.difference(whole, again)
    if found:
        raise LawBroken(f"the same input and state give the same output: a second call differs, {found}")


def _splits(subject: Subject[Y], x: X, whole: Y, after: Memory, random: np.random.Generator) -> None:
    hops = _hops(subject, x)
    splits = {
        "one hop at a time": [1] * hops,
        "in two": _cuts(hops, 1, random),
        "at random": _cuts(hops, int(random.integers(1, hops)), random),
    }
    for how, cuts in splits.items():
        split, memory = _run(subject, x, subject.fresh(len(x)), cuts)
        found = subject.difference(whole, split)
        if found:
            raise LawBroken(f"every split gives what the whole gives: {how}, hops {_brief(cuts)}, {found}")
        for name, array in memory.items():
            found = subject.memory_difference(after[name], array)
            if found:
                raise LawBroken(f"every split ends in the same state: {how}, hops {_brief(cuts)}, {name!r} {found}")
        found = subject.difference(subject.end(after), subject.end(memory))
        if found:
            raise LawBroken(f"every split has the same end: {how}, hops {_brief(cuts)}, {found}")


def _alone(subject: Subject[Y], x: X, whole: Y, after: Memory) -> None:
    ending = subject.end(after)
    for row in range(len(x)):
        alone, memory = _observed(subject, x[row : row + 1].copy(), subject.fresh(1), 0)
        found = subject.difference(subject.row(whole, row), alone) or subject.difference(
            subject.row(ending, row), subject.end(memory)
        )
        if found:
            raise LawBroken(f"a row is the same in any batch: row {row} of {len(x)} alone differs, {found}")


def _neighbours(subject: Subject[Y], x: X, whole: Y, random: np.random.Generator) -> None:
    bad = int(random.integers(len(x)))
    loud, poisoned = x.copy(), x.copy()
    loud[bad] = loud[bad] * 50.0
    poisoned[bad] = np.nan
    for what, changed in (("50 times louder", loud), ("NaN", poisoned)):
        with np.errstate(all="ignore"):
            y, after = subject.call(changed, subject.fresh(len(x)))
            y_next, _ = subject.call(x, after)
        clean_next, _ = subject.call(x, subject.call(x, subject.fresh(len(x)))[1])
        for row in range(len(x)):
            if row == bad:
                continue
            found = subject.difference(subject.row(whole, row), subject.row(y, row)) or subject.difference(
                subject.row(clean_next, row), subject.row(y_next, row)
            )
            if found:
                raise LawBroken(f"neighbours never touch: row {bad} made {what} changed row {row}, {found}")


def _reset(subject: Subject[Y], x: X, random: np.random.Generator) -> None:
    row = int(random.integers(len(x)))
    _, used = subject.call(x, subject.fresh(len(x)))
    fresh = subject.fresh(1)
    mixed = {name: array.copy() for name, array in used.items()}
    for name, array in mixed.items():
        array[row] = fresh[name][0]
    y, _ = subject.call(x, mixed)
    alone, _ = _observed(subject, x[row : row + 1], fresh, 0)
    found = subject.difference(alone, subject.row(y, row))
    if found:
        raise LawBroken(f"a row reset to the initial state is a fresh stream: row {row} differs, {found}")


def _join_and_leave(subject: Subject[Y], x: X, whole: Y, after: Memory, random: np.random.Generator) -> None:
    """Rows are served a few hops at a time, in batches that change all the time."""
    hops = _hops(subject, x)
    states = [subject.fresh(1) for _ in range(len(x))]
    done = [0] * len(x)
    parts: list[list[Y]] = [[] for _ in range(len(x))]
    while min(done) < hops:
        open_rows = [row for row in range(len(x)) if done[row] < hops]
        size = int(random.integers(1, len(open_rows) + 1))
        rows = [int(row) for row in random.permutation(open_rows)[:size]]
        count = int(random.integers(1, min(hops - done[row] for row in rows) + 1))
        chunk = np.stack([x[r, done[r] * subject.hop : (done[r] + count) * subject.hop] for r in rows])
        stacked = {name: np.concatenate([states[r][name] for r in rows]) for name in states[0]}
        y, served = subject.call(chunk, stacked)
        for place, r in enumerate(rows):
            states[r] = {name: array[place : place + 1].copy() for name, array in served.items()}
            parts[r].append(subject.row(y, place))
            done[r] += count
    for row in range(len(x)):
        found = subject.difference(subject.row(whole, row), subject.join(parts[row])) or subject.difference(
            subject.row(subject.end(after), row), subject.end(states[row])
        )
        if found:
            raise LawBroken(f"joining or leaving a batch changes no one's output: row {row} differs, {found}")


def _cuts(hops: int, count: int, random: np.random.Generator) -> list[int]:
    """`count` random cuts: the lengths, in hops, of what lies between them."""
    places = np.sort(random.choice(np.arange(1, hops), size=min(count, hops - 1), replace=False))
    return [int(length) for length in np.diff([0, *places, hops])]


def _brief(cuts: Sequence[int]) -> str:
    shown = "+".join(str(cut) for cut in cuts[:8])
    return shown if len(cuts) <= 8 else f"{shown}+..."
