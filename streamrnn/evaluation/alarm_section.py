"""A report of alarms as a page: what was found and what was raised falsely, how good the forecasts are, the series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from streamrnn.evaluation import gallery_section
from streamrnn.evaluation.advice.finding import Finding
from streamrnn.evaluation.report import invariance_line
from streamrnn.evaluation.sentences import believed, counted, duration, number, percent

_FEW = 20  # anomalies of which the share that is missed is known to a fifth at best
_BAND = (0.85, 0.95)  # of 90 %


def parts(document: dict[str, Any]) -> Sequence[str]:
    """The body of the page, part by part."""
    name = document["bundle"]["name"]
    found = list(_findings(document))
    return (
        f"<h1>What {escape(name)} notices</h1>",
        f'<p class="soft">bundle {escape(document["bundle"]["sha"][:12])}</p>',
        f'<p class="lead">{escape(" ".join(_outcome(document)))}</p>',
        f'<h2>What to make of it</h2><ul class="findings">{"".join(map(_item, found))}</ul>',
        f'<h2>The figures</h2><div class="figures">{"".join(_cards(document))}</div>',
        gallery_section.section(document.get("gallery", [])),
        _how(document),
    )


def _outcome(document: dict[str, Any]) -> Iterator[str]:
    judged = counted(document["recordings"], "recording")
    split = f", the split {document['split']} of the data" if document["split"] else ""
    yield f"It was judged on {judged}{split}: {duration(document['seconds'])}."
    if "miss_rate" in document["estimates"]:
        gone = document["estimates"]["miss_rate"]
        yield f"It raised an alarm in {gone['of'] - gone['count']:.0f} of {_anomalies(gone['of'])}."
    if "false_accepts_per_hour" in document["estimates"]:
        false = document["estimates"]["false_accepts_per_hour"]
        yield f"Outside of them it raised {counted(false['count'], 'alarm')}."


def _findings(document: dict[str, Any]) -> Iterator[Finding]:
    """What the numbers say and what to do about it, what is broken first."""
    if document["invariance"]["difference"]:
        fault = invariance_line(document["invariance"])
        yield Finding("broken", f"{fault}.", "Run streamrnn check and report it.")
    errors = document["forecast"].get("mean_square_error", {})
    others = {name: error for name, error in errors.items() if name != "network"}
    if others:
        best = min(others, key=lambda name: others[name])
        told = f"{errors['network']:.3g} against {others[best]:.3g} in the mean square"
        if errors["network"] < others[best]:
            yield Finding("works", f"It forecasts better than {_named(best)}: {told}.")
        else:
            advice = "Train longer, or give it a lag where the series repeats itself (features: {kind: lag})."
            yield Finding("weak", f"It forecasts no better than {_named(best)}: {told}.", advice)
    if "within_90" in document["forecast"]:
        within = document["forecast"]["within_90"]
        says = f"{percent(within)} of what came lay in the band that should hold 90 % of it."
        if _BAND[0] <= within <= _BAND[1]:
            yield Finding("works", says)
        else:
            how = "too narrow" if within < _BAND[0] else "too wide"
            yield Finding(
                "unsure",
                f"Its band is {how}: {says}",
                "Alarms are measured against a stream's own usual errors if the decoder has a memory_ms; without one "
                "they take the band at its word.",
            )
    if "false_accepts_per_hour" in document["estimates"]:
        low, high = believed(document, "false_accepts_per_hour")
        yield Finding(
            "unsure" if low == 0 else "weak",
            f"Between {number(low)} and {number(high)} false alarms an hour go with what was seen.",
            "Say how many you can bear: streamrnn calibrate measures what each threshold costs, and "
            "max_false_accepts_per_hour then chooses it. Anomalies that nobody has labelled count as false.",
        )
    gone = document["estimates"].get("miss_rate")
    if gone is None:
        yield Finding(
            "unsure", "No anomaly is labelled: what it misses nobody knows.", "Label some, if there were any."
        )
    elif gone["of"] < _FEW:
        yield Finding("unsure", f"With {_anomalies(gone['of'])} labelled, {_range(document)} of all may be missed.")


def _cards(document: dict[str, Any]) -> Iterator[str]:
    estimates = document["estimates"]
    if "miss_rate" in estimates:
        value = f"{estimates['miss_rate']['count']} of {estimates['miss_rate']['of']:.0f}"
        yield _card("anomalies missed", value, _range(document), "An anomaly is found by an alarm within it.")
    if "false_accepts_per_hour" in estimates:
        false, (low, high) = estimates["false_accepts_per_hour"], believed(document, "false_accepts_per_hour")
        told = f"{number(low)} to {number(high)}; {false['count']} in {duration(3600 * false['of'])}"
        yield _card("false alarms an hour", number(false["value"]), told, "Of rows that are counted, 3600 are an hour.")
    if document["delay_s"]:
        half, most = document["delay_s"]["p50"], document["delay_s"]["p95"]
        yield _card("told after it began", f"{number(half)} s", f"half; 19 of 20 in {number(most)} s", "In samples.")
    errors = document["forecast"].get("mean_square_error", {})
    if errors:
        others = ", ".join(f"{_named(name)} {error:.3g}" for name, error in errors.items() if name != "network")
        says = f"{document['forecast']['steps']} ahead, in deviations of what was trained on."
        yield _card("mean square error", f"{errors['network']:.3g}", others, says)
    points = document["alarms"]["all"]["points"]
    told = f"missed {percent(points['missed_alarm_rate'])}, false {percent(points['false_alarm_rate'])}"
    yield _card("F1, point by point", f"{points['f1']:.3f}", told, "Of samples, without point adjustment.")


def _how(document: dict[str, Any]) -> str:
    chunks = invariance_line(document["invariance"])
    again = f"<p>{escape(chunks[0].upper() + chunks[1:])}.</p>" if chunks else ""
    left = "".join(f"<li>{escape(each['reason'])}</li>" for each in document["left_out"])
    return (
        "<h2>How this was measured</h2><p>The recordings were played through the engine and the decoder that a daemon "
        "runs, so what was measured is what will happen live. Intervals of 95 % of shares are Wilson's (1927), of "
        "rates an hour those of a Poisson count.</p>"
        f"{again}{f'<h3>Left out</h3><ul>{left}</ul>' if left else ''}"
    )


def _item(row: Finding) -> str:
    advice = f" <strong>{escape(row.advice)}</strong>" if row.advice else ""
    return f'<li class="{row.verdict}"><span>{escape(row.says)}</span>{advice}</li>'


def _card(name: str, value: str, interval: str, meaning: str) -> str:
    return (
        f'<div class="figure"><div class="name">{escape(name)}</div><div class="big">{escape(value)}</div>'
        f'<div class="interval">{escape(interval)}</div><p class="soft">{escape(meaning)}</p></div>'
    )


def _range(document: dict[str, Any]) -> str:
    low, high = believed(document, "miss_rate")
    return f"{percent(low)} to {percent(high)}"


def _named(baseline: str) -> str:
    return f"an {baseline}" if baseline == "autoregression" else baseline


def _anomalies(count: float) -> str:
    return "1 anomaly" if count == 1 else f"{count:.0f} anomalies"
