"""Rules about the whole: clips, words in streams, false accepts, labelled moments and delays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamrnn.evaluation.advice.finding import (
    CLIPS,
    DELAY_S,
    FALSE_AN_HOUR,
    FEW,
    FRAMES,
    MISSES,
    Finding,
    Verdict,
)
from streamrnn.evaluation.breakdown import UNLABELLED
from streamrnn.evaluation.confusion import NOTHING, SEVERAL
from streamrnn.evaluation.sentences import believed, counted, number, percent

_REACH = 0.05  # half an interval of the misses that is too wide to act on


def clips(document: dict[str, Any]) -> Iterator[Finding]:
    """Clips by the clip rule, and whether many gave several detections."""
    if document["judged"]["clips"]:
        low, high = believed(document, "accuracy")
        value = f"{percent(low)} to {percent(high)} of the clips of one word are right."
        if low >= CLIPS:
            yield Finding("works", f"It knows the words: {value}")
        else:
            doubt = "may get" if high >= CLIPS else "gets"
            yield Finding("unsure" if high >= CLIPS else "weak", f"It {doubt} too many words wrong: {value}")
        several = sum(row.get(SEVERAL, 0) for row in document["confusion"]["clips"].values())
        if several >= FEW:
            yield Finding(
                "weak",
                f"{counted(several, 'clip')} of one word gave several detections.",
                "Raise refractory_ms or smooth_ms of the decoder, or longest_ms if long words are cut in two.",
            )


def misses(document: dict[str, Any]) -> Iterator[Finding]:
    """Words of longer recordings that were missed."""
    if not document["judged"]["streams"] or "miss_rate" not in document["estimates"]:
        return
    low, high = believed(document, "miss_rate")
    value = f"{percent(low)} to {percent(high)} of the words in longer recordings were missed."
    if high <= MISSES:
        yield Finding("works", f"It finds the words: {value}")
    else:
        doubt = "misses" if low > MISSES else "may miss"
        yield Finding("weak" if low > MISSES else "unsure", f"It {doubt} too much: {value}")


def words(document: dict[str, Any]) -> Iterator[Finding]:
    """Whether there were enough words to say."""
    if "miss_rate" not in document["estimates"]:
        return
    gone = document["estimates"]["miss_rate"]
    low, high = believed(document, "miss_rate")
    if (high - low) / 2 > _REACH:
        # Wilson's interval at this miss rate, turned round.
        share = min(0.5, max(0.05, gone["value"]))
        needed = round(1.96**2 * share * (1 - share) / (_REACH / 2) ** 2, -1)
        yield Finding(
            "unsure",
            f"{counted(round(gone['of']), 'word')} are too few: the share missed is known to "
            f"{percent((high - low) / 2)} only.",
            f"Record about {max(needed, gone['of'] + 10):.0f} words, by more people rather than more by the same.",
        )


def frames(document: dict[str, Any]) -> Iterator[Finding]:
    """Labelled moments."""
    if "frame_accuracy" in document["estimates"]:
        low, high = believed(document, "frame_accuracy")
        value = f"{percent(low)} to {percent(high)} of the labelled moments are right."
        if low >= FRAMES:
            yield Finding("works", f"It labels well: {value}")
        else:
            doubt = "may label" if high >= FRAMES else "labels"
            yield Finding("unsure" if high >= FRAMES else "weak", f"It {doubt} too much wrongly: {value}")


def false(document: dict[str, Any]) -> Iterator[Finding]:
    """False accepts, and what was there instead of the word."""
    if "false_accepts_per_hour" not in document["estimates"]:
        yield from _no_streams(document)
        return
    low, high = believed(document, "false_accepts_per_hour")
    if "proven" in document:
        below = document["proven"]["below_per_hour"]
        if below <= FALSE_AN_HOUR:
            yield Finding("works", f"It keeps quiet: fewer than {number(below)} false accepts an hour.")
        else:
            yield Finding(
                "unsure",
                f"No false accept was seen, which proves only fewer than {number(below)} an hour.",
                f"Play {3 / FALSE_AN_HOUR:.0f} hours of talk and household noise without the words: that much has to "
                f"stay silent to prove {FALSE_AN_HOUR} an hour.",
            )
        return
    if high <= FALSE_AN_HOUR:
        yield Finding("works", f"It keeps quiet: at most {number(high)} false accepts an hour.")
        return
    verdict: Verdict = "weak" if low > FALSE_AN_HOUR else "unsure"
    says = f"It speaks up falsely {number(low)} to {number(high)} times an hour"
    yield Finding(verdict, f"{says}{_where(document)}.", _against_false(document))


def _no_streams(document: dict[str, Any]) -> Iterator[Finding]:
    if document["judged"]["clips"]:
        yield Finding(
            "unsure",
            "How often it speaks up when nobody says a word was not measured: there were clips only.",
            "Give long recordings of talk and noise as well, labelled with names that begin with '_'.",
        )


def _where(document: dict[str, Any]) -> str:
    under = document["false_under"]
    total = sum(part["false_accepts"] for part in under.values())
    label = next(iter(under))
    return f", {percent(under[label]['false_accepts'] / total)} of them where {label} was"


def _against_false(document: dict[str, Any]) -> str:
    label = next(iter(document["false_under"]))
    if label == UNLABELLED:
        return (
            "Listen to the places in the list below. Words that nobody has labelled belong into the labels; noises "
            "belong into the training as recordings of '_noise'. Or raise enter of the decoder."
        )
    if label.startswith("_"):
        return f"Add recordings like these, labelled {label}, to the training: hours rather than minutes."
    return f"{label} is what it takes for other words, or hears twice: see the confusions."


def silent(document: dict[str, Any]) -> Iterator[Finding]:
    """Missed words of which nothing was heard at all: thresholds, rather than confusions."""
    rows = [row for on in ("clips", "streams") for row in document["confusion"].get(on, {}).items()]
    silent = sum(row.get(NOTHING, 0) for said, row in rows if said != NOTHING)
    gone = document["estimates"].get("miss_rate", {"count": 0})["count"]
    if silent < FEW or silent < gone / 2:
        return
    noisy = document["estimates"].get("false_accepts_per_hour", {"low": 0.0})["low"] > FALSE_AN_HOUR
    yield Finding(
        "weak",
        f"Of {counted(gone, 'missed word')}, {silent} gave no detection at all.",
        "Lowering enter would find them, and would raise the false accepts, of which there are too many: train longer, "
        "on more voices."
        if noisy
        else "There is room for a lower threshold: lower enter of the decoder, or give a budget of false accepts.",
    )


def delay(document: dict[str, Any]) -> Iterator[Finding]:
    """How long after a word it is known."""
    if not document["delay_s"]:
        return
    p95 = document["delay_s"]["p95"]
    if p95 <= DELAY_S:
        yield Finding("works", f"It is quick: 19 of 20 detections within {p95:.2f} s of the end of the word.")
    else:
        yield Finding(
            "weak",
            f"It is slow: one detection in twenty comes later than {p95:.2f} s after the end of the word.",
            "Lower smooth_ms and longest_ms of the decoder, or use the hysteresis decoder, which does not wait for the "
            "word to be over; targets.after_ms of the training is part of the delay as well.",
        )
