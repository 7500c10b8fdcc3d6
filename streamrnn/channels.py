"""Channels of a sensor by name: their order, and one fold that tells which of them freeze, saturate or vanish.

They are judged second by second. A second is so many samples of the stream, counted from its first: whatever chunks
they come in, the same is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamrnn.chunk import Chunk, Gap, Note, Samples
from streamrnn.errors import StreamError, did_you_mean
from streamrnn.events import Channel

FROZEN, SATURATED, VANISHED, RECOVERED = "frozen", "saturated", "vanished", "recovered"
_SCALE = 0.9999  # of full scale: the largest of 16 bits lies a little below it


def order_of(place: str, names: Sequence[str], wanted: Sequence[Channel], taker: str) -> tuple[int, ...]:
    """At which of the `names` each channel that `taker` takes stands; () if all stand where they should.

    Raises StreamError if they are not the same names.
    """
    takes = [each.name for each in wanted]
    for name in takes:
        if name not in names:
            raise StreamError(
                f"{place}: no channel {name!r} among {', '.join(names)}, and {taker} takes {', '.join(takes)}; "
                f"{did_you_mean(name, names)}"
            )
    for name in names:
        if name not in takes:
            raise StreamError(f"{place}: channel {name!r} is none of {taker}, which takes {', '.join(takes)}")
    order = tuple(names.index(name) for name in takes)
    return () if order == tuple(range(len(names))) else order


class ChannelsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a channel is told of: `frozen` if it brings one value for `frozen_s` seconds, `saturated` if of a second the
    share `saturated` lies at `full_scale` or beyond it, `vanished` if of a second none of its values is a number.

    0 is never; `full_scale` 0 is that of what comes as 16 bits, else nobody knows it. Channels named in `still` (or
    their number, from 0) may stand still. Streams of more than `below_hz` are sound, and not looked at.
    """

    frozen_s: Annotated[float, Meta(ge=0)] = 30.0
    saturated: Annotated[float, Meta(ge=0, le=1)] = 0.2
    full_scale: Annotated[float, Meta(ge=0)] = 0.0
    still: tuple[str, ...] = ()
    below_hz: Annotated[int, Meta(ge=0)] = 1000


class Watched(NamedTuple):
    """What is remembered: the samples of the second that is not over, and of each channel how long it stands still."""

    pieces: tuple[Samples, ...]
    second: int  # which one they are of
    value: NDArray[np.float32]  # (channels,), of the last second; NaN if it moved
    still: NDArray[np.int64]  # (channels,), samples of the stream for which it was that
    conditions: tuple[str, ...]  # of each channel what was told of it last, "" if nothing


class ChannelWatch:
    """The fold: `notes, state = watch.step(chunk, state)`; it holds no memory of a stream itself."""

    def __init__(self, config: ChannelsConfig, rate: int, names: Sequence[str], full_scale: float) -> None:
        """`names` are those of the channels, in their order."""
        self._names = tuple(names)
        self._rate = rate
        self._frozen = round(config.frozen_s * rate)
        self._share = config.saturated
        self._scale = _SCALE * (config.full_scale or full_scale)
        n = len(self._names)
        self._moving = np.full(n, np.nan, np.float32), np.zeros(n, np.int64)
        self._moves: NDArray[np.bool_] = np.array([name not in config.still for name in self._names])

    def initial_state(self) -> Watched:
        """Of a stream that has not begun."""
        return Watched((), 0, *self._moving, ("",) * len(self._names))

    def step(self, item: Chunk | Gap, state: Watched) -> tuple[list[Note], Watched]:
        """What is to be said of the channels once these samples were heard; a gap says nothing of them."""
        if isinstance(item, Gap):
            return [], state
        second = item.start // self._rate
        # The most chunks only join the others of their second.
        if second == state.second and item.start + len(item.samples) < (second + 1) * self._rate:
            return [], Watched((*state.pieces, item.samples), *state[1:])
        notes: list[Note] = []
        at = 0
        while at < len(item.samples):
            second = (item.start + at) // self._rate
            if second != state.second:
                state = self._judged(item.stream, state, notes, second)
            end = min(len(item.samples), at + (second + 1) * self._rate - item.start - at)
            piece = item.samples[at:end]
            state = Watched((*state.pieces, piece), *state[1:])
            at = end
            if item.start + at == (second + 1) * self._rate:
                state = self._judged(item.stream, state, notes, second + 1)
        return notes, state

    def _judged(self, stream: str, state: Watched, notes: list[Note], second: int) -> Watched:
        """A second is over; `second` is the next."""
        if not state.pieces:
            return state._replace(second=second)
        samples = np.concatenate(state.pieces) if len(state.pieces) > 1 else state.pieces[0]
        low, high = samples.min(axis=0), samples.max(axis=0)
        # The most seconds are of channels that move, and have before. With a NaN it is not so.
        loud = bool(self._scale) and max(high.max(), -low.min()) >= self._scale
        if (high > low).all() and not loud and not any(state.conditions):
            return Watched((), second, *self._moving, state.conditions)
        lowest, highest = np.fmin.reduce(samples, axis=0), np.fmax.reduce(samples, axis=0)
        gone: NDArray[np.bool_] = np.isnan(lowest)
        value = np.where(lowest == highest, lowest, np.float32(np.nan))
        still = np.where(value == state.value, state.still, 0) + np.where(np.isnan(value), 0, len(samples))
        full: NDArray[np.bool_] = np.zeros(len(self._names), bool)
        if self._scale and self._share:
            with np.errstate(invalid="ignore"):
                full = (np.abs(samples) >= self._scale).mean(axis=0) >= self._share
        frozen = self._moves & (still >= self._frozen) if self._frozen else np.zeros(len(self._names), bool)
        now = tuple(
            VANISHED if gone[i] else SATURATED if full[i] else FROZEN if frozen[i] else ""
            for i in range(len(self._names))
        )
        if now != state.conditions:
            for i, (before, condition) in enumerate(zip(state.conditions, now, strict=True)):
                if before != condition:
                    text = self._said(i, condition, value[i], int(still[i]))
                    notes.append(Note(stream, condition or RECOVERED, text))
        return Watched((), second, value, still, now)

    def _said(self, channel: int, condition: str, value: float, still: int) -> str:
        what = {
            "": "is heard again",
            "vanished": "no value of it is a number",
            "saturated": f"{self._share:.0%} of a second or more lie at full scale; lower its gain or range",
            "frozen": f"nothing but {value:g} for {still / self._rate:g} s; is its sensor alive?",
        }
        return f"channel {self._names[channel]}: {what[condition]}"
