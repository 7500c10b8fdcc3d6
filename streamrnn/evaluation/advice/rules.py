"""All rules of advice in their order, and those about the judgement itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from streamrnn.evaluation.advice import events, parts
from streamrnn.evaluation.advice.finding import CALIBRATION, Finding, Verdict
from streamrnn.evaluation.sentences import counted, percent


def findings(document: dict[str, Any]) -> list[Finding]:
    """All of them, what is broken first and what works last."""
    found = [finding for rule in _RULES for finding in rule(document)]
    order: tuple[Verdict, ...] = ("broken", "weak", "unsure", "works")
    return sorted(found, key=lambda finding: order.index(finding.verdict))


def _chunks(document: dict[str, Any]) -> Iterator[Finding]:
    invariance = document["invariance"]
    if invariance["difference"]:
        yield Finding(
            "broken",
            f"Played again in odd chunks it gave other events: {invariance['difference']}.",
            "This is a fault of streamrnn or of a plug: run streamrnn check and report it.",
        )
    elif invariance["recordings"]:
        yield Finding("works", "Chunks of any size give the same events, so live is what was measured here.")


def _calibration(document: dict[str, Any]) -> Iterator[Finding]:
    parts = [part for part in (document["reliability"], document["reliability"].get("labels", {})) if part]
    if not parts:
        return
    part = max(parts, key=lambda part: part["error"]["value"])
    error = part["error"]["value"]
    if error <= CALIBRATION:
        yield Finding("works", f"Its posteriors mean what they say, to {percent(error)}.")
        return
    bold = sum(row["frames"] * (row["posterior"] - row["right"]) for row in part["diagram"]) > 0
    yield Finding(
        "weak",
        f"Its posteriors are too {'bold' if bold else 'modest'}, by {percent(error)} in the mean.",
        "Set thresholds by what they cost, not by what they seem to mean. Training fits a temperature on what it holds "
        "out; bundles from before that have none. Hold out people who speak like those judged here (validation.split).",
    )


def _heard_before(document: dict[str, Any]) -> Iterator[Finding]:
    if document["split"] in ("", "train"):
        what = f"the split {document['split']}" if document["split"] else "all splits"
        yield Finding(
            "unsure",
            f"{what[0].upper()}{what[1:]} were judged. Recordings and people that training has heard flatter.",
            "Judge a split that training never saw (--split dev), or leave each speaker out in turn (streamrnn "
            "crossval --by speaker).",
        )


def _left_out(document: dict[str, Any]) -> Iterator[Finding]:
    if document["left_out"]:
        count = counted(len(document["left_out"]), "file")
        yield Finding("unsure", f"{count} could not be used.", "The reasons stand at the end of this page.")


_RULES: tuple[Callable[[dict[str, Any]], Iterator[Finding]], ...] = (
    events.clips,
    events.misses,
    events.frames,
    events.false,
    parts.noises,
    parts.confusions,
    events.silent,
    parts.labels,
    parts.speakers,
    events.delay,
    _calibration,
    parts.hours,
    events.words,
    _heard_before,
    _left_out,
    _chunks,
)
