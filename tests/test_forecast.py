"""Forecasts: the law of the head and its features, training without labels, and baselines in the same report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from streamrnn import bundle as bundles
from streamrnn import cli, engine
from streamrnn.config import load
from streamrnn.evaluation import alarming, calibrating, forecasts
from streamrnn.evaluation.calibrating import Calibration
from streamrnn.evaluation.recordings import read_data
from streamrnn.events import Alarm
from streamrnn.features import Scale
from streamrnn.forecast import Beside, Forecast
from streamrnn.memories import Lag, Standardise
from streamrnn.models import Gru
from streamrnn.network import Network
from streamrnn.recognizer import ForecastConfig, GruConfig, LagConfig, ScaleConfig, StandardiseConfig
from streamrnn.stage import Inputs
from streamrnn.testing.torch import check_stage
from streamrnn.training.plan import TrainingConfig

INPUTS = Inputs(3, 1.0, 1, 3)
PLAN = """
recognizer:
  name: wave
  rate: 1
  labels: {anomaly: []}
  features: [{kind: scale}, {kind: lag, frames: [1, 23]}]
  model: {kind: gru, layers: 1, hidden: 4}
  head: {kind: forecast, beta: 1.0}
  decoder: {kind: alarm, memory_ms: 300000, probation_ms: 100000, enter: 0.7, leave: 0.3, hold_ms: 5000}
material: {kind: recordings, longest_ms: 200000, settle_ms: 24000}
training:
  {steps: 100, lanes: 8, unroll_ms: 50000, learning_rate: 0.02, warm_up_steps: 5, judge_every: 50, averaging: 0.9}
"""


def test_the_law_holds_for_the_head_and_its_features() -> None:
    check_stage(Lag(LagConfig(frames=(1, 7)), INPUTS), INPUTS.width)
    check_stage(Standardise(StandardiseConfig(doublings=3), INPUTS), INPUTS.width)
    check_stage(Beside(Gru(GruConfig(layers=1, hidden=4), INPUTS), INPUTS), INPUTS.width)
    check_stage(Forecast(ForecastConfig(steps=3, channels=2), 5, ("anomaly",)), 5)


def test_a_lag_brings_what_was_so_many_frames_ago() -> None:
    x = torch.arange(1.0, 11.0).reshape(1, 10, 1)
    stage = Lag(LagConfig(frames=(1, 4)), Inputs(1, 1.0, 1))
    y, _ = stage(x, stage.initial_state(1))
    assert y[0, 5].tolist() == [6.0, 5.0, 2.0]
    assert y[0, 0].tolist() == [1.0, 0.0, 0.0]


def test_a_stream_is_measured_by_its_own_last_frames() -> None:
    random = np.random.default_rng(0)
    values = 1e6 + 50.0 * random.standard_normal(40)
    stage = Standardise(StandardiseConfig(doublings=4, most=100.0), Inputs(1, 1.0, 1))
    x = torch.from_numpy(values.astype(np.float32)).reshape(1, -1, 1)
    # A thousandth of the value is the least deviation.
    y, _ = stage(x, stage.initial_state(1))
    last = values[24:40]
    assert float(y[0, 39, 0]) == pytest.approx((values[39] - last.mean()) / 1e3, abs=1e-3)
    y, _ = stage(x * 1e-6 - 1.0, stage.initial_state(1))
    assert float(y[0, 39, 0]) == pytest.approx((values[39] - last.mean()) / last.std(), rel=0.02)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_forecast_is_judged_by_the_frame_that_it_is_of(steps: int) -> None:
    head = Forecast(ForecastConfig(steps=steps, channels=1), 2, ("anomaly",))
    x = torch.randn(1, 12, 2)
    logits, _ = head(x, head.initial_state(1))
    said = head.posterior(logits)[0]
    place = {name: i for i, name in enumerate(head.columns)}
    assert said[:, place["_ready"]].tolist() == [0.0] * steps + [1.0] * (12 - steps)
    assert torch.equal(said[:, place["_seen.0"]], x[0, :, 0])
    assert torch.allclose(said[steps:, place["_expected.0"]], said[:-steps, place["_coming.0"]])
    # Frames that nobody forecast teach nothing.
    weight = torch.zeros(1, 12)
    weight[:, :steps] = 1.0
    assert head.loss(logits, torch.zeros(1, 12, 1), weight).item() == 0.0


def waves(folder: Path, *, broken: bool) -> Path:
    folder.mkdir()
    random = np.random.default_rng(1)
    lines = ["path,label,split,start,end"]
    for place in range(4):
        time = np.arange(600)
        values = 20 + 5 * np.sin(2 * np.pi * (time + 5 * place) / 24) + 0.3 * random.standard_normal(600)
        name = f"{place}.csv"
        if broken and place == 3:
            values[400:420] += 12.0
            lines.append(f"{name},anomaly,test,400,420")
        else:
            lines.append(f"{name},,{'test' if place == 3 else 'train'},,")
        rows = [f"{second},{value:.4f}" for second, value in enumerate(values)]
        (folder / name).write_text("\n".join(["time,value", *rows]) + "\n", encoding="utf-8")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle that was trained on recordings without labels, and the folder of them."""
    place = tmp_path_factory.mktemp("forecast")
    folder = waves(place / "waves", broken=True)
    plan = place / "plan.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    out = place / "wave.bundle"
    assert cli.main(["train", str(plan), "--data", str(folder), "--out", str(out)]) == 0
    return out, folder


def test_eval_has_the_baselines_and_the_alarms_in_one_report(
    trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out, folder = trained
    capsys.readouterr()
    assert cli.main(["eval", str(out), "--data", str(folder), "--split", "test", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    errors = told["forecast"]["mean_square_error"]
    assert set(errors) == {"network", "autoregression", "persistence"}
    assert told["alarms"]["all"]["sequences"]["recall"] == 1.0
    assert told["miss_rate"] == 0.0
    assert told["invariance"]["difference"] == ""
    assert cli.main(["eval", str(out), "--data", str(folder), "--split", "test"]) == 0
    assert "autoregression" in capsys.readouterr().out
    # What is forecast out of an anomaly, or into one, tells nothing of how well the usual is.
    usual = [each for each in read_data([folder]).recordings if each.split == "train"]
    errors = forecasts.document(engine.serving(bundles.read(out)), usual, usual)["mean_square_error"]
    assert errors["autoregression"] < errors["persistence"]
    assert errors["network"] < errors["persistence"]


def test_an_alarm_tells_values_as_the_source_has_them(trained: tuple[Path, Path]) -> None:
    out, folder = trained
    serving = engine.serving(bundles.read(out))
    recording = next(each for each in read_data([folder]).recordings if each.path.name == "3.csv")
    heard = engine.Engine([serving])
    heard.open("machine", 1, 1)
    samples, at, events = recording.samples(), 0, []
    for size in (1, 399, 3, 1, 50, 146):
        heard.push("machine", at, samples[at : at + size])
        at += size
        events += heard.run()
    heard.finish("machine")
    events += heard.run()
    alarm = next(event for event in events if event.kind == "alarm")
    assert isinstance(alarm.body, Alarm)
    assert 399 <= alarm.body.start <= 402
    blame = alarm.body.channels[0]
    assert blame.seen == pytest.approx(float(samples[alarm.sample - 1, 0]), rel=1e-3)
    assert 10 < blame.expected < 30
    assert len({event.id for event in events}) == len(events)


def test_a_budget_is_kept_with_recordings_as_they_are(trained: tuple[Path, Path]) -> None:
    out, folder = trained
    det = calibrating.calibrate(bundles.read(out), Calibration(read_data([folder]).recordings, (folder,)))
    assert det.said == 1
    false = [point.false_accepts for point in det.points]
    assert false[0] >= false[-1]
    assert false[-1] == 0
    assert det.decoder["kind"] == "alarm"


def test_scale_gives_the_units(trained: tuple[Path, Path]) -> None:
    ((mean, deviation),) = bundles.read(trained[0]).recognizer.units
    assert mean == pytest.approx(20.0, abs=1.0)
    assert deviation == pytest.approx(5 / 2**0.5, abs=1.0)


def test_an_autoregression_finds_what_is_linear() -> None:
    random = np.random.default_rng(0)
    values = np.zeros(4000)
    for i in range(2, 4000):
        values[i] = 1.2 * values[i - 1] - 0.5 * values[i - 2] + random.standard_normal()
    weights = forecasts.fit([values[:, None]], (0, 1))
    assert weights[:2, 0] == pytest.approx([1.2, -0.5], abs=0.05)


def test_the_groups_are_reported_apart(trained: tuple[Path, Path]) -> None:
    assert alarming.judged([]).keys() == {"all"}


@pytest.mark.parametrize("name", ["forecast", "anomaly"])
def test_the_configs_build(name: str) -> None:
    plan = load(Path(__file__).parents[1] / "configs" / f"{name}.yaml", TrainingConfig)
    network = Network(plan.recognizer)
    assert network.recognizer.columns[0] == "anomaly"
    assert isinstance(Scale(ScaleConfig(), INPUTS), Scale)
