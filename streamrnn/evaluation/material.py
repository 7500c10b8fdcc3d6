"""How much material the figures rest on: what was played, what of it is distinct, and how figures vary over it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from streamrnn.evaluation.metrics import Spread, over_units
from streamrnn.evaluation.recordings import Recording
from streamrnn.evaluation.run import Stream


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
    segment that it lies in. Words of one source are alike and so no independent trials. Clips are words too.
    """
    said: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    false: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for place, stream in enumerate((*words, *streams)):
        own = f"recording {place}"
        gone = set(stream.matching.missed)
        for s, source in enumerate(stream.sources or ("",) * len(stream.said)):
            said[source or own][0] += s in gone
            said[source or own][1] += 1
        if place >= len(words):
            _count_false(stream, own, false)
    found: dict[str, Spread] = {}
    for name, units in (("miss_rate", said), ("false_accepts_per_hour", false)):
        counts, of = [unit[0] for unit in units.values()], [unit[1] for unit in units.values()]
        if sum(of) > 0:
            found[name] = over_units(counts, of)
    return found


def _count_false(stream: Stream, own: str, false: dict[str, list[float]]) -> None:
    rate = stream.recording.rate
    named = [segment for segment in stream.recording.segments if segment.source]
    left = stream.recording.seconds
    for segment in named:
        lasts = (segment.end - segment.start) / rate
        false[segment.source][1] += lasts / 3600
        left -= lasts
    false[own][1] += max(0.0, left) / 3600
    for h in stream.matching.false:
        middle = (stream.heard[h].start + stream.heard[h].end) / 2 * rate
        false[next((s.source for s in named if s.start <= middle < s.end), own)][0] += 1
