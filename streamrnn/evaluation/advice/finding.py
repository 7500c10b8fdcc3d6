"""A finding: what the numbers of a report say, what to do about it, and what most people call good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["broken", "weak", "unsure", "works"]

# What most people call good; a bound of an interval has to be on the right side of it.
CLIPS, MISSES, FALSE_AN_HOUR, DELAY_S, FRAMES, CALIBRATION = 0.9, 0.06, 0.5, 0.4, 0.85, 0.05
FEW = 3  # mistakes from which no rule is made


@dataclass(frozen=True, slots=True)
class Finding:
    """What the numbers say, in a sentence, and what to do about it; "" if nothing."""

    verdict: Verdict
    says: str
    advice: str = ""
