"""An engine in several processes: each stream is heard by one of them, and each may end without the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from numpy.typing import NDArray

from streamrnn.engine import Engine, Serving
from streamrnn.errors import ConfigError, StreamError, did_you_mean
from streamrnn.events import Event
from streamrnn.metrics import Meter
from streamrnn.sessions import Counts, checked
from streamrnn.snapshot import Snapshot, encode
from streamrnn.wire import Status
from streamrnn.workers.crew import Crew
from streamrnn.workers.elsewhere import given
from streamrnn.workers.orders import Forget, Keep, Lose, Open, Order, Push, Restore, Standing
from streamrnn.workers.share import Followed, Share

_WAIT_S = 0.05  # a step that has to wait comes back after so long, whatever happened
_KEEP_S = 0.3  # in which snapshots are taken; of a stream whose worker is not so far there is none
_KEEP_LATE_S = 0.1  # the same at a stop, where there is no time


class Sharded:
    """What `Here` does on the daemon's thread, done by workers; `step` gives out orders and tells what came back.

    A stream goes to the worker that has least to do. While a worker is busy, what comes for it waits, up to a turn.
    """

    def __init__(
        self,
        servings: Sequence[Serving],
        *,
        workers: int,
        rows_a_call: int,
        round_s: float,
        stall_s: float,
        meter: Meter,
        tell: Callable[[Status], None],
        progress: Callable[[], None],
        ring: Callable[[], None],
    ) -> None:
        """Start the workers. `tell` publishes a status of the daemon, `progress` is called when one has got on, and
        `ring` wakes the engine's thread.

        Raises ConfigError for shadows, and if two bundles share a name.
        """
        self._limits = rows_a_call, round_s
        self._meter = meter
        self._draining = False
        self._crew = Crew(workers, stall_s, meter=meter, tell=tell, progress=progress, ring=ring, fitting=self._fitting)
        self._shares = self._crew.shares
        self.servings = self._checked(servings)
        self._crew.start(tuple(given(each) for each in self.servings), *self._limits)

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that are open."""
        return tuple(stream for share in self._shares for stream in share.streams)

    @property
    def load(self) -> float:
        """The share of one core that the streams take of the worker that has least to do."""
        return self._next().load

    @property
    def pending(self) -> bool:
        """Whether something was reported, or a worker can be sent something or has to be waited for."""
        return self._crew.reported or any(
            each.due or each.waited_for or (self._draining and each.there and not each.at_rest) for each in self._shares
        )

    @property
    def lacking(self) -> str:
        """Why nothing can be heard, for people; "" if something can."""
        return "" if any(each.place in ("idle", "busy") for each in self._shares) else "no worker is ready"

    def rate(self, stream: str) -> int:
        """The sample rate of an open stream, in Hz. Raises StreamError."""
        return self._found(stream)[1].rate

    def counts(self, stream: str) -> Counts:
        """What has come of an open stream; what is on its way is taken for heard. Raises StreamError."""
        return self._found(stream)[1].counts

    def over(self, stream: str) -> bool:
        """Whether all has been told of the finished stream of a name."""
        return not any(stream in each.finishing for each in self._shares)

    def open(
        self,
        stream: str,
        rate: int,
        channels: int,
        bundles: Sequence[str] | None = None,
        *,
        epoch: int = 0,
        start: int = 0,
    ) -> None:
        """A stream begins, in the worker that has least to do. Raises StreamError as an engine here would."""
        self._free(stream)
        # What was on its way when one of its name ended may have been a gap.
        epoch = max(epoch, self._crew.epochs.get(stream, -1) + 1)
        Engine(self.servings).open(stream, rate, channels, bundles, epoch=epoch, start=start)
        standing = Standing(stream, start, start, epoch, 0, 0, 0)
        named = tuple(bundles or ())
        self._follow(standing, rate, channels, named, Open(stream, rate, channels, named, epoch, start))

    def restore(self, snapshot: Snapshot, bundles: Sequence[str] | None = None) -> None:
        """A stream goes on. Raises StreamError, and opens nothing, as an engine here would."""
        there = snapshot
        self._free(there.stream)
        Engine(self.servings).restore(there, bundles)
        untold = there.untold[0].start if there.untold else there.expected
        standing = Standing(
            there.stream, there.expected, untold, there.epoch, there.heard, there.lost, there.duplicates
        )
        named = tuple(bundles or ())
        order = Restore(there.stream, encode(there), named)
        self._follow(standing, there.rate, there.channels, named, order)

    def snapshots(self, streams: Iterable[str]) -> dict[str, Snapshot]:
        """Snapshots of those of these open streams that are settled, and whose workers are so far in a moment."""
        self._crew.kept = {}
        asked = set()
        for stream in streams:
            share, _ = self._found(stream)
            if share.there:
                share.add(Keep(stream))
                asked.add(share.keeper.number)
        until = time.monotonic() + (_KEEP_LATE_S if self._draining else _KEEP_S)
        while any(not self._shares[i].at_rest and self._shares[i].there for i in asked):
            left = until - time.monotonic()
            if left <= 0:
                break
            self._crew.give()
            self._crew.hear(left)
        return self._crew.kept

    def push(self, stream: str, start: int, samples: NDArray[Any]) -> None:
        """Samples `(time, channels)` of an open stream. Raises StreamError as an engine here would."""
        share, followed = self._found(stream)
        good = checked(stream, followed.channels, start, samples)
        followed.expected = max(followed.expected, start + len(good))
        # A copy: the caller may fill its array again.
        share.add(Push(stream, start, followed.channels, memoryview(good.tobytes())))

    def lose(self, stream: str, end: int, reason: str) -> None:
        """The samples up to `end` never came. Raises StreamError."""
        share, followed = self._found(stream)
        followed.expected = max(followed.expected, end)
        share.add(Lose(stream, end, reason))

    def forget(self, stream: str, reason: str) -> None:
        """What was heard is forgotten. Raises StreamError."""
        self._found(stream)[0].add(Forget(stream, reason))

    def finish(self, stream: str) -> None:
        """The stream is over: its last events come with the steps that follow. Raises StreamError."""
        share, _ = self._found(stream)
        share.finish(stream)
        self._crew.measure(share)

    def step(self) -> list[Event]:
        """Give out what waits, and what came back; waits a little where something has to be waited for."""
        given_out = self._crew.give()
        self._crew.hear(0.0 if given_out or self._crew.told else _WAIT_S)
        return self._take_told()

    def drain(self) -> None:
        """From now on all that was given is waited for."""
        self._draining = True

    def abandon(self, reason: str) -> list[Event]:
        """Finished streams are heard no further: what has not been told of them lies in gaps."""
        self._crew.hear(0.0)
        events = self._take_told()
        # With no samples to hear, an engine here tells gaps and calls no network.
        teller = Engine(self.servings)
        for share in self._shares:
            if not share.at_rest:
                share.place = "away"  # it is waited for no more
            for stream, each in share.finishing.items():
                standing = each.standing
                teller.open(
                    stream,
                    each.rate,
                    each.channels,
                    self._fitting(each) or None,
                    epoch=standing.epoch,
                    start=standing.untold,
                )
                teller.lose(stream, each.expected, reason)
                teller.finish(stream)
            share.finishing.clear()
        return events + teller.run()

    def swap(self, servings: Sequence[Serving]) -> None:
        """Serve these bundles from now on, in each worker after what was given to it so far. Raises ConfigError."""
        self.servings = self._checked(servings)
        self._crew.swap(tuple(given(each) for each in self.servings), *self._limits)

    def promote(self, name: str) -> frozenset[str]:
        """Raises ConfigError: workers serve no shadows."""
        raise ConfigError(f"{name}: no such shadow is served")

    def close(self) -> None:
        """End the workers, at once: what they had to tell has been told."""
        self._crew.close()

    def _take_told(self) -> list[Event]:
        events, self._crew.told = self._crew.told, []
        return events

    def _checked(self, servings: Sequence[Serving]) -> tuple[Serving, ...]:
        for each in servings:
            if each.beside:
                raise ConfigError(f"shadows: {each.name} would run in workers, which serve none; set workers to 1")
        servings = Engine(servings).servings
        for each in servings:
            self._meter.serves(each)
        return servings

    def _free(self, stream: str) -> None:
        if any(stream in each.streams for each in self._shares):
            raise StreamError(f"{stream}: is already open; finish it first or take another name")
        if not self.over(stream):
            raise StreamError(f"{stream}: one of its name is not over yet, for its worker is away; try again soon")

    def _follow(self, standing: Standing, rate: int, channels: int, bundles: tuple[str, ...], order: Order) -> None:
        share = self._next()
        cost = sum(each.cost for each in self.servings if not bundles or each.named(bundles))
        share.follow(
            Followed(
                standing.stream,
                rate,
                channels,
                bundles,
                cost,
                standing,
                before=Counts(0, 0, 0, 0, 0, 0),
                expected=standing.expected,
                sent=standing.expected,
            ),
            order,
        )
        self._crew.measure(share)

    def _next(self) -> Share:
        """Where the next stream goes."""
        return min(self._shares, key=lambda each: (each.place == "away", each.load, len(each.streams)))

    def _found(self, stream: str) -> tuple[Share, Followed]:
        for share in self._shares:
            followed = share.streams.get(stream)
            if followed is not None:
                return share, followed
        raise StreamError(f"{stream}: no such stream is open; {did_you_mean(stream, self.streams)}")

    def _fitting(self, followed: Followed) -> tuple[str, ...]:
        """The bundles to open a stream with anew: as it was, unless one has come since that cannot hear it."""
        named = followed.bundles
        there = [each for each in self.servings if not named or each.named(named)]
        fit = [each.name for each in there if each.recognizer.channels in (1, followed.channels)]
        return named if len(fit) == len(there) else tuple(fit)
