"""What was said against what was heard, as a table of shaded cells."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from streamrnn.evaluation.pictures.svg import picture, text

_CELL = 28.0


def confusion(rows: Mapping[str, Mapping[str, int]], says: str) -> str:
    """A row for each label said, a column for each heard; the darker a cell, the greater its share of the row."""
    said = sorted(rows, key=_last)
    heard = sorted({name for row in rows.values() for name in row} | set(rows), key=_last)
    longest = max(len(name) for name in (*said, *heard))
    left, top = 20.0 + 6.6 * longest, 24.0 + 5.6 * longest
    parts = [text(left - 8, top - 8, "said ↓  heard →", "tick", "end")] if longest > 11 else []
    for place, name in enumerate(heard):
        x = left + _CELL * place + _CELL / 2
        parts.append(
            f'<text class="label" transform="translate({x + 3:.1f},{top - 6:.1f}) rotate(-55)">{escape(name)}</text>'
        )
    for row, name in enumerate(said):
        y, total = top + _CELL * row, sum(rows[name].values())
        parts.append(text(left - 8, y + 18, name, "label", "end"))
        for column, other in enumerate(heard):
            count = rows[name].get(other, 0)
            kind = "good" if name == other else "bad"
            parts.append(_cell(left + _CELL * column, y, count, count / max(1, total), kind))
    width = left + _CELL * len(heard) + max(16.0, 3.4 * len(heard[-1]))
    return picture(top + _CELL * len(said) + 4, says, parts, max(240.0, width))


def _cell(x: float, y: float, count: int, share: float, kind: str) -> str:
    # The square root lets a single mistake among hundreds be seen.
    shade = share**0.5 if count else 0.0
    square = (
        f'<rect class="cell" x="{x:.1f}" y="{y:.1f}" width="{_CELL - 2:.0f}" height="{_CELL - 2:.0f}" rx="3"/>'
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{_CELL - 2:.0f}" height="{_CELL - 2:.0f}" rx="3" '
        f'fill-opacity="{shade:.3f}"/>'
    )
    if not count:
        return square
    digits = f"{count}" if count < 10000 else f"{count / 1000:.0f}k"
    size = ' style="font-size:9px"' if len(digits) > 3 else ""
    ink = "on" if shade > 0.55 else "value"
    return f'{square}<text class="{ink}" x="{x + 13:.1f}" y="{y + 17:.1f}" text-anchor="middle"{size}>{digits}</text>'


def _last(name: str) -> tuple[bool, str]:
    """What is no word stands behind the words."""
    return name.startswith(("(", "_")), name
