"""Rows that carry times, put onto the grid of a stream's rate: one fold, the same samples for any chunks of rows.

Sample `k` of the grid lies at the time of the first row plus `k / rate` seconds. A row is the next sample if it lies
within 3/4 of a step of it, so that what jitters around the middle between two samples does not flap; otherwise it is
that to which it lies nearest. What no row came for is missing, and is filled or becomes a gap, as the policy says. A
row that comes before one that is missing waits for it, up to the window. No clock is asked: all is decided by the
times and the order of the rows, whatever machine they come to and however fast.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamrnn.chunk import Chunk, Gap, Samples, Times
from streamrnn.instants import SECOND

MISSING = "missing"
ITS_CLOCK = "its clock was set"
_NEXT = 3 * SECOND // 4  # a row so near to the next sample is it, in parts of a step
_LEAP = 86_400 * SECOND  # a row so far ahead of the last is believed when others follow it
_MOST = 1 << 14  # samples that are filled at once, whatever the config says: two rows must not cost the daemon a second
_FOLLOW = SECOND  # for so long, or for four steps

Policy = Literal["count", "hold", "interpolate", "gap"]
Row = NDArray[np.float32]


class GridConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of the times that rows carry: `count` looks at none of them, a row is a sample.

    Otherwise rows are put onto the grid of the stream's rate. A run of at most `up_to_ms` of missing samples is filled:
    with the sample before it (`hold`), or on the line between the rows around it (`interpolate`, which also moves rows
    that jitter onto the grid along that line). A longer one, and with `gap` any, is a gap and a new epoch. A row waits
    `reorder_ms` for one that is missing before it. Where a row has no place for its time of its own, its first number
    is the time, or the field `time` of an object; in `unit`.
    """

    policy: Policy = "count"
    up_to_ms: Annotated[float, Meta(ge=0, le=3_600_000)] = 100.0
    reorder_ms: Annotated[float, Meta(ge=0, le=60_000)] = 200.0
    time: str = "t"
    unit: Literal["s", "ms", "us", "ns"] = "s"

    @property
    def timed(self) -> bool:
        """Whether times are looked at."""
        return self.policy != "count"


@dataclass(slots=True)
class Tally:
    """Samples that were filled, rows that were put in order, and rows that were dropped, by why.

    Those came too `late`, twice (`duplicate`), from far `ahead`, or two for one sample (`crowded`).
    """

    filled: int = 0
    reordered: int = 0
    late: int = 0
    duplicate: int = 0
    ahead: int = 0
    crowded: int = 0

    @property
    def dropped(self) -> int:
        """Rows of which nothing is heard."""
        return self.late + self.duplicate + self.ahead + self.crowded


@dataclass(slots=True)
class Placed:
    """How far a stream is on its grid: all that is remembered of its rows."""

    values: Row  # of the last row that was placed
    begun: bool = False
    origin: int = 0  # the time of sample 0
    cell: int = -1  # the sample that the last row is
    next: int = 0  # the next sample that goes out: that one, as long as it waits for the row after it, or the next
    time: int = 0  # of the last row
    held: list[tuple[int, Row]] = field(default_factory=list)  # rows that wait for what is missing, by their time
    stray: tuple[int, int] = (0, -1)  # first and last time of rows that lie elsewhere and follow one another
    tally: Tally = field(default_factory=Tally)


class Grid:
    """The fold: `items, state = grid.step(chunk, state)`; it holds no memory of a stream itself."""

    def __init__(self, config: GridConfig, rate: int) -> None:
        self._rate = rate
        self._policy = config.policy
        self._most = min(_MOST, round(config.up_to_ms * rate / 1000)) if config.policy != "gap" else 0
        self._window = round(config.reorder_ms * 1e6)
        self._near = _NEXT // rate
        self._follow = max(_FOLLOW, 4 * SECOND // rate)

    @staticmethod
    def initial_state(channels: int) -> Placed:
        """Of a stream that has not begun."""
        return Placed(np.zeros(channels, np.float32))

    def step(self, chunk: Chunk, state: Placed) -> tuple[list[Chunk | Gap], Placed]:
        """Rows of a chunk, each with its time -> what of the grid is known now, without a hole; not by its `start`.

        Each time is within 2^61 ns of zero.
        """
        state = _copied(state)
        regular = self._regular(chunk, state)
        if regular is not None:
            return regular, state
        out = _Out(chunk.stream)
        for time, values in zip(chunk.times.tolist(), chunk.samples, strict=True):
            self._row(time, values, state, out)
        return out.items(), state

    def finish(self, stream: str, state: Placed) -> tuple[list[Chunk | Gap], Placed]:
        """No more rows will come: what waits goes out."""
        state = _copied(state)
        out = _Out(stream)
        self._flush(state, out)
        return out.items(), state

    def _regular(self, chunk: Chunk, state: Placed) -> list[Chunk | Gap] | None:
        """The same as row by row, at once, if each row is the next sample and nothing waits; else None."""
        times, n = chunk.times, len(chunk.times)
        if not state.begun or state.held or not n:
            return None
        if times[0] <= state.time or (n > 1 and not (times[1:] > times[:-1]).all()):
            return None
        due = state.origin + self._after(np.arange(state.cell + 1, state.cell + 1 + n))
        off = times - due
        if (np.abs(off) > self._near).any():
            return None
        if self._policy != "interpolate" or (state.next > state.cell and not off.any()):
            first, samples = state.next, chunk.samples
        else:
            first = state.next
            before = np.concatenate([np.array([state.time]), times])
            rows = np.concatenate([state.values[None], chunk.samples])
            due = due if first > state.cell else np.concatenate([[self._due(state, first)], due])
            samples = _between(before, rows, due[due <= times[-1]])
        state.cell += n
        state.next = first + len(samples)
        state.time, state.values, state.stray = int(times[-1]), chunk.samples[-1], (0, -1)
        return [Chunk(chunk.stream, first, samples)] if len(samples) else []

    def _row(self, time: int, values: Row, state: Placed, out: _Out) -> None:
        tally = state.tally
        if not state.begun:
            self._anchor(time, values, 0, state, out)
            return
        place = bisect_left(state.held, time, key=lambda each: each[0])
        if time == state.time or (place < len(state.held) and state.held[place][0] == time):
            tally.duplicate += 1
            return
        if time < state.time or time - state.time > _LEAP:
            if self._elsewhere(time, state):
                self._flush(state, out)
                out.lose(state.next, state.next + 1, ITS_CLOCK)
                self._anchor(time, values, state.next + 1, state, out)
            else:
                tally.late += time < state.time
                tally.ahead += time > state.time
            return
        state.stray = (0, -1)
        tally.reordered += place < len(state.held)
        state.held.insert(place, (time, values))
        newest = state.held[-1][0]
        while state.held:
            cell = self._cell(state.held[0][0], state)
            if cell > state.cell + 1 and newest - self._due(state, state.cell + 1) <= self._window:
                break
            self._place(*state.held.pop(0), cell, state, out)

    def _elsewhere(self, time: int, state: Placed) -> bool:
        """Whether rows have lain elsewhere for so long, in order, that the clock must have been set."""
        first, last = state.stray
        near = last >= first and 0 < time - last <= _LEAP
        state.stray = (first if near else time, time)
        return time - state.stray[0] >= self._follow

    def _flush(self, state: Placed, out: _Out) -> None:
        while state.held:
            time, values = state.held.pop(0)
            self._place(time, values, self._cell(time, state), state, out)
        if state.begun and state.next == state.cell:
            out.add(state.next, state.values)
            state.next += 1

    def _anchor(self, time: int, values: Row, cell: int, state: Placed, out: _Out) -> None:
        """The grid begins, or begins anew, with a row that is sample `cell`."""
        state.begun, state.stray = True, (0, -1)
        state.origin = time - int(self._after(np.array([cell]))[0])
        state.time, state.values, state.cell, state.next = time, values, cell, cell + 1
        out.add(cell, values)

    def _place(self, time: int, values: Row, cell: int, state: Placed, out: _Out) -> None:
        """A row in its order, which is sample `cell`."""
        missing = cell - state.cell - 1
        if missing < 0:
            if self._policy != "interpolate":
                state.tally.crowded += 1
                state.time = time
                return
        elif missing > self._most:
            if state.next == state.cell:
                out.add(state.next, state.values)
            out.lose(state.cell + 1, cell, MISSING)
            # What lies before a gap says nothing of what comes after it.
            state.time, state.values, state.next = time, values, cell
        else:
            state.tally.filled += missing
            if self._policy == "hold":
                for each in range(state.next, cell):
                    out.add(each, state.values)
                state.next = cell
        state.cell = max(cell, state.cell)
        if self._policy != "interpolate":
            out.add(cell, values)
            state.next = cell + 1
        else:
            self._draw(time, values, state, out)
        state.time, state.values = time, values

    def _draw(self, time: int, values: Row, state: Placed, out: _Out) -> None:
        """The samples up to `time`, on the line from the row before."""
        wanted = np.arange(state.next, state.cell + 1)
        due = state.origin + self._after(wanted)
        due = due[due <= time]
        if not len(due):
            return
        if time == state.time:  # after a gap
            drawn = values[None]
        else:
            drawn = _between(np.array([state.time, time]), np.stack([state.values, values]), due)
        for row in drawn:
            out.add(state.next, row)
            state.next += 1

    def _cell(self, time: int, state: Placed) -> int:
        if abs(time - self._due(state, state.cell + 1)) <= self._near:
            return state.cell + 1
        return (2 * (time - state.origin) * self._rate + SECOND) // (2 * SECOND)

    def _due(self, state: Placed, cell: int) -> int:
        seconds, rest = divmod(cell, self._rate)
        return state.origin + seconds * SECOND + rest * SECOND // self._rate

    def _after(self, cells: NDArray[np.int64]) -> Times:
        """How many nanoseconds after the first samples lie; in two parts, since a product would not fit 64 bits."""
        seconds, rest = np.divmod(cells.astype(np.int64), self._rate)
        after: Times = seconds * SECOND + rest * SECOND // self._rate
        return after


class _Out:
    """Samples and gaps as they become known, joined."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._items: list[Chunk | Gap] = []
        self._start, self._rows = 0, list[Row]()

    def add(self, sample: int, values: Row) -> None:
        if not self._rows:
            self._start = sample
        self._rows.append(values)

    def lose(self, start: int, end: int, reason: str) -> None:
        self._join()
        self._items.append(Gap(self._stream, start, end, reason))

    def items(self) -> list[Chunk | Gap]:
        self._join()
        return self._items

    def _join(self) -> None:
        if self._rows:
            self._items.append(Chunk(self._stream, self._start, np.stack(self._rows)))
            self._rows = []


def _between(times: Times, rows: Samples, due: Times) -> Samples:
    """The rows `(time, channels)` at moments after the first and up to the last of their growing times."""
    after = np.searchsorted(times, due)
    share = ((due - times[after - 1]) / (times[after] - times[after - 1]))[:, None]
    with np.errstate(invalid="ignore"):
        line = (1.0 - share) * rows[after - 1] + share * rows[after]
    # A row that lies on the grid is itself, to the bit, whatever the one before it was.
    drawn: Samples = np.where(share == 1.0, rows[after], line).astype(np.float32)
    return drawn


def _copied(state: Placed) -> Placed:
    copied = copy.copy(state)
    copied.held, copied.tally = list(state.held), copy.copy(state.tally)
    return copied
