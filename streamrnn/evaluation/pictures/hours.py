"""Pictures of long streams by the hour: recall, false accepts, and how large the hidden state is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamrnn.evaluation.pictures.curves import whole
from streamrnn.evaluation.pictures.svg import LEFT, RIGHT, WIDTH, Scale, axes, dot, line, path, picture, text, ticks
from streamrnn.evaluation.sentences import number

_LOW, _HIGH = 170.0, 34.0
_MOST_MARKS = 12
_KINDS = (("mark", "markline"), ("second", "secondline"))

Rows = Sequence[Mapping[str, Any]]


def by_hour(series: Mapping[str, Rows], measure: str) -> str:
    """`recall` or `false_accepts_per_hour` of every hour with its interval, for each way that the hours were played."""
    series = {name: [row for row in rows if measure in row] for name, rows in series.items()}
    every = [row[measure] for rows in series.values() for row in rows]
    if measure == "recall":
        low = max(0.0, min(each["low"] for each in every) - 0.03)
        y = Scale(low, 1.0, _LOW, _HIGH)
        marks = {value: whole(value) for value in ticks(low, 1.0, 5)}
        title = "words found"
    else:
        high = max(1.0, *(each["high"] for each in every)) * 1.05
        y = Scale(0.0, high, _LOW, _HIGH)
        marks = {value: number(value) for value in ticks(0.0, high, 5)}
        title = "false accepts an hour"
    x, hours = _hours([row for rows in series.values() for row in rows])
    parts = [axes(x, y, (hours, marks), ("hour of the recording", title))]
    for place, rows in enumerate(series.values()):
        kind, stroke = _KINDS[place % 2]
        # Side by side, so that one does not hide the other.
        aside = 0.16 * (place - (len(series) - 1) / 2)
        parts.append(path([(x(row["hour"] + aside), y(row[measure]["value"])) for row in rows], stroke))
        for row in rows:
            at, value = x(row["hour"] + aside), row[measure]
            parts.append(line(at, y(value["low"]), at, y(value["high"]), stroke))
            says = f"hour {row['hour']}: {value['value']:.3g} ({value['low']:.3g} to {value['high']:.3g})"
            parts.append(dot(at, y(value["value"]), 3.5, kind, says))
    parts += _legend(list(series)) if len(series) > 1 else []
    return picture(_LOW + 44, f"{title} by the hour", parts)


def norms(rows: Rows, name: str) -> str:
    """The norm of one layer's state in every hour: its median, and a band from 5 to 95 %."""
    rows = [row for row in rows if name in row["state_norms"]]
    each = [row["state_norms"][name] for row in rows]
    # From 0 on: how small a change is has to be seen.
    y = Scale(0.0, max(1e-6, 1.1 * max(norm["high"] for norm in each)), _LOW, _HIGH)
    x, hours = _hours(rows)
    marks = {value: number(value) for value in ticks(0.0, y.high, 5)}
    upper = [(x(row["hour"]), y(norm["high"])) for row, norm in zip(rows, each, strict=True)]
    lower = [(x(row["hour"]), y(norm["low"])) for row, norm in zip(rows, each, strict=True)]
    parts = [
        axes(x, y, (hours, marks), ("hour of the recording", f"norm of {name}")),
        path([*upper, *reversed(lower)], "band", "Z"),
        path([(x(row["hour"]), y(norm["median"])) for row, norm in zip(rows, each, strict=True)], "markline"),
    ]
    for row, norm in zip(rows, each, strict=True):
        says = f"in hour {row['hour']}: {norm['median']:.3g} (5 to 95 %: {norm['low']:.3g} to {norm['high']:.3g})"
        parts.append(dot(x(row["hour"]), y(norm["median"]), 3.5, "mark", says))
    return picture(_LOW + 44, f"norm of {name} by the hour", parts)


def _hours(rows: Rows) -> tuple[Scale, dict[float, str]]:
    """The scale of hours, and its marks."""
    hours = sorted({row["hour"] for row in rows})
    every = -(-len(hours) // _MOST_MARKS)
    return Scale(0.5, max(hours) + 0.5, LEFT, WIDTH - RIGHT), {hour: str(hour) for hour in hours[::every]}


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    for place, name in enumerate(names):
        height = _HIGH - 26 + 13 * place
        parts.append(dot(WIDTH - RIGHT - 4, height, 3.5, _KINDS[place % 2][0]))
        parts.append(text(WIDTH - RIGHT - 12, height + 4, name, "value", "end"))
    return parts
