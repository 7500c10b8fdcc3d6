"""The scorers of alarms: the published score of the benchmark, sequences and points, by hand and by property."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.errors import RecordingError
from streamrnn.evaluation import nab
from streamrnn.evaluation.anomalies import Points, Sequences, points, sequences
from streamrnn.evaluation.nab import PROFILES, Series

STANDARD = PROFILES["standard"]
SERIES = Series("made/one.csv", 1000, ((400, 499), (700, 749)))


def rows(*places: int) -> np.ndarray:
    told = np.zeros(SERIES.rows, np.bool_)
    told[list(places)] = True
    return told


def test_silence_is_worth_nothing_and_the_earliest_alarms_all() -> None:
    assert nab.score([SERIES], {SERIES.name: rows()}, STANDARD) == pytest.approx(0.0)
    assert nab.score([SERIES], {SERIES.name: rows(400, 700)}, STANDARD) == pytest.approx(100.0)


def test_an_alarm_late_in_a_window_is_worth_what_the_sigmoid_says() -> None:
    early = 2 / (1 + math.exp(-5)) - 1
    late = 2 / (1 + math.exp(-5 * 50 / 100)) - 1
    assert nab.raw(SERIES, rows(450), STANDARD) == pytest.approx(late / early - 1.0)
    # Only the earliest counts, and a second one costs nothing.
    assert nab.raw(SERIES, rows(450, 480), STANDARD) == nab.raw(SERIES, rows(450), STANDARD)


def test_a_false_alarm_costs_the_more_the_farther_behind_a_window_it_is() -> None:
    before, near, far = (nab.raw(SERIES, rows(row), STANDARD) + 2.0 for row in (390, 505, 690))
    assert before == pytest.approx(-0.11)
    assert near == pytest.approx(0.11 * (2 / (1 + math.exp(5 * 6 / 99)) - 1))
    assert -0.11 < far < near < 0
    # Farther than three windows behind the last.
    assert nab.raw(SERIES, rows(960), STANDARD) + 2.0 == pytest.approx(-0.11)


def test_what_is_told_in_the_probation_counts_for_nothing() -> None:
    assert SERIES.probation == 150
    assert nab.probation(20_000) == 750
    assert nab.raw(SERIES, rows(0, 149), STANDARD) == nab.raw(SERIES, rows(), STANDARD)
    assert nab.raw(SERIES, rows(150), STANDARD) < nab.raw(SERIES, rows(), STANDARD)


@given(st.lists(st.integers(0, 999), max_size=20))
def test_no_alarms_are_worth_more_than_the_earliest_ones(places: list[int]) -> None:
    assert nab.score([SERIES], {SERIES.name: rows(*places)}, STANDARD) <= 100.0 + 1e-9


def test_a_folder_of_the_benchmark_is_read(tmp_path: Path) -> None:
    (tmp_path / "data" / "made").mkdir(parents=True)
    (tmp_path / "labels").mkdir()
    times = [f"2014-04-01 00:{minute:02}:00" for minute in range(60)]
    lines = ["timestamp,value", *(f"{time},{i}" for i, time in enumerate(times))]
    (tmp_path / "data" / "made" / "one.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    windows = {"made/one.csv": [[f"{times[20]}.000000", f"{times[29]}.000000"]]}
    path = tmp_path / "labels" / "combined_windows.json"
    path.write_text(json.dumps(windows), encoding="utf-8")
    assert nab.read(tmp_path) == [Series("made/one.csv", 60, ((20, 29),))]
    path.write_text(json.dumps({"made/one.csv": [["2015-01-01 00:00:00.000000", times[29]]]}), encoding="utf-8")
    with pytest.raises(RecordingError, match="no row of it"):
        nab.read(tmp_path)


@pytest.mark.parametrize(
    ("detector", "published"),
    [("windowedGaussian", (39.650, 20.868, 47.410)), ("randomCutForest", (51.717, 38.361, 59.749))],
)
def test_the_published_scores_come_out_to_three_decimals(detector: str, published: tuple[float, ...]) -> None:
    folder = Path(os.environ.get("STREAMRNN_DATA", "")) / "nab"
    if not os.environ.get("STREAMRNN_DATA") or not folder.is_dir():
        pytest.skip("STREAMRNN_DATA names no folder with `nab` in it")
    corpus = nab.read(folder)
    thresholds = json.loads((folder / "config" / "thresholds.json").read_text())[detector]
    with np.load(folder / "reference_scores" / f"{detector}.npz") as told:
        each = {series.name: told[series.name.removesuffix(".csv").replace("/", "__")] for series in corpus}
    for (name, profile), wanted in zip(PROFILES.items(), published, strict=True):
        alarms = {series: values >= thresholds[name]["threshold"] for series, values in each.items()}
        assert round(nab.score(corpus, alarms, profile), 3) == wanted


def test_sequences_are_counted_as_published() -> None:
    said = [(10, 20), (30, 40), (60, 70)]
    # The first alarm overlaps two and finds the first of them; two in one anomaly are one find; the last hits none.
    assert sequences(said, [(15, 35), (62, 63), (65, 66), (80, 90)]) == Sequences(found=2, false=1, missed=1)
    assert sequences(said, [(20, 30)]) == Sequences(0, 1, 3)
    both = Sequences(2, 1, 1) + Sequences(1, 0, 1)
    assert (both.precision, both.recall) == (3 / 4, 3 / 5)
    assert (Sequences().precision, Sequences().recall) == (0.0, 0.0)


def test_points_are_counted_one_by_one() -> None:
    counted = points([(10, 20)], [(15, 25)], 100)
    assert counted == Points(hit=5, false=5, missed=5, quiet=85)
    assert counted.f1 == 0.5
    assert (counted.false_alarm_rate, counted.missed_alarm_rate) == (5 / 90, 0.5)


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 10)), max_size=6))
def test_one_point_in_an_anomaly_is_no_more_than_one_point(places: list[tuple[int, int]]) -> None:
    said = [(start, start + length) for start, length in places]
    counted = points(said, [(0, 1)], 100)
    assert counted.hit + counted.false == 1
    assert counted.hit + counted.false + counted.missed + counted.quiet == 100
