"""Curves: misses against false accepts, and right answers against posteriors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamrnn.evaluation.pictures.svg import (
    LEFT,
    RIGHT,
    WIDTH,
    Scale,
    axes,
    decades,
    dot,
    line,
    path,
    picture,
    text,
    ticks,
)
from streamrnn.evaluation.sentences import number, percent
from streamrnn.operating import Det

_LOW = 250.0
_HIGH = 34.0
_FEWEST = 30  # frames of a dot: fewer would only be noise in the picture


def trade_off(det: Det, enter: float) -> str:
    """Misses against false accepts an hour, a point for each threshold; the one in use, if there is one, is ringed."""
    points = sorted(det.points, key=lambda point: point.enter)
    # None at all has no logarithm: it is drawn where half a false accept in all the hours would be.
    least = 0.5 / det.hours
    most = max(2.0 * least, *(point.per_hour for point in points))
    x = Scale(least * 0.8, most * 1.25, LEFT, WIDTH - RIGHT, log=True)
    y = Scale(0.0, min(1.0, max(0.1, *(point.miss_high for point in points))), _LOW, _HIGH)
    marks = (
        {value: number(value) for value in decades(x.low, x.high)},
        {value: whole(value) for value in ticks(0.0, y.high)},
    )
    place = [x(max(point.per_hour, least)) for point in points]
    upper = [(at, y(point.miss_high)) for at, point in zip(place, points, strict=True)]
    lower = [(at, y(point.miss_low)) for at, point in zip(place, points, strict=True)]
    parts = [
        axes(x, y, marks, ("false accepts an hour", "words missed")),
        path([*upper, *reversed(lower)], "band", "Z"),
        path([(at, y(point.miss_rate)) for at, point in zip(place, points, strict=True)], "curve"),
    ]
    for at, point in zip(place, points, strict=True):
        height = y(point.miss_rate)
        parts.append(
            line(x(max(point.per_hour_low, least)), height, x(max(point.per_hour_high, least)), height, "faint")
        )
        says = f"enter {point.enter:g}: {number(point.per_hour)} an hour, {percent(point.miss_rate)} missed"
        parts.append(dot(at, height, 2.5, "mark", says))
        if abs(point.enter - enter) < 1e-6:
            parts.append(dot(at, height, 6.5, "ring", f"in use: {says}"))
            parts.append(text(at + 11, height - 7, "in use", "value", "start"))
    return picture(_LOW + 44, "Words missed against false accepts an hour, for each threshold", parts)


def diagram(series: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """How often frames were right against what their posterior claimed; on the dashed line claim and truth agree."""
    x, y = Scale(0.0, 1.0, LEFT, WIDTH - RIGHT), Scale(0.0, 1.0, 330.0, _HIGH)
    marks = {value: whole(value) for value in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)}
    parts = [
        axes(x, y, (marks, marks), ("what the posterior claims", "what turned out right")),
        line(x(0), y(0), x(1), y(1), "ideal"),
    ]
    for place, (name, each) in enumerate(series.items()):
        kind = ("mark", "second")[place % 2]
        rows = [row for row in each if row["frames"] >= _FEWEST] or each
        most = max(row["frames"] for row in rows)
        parts += [line(x(r["posterior"]), y(r["low"]), x(r["posterior"]), y(r["high"]), f"{kind}line") for r in rows]
        parts.append(path([(x(row["posterior"]), y(row["right"])) for row in rows], f"{kind}line"))
        parts += [
            dot(
                x(row["posterior"]),
                y(row["right"]),
                2.0 + 4.0 * (row["frames"] / most) ** 0.5,
                kind,
                f"{row['frames']:.0f} frames: claimed {percent(row['posterior'])}, right {percent(row['right'])}",
            )
            for row in rows
        ]
        # Below the line on the right is where no network's dots lie that is any good.
        parts += [dot(WIDTH - RIGHT - 8, 296 + 18 * place, 4, kind)]
        parts += [text(WIDTH - RIGHT - 18, 300 + 18 * place, name, "value", "end")]
    return picture(374.0, "Reliability diagram", parts)


def whole(share: float) -> str:
    """A tick of shares: `20 %`, or `2.5 %` where they lie close together."""
    return f"{100 * share:.3g}\u00a0%"
