"""How much material the figures rest on: what was played, what of it is distinct, and how figures vary over it."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from streamrnn.evaluation.metrics import Spread, over_units
from streamrnn.evaluation.recordings import Recording
from streamrnn.evaluation.run import Stream

_BLOCK_S = 60.0

Units = dict[str, list[float]]
"""What is drawn anew -> how often something happened in it, and in how many words or hours."""


def distinct_seconds(recordings: Iterable[Recording]) -> float:
    """Seconds without what stands in them twice: copies of a file, and stretches that were taken from one source."""
    recordings = list(recordings)
    first = _originals({recording.path for recording in recordings})
    total, sources = 0.0, dict[str, float]()
    for recording in recordings:
        if first[recording.path] != recording.path:
            continue
        total += recording.seconds
        for segment in recording.segments:
            if segment.source:
                lasts = (segment.end - segment.start) / recording.rate
                again = min(lasts, sources.get(segment.source, 0.0))
                total -= again
                sources[segment.source] = max(lasts, sources.get(segment.source, 0.0))
    return max(0.0, total)


def _originals(paths: Iterable[Path]) -> dict[Path, Path]:
    """For each path the first of the files with the same bytes; what is no file is its own."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    first: dict[Path, Path] = {}
    for path in sorted(paths):
        first[path] = path
        if path.is_file():
            by_size[path.stat().st_size].append(path)
    for alike in by_size.values():
        # Most files have a size of their own and need not be read.
        digests: dict[str, Path] = {}
        for path in alike if len(alike) > 1 else ():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            first[path] = digests.setdefault(digest, path)
    return first


def spreads(words: Sequence[Stream], streams: Sequence[Stream]) -> dict[str, Spread]:
    """How miss rate and false accepts an hour spread when the sources of the material are drawn anew (bootstrap).

    A word belongs to the source that its segment names, or else to its recording; so does a false accept, by the
    segment that it lies in. Words of one source are alike and so no independent trials. What names no source is a
    recording of its own, or, if there is but one recording or it names sources elsewhere, falls into minutes (the block
    bootstrap, Künsch 1989). Clips are words too.
    """
    said: Units = defaultdict(lambda: [0.0, 0.0])
    false: Units = defaultdict(lambda: [0.0, 0.0])
    alone = len(words) + len(streams) == 1
    for place, stream in enumerate((*words, *streams)):
        block_s = _BLOCK_S if alone or any(stream.sources) else math.inf
        gone = set(stream.matching.missed)
        for s, source in enumerate(stream.sources or ("",) * len(stream.said)):
            unit = said[source or _own(place, stream.said[s].end, block_s)]
            unit[0] += s in gone
            unit[1] += 1
        if place >= len(words):
            _count_false(stream, place, block_s, false)
    found: dict[str, Spread] = {}
    for name, units in (("miss_rate", said), ("false_accepts_per_hour", false)):
        counts, of = [unit[0] for unit in units.values()], [unit[1] for unit in units.values()]
        if sum(of) > 0:
            found[name] = over_units(counts, of)
    return found


def _own(place: int, at_s: float, block_s: float) -> str:
    """What belongs to no named source; a stretch that reaches over a border is one of the block it begins in."""
    return f"recording {place} block {at_s // block_s:.0f}"


def _count_false(stream: Stream, place: int, block_s: float, false: Units) -> None:
    """The hours of every unit, and the false accepts in it."""
    recording, rate = stream.recording, stream.recording.rate
    named = [segment for segment in recording.segments if segment.source]
    block_s = min(block_s, recording.seconds)
    for block in range(math.ceil(recording.seconds / block_s)):
        left = min(block_s, recording.seconds - block * block_s)
        false[_own(place, block * block_s, block_s)][1] += left / 3600
    for segment in named:
        start, end = segment.start / rate, segment.end / rate
        false[segment.source][1] += (end - start) / 3600
        own = false[_own(place, start, block_s)]
        own[1] = max(0.0, own[1] - (end - start) / 3600)
    for h in stream.matching.false:
        middle = min((stream.heard[h].start + stream.heard[h].end) / 2, recording.seconds - 1 / rate)
        source = next((s.source for s in named if s.start <= middle * rate < s.end), "")
        false[source or _own(place, middle, block_s)][0] += 1
