"""What a config file may say: overrides of sections that are not there, choices in errors, numbers that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from daemons import INGEST, RESULTS, write_config
from tiny import WORDS

from streamrnn import config
from streamrnn.cli import main
from streamrnn.daemon_config import DaemonConfig
from streamrnn.errors import ConfigError
from streamrnn.training.plan import TrainingConfig, WordsConfig

BARE = WORDS[: WORDS.index("training:")]


def plan(tmp_path: Path, *overrides: str, text: str = BARE) -> TrainingConfig:
    (tmp_path / "c.yaml").write_text(text)
    return config.load(tmp_path / "c.yaml", TrainingConfig, list(overrides))


def refusal(tmp_path: Path, *overrides: str, text: str = BARE) -> str:
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, *overrides, text=text)
    assert str(tmp_path / "c.yaml") in str(caught.value)
    return str(caught.value)


def test_a_section_that_is_known_and_absent_is_made(tmp_path: Path, tiny_bundle: Path) -> None:
    assert plan(tmp_path, "training.steps=7").training.steps == 7
    made = plan(tmp_path, "recognizer.targets.ignore_ms=9", "material.speech.texts.low=low", "finetuning.lanes=3")
    assert made.recognizer.targets.ignore_ms == 9
    assert made.recognizer.targets.place == "end"
    assert isinstance(made.material, WordsConfig)
    assert made.material.speech is not None
    assert made.material.speech.texts == {"low": "low"}
    assert made.finetuning.lanes == 3
    daemon = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS])
    served = config.load(daemon, DaemonConfig, ["engine.max_streams=4", "bundles.0.decoder.enter=0.7"])
    assert served.engine.max_streams == 4
    assert served.bundles[0].decoder == {"enter": 0.7}


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("trainin.steps=7", "did you mean 'training'?"),
        ("training.stepz=7", "training.stepz: unknown key; did you mean 'steps'?"),
        ("recognizer.target.place=end", "did you mean 'targets'?"),
        ("material.speach.share=1", "did you mean 'speech'?"),
        ("recognizer.features.9.bands=1", "'9' is no place"),
        ("recognizer.name.x=1", "'name' is no place"),
        ("training.steps.x=1", "'steps' is no place"),
        ("training", "write key.path=value"),
    ],
)
def test_what_is_unknown_is_not_made(tmp_path: Path, override: str, says: str) -> None:
    assert says in refusal(tmp_path, override)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("recognizer.targets.place=middle", "'middle': use one of whole, end"),
        ("training.steps=many", "'many': write a whole number, not text"),
        ("training.steps=1.5", "1.5: write a whole number"),
        ("training.learning_rate=1e999", "no finite number"),
        ("material.snr_db={least: 1, most: 1e999}", "material.snr_db.most: inf: no finite number"),
        ("training.unroll_ms=0", "training.unroll_ms: 0 unrolls whole recordings"),
        ("finetuning.unroll_ms=0", "finetuning.unroll_ms: 0 unrolls whole recordings"),
    ],
)
def test_a_value_that_does_not_fit_comes_with_its_repair(tmp_path: Path, override: str, says: str) -> None:
    assert says in refusal(tmp_path, override)


@pytest.mark.parametrize(("text", "says"), [("", "is empty"), ("# all of it\n", "is empty"), ("- a\n", "is a list")])
def test_a_file_that_is_no_mapping_says_what_is_expected(
    tmp_path: Path, text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"{says}; write `key: value` lines" in refusal(tmp_path, text=text)
    assert main(["config", str(tmp_path / "c.yaml")]) == 2
    assert says in capsys.readouterr().err


MISFITS = {
    "no-frame": ("{kind: frame, window_ms: 25, hop_ms: 20}", "{kind: mask}", "features[1].kind: takes windows"),
    "twice": ("{kind: scale}", "{kind: mfcc}", "features[2].kind: takes windows of samples, not 8 values"),
    "high": ("bands: 8", "bands: 8, high_hz: 5000", "features[1].high_hz: 5000 must lie above"),
    "narrow": ("bands: 8", "bands: 8, low_hz: 100, high_hz: 101", "features[1].high_hz: a window of 200 samples"),
    "short": ("window_ms: 25", "window_ms: 10", "features[0].window_ms: 10.0 is shorter than hop_ms"),
    "hop": ("hop_ms: 20", "hop_ms: 20.01", "features[0].hop_ms: 20.01 ms are"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_cannot_be_built_is_not_valid_and_training_says_the_same_before_it_reads_data(
    misfit: str, words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, wrong, says = MISFITS[misfit]
    assert there in WORDS
    path = tmp_path / "c.yaml"
    path.write_text(WORDS.replace(there, wrong))
    said = []
    for command in (["config"], ["train", "--data", str(words), "--out", str(tmp_path / "o.bundle")]):
        assert main([command[0], str(path), *command[1:]]) == 2
        shown = capsys.readouterr()
        assert (shown.out, shown.err.count("\n")) == ("", 1)
        said.append(shown.err.partition(": ")[2])
    assert said[0] == said[1]
    assert said[0].startswith(f"{path}: recognizer.{says}")


def test_windows_of_several_channels_are_no_input_of_mel_bands(tmp_path: Path) -> None:
    from streamrnn.training import trial

    with pytest.raises(ConfigError, match=r"material.kind: words are sound of 1 channel"):
        trial.build(plan(tmp_path, "recognizer.channels=2"))
    made = plan(tmp_path, "recognizer.channels=2", "material={kind: recordings}")
    with pytest.raises(ConfigError, match=r"recognizer.features\[1\].kind: takes windows of one channel, not of 2"):
        trial.build(made)


def test_fine_tuning_does_not_pass_over_what_was_set(
    words: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(WORDS)
    command = ["train", str(tmp_path / "c.yaml"), "--data", str(words), "--out", str(tmp_path / "o.bundle")]
    assert main([*command, "--from", str(tiny_bundle), "--set", "training.steps=20"]) == 2
    assert "write --set finetuning.steps=20" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bundles": [{"decoder": {"enter": "x"}}]}, "bundles[0].decoder.enter: 'x': write a number, not text"),
        ({"bundles": [{"decoder": {"enter": 2}}]}, "bundles[0].decoder.enter: 2"),
        ({"sources": [{"kind": "wav", "path": "a", "stream": "a", "pace": "fast"}]}, "pace: 'fast': use one of realti"),
        ({"sources": [{"kind": "zeromq"}, {"kind": "zeromq"}]}, "sources[1].endpoint: tcp://127.0.0.1:5561 is that of"),
        ({"sinks": [{"kind": "zeromq", "endpoint": "ipc://a"}] * 2}, "sinks[1].endpoint: ipc://a is that of sinks[0]"),
    ],
)
def test_a_daemon_that_cannot_be_is_not_valid_and_the_file_is_named(
    tmp_path: Path,
    tiny_bundle: Path,
    changes: dict[str, list[dict[str, object]]],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = {"sources": [INGEST], "sinks": [RESULTS], **changes}
    if "bundles" in changes:
        document["bundles"] = [{"path": str(tiny_bundle), **changes["bundles"][0]}]
    path = write_config(tmp_path / "d.yaml", tiny_bundle, **document)
    for command in ("config", "serve"):
        assert main([command, str(path)]) == 2
        shown = capsys.readouterr()
        assert shown.err.startswith(f"streamrnn {command}: {path}: ")
        assert says in shown.err
