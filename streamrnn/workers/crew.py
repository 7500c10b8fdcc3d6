"""The workers of a daemon: each is given its turn when it has answered the one before, and what it reports is taken."""

from __future__ import annotations

import queue
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from streamrnn import snapshot
from streamrnn.events import Event
from streamrnn.metrics import Meter
from streamrnn.snapshot import Snapshot
from streamrnn.wire import Status
from streamrnn.workers import orders
from streamrnn.workers.keeper import Gone, Keeper, News, cores
from streamrnn.workers.orders import Given, Ready, Report, Serve
from streamrnn.workers.share import Followed, Share

_NAMES = 4096  # streams whose last epoch is remembered after their end


class Crew:
    """Used by the engine's thread; `told` and `kept` are what came of the turns, for who asks to take."""

    def __init__(
        self,
        workers: int,
        stall_s: float,
        *,
        meter: Meter,
        tell: Callable[[Status], None],
        progress: Callable[[], None],
        ring: Callable[[], None],
        fitting: Callable[[Followed], tuple[str, ...]],
    ) -> None:
        """`tell` publishes a status of the daemon, `progress` is called when a worker has got on, `ring` wakes the
        engine's thread, and `fitting` says with which bundles a stream is opened anew."""
        self.told: list[Event] = []
        self.kept: dict[str, Snapshot] = {}
        self.epochs: OrderedDict[str, int] = OrderedDict()  # in which streams ended, the latest
        self._meter, self._tell, self._progress, self._ring, self._fitting = meter, tell, progress, ring, fitting
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self.shares = [Share(Keeper(i, stall_s, self._bring)) for i in range(workers)]
        self._cores = cores(workers)
        for share in self.shares:
            self.measure(share)

    def start(self, bundles: tuple[Given, ...], rows_a_call: int, round_s: float) -> None:
        """Start the workers."""
        for share, core in zip(self.shares, self._cores, strict=True):
            share.keeper.start(Serve(bundles, rows_a_call, round_s, core))

    def swap(self, bundles: tuple[Given, ...], rows_a_call: int, round_s: float) -> None:
        """Let each worker serve other bundles after what was given to it so far."""
        for share, core in zip(self.shares, self._cores, strict=True):
            serve = Serve(bundles, rows_a_call, round_s, core)
            share.keeper.give(serve)
            share.add(serve)

    @property
    def reported(self) -> bool:
        """Whether there is something to take."""
        return bool(self.told) or not self._news.empty()

    def give(self) -> bool:
        """Send what waits to the workers that have answered; whether there was any."""
        due = [each for each in self.shares if each.due]
        for share in due:
            share.send()
        return bool(due)

    def hear(self, seconds: float) -> None:
        """Take what has been reported; waits for the first for so long at most."""
        try:
            news = self._news.get(timeout=seconds) if seconds > 0 else self._news.get_nowait()
            while True:
                self._take(news)
                news = self._news.get_nowait()
        except queue.Empty:
            return

    def measure(self, share: Share) -> None:
        """Tell the meter of a worker."""
        number = str(share.keeper.number)
        self._meter.set("worker_up", float(share.place in ("idle", "busy")), number)
        self._meter.set("worker_streams", len(share.streams), number)

    def close(self) -> None:
        """End all workers at once: what they had to tell has been told."""
        for share in self.shares:
            share.keeper.end()
        for share in self.shares:
            share.keeper.join()

    def _bring(self, news: News) -> None:
        """From a keeper's thread."""
        self._news.put(news)
        self._ring()

    def _take(self, news: News) -> None:
        share, what = self.shares[news.number], news.what
        if isinstance(what, Gone):
            self._lose(share, what.reason)
        elif isinstance(what, Ready):
            if share.place == "away":
                self._tell(Status("mended", f"worker {news.number}"))
            if share.starts != news.start:
                share.starts = news.start
                self._meter.add("worker_starts_total", 1, str(news.number))
            share.place = "idle"
        else:
            self._read(share, what)
        self._progress()
        self.measure(share)

    def _read(self, share: Share, report: Report) -> None:
        number = share.keeper.number
        self.told += orders.heard(report)
        for call in report.calls:
            self._meter.called(call.bundle, call.frames, call.seconds)
        if report.more:
            return
        self._meter.add("worker_busy_seconds_total", report.seconds, str(number))
        if report.fault and report.fault != share.trouble:
            share.trouble = report.fault
            self._tell(Status("failed", f"worker {number}: {report.fault}"))
        for standing in share.answered(report.standings):
            self.epochs[standing.stream] = standing.epoch
            self.epochs.move_to_end(standing.stream)
            if len(self.epochs) > _NAMES:
                self.epochs.popitem(last=False)
        for stream, data in report.snapshots.items():
            if stream in share.streams:
                # Of all its workers, where this one only knows of itself.
                before, taken = share.streams[stream].before, snapshot.decode(data)
                self.kept[stream] = msgspec.structs.replace(
                    taken,
                    heard=before.heard + taken.heard,
                    lost=before.lost + taken.lost,
                    duplicates=before.duplicates + taken.duplicates,
                )

    def _lose(self, share: Share, reason: str) -> None:
        """Its streams wait for the next worker, which is told what this one knew."""
        if share.place != "away":
            text = f"worker {share.keeper.number} ended ({reason}); {len(share.streams)} streams wait for the next"
            self._tell(Status("failed", text))
        share.ended({each.stream: self._fitting(each) for each in (*share.finishing.values(), *share.streams.values())})
