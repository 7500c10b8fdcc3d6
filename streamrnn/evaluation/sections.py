"""The sections of a report's page below the figures: each a heading, what it shows, and a picture or a table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from pathlib import PurePath
from typing import Any

from streamrnn.evaluation.pictures import bars, confusion, curves
from streamrnn.evaluation.report import invariance_line
from streamrnn.evaluation.sentences import MEANINGS, clock, number, percent
from streamrnn.operating import Det

_BUDGETS = (0.1, 0.5, 1.0)  # false accepts an hour
_SHOWN = 15  # speakers, labels
_MISTAKES = 40
_SAID_IN = {"clips": "clips", "streams": "longer recordings", "frames": "labelled moments"}


def trade_off(det: Det, document: dict[str, Any]) -> str:
    """What other thresholds would cost, where the bundle knows."""
    if not det.points or not det.hours:
        return ""
    rows = []
    for budget in _BUDGETS:
        # A threshold is good for a budget as far as was seen; whether it surely is stands in its interval.
        allowed = [point for point in det.points if point.per_hour <= budget]
        if not allowed:
            rows.append((f"{budget:g}", "none is high enough", "", ""))
            continue
        point = min(allowed, key=lambda point: point.miss_rate)
        seen = f"{number(point.per_hour)} ({number(point.per_hour_low)} to {number(point.per_hour_high)})"
        missed = f"{percent(point.miss_rate)} ({percent(point.miss_low)} to {percent(point.miss_high)})"
        rows.append((f"{budget:g}", f"{point.enter:g}", seen, missed))
    columns = ("false accepts an hour you allow", "enter", "seen (90 % interval)", "words missed (95 % interval)")
    picture = curves.trade_off(det, document["decoder"].get("enter", 0.0))
    return (
        "<h2>Misses against false accepts</h2>"
        "<p>A threshold can be had at a price: the higher it is, the fewer false accepts and the more words missed. "
        "Every point is one threshold; the band is the 95 % interval of the misses, the thin lines are the 90 % "
        "intervals of the false accepts.</p>"
        f"<figure>{picture}<figcaption>Measured when the bundle was calibrated, not in this judgement: "
        f"{det.said:,} words in {number(det.hours)} hours, composed of {number(det.distinct_minutes)} minutes of "
        f"different material.</figcaption></figure>{_table(columns, rows, {0})}"
    )


def said_and_heard(document: dict[str, Any]) -> str:
    """The confusions, and beside them how often each label is missed."""
    if not document["confusion"]:
        return ""
    pictures = [
        f'<figure><h3>In {_SAID_IN[on]}</h3><div class="wide">{confusion.confusion(rows, f"Said and heard, {on}")}'
        "</div></figure>"
        for on, rows in document["confusion"].items()
    ]
    missed = {
        name: {"value": row["miss_rate"], "low": row["miss_low"], "high": row["miss_high"]}
        for name, row in document["labels"].items()
        if "miss_rate" in row
    }
    worst = sorted(missed, key=lambda name: -missed[name]["value"])[:_SHOWN]
    pictures.append(_bars({name: missed[name] for name in worst}, "Words missed, label by label"))
    nothing = (
        " <i>(nothing)</i> as a column is a word of which nothing was heard, as a row a detection where none was said."
        if {"clips", "streams"} & set(document["confusion"])
        else ""
    )
    return (
        "<h2>What was said, and what was heard</h2>"
        "<p>A row for each label that was said, a column for each that was heard. Green is right, red is wrong; the "
        "darker, the larger the share of its row."
        f'{nothing}</p><div class="pair">{"".join(pictures)}</div>'
    )


def moments(labels: dict[str, dict[str, float]]) -> str:
    """How each label is found moment by moment."""
    rows = [
        (name, f"{row['frames']:,.0f}", f"{row['precision']:.3f}", f"{row['recall']:.3f}", f"{row['f1']:.3f}")
        for name, row in labels.items()
        if "f1" in row
    ]
    if not rows:
        return ""
    return (
        f"<h2>Label by label</h2>{_table(('label', 'moments', 'precision', 'recall', 'F1'), rows, {0})}"
        '<p class="soft">Precision: of the moments given this label, the share that had it. Recall: of the moments '
        "that had it, the share that was given it. F1 is their harmonic mean.</p>"
    )


def noises(parts: dict[str, dict[str, Any]]) -> str:
    """Misses and false accepts by what lay under them."""
    missed = {name: part["miss_rate"] for name, part in parts.items() if "miss_rate" in part}
    false = {name: part["false_accepts_per_hour"] for name, part in parts.items() if "false_accepts_per_hour" in part}
    pictures = _bars(missed, "Words missed") + _bars(false, "False accepts an hour")
    return f'<h2>Noise by noise</h2><div class="pair">{pictures}</div>' if pictures else ""


def people(groups: dict[str, dict[str, Any]]) -> str:
    """How well each speaker or subject is recognised."""
    pictures = ""
    for measure, what in (
        ("accuracy", "Clips right"),
        ("frame_accuracy", "Moments right"),
        ("miss_rate", "Words missed in longer recordings"),
    ):
        rows = {name: part[measure] for name, part in groups.items() if measure in part}
        if len(rows) > 1:
            missed = measure == "miss_rate"
            worst = sorted(rows, key=lambda name: rows[name]["value"] * (-1 if missed else 1))[:_SHOWN]
            more = f", the {_SHOWN} worst of {len(rows)}" if len(rows) > _SHOWN else ""
            pictures += _bars({name: rows[name] for name in worst}, what + more, "badbar" if missed else "bar")
    return f'<h2>Person by person</h2><div class="pair">{pictures}</div>' if pictures else ""


def _bars(rows: Mapping[str, Mapping[str, Any]], title: str, kind: str = "badbar") -> str:
    if not rows:
        return ""
    highest = max(row["high"] for row in rows.values())
    if title.startswith("False"):
        picture = bars.bars(rows, title, number, max(1.0, highest), kind)
    else:
        # Small shares fill the width, and large ones stand against a whole.
        picture = bars.bars(rows, title, percent, 1.0 if highest > 0.5 else highest, kind)
    return f"<figure><h3>{escape(title)}</h3>{picture}</figure>"


def delays(document: dict[str, Any]) -> str:
    """When words are known."""
    if not document["delay_s"]:
        return ""
    cut = document["delays_cut_off"]
    left = f" {cut} that only the end of a recording decided are left out." if cut else ""
    return (
        f"<h2>How quick it is</h2><p>{escape(MEANINGS['delay'])}{left} Below zero the word was known before it was "
        f"over.</p><figure>{bars.histogram(document['delay_histogram'], document['delay_s'])}</figure>"
    )


def reliability(part: dict[str, Any]) -> str:
    """The reliability diagram."""
    if not part:
        return ""
    series = {"all moments": part["diagram"]}
    error = f"Off by {percent(part['error']['value'])} in the mean over all moments"
    if "labels" in part and part["labels"]["frames"] < part["frames"]:
        series["moments in which it claims a label"] = part["labels"]["diagram"]
        error += f", and by {percent(part['labels']['error']['value'])} where it claims a label"
    return (
        "<h2>Does it mean what it says?</h2>"
        "<p>When the network says 80 %, it should be right in 80 of 100 such moments: then the dots lie on the dashed "
        "line. Below it the network is too bold, above it too modest. Larger dots are more moments, lines are 95 % "
        f"intervals.</p><figure>{curves.diagram(series)}<figcaption>{escape(error)} (expected calibration "
        "error).</figcaption></figure>"
    )


def mistakes(found: Sequence[dict[str, Any]]) -> str:
    """The mistakes one by one."""
    if not found:
        return "<h2>Mistakes</h2><p>There were none.</p>"
    kinds = {"clip": "wrong clip", "confused": "confused", "false": "false accept", "missed": "missed"}
    noisy = any(mistake["noise"] for mistake in found)
    columns = ("what", "there was", "it heard", "score", *(["noise"] if noisy else []), "listen at")
    words = set(range(len(columns))) - {3}
    rows = []
    for mistake in _worst(found):
        score = f"{mistake['score']:.2f}" if mistake["heard"] else ""
        place = f"{clock(mistake['at'])} of {PurePath(mistake['path']).name}"
        under = [mistake["noise"]] if noisy else []
        rows.append((kinds[mistake["kind"]], mistake["said"], mistake["heard"] or "nothing", score, *under, place))
    folders = sorted({str(PurePath(mistake["path"]).parent) for mistake in found})
    more = f" Here are the worst {len(rows)} of at least {len(found)}." if len(found) > len(rows) else ""
    return (
        "<h2>The worst mistakes</h2><p>Listening to them tells more than any figure. Those it was most certain of "
        f"come first, then words of which it heard nothing.{more}</p>{_table(columns, rows, words)}"
        f'<p class="soft">Recordings in {escape(", ".join(folders[:5]))}{" and others" if len(folders) > 5 else ""}.'
        " All of them with their whole paths stand in report.json.</p>"
    )


def _worst(mistakes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first ones, but not so many that no room is left for the words of which nothing was heard."""
    heard = [mistake for mistake in mistakes if mistake["heard"]]
    silent = [mistake for mistake in mistakes if not mistake["heard"]]
    room = max(_MISTAKES - len(silent), _MISTAKES // 2)
    return heard[:room] + silent[: _MISTAKES - len(heard[:room])]


def how(document: dict[str, Any]) -> str:
    """How it was measured, and what was left out."""
    chunks = invariance_line(document["invariance"])
    parts = [
        "<h2>How this was measured</h2>",
        "<p>The recordings were played through the engine and the decoder that a daemon runs, so what was measured is "
        "what will happen live. Words and detections were paired one to one: each counts once, however long it lasts. "
        "A detection hits a word of its label if the two share a moment, give or take half a second.</p>",
        "<p>Intervals of shares are Wilson's (1927), of rates an hour those of a Poisson count. They take words for "
        "independent. Where several come from one source, the sources were also drawn anew 500 times (bootstrap), and "
        "the wider of the two intervals is shown.</p>",
        f"<p>{escape(chunks[0].upper() + chunks[1:])}.</p>" if chunks else "",
    ]
    if document["left_out"]:
        reasons = "".join(f"<li>{escape(each['reason'])}</li>" for each in document["left_out"])
        parts.append(f"<h3>Left out</h3><ul>{reasons}</ul>")
    return "".join(parts)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], words: Collection[int]) -> str:
    """A table; the columns in `words` hold words, the others numbers."""

    def kind(place: int) -> str:
        return ' class="word"' if place in words else ""

    head = "".join(f"<th{kind(place)}>{escape(name)}</th>" for place, name in enumerate(columns))
    body = "".join(
        f"<tr>{''.join(f'<td{kind(place)}>{escape(cell)}</td>' for place, cell in enumerate(row))}</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
