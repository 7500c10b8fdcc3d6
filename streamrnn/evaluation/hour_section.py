"""The section of a report's page on long streams: hour by hour, whether they drift, and how large the state is."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from streamrnn.evaluation import comparing, drift
from streamrnn.evaluation.pictures import hours as pictures


def hours(document: dict[str, Any]) -> str:
    """Recall, false accepts and state norms of each hour of the long recordings, and what they say of drift."""
    streams: Sequence[dict[str, Any]] = document["hours"]
    if not streams:
        return ""
    parts = [
        "<h2>Hour by hour</h2><p>A network that carries its memory on for ever has to be as good at the end of a long "
        "recording as at its beginning. Lines are 95 % intervals.</p>"
    ]
    beside = document.get("beside", {})
    parts += [_stream(stream, beside) for stream in streams]
    for name, each in beside.items():
        compared = (" ".join(line.split()) for line in comparing.compared_lines(each["compared"]))
        told = "".join(f"<li>{escape(line)}</li>" for line in compared)
        parts.append(
            f"<h3>The state carried, and with {escape(name)}</h3><p>The same sound was played once more with a fresh "
            "state before every utterance. Here is the state carried through all of it, there is with a fresh one."
            f"</p><ul>{told}</ul>"
        )
    return "".join(parts)


def _stream(stream: dict[str, Any], beside: dict[str, Any]) -> str:
    """One stream: what its hours say, and their pictures."""
    series = {"carried": stream["hours"], **{name: each["hours"] for name, each in beside.items()}}
    measured = [name for name in drift.MEASURES if any(name in row for row in stream["hours"])]
    figures = [pictures.by_hour(series, name) for name in measured]
    layers = dict.fromkeys(name for row in stream["hours"] for name in row["state_norms"])
    figures += [pictures.norms(stream["hours"], name) for name in layers]
    told = "".join(f"<li>{escape(sentence)}</li>" for sentence in drift.sentences(stream["drift"]))
    parts = [f'<p class="soft">{escape(stream["path"])}</p>']
    if told:
        parts.append(f"<ul>{told}</ul>")
    parts.append(f'<div class="pair">{"".join(f"<figure>{figure}</figure>" for figure in figures)}</div>')
    if layers:
        parts.append(
            '<p class="soft">The norm of a layer is how large the state is that it carries on, looked at every five '
            "seconds: the line is the median of an hour, the band goes from 5 to 95 %. A state that drifts away grows "
            "or shrinks.</p>"
        )
    if told:
        parts.append(
            '<p class="soft">Each hour is a sample: where nothing drifts, one last hour in six lies outside of the '
            "interval of the first by chance alone. What all hours say together is the better test.</p>"
        )
    return "".join(parts)
