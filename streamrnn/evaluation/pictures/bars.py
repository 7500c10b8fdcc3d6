"""Bars with their intervals, one below the other, and a histogram of delays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamrnn.evaluation.pictures.svg import LEFT, RIGHT, WIDTH, Scale, axes, box, line, picture, text, ticks

_ROW = 40.0
_HIGH = 190.0


def bars(
    rows: Mapping[str, Mapping[str, Any]], says: str, write: Callable[[float], str], most: float, kind: str = "bar"
) -> str:
    """A bar for each name -> estimate from 0 to `most`, with its interval as a whisker and its numbers above it."""
    x = Scale(0.0, most, 1.0, WIDTH - 1.0)
    parts = []
    for place, (name, estimate) in enumerate(rows.items()):
        top = _ROW * place
        low, high = estimate["low"], estimate["high"]
        numbers = f"{write(estimate['value'])}  ({write(low)} to {write(high)})"
        parts += [
            text(0, top + 15, name, "label", "start"),
            text(WIDTH, top + 15, numbers, "value", "end"),
            box(x(0), top + 21, x(most) - x(0), 8, "ground"),
            box(x(0), top + 21, x(estimate["value"]) - x(0), 8, kind),
            line(x(low), top + 25, x(high), top + 25, "whisker"),
            line(x(low), top + 21.5, x(low), top + 28.5, "whisker"),
            line(x(high), top + 21.5, x(high), top + 28.5, "whisker"),
        ]
    return picture(_ROW * len(rows), says, parts)


def histogram(delays: Mapping[str, Any], quantiles: Mapping[str, float]) -> str:
    """How many words were decided how late, with lines at the half and at 19 of 20."""
    step, counts = delays["step_s"], delays["counts"]
    first, last = min(0.0, delays["first_s"]), max(0.4, delays["first_s"] + step * len(counts))
    x, y = Scale(first, last, LEFT, WIDTH - RIGHT), Scale(0.0, max(counts) * 1.08, _HIGH, 34.0)
    marks = (
        {value: f"{value:.1f}" for value in ticks(first, last)},
        {value: f"{value:,.0f}" for value in ticks(0, max(counts), 5) if value == int(value)},
    )
    parts = [axes(x, y, marks, ("seconds from the end of the word to the detection", "words"))]
    for place, count in enumerate(counts):
        start = delays["first_s"] + place * step
        if count:
            parts.append(
                box(x(start) + 0.5, y(count), max(1.0, x(start + step) - x(start) - 1), y(0) - y(count), "bar")
            )
    half, most = x(quantiles["p50"]), x(quantiles["p95"])
    # Close to the right border there is no room to its right, and close together one stands above the other.
    anchor, shift = ("end", -4.0) if most > WIDTH - 90 else ("start", 4.0)
    parts += [line(half, 26, half, y(0), "rule"), text(half - 4, 30, "half", "value", "end")]
    parts += [line(most, 26, most, y(0), "rule")]
    parts += [text(most + shift, 42 if anchor == "end" else 30, "19 of 20", "value", anchor)]
    return picture(_HIGH + 44, "Histogram of detection delays", parts)
