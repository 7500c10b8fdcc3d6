"""The border of one stream, between its source and the engine: channels in order, rows on the grid, dead channels told.

A stream whose rows carry times is counted twice: its source counts rows, the engine samples of the grid. What lies
between two rows is known by their times, so gaps that a source declares in rows are only the reason for those that
the times show.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from streamrnn.channels import ChannelWatch, order_of
from streamrnn.chunk import Chunk, Gap, Note, Opened
from streamrnn.errors import StreamError
from streamrnn.events import Channel
from streamrnn.grid import MISSING, Grid, Tally
from streamrnn.sources import SensorConfig, SourceConfig


class Placing:
    """What an open stream has brought -> what the engine is given, and what is said of it."""

    def __init__(self, opened: Opened, config: SourceConfig, names: Sequence[str], order: Sequence[int]) -> None:
        """`names` are those of its channels in the `order` in which the engine has them; () as they come."""
        settings = config if isinstance(config, SensorConfig) else SensorConfig()
        self._stream, self._shape, self._order = opened.stream, (opened.channels,), list(order)
        self.timed = opened.timed and settings.grid.timed
        self._grids = (Grid(settings.grid, opened.rate),) if self.timed else ()
        self._placed = Grid.initial_state(opened.channels)
        self._rows = 0  # the row of the source that is next
        self._told, self._tell_at = 0, 1
        self._why = MISSING
        watched = isinstance(config, SensorConfig) and opened.rate <= settings.watch.below_hz
        self._watches: tuple[ChannelWatch, ...] = (
            (ChannelWatch(settings.watch, opened.rate, names, opened.full_scale),) if watched else ()
        )
        self._watched = tuple(watch.initial_state() for watch in self._watches)
        self._names = tuple(names)
        self._plain = not self._order and not self.timed and not watched
        self._counted = not self._order and not self.timed and watched

    @property
    def tally(self) -> Tally:
        """What was filled, put in order and dropped, of a stream that is timed."""
        return self._placed.tally

    @property
    def conditions(self) -> dict[str, str]:
        """Channels that are frozen, saturated or have vanished, by name."""
        return {
            name: condition
            for state in self._watched
            if any(state.conditions)
            for name, condition in zip(self._names, state.conditions, strict=True)
            if condition
        }

    def placed(self, item: Chunk | Gap | Note) -> Sequence[Chunk | Gap | Note]:
        """The same in samples of the engine. Raises StreamError for rows that are not of the stream's make."""
        if self._plain or isinstance(item, Note):
            return (item,)
        if self._counted and isinstance(item, Chunk) and item.samples.shape[1:] == self._shape:  # the most there are
            notes, state = self._watches[0].step(item, self._watched[0])
            self._watched = (state,)
            return (item, *notes) if notes else (item,)
        if isinstance(item, Chunk):
            if item.samples.shape[1:] != self._shape:
                return (item,)  # the engine says what is wrong with it
            if self._order:
                item = dataclasses.replace(item, samples=item.samples[:, self._order])
        return self._watch(self._on_grid(item))

    def finish(self) -> Sequence[Chunk | Gap | Note]:
        """What waits, once the stream is over."""
        for grid in self._grids:
            items, self._placed = grid.finish(self._stream, self._placed)
            return [*self._watch(items), *self._notes(self._told + 1)]
        return ()

    def unheard(self, chunk: Chunk, reason: str) -> Sequence[Gap]:
        """A chunk that is not to be heard any more, as gaps."""
        items = self._on_grid(chunk)
        return [Gap(item.stream, item.start, item.end, reason) for item in items if not isinstance(item, Note)]

    def _on_grid(self, item: Chunk | Gap) -> Sequence[Chunk | Gap | Note]:
        for grid in self._grids:
            if isinstance(item, Gap):
                self._why, self._rows = item.reason, max(self._rows, item.end)
                return ()
            if len(item.times) != len(item.samples):
                raise StreamError(
                    f"{self._stream}: {len(item.times)} times for {len(item.samples)} rows; send one each"
                )
            again = min(max(0, self._rows - item.start), len(item.samples))
            if again:
                # Rows that are brought again: by their times alone a second of them would be a clock that was set.
                self._placed.tally.duplicate += again
                item = Chunk(item.stream, item.start + again, item.samples[again:], item.times[again:])
            self._rows = max(self._rows, item.end)
            items, self._placed = grid.step(item, self._placed)
            if self._why != MISSING:
                items = [_because(each, self._why) for each in items]
                self._why = MISSING
            return [*items, *self._notes(self._tell_at)]
        return (item,)

    def _notes(self, least: int) -> list[Note]:
        """What became of the rows, if it is as many as `least`: told ever more rarely, and once at the end."""
        tally = self._placed.tally
        count = tally.filled + tally.reordered + tally.dropped
        if count < least:
            return []
        self._told, self._tell_at = count, 2 * count
        said = ", ".join(f"{n} {name}" for name, n in dataclasses.asdict(tally).items() if n)
        return [Note(self._stream, "irregular", f"of its rows so far: {said}")]

    def _watch(self, items: Sequence[Chunk | Gap | Note]) -> Sequence[Chunk | Gap | Note]:
        if not self._watches:
            return items
        told: list[Chunk | Gap | Note] = []
        for item in items:
            told.append(item)
            if not isinstance(item, Note):
                notes, state = self._watches[0].step(item, self._watched[0])
                self._watched = (state,)
                told += notes
        return told


def _because(item: Chunk | Gap, reason: str) -> Chunk | Gap:
    """A gap that the times show, for the reason that the source gave."""
    return Gap(item.stream, item.start, item.end, reason) if isinstance(item, Gap) and item.reason == MISSING else item


def place(opened: Opened, config: SourceConfig, bundles: Sequence[tuple[str, Sequence[Channel]]]) -> Placing:
    """The border of a stream that these bundles, by name, are to hear. Raises StreamError if it has other channels."""
    names = opened.names
    order: tuple[int, ...] = ()
    known = [(bundle, channels) for bundle, channels in bundles if len(channels) == opened.channels]
    for i, (bundle, channels) in enumerate(known):
        if not opened.names:
            names = names or tuple(each.name for each in channels)
            continue
        this = order_of(opened.stream, opened.names, channels, bundle)
        if i and this != order:
            others = f"{known[0][0]} and {bundle} take their channels in different orders"
            raise StreamError(f"{opened.stream}: {others}; name one of them in the source's bundles")
        order, names = this, tuple(each.name for each in channels)
    return Placing(opened, config, names or tuple(str(i) for i in range(opened.channels)), order)
