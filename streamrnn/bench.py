"""What a recognizer costs on this machine: microseconds of a core for 10 ms of one stream, samples to posterior."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamrnn.backends import Array, ArrayState, Step
from streamrnn.recognizer import Recognizer

BATCHES = (1, 16, 64, 512)
CHUNKS_MS = (10.0, 100.0)
_FRAME_S = 0.01
_TURN_S = 0.004  # a turn is many calls when one is shorter than this: the clock is coarse
_FEWEST, _MOST = 7, 400  # turns of each contestant

Hearer = Callable[[Array], Array]
"""Samples `(batch, time, channels)` -> posteriors; it keeps its memory of the streams to itself."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The median cost of each contestant at one batch and chunk, in microseconds for 10 ms of one stream."""

    batch: int
    chunk_ms: float
    microseconds: dict[str, float]


def keeping(step: Step, initial: ArrayState, batch: int) -> Hearer:
    """A step that is handed its own state at the next call, as a daemon does."""
    state = {name: np.repeat(array, batch, axis=0) for name, array in initial.items()}

    def hear(samples: Array) -> Array:
        nonlocal state
        posteriors, state = step(samples, state)
        return posteriors

    return hear


def chunk_hops(recognizer: Recognizer, chunk_ms: float) -> int:
    """The number of whole hops nearest to a duration, at least one."""
    return max(1, recognizer.frames(chunk_ms))


def noise(recognizer: Recognizer, batch: int, hops: int) -> Array:
    """Quiet noise `(batch, hops * hop, channels)`, always the same."""
    random = np.random.default_rng(0)
    shape = (batch, hops * recognizer.hop, recognizer.channels)
    return (0.1 * random.standard_normal(shape)).astype(np.float32)


def race(contestants: Mapping[str, Hearer], samples: Array, rate: int, seconds: float) -> dict[str, float]:
    """Median microseconds for 10 ms of one stream; the contestants take turns, so that a busy moment hits them all.

    It is processor time, of all threads of this process: what else runs on the machine is not counted. Each has about
    `seconds` of its own, and at least seven turns.
    """
    calls = {name: max(1, round(_TURN_S / _once(hear, samples))) for name, hear in contestants.items()}
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    spent = 0.0
    turn = 0
    while turn < _FEWEST or (turn < _MOST and spent < seconds * len(contestants)):
        for name, hear in contestants.items():
            began = time.process_time()
            for _ in range(calls[name]):
                hear(samples)
            took = time.process_time() - began
            taken[name].append(took / calls[name])
            spent += took
        turn += 1
    frames = samples.shape[0] * samples.shape[1] / (rate * _FRAME_S)
    return {name: 1e6 * statistics.median(each) / frames for name, each in taken.items()}


def _once(hear: Hearer, samples: Array) -> float:
    """Seconds that a call takes once it is warm."""
    for _ in range(3):
        hear(samples)
    began = time.process_time()
    hear(samples)
    return max(1e-7, time.process_time() - began)


def costs(
    recognizer: Recognizer,
    contestants: Callable[[int], Mapping[str, Hearer]],
    batches: Iterable[int] = BATCHES,
    seconds: float = 0.5,
) -> list[Cost]:
    """The cost at every batch, in chunks of about 10 and 100 ms; `contestants(batch)` brings those that take part."""
    table = []
    for chunk_ms in CHUNKS_MS:
        hops = chunk_hops(recognizer, chunk_ms)
        took_ms = 1000.0 * hops * recognizer.hop / recognizer.rate
        for batch in batches:
            samples = noise(recognizer, batch, hops)
            table.append(Cost(batch, took_ms, race(contestants(batch), samples, recognizer.rate, seconds)))
    return table


def lines(table: Sequence[Cost], reference: str, measured: str = "samples to posterior") -> list[str]:
    """A table for people; with a `reference` among several, how many times cheaper each of the others is."""
    names = list(table[0].microseconds)
    others = [name for name in names if name != reference] if reference in names else []
    head = f"{'batch':>6} {'chunk':>8}" + "".join(f" {name:>10}" for name in names)
    head += "".join(f" {reference + '/' + name:>12}" for name in others)
    rows = [f"microseconds of one core for 10 ms of one stream, {measured}, median:", head]
    for cost in table:
        row = f"{cost.batch:>6} {cost.chunk_ms:>5g} ms"
        row += "".join(f" {cost.microseconds[name]:>10.1f}" for name in names)
        row += "".join(f" {cost.microseconds[reference] / cost.microseconds[name]:>11.2f}x" for name in others)
        rows.append(row)
    return rows
