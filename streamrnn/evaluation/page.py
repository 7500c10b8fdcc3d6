"""A report as one HTML page that needs nothing else: tables, and the confusions as pictures in SVG."""

from __future__ import annotations

from html import escape
from typing import Any

from streamrnn.evaluation.report import lines

_CELL = 34
_MARGIN = 130
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}pre{background:#f6f6f6;padding:1rem;overflow:auto}"
    "svg{font:12px system-ui,sans-serif}"
)


def page(document: dict[str, Any]) -> str:
    """The HTML of a report."""
    name = escape(document["bundle"]["name"])
    parts = [f"<h1>{name}</h1>", f"<pre>{escape(chr(10).join(lines(document)))}</pre>"]
    parts += [f"<h2>Said and heard: {escape(on)}</h2>{_picture(c)}" for on, c in document["confusion"].items()]
    if document["labels"]:
        parts.append(f"<h2>Labels</h2>{_labels(document['labels'])}")
    head = f'<meta charset="utf-8"><title>{name}: report</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _picture(confusion: dict[str, dict[str, int]]) -> str:
    """A row for each label said, a column for each heard; the darker a cell, the greater its share of the row."""
    rows = sorted(confusion)
    columns = sorted({heard for row in confusion.values() for heard in row} | set(rows))
    width, height = _MARGIN + _CELL * len(columns), _MARGIN + _CELL * len(rows)
    marks = []
    for x, heard in enumerate(columns):
        place = _MARGIN + _CELL * x + _CELL / 2
        marks.append(f'<text transform="translate({place + 4},{_MARGIN - 6}) rotate(-60)">{escape(heard)}</text>')
    for y, said in enumerate(rows):
        top, total = _MARGIN + _CELL * y, sum(confusion[said].values())
        marks.append(f'<text x="{_MARGIN - 8}" y="{top + 21}" text-anchor="end">{escape(said)}</text>')
        for x, heard in enumerate(columns):
            count = confusion[said].get(heard, 0)
            marks.append(
                _cell(_MARGIN + _CELL * x, top, count, count / max(1, total), "#1b7f4d" if said == heard else "#c0392b")
            )
    return f'<svg width="{width}" height="{height}" role="img">{"".join(marks)}</svg>'


def _cell(left: int, top: int, count: int, shade: float, colour: str) -> str:
    # The square root lets a single mistake among hundreds be seen.
    box = (
        f'<rect x="{left}" y="{top}" width="{_CELL - 2}" height="{_CELL - 2}" fill="{colour}" '
        f'fill-opacity="{shade**0.5:.3f}" stroke="#ddd"/>'
    )
    ink = "#fff" if shade > 0.3 else "#222"
    text = f'<text x="{left + _CELL / 2 - 1}" y="{top + 21}" text-anchor="middle" fill="{ink}">{count}</text>'
    return box + (text if count else "")


def _labels(labels: dict[str, dict[str, float]]) -> str:
    columns = list(dict.fromkeys(column for row in labels.values() for column in row))
    head = "".join(f"<th>{escape(column.replace('_', ' '))}</th>" for column in columns)
    body = "".join(
        f"<tr><td>{escape(label)}</td>{''.join(f'<td>{_number(row.get(column))}</td>' for column in columns)}</tr>"
        for label, row in labels.items()
    )
    return f"<table><tr><th></th>{head}</tr>{body}</table>"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3f}"
