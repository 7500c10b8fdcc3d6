"""How many streams a daemon holds: more and more of them until results come too late, or some are refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from streamrnn.backends import Step
from streamrnn.bundle import Bundle
from streamrnn.capacity import beat
from streamrnn.capacity.daemons import Measured, Stages, serve_command
from streamrnn.capacity.load import Held, Plan, Stage
from streamrnn.cores import available

LATE_MS = 50.0
CHUNK_MS = 100.0


class Rung(msgspec.Struct, frozen=True):
    """How a number of streams went, and what the daemon used meanwhile: a share of one core, and bytes of memory."""

    held: Held
    cpu: float
    rss: int

    @property
    def good(self) -> bool:
        """Whether results were in time and nothing was refused or held back."""
        held = self.held
        return held.results > 0 and held.p99_ms <= LATE_MS and not held.refused and not held.held_back


def cores() -> tuple[int | None, int | None]:
    """One for the daemon and one for the load; None twice if there are not two."""
    there = available()
    return (there[0], there[1]) if len(there) > 1 else (None, None)


def prepare(folder: Path, bundle: Bundle, step: Step, chunk_ms: float = CHUNK_MS) -> tuple[Path, int, dict[str, float]]:
    """The signal of the load in a file, the samples of a chunk, and the decoder's settings for it."""
    rate = bundle.recognizer.rate
    chunk = max(1, round(rate * chunk_ms / 1000.0))
    path = folder / "beat.i16"
    return path, chunk, beat.thresholds(bundle, step, beat.signal(path, rate, chunk))


def climb(
    command: Sequence[str],
    plan: Plan,
    told: Callable[[Rung], None] = lambda rung: None,
) -> list[Rung]:
    """Start a daemon on a core of its own and bring it the stages of a plan, without its endpoints, one by one."""
    daemon_core, load_core = cores()
    rungs = []
    with Measured(command, daemon_core) as daemon:
        plan = msgspec.structs.replace(plan, ingest=daemon.ingest, results=daemon.results)
        before, begun = daemon.cost(), time.monotonic()
        for held in Stages(plan, load_core):
            after, now = daemon.cost(), time.monotonic()
            rungs.append(Rung(held, (after.cpu_s - before.cpu_s) / (now - begun), after.rss))
            told(rungs[-1])
            before, begun = after, now
    return rungs


def steps(seconds: float) -> tuple[Stage, ...]:
    """From 32 streams on, each a quarter more; more than there are to climb."""
    counts, count = [], 32.0
    while count < 20_000:
        counts.append(round(count))
        count *= 1.25
    return tuple(Stage(n, seconds, seconds / 3) for n in counts)


def capacity(bundle: Bundle, step: Step, folder: Path, seconds: float, told: Callable[[Rung], None]) -> list[Rung]:
    """Rungs from 32 streams on, each a quarter more, up to the first that was too much; about a minute in all."""
    signal, chunk, decoder = prepare(folder, bundle, step)
    plan = Plan("", "", bundle.recognizer.rate, chunk, str(signal), steps(seconds), LATE_MS)
    return climb(serve_command(folder, bundle.path, decoder, {"max_load": 0}), plan, told)


def lines(rungs: Sequence[Rung]) -> list[str]:
    """A table for people, and what it says."""
    rows = [f"{'streams':>8} {'p50':>9} {'p99':>9} {'core':>6} {'memory':>9}"]
    rows += [
        f"{each.held.streams:>8} {each.held.p50_ms:>6.1f} ms {each.held.p99_ms:>6.1f} ms {each.cpu:>6.2f}"
        f" {each.rss / 1e6:>6.0f} MB"
        for each in rungs
    ]
    good = [each.held.streams for each in rungs if each.good]
    rows.append(
        f"{max(good)} live streams on one core, p99 below {LATE_MS:g} ms with chunks of {CHUNK_MS:g} ms"
        if good
        else f"not even {rungs[0].held.streams} streams: results came later than {LATE_MS:g} ms"
    )
    return rows
