"""A report as one HTML page that needs nothing else: what works, how well, what to change next, and the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from streamrnn.config import convert
from streamrnn.evaluation import alarm_section, gallery_section, hour_section, sections
from streamrnn.evaluation.advice.finding import Finding
from streamrnn.evaluation.advice.rules import findings
from streamrnn.evaluation.report import TITLES, of_alarms
from streamrnn.evaluation.sentences import MEANINGS, believed, duration, judged, number, outcome, percent
from streamrnn.evaluation.style import STYLE
from streamrnn.operating import Det


def page(document: dict[str, Any]) -> str:
    """The HTML of a report; no script, no font, no picture from elsewhere."""
    name = escape(document["bundle"]["name"])
    parts = alarm_section.parts(document) if of_alarms(document) else _parts(document)
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}: report</title><style>{STYLE}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _parts(document: dict[str, Any]) -> Sequence[str]:
    return (
        _summary(document),
        _figures(document),
        gallery_section.section(document.get("gallery", [])),
        sections.said_and_heard(document),
        sections.moments(document["labels"]),
        sections.trade_off(convert(document["det"], Det), document),
        sections.noises(document["noises"]),
        sections.people(document["groups"]),
        sections.delays(document),
        hour_section.hours(document),
        sections.reliability(document["reliability"]),
        sections.mistakes(document["mistakes"]),
        sections.how(document),
    )


def _summary(document: dict[str, Any]) -> str:
    name = document["bundle"]["name"]
    found = findings(document)
    good = [finding for finding in found if finding.verdict == "works"]
    rest = [finding for finding in found if finding.verdict != "works"]
    parts = [
        f"<h1>How well {escape(name)} recognises</h1>",
        f'<p class="soft">bundle {escape(document["bundle"]["sha"][:12])}</p>',
        f'<p class="lead">{escape(" ".join([judged(document), *outcome(document)]))}</p>',
    ]
    if good:
        parts.append(f"<h2>What works</h2>{_listed(good)}")
    if rest:
        parts.append(
            "<h2>What does not work yet, and what to change next</h2>"
            '<p class="soft">The first ones first. Red is a fact, yellow is what these recordings cannot tell.</p>'
            f"{_listed(rest)}"
        )
    return "".join(parts)


def _listed(rows: Sequence[Finding]) -> str:
    items = (
        f'<li class="{row.verdict}"><span>{escape(row.says)}</span>'
        + (f" <strong>{escape(row.advice)}</strong>" if row.advice else "")
        + "</li>"
        for row in rows
    )
    return f'<ul class="findings">{"".join(items)}</ul>'


def _figures(document: dict[str, Any]) -> str:
    cards = [
        _card(TITLES[name][0], *_written(document, name), MEANINGS[name])
        for name in TITLES
        if name in document["estimates"] and (name, document["measured_on"][name]) != ("accuracy", "frames")
    ]
    if document["delay_s"]:
        low, high = document["delay_intervals_s"]["p95"]
        others = f"half {document['delay_s']['p50']:.2f} s, 99 of 100 {document['delay_s']['p99']:.2f} s"
        value = f"{document['delay_s']['p95']:.2f} s"
        cards.append(_card("delay, 19 of 20 within", value, f"{low:.2f} to {high:.2f} s; {others}", MEANINGS["delay"]))
    if document["reliability"]:
        error = document["reliability"]["error"]
        interval = f"{percent(error['low'])} to {percent(error['high'])}; {document['reliability']['frames']:,} moments"
        cards.append(_card("calibration error", percent(error["value"]), interval, MEANINGS["calibration"]))
    return (
        "<h2>The figures</h2>"
        '<p class="soft">Under each figure stands the interval in which the true value lies with 95 % certainty: what '
        "was measured is a sample, and more recordings would make the interval narrower.</p>"
        f'<div class="figures">{"".join(cards)}</div>'
    )


def _card(name: str, value: str, interval: str, meaning: str) -> str:
    return (
        f'<div class="figure"><div class="name">{escape(name)}</div><div class="big">{escape(value)}</div>'
        f'<div class="interval">{escape(interval)}</div><p class="soft">{escape(meaning)}</p></div>'
    )


def _written(document: dict[str, Any], name: str) -> tuple[str, str]:
    """A figure, and its interval with what was counted."""
    estimate = document["estimates"][name]
    low, high = believed(document, name)
    if name == "false_accepts_per_hour":
        counted = f"{estimate['count']:,} in {duration(3600 * estimate['of'])}"
        proven = f"; {document['proven']['sentence']}" if "proven" in document else ""
        return number(estimate["value"]), f"{number(low)} to {number(high)}; {counted}{proven}"
    if name == "macro_f1":
        return f"{estimate['value']:.3f}", f"{low:.3f} to {high:.3f}"
    sources = document["spreads"].get(name, {"units": 0})["units"]
    of = f"; {estimate['count']:,} of {estimate['of']:,.0f}"
    over = f", from {sources:,} sources" if 1 < sources < estimate["of"] else ""
    return percent(estimate["value"]), f"{percent(low)} to {percent(high)}{of}{over}"
