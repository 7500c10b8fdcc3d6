"""The page: it stands alone, its pictures are well formed, and it says what the document holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tones import RATE

from streamrnn.engine import Serving
from streamrnn.evaluation.drift import drift
from streamrnn.evaluation.invariance import compare_chunks
from streamrnn.evaluation.metrics import rate_per_hour, share
from streamrnn.evaluation.page import page
from streamrnn.evaluation.pictures import bars, curves
from streamrnn.evaluation.pictures.svg import Scale, decades, ticks
from streamrnn.evaluation.recordings import read_folder
from streamrnn.evaluation.report import lines, report
from streamrnn.evaluation.run import evaluate
from streamrnn.evaluation.sentences import clock, duration, listed, number, percent
from streamrnn.operating import UNMEASURED, Det, Point
from streamrnn.testing.signals import noise, sentence

_VOID = {"meta", "br", "line", "rect", "circle", "path"}


class Wellformed(HTMLParser):
    """Raises AssertionError where tags do not close one another in order; keeps what is asked of elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.asked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.asked += [str(value) for name, value in attrs if name in ("src", "href")]
        assert tag not in ("script", "link", "img", "iframe")
        if tag not in _VOID or tag == "circle":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def point(enter: float, false_accepts: int, hours: float, missed: int, said: int) -> Point:
    false, gone = rate_per_hour(false_accepts, hours), share(missed, said)
    return Point(
        enter=enter,
        leave=0.1,
        false_accepts=false_accepts,
        per_hour=false.value,
        per_hour_low=false.low,
        per_hour_high=false.high,
        missed=missed,
        miss_rate=gone.value,
        miss_low=gone.low,
        miss_high=gone.high,
    )


def det() -> Det:
    points = [point(0.3 + 0.05 * k, 2 ** (9 - k) - 1, 8.0, 10 + 9 * k, 500) for k in range(10)]
    return Det(500, 8.0, 90.0, {"talk": 5400.0}, tuple(points))


@pytest.fixture(scope="module")
def document(serving: Serving, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Clips, a stream under two noises of which it hears something else, and labelled samples, all at once."""
    folder = tmp_path_factory.mktemp("page")
    random = np.random.default_rng(0)
    samples, places = sentence(["low", "high"] * 6, RATE, random, pause_s=1.0)
    (folder / "stream").mkdir()
    soundfile.write(folder / "stream" / "talk.wav", samples, RATE)
    rows = [f"{a / RATE},{b / RATE},{('high', label)[k > 2]},s{k % 3}" for k, (label, a, b) in enumerate(places[:-1])]
    (folder / "stream" / "talk.labels.csv").write_text("\n".join(["start,end,label,source", *rows, ""]))
    (folder / "stream" / "noise.csv").write_text("start,end,noise,snr_db\n0,4,none,\n4,,fan,5\n")
    (folder / "stream" / "manifest.csv").write_text("path,label,labels\ntalk.wav,,talk.labels.csv\n")
    (folder / "clips" / "low").mkdir(parents=True)
    for name in ("a", "<b>", "c"):
        soundfile.write(folder / "clips" / "low" / f"{name}.wav", noise(0.5, RATE, random, 0.01), RATE)
    (folder / "frames").mkdir()
    y = np.full(len(samples), 1)
    for label, start, end in places:
        y[start:end] = {"low": 2, "high": 3}[label]
    for name in ("d", "e"):
        np.savez(folder / "frames" / f"{name}.npz", x=samples, y=y, fs=RATE)
    (folder / "frames" / "classes.csv").write_text("label_id,label\n0,UNLABELLED\n1,_none\n2,low\n3,high\n")
    (folder / "frames" / "manifest.csv").write_text("path,label,subject\nd.npz,,dan\ne.npz,,eve\n")
    recordings = [r for name in ("stream", "clips", "frames") for r in read_folder(folder / name)]
    result = evaluate(serving, recordings)
    return report(result, serving, "", [], det=det(), invariance=compare_chunks(serving, recordings))


def test_the_page_stands_alone_and_closes_every_tag(document: dict[str, Any]) -> None:
    html = page(document)
    reader = Wellformed()
    reader.feed(html)
    assert (reader.open, reader.asked) == ([], [])
    assert "http" not in html
    assert "<b>.wav" not in html
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(svg)
        assert not re.search(r"nan|inf\b", svg)


def test_every_part_of_the_judgement_has_its_section(document: dict[str, Any]) -> None:
    html = page(document)
    for heading in (
        "What works",
        "what to change next",
        "The figures",
        "what was heard",
        "Label by label",
        "Misses against false accepts",
        "Noise by noise",
        "Person by person",
        "How quick it is",
        "Does it mean what it says?",
        "The worst mistakes",
        "How this was measured",
    ):
        assert re.search(f"<h2>[^<]*{re.escape(heading)}", html), heading
    assert "Hour by hour" not in html


def test_the_lines_say_sources_noises_and_chunks(document: dict[str, Any]) -> None:
    said = "\n".join(lines(document))
    assert "fan at 5 dB: words missed" in said
    assert "posteriors are off by" in said
    assert "played again in odd chunks gave the same events" in said
    assert "false: " in said
    assert "confused: " in said


def test_an_empty_trade_off_is_left_out(document: dict[str, Any]) -> None:
    assert "Misses against" not in page({**document, "det": msgspec.to_builtins(UNMEASURED)})


def test_a_long_stream_is_shown_by_the_hour(document: dict[str, Any]) -> None:
    rows = [
        {
            "hour": hour,
            "seconds": 3600,
            "recall": msgspec.to_builtins(share(70 + hour, 100)),
            "false_accepts_per_hour": msgspec.to_builtins(rate_per_hour(hour, 1.0)),
            "state_norms": {"gru.0.h": {"median": 3.0 + hour / 10, "low": 2.0, "high": 6.0}},
        }
        for hour in range(1, 25)
    ]
    stream = {"path": "day.wav", "hours": rows, "drift": drift(rows)}
    html = page({**document, "hours": [stream]})
    assert "Hour by hour" in html
    assert html.count("<title>hour 24") == 2
    assert html.count("<title>in hour 24: 5.4 (5 to 95 %: 2 to 6)") == 1
    assert "words found: 94.0% in hour 24, outside the interval of hour 1" in html
    assert "norm of gru.0.h: the median of the last hour is 1.742 times that of the first, within its 5 to 95 %" in html
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(svg)
    both = page({**document, "hours": [stream], "beside": {"resets": {**stream, "compared": {}}}})
    assert both.count("<title>hour 24") == 4
    assert "The state carried, and with resets" in both


def test_no_false_accept_says_what_it_proves(serving: Serving, tmp_path: Path) -> None:
    (tmp_path / "_noise").mkdir()
    soundfile.write(tmp_path / "_noise" / "a.wav", noise(12.0, RATE, np.random.default_rng(1), 0.001), RATE)
    found = report(evaluate(serving, read_folder(tmp_path)), serving, "dev", [])
    assert found["proven"]["below_per_hour"] == pytest.approx(3 * 3600 / 12)
    sentence_of_it = "zero in 0.00333 hours proves only < 900 an hour (3 / hours, 95 %)"
    assert found["proven"]["sentence"] == sentence_of_it
    assert sentence_of_it.replace("<", "&lt;") in page(found)
    assert any(sentence_of_it in line for line in lines(found))


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.integers(4, 8))
def test_ticks_are_round_inside_and_not_too_many(low: float, span: float, most: int) -> None:
    found = ticks(low, low + span, most)
    assert 1 <= len(found) <= most + 1
    assert all(low - 1e-6 * span <= value <= low + span * (1 + 1e-6) for value in found)


@given(st.floats(1e-3, 10.0), st.floats(1.0, 1e4))
def test_decades_lie_inside(low: float, factor: float) -> None:
    assert all(low * 0.99 <= value <= low * factor * 1.01 for value in decades(low, low * factor))


@given(st.floats(-10, 10), st.floats(0.1, 10), st.floats(0, 1))
def test_a_scale_keeps_order_and_stays_inside(low: float, span: float, share_of: float) -> None:
    scale = Scale(low, low + span, 100.0, 20.0)
    assert 20.0 - 1e-6 <= scale(low + share_of * span) <= 100.0 + 1e-6
    assert scale(low - 1) == pytest.approx(100.0)
    assert scale(low + span + 1) == pytest.approx(20.0)


@given(st.lists(st.integers(0, 400), min_size=2, max_size=12), st.floats(0.05, 100))
def test_any_trade_off_can_be_drawn(false: list[int], hours: float) -> None:
    points = [point(0.1 + 0.05 * k, count, hours, k, 40) for k, count in enumerate(sorted(false, reverse=True))]
    svg = curves.trade_off(Det(40, hours, 3.0, {}, tuple(points)), 0.1)
    ElementTree.fromstring(svg)
    assert not re.search(r"nan|inf\b", svg)


@given(st.lists(st.floats(-1.0, 3.0), min_size=1, max_size=40))
def test_any_delays_can_be_drawn(delays: list[float]) -> None:
    first = int(np.floor(min(delays) / 0.02))
    counts = np.bincount([int(np.floor(delay / 0.02)) - first for delay in delays]).tolist()
    p50, p95 = np.quantile(delays, [0.5, 0.95])
    histogram = {"first_s": first * 0.02, "step_s": 0.02, "counts": counts}
    ElementTree.fromstring(bars.histogram(histogram, {"p50": float(p50), "p95": float(p95)}))


def test_numbers_are_written_for_people() -> None:
    assert [percent(value) for value in (0.0, 0.042, 1.0)] == ["0\u00a0%", "4.2\u00a0%", "100\u00a0%"]
    assert [number(value) for value in (0.125, 2.0, 14.44, 113.05, 10.0)] == ["0.12", "2", "14.4", "113", "10"]
    assert [duration(value) for value in (84, 750, 11400)] == ["84 seconds", "12.5 minutes", "3.2 hours"]
    assert [clock(value) for value in (7.25, 59.999, 10597.28)] == ["0:07.25", "1:00.00", "2:56:37.28"]
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
