"""eval --hours: a composed stream judged hour by hour, its material named, and a promise held against what came."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from material import material

from streamrnn import bundle
from streamrnn.cli import main
from streamrnn.engine import Serving
from streamrnn.evaluation import breakdown, hours
from streamrnn.evaluation.composing import Recipe, compose
from streamrnn.evaluation.recordings import read_data
from streamrnn.evaluation.run import evaluate
from streamrnn.evaluation.stock import gather


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return material(tmp_path_factory.mktemp("material") / "set")


def test_hours_noises_and_sources_add_up(serving: Serving, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (hours, breakdown):  # nobody waits for hours
        monkeypatch.setattr(module, "HOUR_S", 60.0)
    stock = gather(read_data([folder]).recordings, serving.recognizer.config)
    (composed,) = compose(stock, Recipe(words_per_hour=600.0), 210.0, 1, seed=6)
    told: list[float] = []
    (stream,) = evaluate(serving, [composed], heard_s=told.append).streams
    assert sum(told) == pytest.approx(210.0)
    document = hours.judged(stream, composed, [folder])
    (each,) = document["hours"]
    rows = each["hours"]
    assert [row["hour"] for row in rows] == [1, 2, 3, 4]
    assert [row["seconds"] for row in rows] == [60.0, 60.0, 60.0, 30.0]
    assert sum(row["recall"]["of"] for row in rows if "recall" in row) == len(stream.said) == len(composed.words) > 20
    hits = sum(row["recall"]["count"] for row in rows if "recall" in row)
    assert hits == len(stream.matching.hits)
    false = [row["false_accepts_per_hour"]["count"] for row in rows]
    assert sum(false) == len(stream.matching.false) >= 5
    noise = document["composed"]["noise"]
    assert next(iter(noise)) == "no noise"
    assert sum(part["seconds"] for part in noise.values()) == pytest.approx(210.0)
    assert sum(part["false_accepts_per_hour"]["count"] for part in noise.values()) == sum(false)
    assert sum(part["miss_rate"]["of"] for part in noise.values() if "miss_rate" in part) == len(stream.said)
    over = document["composed"]["false_accepts_per_hour"]
    assert over["value"] == pytest.approx(sum(false) / 3.5)
    assert over["low"] <= over["value"] <= over["high"]
    assert document["distinct_minutes"] == pytest.approx(sum(document["composed"]["sources"].values()) / 60, abs=0.01)
    assert set(each["drift"]) == {"recall", "false_accepts_per_hour", "state_norms"}
    assert not hours.kept(stream, bundle.read(bundle.shipped("digits")))
    json.dumps(document, allow_nan=False)


def test_the_command_composes_judges_and_says_what_nothing_proves(
    tiny_bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A bundle that hears nothing any more has no false accept.
    deaf = bundle.with_decoder(bundle.read(tiny_bundle), {"enter": 1.0, "leave": 1.0}, "")
    written = bundle.write(tmp_path / "deaf.bundle", bundle.measured(deaf, deaf.det))
    words = ["eval", str(written.path), "--data", str(folder), "--hours", "0.05", "--seed", "2"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "zero in 0.05 hours proves only < 60 an hour" in said.out
    assert "min of different material (set " in said.out
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["false_accepts_per_hour"] == 0.0
    assert document["miss_rate"] == 1.0
    assert document["seconds"] == 180.0
    assert len(document["hours"][0]["hours"]) == 1
    assert main([*words, "--json", "--chunk-ms", "333"]) == 0
    assert json.loads(capsys.readouterr().out) == document


def test_hours_need_negatives_and_a_seed(
    tiny_bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "low").mkdir()
    (tmp_path / "low" / "0.wav").write_bytes((folder / "low" / "0.wav").read_bytes())
    for data, more, complaint in ((tmp_path, [], "no negatives to compose"), (folder, ["--seed", "-2"], "--seed -2")):
        assert main(["eval", str(tiny_bundle), "--data", str(data), "--hours", "1", *more]) == 2
        assert complaint in capsys.readouterr().err
