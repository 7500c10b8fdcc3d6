"""Rules about parts: noises, labels, people and hours that are worse than the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from streamrnn.evaluation.advice.finding import FEW, Finding
from streamrnn.evaluation.confusion import NOTHING, SEVERAL
from streamrnn.evaluation.sentences import counted, listed, number, percent

_DRIFTS = "Its state drifts, or the recording changes: train longer with carried state (a small material.anew)."


def noises(document: dict[str, Any]) -> Iterator[Finding]:
    """The noise that costs most words."""
    rates = {name: part["miss_rate"] for name, part in document["noises"].items() if "miss_rate" in part}
    if len(rates) < 2:
        return
    worst = max(rates, key=lambda name: rates[name]["value"])
    best = min(rates, key=lambda name: rates[name]["value"])
    gone = sum(rate["count"] for rate in rates.values())
    if rates[worst]["low"] > rates[best]["high"]:
        yield Finding(
            "weak",
            f"Noise costs words: {percent(rates[worst]['value'])} are missed with {worst}, "
            f"{percent(rates[best]['value'])} with {best}; {percent(rates[worst]['count'] / gone)} of all misses are "
            f"with {worst}.",
            "Train with more noise: lower the least of material.snr_db below that ratio, lower material.clean, and add "
            "recordings of this noise labelled '_noise'.",
        )
    elif gone >= FEW:
        yield Finding("unsure", "Misses under the different noises are too alike, or too few, to tell them apart.")


def confusions(document: dict[str, Any]) -> Iterator[Finding]:
    """The labels that are most often taken for each other."""
    pairs: Counter[tuple[str, str]] = Counter()
    unit = "time" if {"clips", "streams"} & set(document["confusion"]) else "moment"
    for on, rows in document["confusion"].items():
        for said, row in rows.items() if unit == "time" or on == "frames" else ():
            for heard, count in row.items():
                if said != heard and not {said, heard} & {NOTHING, SEVERAL}:
                    one, other = sorted((said, heard))
                    pairs[one, other] += count
    total = sum(pairs.values())
    often = [(pair, count) for pair, count in pairs.most_common(3) if count >= max(FEW, 0.15 * total)]
    if often:
        named = listed([f"{one} and {other} ({counted(count, unit)})" for (one, other), count in often])
        first, second = often[0][0]
        yield Finding(
            "weak",
            f"Taken for each other most: {named}.",
            f"Record more of {first} and {second}, by several people; "
            + ("if they sound alike, choose other words." if unit == "time" else "join labels that nobody can part."),
        )


def labels(document: dict[str, Any]) -> Iterator[Finding]:
    """Labels that are missed, or not found, more than the rest."""
    missed = {name: row for name, row in document["labels"].items() if row.get("missed", 0) >= FEW}
    total = document["estimates"].get("miss_rate", {"high": 1.0})["high"]
    weak = sorted((n for n, row in missed.items() if row["miss_low"] > total), key=lambda n: -missed[n]["miss_rate"])
    if weak:
        named = listed([f"{name} ({percent(missed[name]['miss_rate'])})" for name in weak[:4]])
        yield Finding("weak", f"Missed more often than the rest: {named}.", "Record more of these, by several people.")
    poor = {name: row["f1"] for name, row in document["labels"].items() if row.get("f1", 1.0) < 0.7}
    if poor:
        worst = sorted(poor, key=lambda name: poor[name])[:4]
        named = listed([f"{name} (F1 {poor[name]:.2f})" for name in worst])
        yield Finding(
            "weak", f"Hardly found moment by moment: {named}.", "Record more of them, or join labels nobody can part."
        )


def speakers(document: dict[str, Any]) -> Iterator[Finding]:
    """The person who is worst off."""
    for measure in ("accuracy", "frame_accuracy"):
        shares = {name: part[measure] for name, part in document["groups"].items() if measure in part}
        if len(shares) < 2:
            continue
        worst = min(shares, key=lambda name: shares[name]["value"])
        best = max(shares, key=lambda name: shares[name]["value"])
        if shares[worst]["high"] < shares[best]["low"]:
            yield Finding(
                "weak",
                f"People differ: {percent(shares[worst]['value'])} right for {worst}, "
                f"{percent(shares[best]['value'])} for {best}.",
                f"Add more people to the training, some like {worst}; for {worst} alone, fine-tune with ten recordings "
                "of each label (streamrnn train --from).",
            )
        else:
            yield Finding("works", f"Nobody among the {len(shares)} stands out as badly recognised.")
        return


def hours(document: dict[str, Any]) -> Iterator[Finding]:
    """Whether the last whole hour is as good as the first."""
    for stream in document["hours"]:
        rows = [row for row in stream["hours"] if "recall" in row]
        full = [row for row in rows if row["seconds"] > 1800]
        if len(full) < 2:
            continue
        first, last = full[0], full[-1]
        sinks = last["recall"]["high"] < first["recall"]["low"]
        swells = last["false_accepts_per_hour"]["low"] > first["false_accepts_per_hour"]["high"]
        if sinks or swells:
            yield Finding(
                "weak",
                f"It is worse in hour {last['hour']} than in hour 1 of {stream['path']}: recall "
                f"{percent(last['recall']['value'])} after {percent(first['recall']['value'])}, false accepts an hour "
                f"{number(last['false_accepts_per_hour']['value'])} after "
                f"{number(first['false_accepts_per_hour']['value'])}.",
                _DRIFTS,
            )
        elif _trend(stream, "recall", "high") < 0 or _trend(stream, "false_accepts_per_hour", "low") > 0:
            yield Finding("weak", f"Hour by hour it gets a little worse in {stream['path']}.", _DRIFTS)
        else:
            yield Finding("works", f"It is as good in hour {last['hour']} as in hour 1.")


def _trend(stream: dict[str, Any], measure: str, bound: str) -> float:
    """A bound of what all hours say of a measure; 0, no trend, where they say nothing."""
    trend = stream["drift"].get(measure, {}).get("trend")
    return trend[bound] if trend else 0.0
