"""What the daemon knows of the streams that a worker hears: enough to give them to the next, should it end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamrnn.sessions import Counts
from streamrnn.workers.keeper import Keeper
from streamrnn.workers.orders import Finish, Forget, Keep, Lose, Open, Order, Push, Serve, Standing, Turn

GONE = "its worker ended"  # the reason of the gap in which a worker's memory was lost
_HELD = 1 << 18  # numbers that may wait for a worker that is busy, as many as a source brings in its turn
_HELD_AWAY = 1 << 22  # and for one that is being started again; what is beyond lies in the gap


@dataclass(slots=True)
class Followed:
    """A stream in a worker: how it was opened, how far it is by what was reported, and how far by what was given."""

    stream: str
    rate: int
    channels: int
    bundles: tuple[str, ...]
    cost: float
    standing: Standing
    before: Counts  # of the workers before: what was heard, lost and came twice
    expected: int  # the sample after the last that was given
    sent: int  # the same of what has been sent to the worker
    opened: bool = False  # whether the worker has been told of it
    finished: bool = False

    @property
    def counts(self) -> Counts:
        """As the engine would tell them; what is on its way is taken for heard."""
        standing, before = self.standing, self.before
        ahead = max(0, self.expected - standing.expected)
        return Counts(
            self.expected,
            standing.epoch,
            before.heard + standing.heard + ahead,
            before.lost + standing.lost,
            before.duplicates + standing.duplicates,
            standing.untold,
        )

    def again(self, bundles: tuple[str, ...]) -> list[Order]:
        """For a worker that knows nothing of it: what another had heard and not told lies in a gap.

        The counts go on from those of now.
        """
        standing, before = self.standing, self.before
        self.before = Counts(
            0, 0, before.heard + standing.heard, before.lost + standing.lost, before.duplicates + standing.duplicates, 0
        )
        begin = standing.untold
        self.standing = Standing(self.stream, begin, begin, standing.epoch, 0, 0, 0)
        opened = Open(self.stream, self.rate, self.channels, bundles, standing.epoch, begin)
        if self.sent > begin:
            return [opened, Lose(self.stream, self.sent, GONE)]
        return [opened, Forget(self.stream, GONE)]


@dataclass(slots=True)
class Share:
    """A worker's share: its streams, and the orders that wait until it has answered the turn before.

    It is `starting` until it was ready for the first time, then `idle` or `busy`, and `away` when it has ended, until
    the next one is ready.
    """

    keeper: Keeper
    place: str = "starting"
    load: float = 0.0
    streams: dict[str, Followed] = field(default_factory=dict)
    finishing: dict[str, Followed] = field(default_factory=dict)  # finished, and not all is told
    values: int = 0  # numbers that wait
    starts: int = 0  # which of its workers, counted from 1, it is
    trouble: str = ""  # what of its orders it could not do, and has been told
    _waiting: list[Order | Serve] = field(default_factory=list)
    _ends_sent: list[str] = field(default_factory=list)

    @property
    def due(self) -> bool:
        """Whether it can be sent something."""
        return self.place == "idle" and bool(self._waiting)

    @property
    def there(self) -> bool:
        """Whether it may be waited for: it has not ended."""
        return self.place != "away"

    @property
    def at_rest(self) -> bool:
        """Whether nothing waits or is on its way."""
        return self.place != "busy" and not self._waiting

    @property
    def waited_for(self) -> bool:
        """Whether nothing more may be given to it: it is full, or streams of it are to be over."""
        return self.there and (self.values > _HELD or bool(self.finishing))

    def add(self, order: Order | Serve) -> None:
        """What is to be done next."""
        self._waiting.append(order)
        if isinstance(order, Push):
            self.values += order.values
            if self.place == "away" and self.values > _HELD_AWAY:
                self._spill()

    def follow(self, followed: Followed, order: Order) -> None:
        """A stream that is to be heard here from now on."""
        self.streams[followed.stream] = followed
        self.load += followed.cost
        self.add(order)

    def finish(self, stream: str) -> None:
        """A stream is over."""
        followed = self.finishing[stream] = self.streams.pop(stream)
        followed.finished = True
        self.load = self.load - followed.cost if self.streams else 0.0
        self.add(Finish(stream))

    def send(self) -> None:
        """What waits, up to where other bundles are to be served."""
        self.place = "busy"
        first = self._waiting[0]
        if isinstance(first, Serve):
            del self._waiting[0]
            self.keeper.send(first, self.starts)
            return
        ends = [i for i, each in enumerate(self._waiting) if isinstance(each, Serve)]
        end = ends[0] if ends else len(self._waiting)
        turn = [each for each in self._waiting[:end] if not isinstance(each, Serve)]
        self._waiting = self._waiting[end:]
        self.values = sum(each.values for each in self._waiting if isinstance(each, Push))
        for stream in {each.stream for each in turn}:
            followed = self.streams.get(stream) or self.finishing.get(stream)
            if followed is not None:
                followed.opened, followed.sent = True, followed.expected
        self._ends_sent = [each.stream for each in turn if isinstance(each, Finish)]
        self.keeper.send(Turn(tuple(turn)), self.starts)

    def answered(self, standings: Sequence[Standing]) -> list[Standing]:
        """A turn has been heard; which streams are over, as they were when they ended."""
        self.place = "idle"
        over = []
        for each in standings:
            if each.stream in self.streams:
                self.streams[each.stream].standing = each
            elif each.stream in self._ends_sent:
                over.append(each)
        for stream in self._ends_sent:
            del self.finishing[stream]
        self._ends_sent = []
        return over

    def ended(self, fitting: dict[str, tuple[str, ...]]) -> None:
        """The worker has ended: what it knew is to be told to the next one before all that waits.

        `fitting` has by stream the bundles that can hear it.
        """
        self.place = "away"
        again: list[Order | Serve] = []
        for followed in (*self.finishing.values(), *self.streams.values()):
            if followed.opened:
                again += followed.again(fitting[followed.stream])
                if followed.stream in self._ends_sent:
                    again.append(Finish(followed.stream))
        self._ends_sent = []
        self._waiting = [*again, *(each for each in self._waiting if not isinstance(each, Keep))]

    def _spill(self) -> None:
        """What waits for a worker that is away is too much: its samples lie in the gap."""
        kept: list[Order | Serve] = []
        lost: dict[str, None] = {}
        for each in self._waiting:
            if isinstance(each, Push | Lose):
                lost[each.stream] = None
                continue
            if isinstance(each, Finish) and each.stream in lost:
                del lost[each.stream]
                kept.append(self._gap(each.stream))
            kept.append(each)
        self._waiting = [*kept, *(self._gap(stream) for stream in lost)]
        self.values = 0

    def _gap(self, stream: str) -> Lose:
        followed = self.streams.get(stream) or self.finishing[stream]
        return Lose(stream, followed.expected, GONE)
