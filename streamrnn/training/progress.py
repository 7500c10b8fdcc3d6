"""What a training says while it runs: a bar with the time left, or plain lines, and metrics.jsonl."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from streamrnn.training.fit import Report

_EVERY = 10


class Teller:
    """Told of every step; writes every tenth and every judged one, with means and extreme norms."""

    def __init__(self, metrics: Path, steps: int, start: int, out: TextIO) -> None:
        """Lines of `metrics` after step `start` belong to a run that was cut off, and are dropped."""
        kept = [line for line in _lines(metrics) if json.loads(line)["step"] <= start] if start else []
        # Whole or not at all, as the checkpoint: a kill here must not lose the course of the run.
        partial = metrics.with_suffix(".tmp")
        partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        partial.replace(metrics)
        self._file = metrics.open("a", encoding="utf-8")
        self._bar = tqdm(total=steps, initial=start, unit="step", file=out, disable=None, dynamic_ncols=True)
        self._out, self._steps, self._start = out, steps, start
        self._began = time.monotonic()
        self._since: list[Report] = []

    def __call__(self, report: Report) -> None:
        """One step is done."""
        self._bar.update()
        self._since.append(report)
        if report.step % _EVERY and report.judgement is None:
            return
        count = len(self._since)
        row: dict[str, Any] = {
            "step": report.step,
            "loss": sum(r.loss for r in self._since) / count,
            "norm": sum(r.norm for r in self._since) / count,
            "norm_least": min(r.norm for r in self._since),
            "norm_most": max(r.norm for r in self._since),
            "learning_rate": report.learning_rate,
            "useful": sum(r.useful for r in self._since) / count,
        }
        self._since = []
        if report.judgement is not None:
            row |= {"judged_loss": report.judgement.loss, "judged_accuracy": report.judgement.accuracy}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        if report.judgement is not None:
            labelled = f"({100 * report.judgement.accuracy:.1f} % of labelled frames)  "
            self._say(row, labelled if report.judgement.labelled else " ")

    def _say(self, row: dict[str, Any], right: str) -> None:
        done = row["step"] - self._start
        left = (time.monotonic() - self._began) / max(1, done) * (self._steps - row["step"])
        line = (
            f"step {row['step']}/{self._steps}  loss {row['loss']:.3f}  judged {row['judged_loss']:.3f} "
            f"{right}gradient norm {row['norm']:.2f}"
        )
        if self._bar.disable:
            print(f"{line}  {left / 60:.1f} min left", file=self._out, flush=True)
        else:
            self._bar.write(line, file=self._out)

    def close(self) -> None:
        """The bar goes, the file is closed."""
        self._bar.close()
        self._file.close()


def to_terminal() -> TextIO:
    """Where progress goes: standard error, so that standard output stays for results."""
    return sys.stderr


def _lines(path: Path) -> list[str]:
    """The whole lines of a metrics file; a kill may have cut the last."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1].splitlines()
