"""One-to-one matching of what was heard with what was said, by label and hit window."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

# An event hits a label if they share a moment after the label was widened by this much on both sides: people and
# energy end-points disagree by a few tenths of a second, and a network speaks up a little after the word.
TOLERANCE_S = 0.5


@dataclass(frozen=True, slots=True)
class Interval:
    """A label from `start` to `end`, in seconds of one recording: said, or heard."""

    start: float
    end: float
    label: str


@dataclass(frozen=True, slots=True)
class Matching:
    """Pairs (index of said, index of heard), each index at most once: hits share the label, confusions do not."""

    hits: tuple[tuple[int, int], ...]
    confusions: tuple[tuple[int, int], ...]
    missed: tuple[int, ...]  # said and not hit, whether confused or not
    false: tuple[int, ...]  # heard and no hit, whether a confusion or out of nowhere


def match(said: Sequence[Interval], heard: Sequence[Interval], tolerance: float = TOLERANCE_S) -> Matching:
    """As many hits as there can be; among what is left, as many confusions as there can be."""
    near = _neighbours(said, heard, tolerance)
    hits = _most_pairs({s: [h for h in hs if said[s].label == heard[h].label] for s, hs in near.items()})
    used_said, used_heard = {s for s, _ in hits}, {h for _, h in hits}
    rest = {s: [h for h in hs if h not in used_heard] for s, hs in near.items() if s not in used_said}
    return Matching(
        hits=hits,
        confusions=_most_pairs(rest),
        missed=tuple(s for s in range(len(said)) if s not in used_said),
        false=tuple(h for h in range(len(heard)) if h not in used_heard),
    )


def match_alarms(said: Sequence[Interval], heard: Sequence[Interval], tolerance: float = TOLERANCE_S) -> Matching:
    """The same of alarms, of which the second in one anomaly is not needed and not false."""
    found = match(said, heard, tolerance)
    inside = {h for hs in _neighbours(said, heard, tolerance).values() for h in hs}
    return replace(found, false=tuple(h for h in found.false if h not in inside))


def _neighbours(said: Sequence[Interval], heard: Sequence[Interval], tolerance: float) -> dict[int, list[int]]:
    """For each index of said the indices of heard within its hit window, the nearest to its end first."""
    order = sorted(range(len(heard)), key=lambda h: heard[h].start)
    longest = max((interval.end - interval.start for interval in heard), default=0.0)
    near: dict[int, list[int]] = {}
    first = 0
    for s in sorted(range(len(said)), key=lambda s: said[s].start):
        low, high = said[s].start - tolerance, said[s].end + tolerance
        # What began longer before this window than any interval lasts reaches neither it nor a later one.
        while first < len(order) and heard[order[first]].start < low - longest:
            first += 1
        found = []
        for h in order[first:]:
            if heard[h].start > high:
                break
            if heard[h].end >= low:
                found.append(h)
        near[s] = sorted(found, key=lambda h: abs(heard[h].end - said[s].end))
    return near


def _most_pairs(near: dict[int, list[int]]) -> tuple[tuple[int, int], ...]:
    """A maximum matching of a bipartite graph by augmenting paths (Berge 1957)."""
    heard_of: dict[int, int] = {}
    said_of: dict[int, int] = {}
    for root in near:
        came_from, end = _search(root, near, said_of)
        while end is not None:
            # Back along the path: each said lets go of the heard it had, for the one that its search reached.
            s = came_from[end]
            end_before = heard_of.get(s)
            heard_of[s], said_of[end] = end, s
            end = end_before
    return tuple(sorted(heard_of.items()))


def _search(root: int, near: dict[int, list[int]], said_of: dict[int, int]) -> tuple[dict[int, int], int | None]:
    """From a said without partner to the nearest heard without one: which said reached each heard, and that heard."""
    came_from: dict[int, int] = {}
    queue = deque([root])
    while queue:
        s = queue.popleft()
        for h in near[s]:
            if h in came_from:
                continue
            came_from[h] = s
            if h not in said_of:
                return came_from, h
            queue.append(said_of[h])
    return came_from, None
