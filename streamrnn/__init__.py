"""streamrnn: a small recurrent network that recognises words, sounds or machine states on live streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from streamrnn.detector import Detector

__all__ = ["load"]


def load(name: str | Path, backend: str = "auto", max_false_accepts_per_hour: float = 0.0) -> Detector:
    """The detector of a bundle: its path, or the name of one that is shipped.

    `max_false_accepts_per_hour` above 0 is a budget that chooses the decoder's thresholds. Raises BundleError, and
    ConfigError where the bundle has no evidence for the budget.
    """
    # Imported here, so that `import streamrnn` costs nothing.
    from streamrnn.detector import load as load_detector

    return load_detector(name, backend, max_false_accepts_per_hour)
