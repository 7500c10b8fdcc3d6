"""The words of a report: numbers as people write them, what was judged, and what each figure means."""

from __future__ import annotations

from typing import Any

# What each figure of a report is, for somebody who meets the word for the first time.
MEANINGS = {
    "accuracy": "A clip is right when it gives exactly one detection, of the right label, between two half seconds of "
    "silence.",
    "clip_accuracy": "The label with the highest mean posterior over the clip: what the network knows, whatever the "
    "decoder makes of it.",
    "miss_rate": "Words that were said and not detected within half a second of their place. A word that was taken for "
    "another counts as missed.",
    "false_accepts_per_hour": "Detections of a word where that word was not said, for each hour that was played.",
    "frame_accuracy": "The network gives an answer many times a second. This is the share of labelled moments in which "
    "its best guess is right.",
    "frame_precision": "Of the moments that lie in a segment that was heard, the share in which its label holds.",
    "frame_recall": "Of the moments in which a label holds, the share that lies in a segment of it that was heard.",
    "frame_f1": "The harmonic mean of the two: high only where both are.",
    "macro_f1": "The mean over the labels of F1, which is high only where a label is both found and not claimed "
    "wrongly. Rare labels count as much as common ones.",
    "delay": "From the end of a word to the moment at which the detection is known, counted in samples of the stream; "
    "the time that a computer takes comes on top.",
    "calibration": "How far the posteriors, which claim to be probabilities, are from the shares that turned out "
    "right.",
}


def percent(value: float) -> str:
    """`4.2 %`, with a space that does not break; no digits that mean nothing at the ends."""
    return f"{100 * value:.0f}\u00a0%" if value in (0.0, 1.0) else f"{100 * value:.1f}\u00a0%"


def number(value: float) -> str:
    """Three digits that mean something: `0.12`, `14.4`, `113`."""
    if value >= 100:
        return f"{value:,.0f}"
    return (f"{value:.1f}" if value >= 10 else f"{value:.2f}").rstrip("0").rstrip(".")


def duration(seconds: float) -> str:
    """`45 seconds`, `12.5 minutes`, `3.2 hours`."""
    if seconds < 100:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{number(round(seconds / 60, 1))} minutes"
    return f"{number(round(seconds / 3600, 1))} hours"


def clock(seconds: float) -> str:
    """A place in a recording, as players show it: `0:07.25`, `2:56:37.28`."""
    minutes, rest = divmod(round(seconds, 2), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:05.2f}" if hours else f"{minutes}:{rest:05.2f}"


def counted(count: int, name: str) -> str:
    """`1 clip`, `3 clips`."""
    if count != 1:
        name = " or ".join(f"{each}s" for each in name.split(" or "))
    return f"{count:,} {name}"


def listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def believed(document: dict[str, Any], name: str) -> tuple[float, float]:
    """The interval to go by: the wider of the one that takes trials for independent and the one over sources."""
    estimate, spread = document["estimates"][name], document["spreads"].get(name)
    # Where each word is a source of its own, drawing these anew tells nothing new. Hours are no trials to compare with.
    of = estimate["of"] if name == "miss_rate" else float("inf")
    if spread is None or not 1 < spread["units"] < of:
        return estimate["low"], estimate["high"]
    return min(estimate["low"], spread["low"]), max(estimate["high"], spread["high"])


def judged(document: dict[str, Any]) -> str:
    """One sentence: what it was judged on."""
    what = document["judged"]
    parts = []
    if what["clips"]:
        parts.append(counted(what["clips"], "clip") + " of one word each")
    if what["streams"]:
        parts.append(counted(what["streams"], "longer recording"))
    if what["sample_labelled"]:
        parts.append(counted(what["sample_labelled"], "recording") + " with a label at every moment")
    by = f", by {counted(len(document['groups']), 'speaker or subject')}" if len(document["groups"]) > 1 else ""
    split = f"the split {document['split']} of the data" if document["split"] else "all of the data"
    distinct = document["distinct_seconds"]
    again = f" ({duration(distinct)} of distinct material)" if distinct < 0.99 * document["seconds"] else ""
    name = document["bundle"]["name"]
    return f"{name} was judged on {listed(parts)}{by}: {split}, {duration(document['seconds'])}{again}."


def outcome(document: dict[str, Any]) -> list[str]:
    """A sentence for each thing that was measured."""
    found = []
    estimates = document["estimates"]
    if document["judged"]["clips"]:
        right = estimates["accuracy"]
        found.append(
            f"Of {counted(round(right['of']), 'clip')} it got {right['count']:,} right: {percent(right['value'])} "
            f"({_range(document, 'accuracy')})."
        )
    if document["judged"]["streams"] and "miss_rate" in estimates:
        gone = estimates["miss_rate"]
        found.append(
            f"It missed {gone['count']:,} of {counted(round(gone['of']), 'word')}: {percent(gone['value'])} "
            f"({_range(document, 'miss_rate')})."
        )
    if "false_accepts_per_hour" in estimates:
        false = estimates["false_accepts_per_hour"]
        low, high = believed(document, "false_accepts_per_hour")
        found.append(
            f"It never spoke up falsely, but {document['proven']['sentence']}."
            if "proven" in document
            else f"It spoke up falsely {counted(false['count'], 'time')} in {duration(3600 * false['of'])}: "
            f"{number(false['value'])} an hour (between {number(low)} and {number(high)})."
        )
    if "frame_accuracy" in estimates:
        found.append(
            f"Its best guess was right in {percent(estimates['frame_accuracy']['value'])} of the labelled moments "
            f"({_range(document, 'frame_accuracy')})."
        )
    if document["delay_s"]:
        delay = document["delay_s"]
        found.append(
            f"Half of the detections came within {delay['p50']:.2f} s of the end of the word, 19 of 20 within "
            f"{delay['p95']:.2f} s."
        )
    return found


def _range(document: dict[str, Any], name: str) -> str:
    low, high = believed(document, name)
    return f"between {percent(low)} and {percent(high)}"
