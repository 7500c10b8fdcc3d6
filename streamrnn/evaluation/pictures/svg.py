"""The strokes that all pictures are drawn with: scales, ticks, axes and text in SVG.

Pictures are 380 units wide, which is a telephone's width, so that their text can be read there; colours are classes
that the page defines for light, dark and paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 380.0
LEFT, RIGHT = 48.0, 22.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high` onto units from `start` to `end`, evenly or, with `log`, by their logarithms."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value; values outside lie on the border."""
        value = min(max(value, self.low), self.high)
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between two values, at most so many."""
    rough = (high - low) / max(1, most - 1)
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1.0, 2.0, 2.5, 5.0, 10.0, 20.0) if unit * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [place * step for place in range(first, math.floor(high / step + 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """The powers of ten between two values, with 3 between them where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    dense = [factor * 10.0**power for power in powers for factor in ((1, 3) if len(powers) < 5 else (1,))]
    return [value for value in dense if low * 0.999 <= value <= high * 1.001]


def text(x: float, y: float, words: str, kind: str = "tick", anchor: str = "middle") -> str:
    """Text of a kind: `tick`, `label` or `value`."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> str:
    """A line of a kind: `grid`, `axis`, `whisker`, `rule` or `ideal`."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """A rectangle of a kind."""
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def dot(x: float, y: float, radius: float, kind: str, title: str = "") -> str:
    """A filled circle that says more when somebody points at it."""
    inside = f"<title>{escape(title)}</title>" if title else ""
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">{inside}</circle>'


def path(points: Sequence[tuple[float, float]], kind: str, closed: str = "") -> str:
    """A line through points, or with `closed` "Z" an area."""
    places = " L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<path class="{kind}" d="M{places}{closed}"/>'


def axes(x: Scale, y: Scale, marks: tuple[dict[float, str], dict[float, str]], titles: tuple[str, str]) -> str:
    """Grid, ticks and titles of a picture; the title of y stands above it, where it can be read upright."""
    left, right, low, high = x.start, x.end, y.start, y.end
    parts = [line(left, y(value), right, y(value)) for value in marks[1]]
    parts += [text(left - 6, y(value) + 3.5, words, anchor="end") for value, words in marks[1].items()]
    parts += [line(x(value), low, x(value), low + 4, "axis") for value in marks[0]]
    parts += [text(x(value), low + 16, words) for value, words in marks[0].items()]
    parts += [line(left, low, right, low, "axis"), text((left + right) / 2, low + 33, titles[0], "label")]
    return "".join(parts) + text(2, high - 12, titles[1], "label", "start")


def picture(height: float, says: str, parts: Sequence[str], width: float = WIDTH) -> str:
    """The whole; `says` is for those who do not see it."""
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(says)}" '
        f'style="max-width:{1.35 * width:.0f}px">{"".join(parts)}</svg>'
    )
