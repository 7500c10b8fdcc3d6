"""The section of a report's page on series: what came, what was expected, labelled and heard."""

from __future__ import annotations

from html import escape
from itertools import groupby
from pathlib import PurePath
from typing import Any

from streamrnn.evaluation.pictures.series import series
from streamrnn.evaluation.sentences import clock

_FORECASTS = (
    "The line is what came, the band what was expected of it before it came: a deviation to each side, so two of three "
    "moments should lie in it. Where a stretch is labelled the ground is tinted; a red line is the moment an alarm was "
    "told, and the red stretch above how far it reached."
)
_LABELS = (
    "The first row is what was labelled, the second what was heard, a colour a label; below them is the series. Where "
    "the colours under one another differ it was wrong, or late."
)


def _where(view: dict[str, Any]) -> str:
    if view["rate"] == 1:
        return f"rows {view['start_s']:,.0f} to {view['end_s']:,.0f}"
    return f"{clock(view['start_s'])} to {clock(view['end_s'])}"


def section(views: list[dict[str, Any]]) -> str:
    """The pictures of each recording, all of it and closer looks; "" if there are none."""
    if not views:
        return ""
    labels = sorted({label for view in views for _, _, label in (*view["said"], *view["heard"])})
    parts = [f"<h2>The series</h2><p>{_FORECASTS if views[0]['band'] else _LABELS}</p>"]
    for path, those in groupby(views, key=lambda view: str(view["path"])):
        parts.append(f"<h3>{escape(PurePath(path).name)}</h3>")
        for place, view in enumerate(those):
            look = "all of it" if not place else f"closer: {_where(view)}"
            caption = f"<figcaption>{look}</figcaption>"
            parts.append(f'<figure><div class="wide">{series(view, labels)}</div>{caption}</figure>')
    return "".join(parts)
