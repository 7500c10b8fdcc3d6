"""What a report draws of sensors: the series and its band where they are, what was labelled and heard, and alarms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sensor_bundles import MAKES, recording, write_bundle
from test_page import Wellformed

from streamrnn import cli, engine
from streamrnn.config import parse_yaml
from streamrnn.evaluation import gallery
from streamrnn.evaluation.gallery_section import section
from streamrnn.evaluation.recordings import read_data
from streamrnn.evaluation.run import evaluate


def written(folder: Path, kind: str) -> Path:
    """A data folder with one recording of a made bundle, of which two stretches are labelled."""
    _, rate, _, _, labels, _, _ = MAKES[kind]
    folder.mkdir()
    np.savez(folder / "a.npz", x=recording(kind), fs=rate)
    (folder / "a.labels.csv").write_text(f"start,end,label\n40,41,{labels[-1]}\n70,71.5,{labels[-1]}\n")
    (folder / "manifest.csv").write_text("path,label,split,labels\na.npz,,dev,a.labels.csv\n")
    return folder


@pytest.mark.parametrize("kind", ["alarm", "activity"])
def test_views_hold_what_there_was_and_are_drawn(kind: str, tmp_path: Path) -> None:
    served = engine.serving(write_bundle(tmp_path / "made.bundle", kind))
    recordings = read_data([written(tmp_path / "data", kind)]).recordings
    result = evaluate(served, recordings)
    views = gallery.drawn(served, result)
    assert len(views) >= 2
    whole, closer = views[:2]
    assert (whole["start_s"], whole["end_s"]) == (0.0, 120.0)
    assert closer["start_s"] <= 40.0
    assert closer["end_s"] >= 41.0
    (stream,) = result.streams
    assert [label for *_, label in whole["said"]] == [each.label for each in stream.said]
    drawn_heard = stream.extents if kind == "alarm" else stream.heard
    assert [(start, end) for start, end, _ in whole["heard"]] == [(each.start, each.end) for each in drawn_heard]
    assert [told for told, _ in whole["alarms"]] == (list(stream.decided) if kind == "alarm" else [])
    samples = recording(kind)
    for name, envelope in whole["lines"].items():
        course = samples[:, int(name.removeprefix("channel "))]
        assert min(envelope["low"]) == pytest.approx(course.min(), rel=1e-4)
        assert max(envelope["high"]) == pytest.approx(course.max(), rel=1e-4)
    if kind == "alarm":
        assert whole["band"]["low"][0] is not None or whole["band"]["low"][1] is not None
        pairs = zip(whole["band"]["low"], whole["band"]["high"], strict=True)
        assert all(high - low >= 2.0 for low, high in pairs if low is not None)
    text = section(views)
    page = Wellformed()
    page.feed(text)
    assert not page.open
    assert text.count("<svg") == len(views)
    assert ("alarm at" in text) == (kind == "alarm")
    assert section([]) == ""


def test_a_report_of_alarms_has_no_words_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_bundle(tmp_path / "made.bundle", "alarm").path
    data = written(tmp_path / "data", "alarm")
    assert cli.main(["eval", str(path), "--data", str(data), "--report", str(tmp_path / "report")]) == 0
    shown = capsys.readouterr().out
    assert "anomalies missed" in shown
    assert "word" not in shown
    text = (tmp_path / "report" / "report.html").read_text()
    page = Wellformed()
    page.feed(text)
    assert not page.open
    assert "It raised an alarm in 2 of 2 anomalies." in text
    assert "word" not in text.partition("</style>")[2].replace("band at its word", "").replace(
        "take the band at its word", ""
    )
    document: Any = parse_yaml((tmp_path / "report" / "report.json").read_text())
    assert document["gallery"]
