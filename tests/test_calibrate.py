"""calibrate, and a budget wherever a bundle is used: the daemon, detect, eval and a program resolve it alike."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import soundfile
import yaml
from daemons import RESULTS, Daemon
from material import material

import streamrnn
from streamrnn import bundle
from streamrnn.assembly import check
from streamrnn.bundle import BUDGET
from streamrnn.cli import main
from streamrnn.config import load
from streamrnn.daemon_config import DaemonConfig
from streamrnn.errors import ConfigError
from streamrnn.evaluation.calibrating import BUDGETS, lines, promises
from streamrnn.operating import Det

BUDGET_FLAG = "--max-false-accepts-per-hour"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return material(tmp_path_factory.mktemp("material") / "set", talk=30)


@pytest.fixture(scope="module")
def calibrated(tiny_bundle: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By the command, as a user does it."""
    out = tmp_path_factory.mktemp("calibrated") / "tones.bundle"
    assert main(["calibrate", str(tiny_bundle), "--data", str(folder), "--hours", "0.3", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def budget(calibrated: Path) -> float:
    """The smallest whole one that there is evidence for."""
    read = bundle.read(calibrated)
    for each in range(1, 1000):
        try:
            bundle.with_budget(read, float(each))
        except ConfigError:
            continue
        return float(each)
    raise AssertionError("no budget is supported")


def thresholds(calibrated: Path, budget: float) -> tuple[float, float]:
    decoder = msgspec.to_builtins(bundle.with_budget(bundle.read(calibrated), budget).recognizer.config.decoder)
    return decoder["enter"], decoder["leave"]


def test_the_bundle_carries_what_was_measured(tiny_bundle: Path, calibrated: Path) -> None:
    before, after = bundle.read(tiny_bundle), bundle.read(calibrated)
    assert after.det.said == 18
    assert after.det.hours == pytest.approx(0.3)
    assert set(after.det.sources) == {"set"}
    assert (after.recognizer, after.graph) == (before.recognizer, before.graph)
    written = "\n".join(lines(after.det))
    assert "18 words in 0.3 h, of " in written
    assert set(promises(after.det)) == {f"{each:g}" for each in BUDGETS}
    assert written.count("refused: ") == sum("refused" in each for each in promises(after.det).values())


def test_the_command_calibrates_in_place_and_prints_one_document(
    calibrated: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = tmp_path / "here.bundle"
    here.write_bytes(calibrated.read_bytes())
    words = ["calibrate", str(here), "--data", str(folder), "--hours", "0.05", "--seed", "4", "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bundle"] == str(here)
    assert msgspec.convert(document["det"], Det) == bundle.read(here).det != bundle.read(calibrated).det


def test_what_calibrate_refuses(
    tiny_bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk, alone = tmp_path / "talk", tmp_path / "alone"
    for place, label in ((talk, "_talk"), (alone, "low")):
        (place / label).mkdir(parents=True)
        for file in sorted((folder / label).iterdir())[:3]:
            (place / label / file.name).write_bytes(file.read_bytes())
    for complaint, words in {
        "digits: is shipped and stays as it is; add --out": ["digits", "--data", folder],
        "no negatives to compose hours of": [tiny_bundle, "--data", alone],
        "no word of the bundle is in the data": [tiny_bundle, "--data", talk, "--hours", "0.05"],
        "--split dev: no recording is in it": [tiny_bundle, "--data", folder, "--split", "dev"],
        "--seed -1: at least 0": [tiny_bundle, "--data", folder, "--seed", "-1"],
    }.items():
        assert main(["calibrate", *map(str, words)]) == 2, complaint
        said = capsys.readouterr()
        assert complaint in said.err
        assert said.err.count("\n") == 1
        assert not said.out


def test_detect_eval_and_a_program_keep_the_budget_alike(
    calibrated: Path, folder: Path, budget: float, capsys: pytest.CaptureFixture[str]
) -> None:
    enter, leave = thresholds(calibrated, budget)
    assert enter != 0.5
    file = folder / "_talk" / "0.wav"
    samples, rate = soundfile.read(file, dtype="float32")
    heard = streamrnn.load(calibrated, max_false_accepts_per_hour=budget).detect(samples, rate)
    served = streamrnn.load(calibrated, max_false_accepts_per_hour=budget)._serving.recognizer.config.decoder
    assert (served.enter, served.leave) == (enter, leave)  # type: ignore[attr-defined]
    anyway = streamrnn.load(calibrated).detect(samples, rate)
    assert [event.body for event in heard] != [event.body for event in anyway]
    assert main(["detect", str(calibrated), str(file), "--json", BUDGET_FLAG, str(budget)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(heard)
    assert main(["eval", str(calibrated), "--data", str(folder), "--json", BUDGET_FLAG, str(budget)]) == 0
    strict = json.loads(capsys.readouterr().out)
    hours = ["eval", str(calibrated), "--data", str(folder), "--hours", "0.1", "--json", BUDGET_FLAG, str(budget)]
    assert main(hours) == 0
    kept = json.loads(capsys.readouterr().out)["budget"]
    assert kept["asked"] == budget
    assert (kept["promised"]["enter"], kept["promised"]["leave"]) == (enter, leave)
    assert kept["inside"] == (kept["promised"]["per_hour_low"] <= kept["came"] <= kept["promised"]["per_hour_high"])
    assert main(["eval", str(calibrated), "--data", str(folder), "--json"]) == 0
    assert strict["false_accepts_per_hour"] < json.loads(capsys.readouterr().out)["false_accepts_per_hour"]


def daemon_config(path: Path, served: Path, decoder: dict[str, object], file: Path) -> Path:
    document = {
        "bundles": [{"path": str(served), "decoder": decoder}],
        "sources": [{"kind": "wav", "path": str(file), "stream": "talk", "pace": "fastest"}],
        "sinks": [RESULTS],
        "until": "finished",
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_daemon_says_what_it_has_chosen_and_what_to_expect(
    calibrated: Path, folder: Path, budget: float, tmp_path: Path
) -> None:
    file = folder / "_talk" / "0.wav"
    config = daemon_config(tmp_path / "daemon.yaml", calibrated, {BUDGET: budget}, file)
    enter, _ = thresholds(calibrated, budget)
    with Daemon(config) as daemon:
        assert daemon.wait() == 0
        (line,) = [line for line in daemon.said if "to be expected" in line]
    assert f"enter {enter:.4g}" in line
    assert "90 %" in line
    assert "of the words missed" in line


def test_a_budget_without_evidence_is_refused_before_anything_runs(
    calibrated: Path, tiny_bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "_talk" / "0.wav"
    for served, decoder, why in (
        (tiny_bundle, {BUDGET: 0.5}, "bundles[0].decoder: 0.5 false accepts an hour: the bundle was never measured"),
        (calibrated, {BUDGET: 0.001}, "bundles[0].decoder: 0.001 false accepts an hour: only 0 heard in 0.3 h"),
        (calibrated, {BUDGET: 9, "leave": 0.1}, f"bundles[0].decoder: {BUDGET} chooses leave"),
        (calibrated, {BUDGET: 9, "smooth_ms": 7}, "bundles[0].decoder: the bundle's DET was measured with smooth_ms"),
    ):
        config = daemon_config(tmp_path / "daemon.yaml", served, decoder, file)
        with pytest.raises(ConfigError) as caught:
            check(load(config, DaemonConfig))
        assert str(caught.value).startswith(why)
    assert main(["detect", str(tiny_bundle), str(file), BUDGET_FLAG, "0.5"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"streamrnn detect: {BUDGET_FLAG}: 0.5 false accepts an hour: the bundle was never")
    assert (said.out, said.err.count("\n")) == ("", 1)
