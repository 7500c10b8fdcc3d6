"""Intervals of rates and shares measured on composed streams, whose hours are not independent of one another.

An hour that is composed of twenty minutes of recordings is no hour of evidence of its own: the same recording fires
each time it comes. So two intervals are made and the wider end of either is taken.

- As if every event were independent: Byar's approximation of Poisson's for a count (Breslow and Day 1987), Wilson's
  (1927) for a share, of as many trials as there are different words.
- As if nothing but the choice of recordings were random: percentiles of a bootstrap (Efron 1979) over the sources,
  each with all that happened in its stretches.

The first is the wider where little happened at all, the second where a few recordings make most of it. Of one source
alone the second says nothing: the lower end is then 0, which no promise rests on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamrnn.evaluation.metrics import rate_per_hour, wilson

Z90 = 1.644854
_DRAWS = 1000
Bounds = list[tuple[float, float]]


def rates(counts: NDArray[np.int64], hours: Sequence[float]) -> Bounds:
    """Events (points, sources) in `hours` (sources,) -> the 90 % interval of the rate an hour, of each point."""
    totals, all_hours = counts.sum(axis=1), float(np.sum(hours))
    low, high = _bootstrap(counts, np.asarray(hours), 0.90)
    bounds: Bounds = []
    for i, total in enumerate(totals):
        poisson = rate_per_hour(int(total), all_hours, Z90)
        bounds.append((min(poisson.low, low[i]), max(poisson.high, high[i])))
    return bounds


def shares(counts: NDArray[np.int64], said: Sequence[int]) -> Bounds:
    """Misses (points, sources) of `said` (sources,) words -> the 95 % interval of the share missed, of each point."""
    totals, of = counts.sum(axis=1), int(np.sum(said))
    low, high = _bootstrap(counts, np.asarray(said), 0.95)
    # The same clip in other noise is not another speaker.
    different = int(np.count_nonzero(said))
    bounds: Bounds = []
    for i, total in enumerate(totals):
        alone = wilson(int(total) / of, different)
        bounds.append((max(0.0, min(alone[0], low[i])), min(1.0, max(alone[1], high[i]))))
    return bounds


def _bootstrap(
    counts: NDArray[np.int64], of: NDArray[np.floating] | NDArray[np.integer], level: float
) -> tuple[list[float], list[float]]:
    """Percentiles of `counts / of` (points,) over sources that are drawn anew; one seed, so it is always the same."""
    there = np.asarray(of) > 0
    counts, of = counts[:, there], np.asarray(of, np.float64)[there]
    sources = len(of)
    if sources < 2:
        return [0.0] * len(counts), [0.0] * len(counts)
    drawn = np.random.default_rng(0).multinomial(sources, [1 / sources] * sources, _DRAWS)
    ratios = (drawn @ counts.T) / np.maximum(drawn @ of, 1e-12)[:, None]
    edges = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return edges[0].tolist(), edges[1].tolist()
