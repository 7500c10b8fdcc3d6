"""The course of a training as a picture: loss, gradient norm and learning rate over the steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def draw(metrics: Path, picture: Path, clip_norm: float) -> None:
    """Draw a metrics.jsonl as a PNG: what vanishes or explodes shows in the gradient's norm."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows: list[dict[str, Any]] = [json.loads(line) for line in metrics.read_text().splitlines()]
    judged = [row for row in rows if "judged_loss" in row]
    steps = [row["step"] for row in rows]
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
    above.plot(steps, [row["loss"] for row in rows], color="0.7", label="loss, training")
    above.plot(
        [row["step"] for row in judged], [row["judged_loss"] for row in judged], "o-", ms=3, label="loss, judged"
    )
    above.set_ylabel("loss")
    losses = [*(row["loss"] for row in rows), *(row["judged_loss"] for row in judged)]
    # The likelihood of a density may be above 1, and its loss below 0.
    above.set_yscale("log" if min(losses) > 0 else "linear")
    right = above.twinx()
    right.plot([row["step"] for row in judged], [100 * row["judged_accuracy"] for row in judged], "g--", lw=1)
    right.set_ylabel("frames right, % (dashed)")
    above.legend()
    below.plot(steps, [row["norm"] for row in rows], color="C1", label="gradient norm before clipping")
    below.axhline(clip_norm, color="0.5", ls=":", label=f"clipped at {clip_norm:g}")
    below.set_yscale("log")
    below.set_ylabel("norm")
    below.set_xlabel("step")
    below.legend()
    figure.savefig(picture, dpi=100)
    pyplot.close(figure)
