"""A picture of a series: its course, the band of what was expected, what was labelled and heard, and alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from streamrnn.evaluation.pictures.svg import Scale, axes, box, line, path, picture, text, ticks
from streamrnn.evaluation.sentences import clock

_WIDE, _LEFT, _RIGHT = 720.0, 56.0, 22.0
_HIGH, _PLOT, _STRIP = 44.0, 150.0, 15.0
_KINDS = ("markline", "secondline", "thirdline")
_FEWEST = 30.0  # units of a strip that has room for its name

Points = list[tuple[float, float]]


def series(view: Mapping[str, Any], labels: Sequence[str]) -> str:
    """One view of `gallery.drawn`; `labels` are all that there are, each with a colour of its own."""
    strips = _strips(view, labels)
    top = _HIGH + (_STRIP + 4) * len(strips)
    bottom = top + _PLOT
    x = Scale(view["start_s"], view["end_s"], _LEFT, _WIDE - _RIGHT)
    low, high = _extent(view)
    y = Scale(low, high, bottom, top)
    # What is right or wrong lies under the series: the windows that were labelled first.
    parts = [_shade(x, top, bottom, each) for each in view["said"] if view["band"]]
    marks = (_times(view), {value: f"{value:g}" for value in ticks(low, high, 5)})
    parts.append(axes(x, y, marks, ("", "")))
    if view["band"]:
        parts += [path(area, "band", "Z") for area in _areas(view["at_s"], view["band"], x, y)]
    for place, envelope in enumerate(view["lines"].values()):
        parts += [path(points, _KINDS[place % len(_KINDS)]) for points in _runs(view["at_s"], envelope, x, y)]
    for told, score in view["alarms"]:
        at = x(told)
        parts.append(line(at, top, at, bottom, "alarm"))
        head = path([(at - 5, top - 9), (at + 5, top - 9), (at, top)], "alarmhead", "Z")
        parts.append(f"<g><title>alarm at {clock(told)}, score {score:.2f}</title>{head}</g>")
    for row, (name, stretches) in enumerate(strips.items()):
        parts += _strip(x, _HIGH - 12 + row * (_STRIP + 4), name, stretches, labels)
    parts += _legend(view)
    says = f"{len(view['said'])} stretches labelled, {len(view['heard'])} heard, {len(view['alarms'])} alarms"
    return picture(bottom + 24, f"The series, {says}", parts, _WIDE)


def _strips(view: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Sequence[Sequence[Any]]]:
    """What stands in rows above the series: of several labels what was labelled and what was heard."""
    if view["band"]:
        return {"alarm": view["heard"]}
    return {"labelled": view["said"], "heard": view["heard"]}


def _strip(x: Scale, top: float, name: str, stretches: Sequence[Sequence[Any]], labels: Sequence[str]) -> list[str]:
    parts = [text(_LEFT - 6, top + 11, name, anchor="end"), box(x.start, top, x.end - x.start, _STRIP, "ground")]
    for start, end, label in stretches:
        left, right = x(start), max(x(end), x(start) + 1.5)
        kind = "bad" if name == "alarm" else f"label{list(labels).index(label) % 8}"
        words = f"{label}, {clock(start)} to {clock(end)}"
        parts.append(f"<g><title>{escape(words)}</title>{box(left, top, right - left, _STRIP, kind)}")
        if name != "alarm" and right - left > max(_FEWEST, 6.5 * len(label)):
            parts.append(text((left + right) / 2, top + 11.5, label, "on"))
        parts.append("</g>")
    return parts


def _shade(x: Scale, top: float, bottom: float, stretch: Sequence[Any]) -> str:
    start, end, label = stretch
    left, right = x(start), max(x(end), x(start) + 2.0)
    return f"<g><title>{escape(f'{label}, labelled')}</title>{box(left, top, right - left, bottom - top, 'truth')}</g>"


def _extent(view: Mapping[str, Any]) -> tuple[float, float]:
    """The values that the picture reaches over: all of the series, and of the band what lies near them."""
    values = [value for each in view["lines"].values() for value in (*each["low"], *each["high"]) if value is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = 0.06 * (high - low) or max(1e-6, 0.1 * abs(high)) or 1.0
    return low - room, high + room


def _times(view: Mapping[str, Any]) -> dict[float, str]:
    """Marks of the time: of clocks where a sample is less than a second, else of rows."""
    values = ticks(view["start_s"], view["end_s"], 8)
    if view["rate"] == 1:
        return {value: f"{value:,.0f}" for value in values}
    whole = all(value == round(value) for value in values)
    return {value: clock(value)[: -3 if whole else None] for value in values}


def _legend(view: Mapping[str, Any]) -> list[str]:
    """What the strokes are, in one line at the top."""
    names = [(name, _KINDS[place % len(_KINDS)]) for place, name in enumerate(view["lines"])]
    names += [("expected ± deviation", "band"), ("labelled", "truth"), ("alarm", "bad")] if view["band"] else []
    parts, at = [], _LEFT
    for name, kind in names:
        if kind.endswith("line"):
            parts.append(line(at, 12, at + 14, 12, kind))
        else:
            parts.append(box(at, 7, 14, 10, kind))
        parts.append(text(at + 19, 16, name, "value", "start"))
        at += 34 + 6.2 * len(name)
    if view["rate"] == 1:
        parts.append(text(_WIDE - _RIGHT, 16, "in seconds, or rows", "tick", "end"))
    return parts


def _runs(at: Sequence[float], envelope: Mapping[str, Sequence[float | None]], x: Scale, y: Scale) -> list[Points]:
    """The line from the least to the greatest value of each column, broken where there is none."""
    runs: list[Points] = [[]]
    for place, low, high in zip(at, envelope["low"], envelope["high"], strict=True):
        if low is None or high is None:
            runs.append([])
            continue
        near = [y(low), y(high)] if low != high else [y(low)]
        # Up and down in turn, whichever is nearer to where the line is.
        if runs[-1] and len(near) == 2 and abs(runs[-1][-1][1] - near[1]) < abs(runs[-1][-1][1] - near[0]):
            near.reverse()
        runs[-1] += [(x(place), each) for each in near]
    return [run for run in runs if len(run) > 1]


def _areas(at: Sequence[float], band: Mapping[str, Sequence[float | None]], x: Scale, y: Scale) -> list[Points]:
    areas: list[tuple[Points, Points]] = [([], [])]
    for place, low, high in zip(at, band["low"], band["high"], strict=True):
        if low is None or high is None:
            areas.append(([], []))
            continue
        areas[-1][0].append((x(place), y(high)))
        areas[-1][1].append((x(place), y(low)))
    return [[*upper, *reversed(lower)] for upper, lower in areas if len(upper) > 1]
