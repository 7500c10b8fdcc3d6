"""Windows of labelled samples: what the frame that ends each of them says, as benchmarks of activities judge it.

Published figures cut recordings of sensors into windows, half a window apart or so, and classify each. A stream has no
windows; the frame that is out when one ends has heard all of it, and nothing later, so it may answer for it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from streamrnn.engine import Serving
from streamrnn.evaluation import metrics
from streamrnn.evaluation.playable import Playable
from streamrnn.evaluation.playing import posteriors
from streamrnn.evaluation.run import best, label_at_samples
from streamrnn.recognizer import BACKGROUND


@dataclass(frozen=True, slots=True)
class Windows:
    """`size` samples of a recording, one every `hop`; those count in which all samples have one label."""

    size: int
    hop: int


def judged(serving: Serving, recordings: Sequence[Playable], windows: Windows) -> dict[str, Any]:
    """`window_accuracy` and `window_macro_f1` of recordings whose samples are labelled; empty where no window counts.

    `windows` has besides how they were cut, the estimates with count and interval, each label's scores, the confusion.
    """
    each = [_confusion(serving, r, windows) for r in recordings if r.labelled == "samples"]
    each = [confusion for confusion in each if confusion]
    if not each:
        return {}
    total: Counter[tuple[str, str]] = Counter()
    for confusion in each:
        total.update(confusion)
    estimates = {
        "window_accuracy": metrics.over_recordings(each, lambda c: metrics.accuracy(c).value),
        "window_macro_f1": metrics.over_recordings(each, metrics.macro_f1),
    }
    scores = metrics.class_scores(total)
    return {
        **{name: estimate.value for name, estimate in estimates.items()},
        "windows": {
            "size": windows.size,
            "hop": windows.hop,
            "estimates": {name: msgspec.to_builtins(estimate) for name, estimate in estimates.items()},
            "labels": {label: {"windows": score.said, "f1": score.f1} for label, score in scores.items()},
            "confusion": [[said, heard, count] for (said, heard), count in sorted(total.items())],
        },
    }


def lines(document: dict[str, Any]) -> list[str]:
    """What people read of it; nothing where no window counted."""
    found = document.get("windows")
    if not found:
        return []
    written = []
    for name, title in (("window_accuracy", "windows right"), ("window_macro_f1", "macro F1 of windows")):
        estimate = found["estimates"][name]
        value, low, high = (f"{100 * estimate[key]:.2f}" for key in ("value", "low", "high"))
        counted = f"{estimate['count']} of {estimate['of']:.0f}, {found['size']} samples, hop {found['hop']}"
        written.append(f"  {title:<30} {value}% ({low}% to {high}%; {counted})")
    return written


def ends(recording: Playable, labels: Sequence[str], windows: Windows) -> Iterator[tuple[int, str]]:
    """Where each window that counts ends, in samples, and its label: one of the recognizer, in all its samples.

    `labels` are those of all samples, "" where nobody knows.
    """
    # Samples between which the label never changes have the same count of changes before them.
    changes = np.cumsum([0, *(a != b for a, b in itertools.pairwise(labels))])
    for start in range(0, recording.length - windows.size + 1, windows.hop):
        last = start + windows.size - 1
        if changes[start] == changes[last] and labels[last] not in ("", BACKGROUND):
            yield last + 1, labels[last]


def _confusion(serving: Serving, recording: Playable, windows: Windows) -> Counter[tuple[str, str]]:
    recognizer = serving.recognizer
    heard = best(recognizer, posteriors(serving, recording))
    labels = label_at_samples(recognizer, recording)
    pairs: Counter[tuple[str, str]] = Counter()
    for end, label in ends(recording, labels, windows):
        # The last frame that is out by then; a window that ends before the first one says nothing.
        frame = end * recognizer.rate // recording.rate // recognizer.hop - 1
        pairs[label, heard[frame] if frame >= 0 else ""] += 1
    return pairs
