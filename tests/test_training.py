"""Training: truncated backpropagation as the books have it, fine-tuning, and one line for every mistake of a user."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import torch
from tiny import RATE, WORDS, job, plan, tone_folder
from torch import Tensor

from streamrnn.bundle import Bundle, read
from streamrnn.cli import main
from streamrnn.errors import ConfigError
from streamrnn.network import Network
from streamrnn.recognizer import Recognizer
from streamrnn.speech import espeak, together
from streamrnn.stage import State
from streamrnn.training import checkpoint, fit, run
from streamrnn.training.lanes import Segment, Unroll
from streamrnn.training.passport import passport
from streamrnn.training.pieces import Clip, Piece, Supply
from streamrnn.training.plan import SpeechConfig, TrainingConfig, WordsConfig
from streamrnn.training.words import Words

torch.set_num_threads(1)


class Noise:
    """Pieces of noise, every third of which begins a stream; the first label holds where it is loud."""

    def __init__(self, recognizer: Recognizer, lengths: Sequence[int] = (7, 12, 5), *, whole: bool = False) -> None:
        self.recognizer, self.lengths, self.whole = recognizer, lengths, whole

    def piece(self, lane: int, index: int) -> Piece:
        frames, hop = self.lengths[(lane + index) % len(self.lengths)], self.recognizer.hop
        random = np.random.default_rng([lane, index])
        loud = random.random(frames) < 0.5
        level = np.repeat(np.where(loud, 0.3, 0.01), hop)[:, None]
        samples = (random.standard_normal((frames * hop, 1)) * level).astype(np.float32)
        target = np.stack([loud, np.zeros(frames)], axis=1).astype(np.float32)
        return Piece(samples, target, np.ones(frames, np.float32), self.whole or index % 3 == 0)

    def judged(self, clips: Sequence[Clip]) -> list[Piece]:
        return [self.piece(99, index) for index in range(5)]

    def suspects(self, step: int) -> Iterator[np.ndarray]:
        return iter(())

    def weigh(self, scores: np.ndarray) -> None:
        raise AssertionError("nothing was listened to")


class Watched(Network):
    """A network that notes each call: its samples, and whether a gradient would flow into the state that it gets."""

    def __init__(self, made: TrainingConfig) -> None:
        super().__init__(made.recognizer)
        self.calls: list[tuple[int, bool, float]] = []

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if self.training:
            carried = any(value.requires_grad for value in state.values())
            self.calls.append((x.shape[1], carried, float(state["gru.0.h"].detach().abs().max())))
        return super().forward(x, state)


def made_run(made: TrainingConfig, place: Path, *, whole: bool = False) -> tuple[fit.Run, Watched]:
    torch.manual_seed(5)
    network = Watched(made)
    material = Noise(network.recognizer, whole=whole)
    return fit.Run(made.training, network, material, material.judged([]), 12, "plan", place), network


def weights(network: Network) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def unroll(network: Network, samples: np.ndarray, edges: Sequence[int], first: np.ndarray) -> Unroll:
    frames = samples.shape[1] // network.hop
    segments = tuple(
        Segment(a, b, first if a and first.any() else np.zeros(len(samples), bool))
        for a, b in itertools.pairwise(edges)
    )
    target = np.zeros((len(samples), frames, 2), samples.dtype)
    return Unroll(samples, target, np.ones((len(samples), frames), samples.dtype), segments, ())


def test_a_lane_that_begins_anew_is_a_fresh_stream_and_its_neighbour_goes_on() -> None:
    torch.manual_seed(0)
    network = Network(plan().recognizer).eval()
    samples = np.random.default_rng(0).standard_normal((2, 10 * network.hop, 1)).astype(np.float32) * 0.1
    with torch.no_grad():
        _, dirty = network(torch.from_numpy(samples), network.initial_state(2))
        logits, after = fit.through(network, unroll(network, samples, [0, 4, 10], np.array([True, False])), dirty)
        fresh, fresh_after = network(torch.from_numpy(samples[:1, 4 * network.hop :]), network.initial_state(1))
        whole, whole_after = network(torch.from_numpy(samples), dirty)
    assert torch.allclose(logits[:1, 4:], fresh, atol=1e-6)
    assert torch.allclose(logits[1], whole[1], atol=1e-6)
    for name, value in after.items():
        assert torch.allclose(value[:1], fresh_after[name], atol=1e-6)
        assert torch.allclose(value[1], whole_after[name][1], atol=1e-6)


def test_the_gradient_through_segments_is_that_of_one_call() -> None:
    torch.manual_seed(0)
    network = Network(plan().recognizer).eval().double()
    samples = np.random.default_rng(0).standard_normal((2, 12 * network.hop, 1)) * 0.1
    nobody = np.zeros(2, bool)

    def gradients(edges: Sequence[int]) -> list[Tensor]:
        state = {name: value.double() for name, value in network.initial_state(2).items()}
        batch = unroll(network, samples, edges, nobody)
        logits, _ = fit.through(network, batch, state)
        loss = network.head.loss(logits, torch.from_numpy(batch.target), torch.from_numpy(batch.teaches))
        return list(torch.autograd.grad(loss, list(network.parameters())))

    for one, other in zip(gradients([0, 12]), gradients([0, 3, 4, 9, 12]), strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


def test_state_is_carried_on_detached_and_within_an_unroll_it_is_not(tmp_path: Path) -> None:
    made = plan(training={"steps": 6, "lanes": 2, "unroll_ms": 200, "judge_every": 6})
    one, network = made_run(made, tmp_path / "c")
    fit.fit(one, lambda report: None)
    begins, at = [], 0
    for samples, carried, memory in network.calls:
        begins.append((at % (10 * network.hop) == 0, carried, memory))
        at += samples
    assert sum(first for first, _, _ in begins) == 6
    assert not any(carried for first, carried, _ in begins if first)
    assert any(carried for first, carried, _ in begins if not first)
    assert [memory > 0 for first, _, memory in begins if first] == [False, *[True] * 5]


def test_no_unroll_is_whole_recordings_each_from_the_initial_state(tmp_path: Path) -> None:
    made = plan(material={"kind": "recordings"}, training={"steps": 4, "lanes": 3, "unroll_ms": 0, "judge_every": 4})
    one, network = made_run(made, tmp_path / "c", whole=True)
    fit.fit(one, lambda report: None)
    assert network.calls == [(one.longest * network.hop, False, 0.0)] * 4


def test_a_run_cut_off_after_any_step_ends_in_the_same_weights(tmp_path: Path) -> None:
    made = plan(training={"steps": 9, "lanes": 3, "unroll_ms": 200, "judge_every": 2, "warm_up_steps": 2})
    one, network = made_run(made, tmp_path / "whole")
    wanted = fit.fit(one, lambda report: None)
    for cut in range(1, 10):

        def stop(report: fit.Report, cut: int = cut) -> None:
            if report.step == cut:
                raise KeyboardInterrupt

        place = tmp_path / f"cut{cut}"
        with pytest.raises(KeyboardInterrupt):
            fit.fit(made_run(made, place)[0], stop)
        # Another process has other random numbers and weights by the time it resumes.
        again, other = made_run(made, place)
        torch.manual_seed(1234)
        with torch.no_grad():
            other.head.layer.bias += 1.0
        assert fit.fit(again, lambda report: None, checkpoint.load(place)) == wanted
        assert equal(weights(network), weights(other))


def test_patience_stops_and_a_resumed_run_stays_stopped(tmp_path: Path) -> None:
    made = plan(
        training={"steps": 200, "lanes": 2, "unroll_ms": 200, "judge_every": 1, "patience": 3, "learning_rate": 0.2}
    )
    steps: list[int] = []
    one, network = made_run(made, tmp_path / "c")
    progress = fit.fit(one, lambda report: steps.append(report.step))
    assert progress.step == progress.best_step + 3 < 200
    again, other = made_run(made, tmp_path / "c")
    assert fit.fit(again, lambda report: steps.append(-1), checkpoint.load(tmp_path / "c")) == progress
    assert -1 not in steps
    assert equal(weights(network), weights(other))


def test_what_is_kept_is_the_best_average_and_it_has_learnt(tmp_path: Path) -> None:
    made = plan(training={"steps": 60, "lanes": 8, "unroll_ms": 400, "judge_every": 10, "learning_rate": 0.02})
    reports: list[fit.Report] = []
    one, network = made_run(made, tmp_path / "c")
    progress = fit.fit(one, reports.append)
    judged = {report.step: report.judgement.loss for report in reports if report.judgement}
    assert list(judged) == [10, 20, 30, 40, 50, 60]
    assert progress.best_loss == min(judged.values()) == judged[progress.best_step]
    assert fit.judge(network, one.judged).loss == pytest.approx(progress.best_loss)
    assert progress.best_loss < 0.5 * reports[0].loss
    assert not network.training


def test_a_loss_that_is_no_number_says_what_to_lower(tmp_path: Path) -> None:
    made = plan(training={"steps": 50, "lanes": 2, "unroll_ms": 200, "learning_rate": 1e30, "clip_norm": 1e30})
    with pytest.raises(ConfigError, match=r"learning_rate: 1e\+30 is too high, at step .* lower it"):
        fit.fit(made_run(made, tmp_path / "c")[0], lambda report: None)


def clip(label: int, seed: int, background: str = "") -> Clip:
    from streamrnn.training.pieces import Span

    samples = np.random.default_rng(seed).standard_normal((RATE // 2, 1)).astype(np.float32) * 0.1
    spans = (Span(800, 3200, label),) if label >= 0 else ()
    return Clip(samples, spans, f"speaker{seed % 2}", "", background, ((0, len(samples)),))


def test_words_are_a_function_of_seed_lane_and_index() -> None:
    recognizer = Network(plan().recognizer).recognizer
    clips = [clip(0, 0), clip(1, 1), clip(0, 3), clip(-1, 4, "_noise"), clip(-1, 5, "_other")]

    def words(seed: int) -> Words:
        return Words(WordsConfig(variants=2), recognizer, clips, Supply(seed, 4))

    one, other = words(0), words(0)
    other.piece(3, 9)
    a, b = one.piece(1, 2), other.piece(1, 2)
    assert np.array_equal(a.samples, b.samples)
    assert np.array_equal(a.target, b.target)
    assert not np.array_equal(a.samples, words(1).piece(1, 2).samples)
    taught = np.zeros(2)
    for index in range(20):
        piece = one.piece(0, index)
        assert piece.samples.shape == (piece.frames * recognizer.hop, 1)
        assert np.isfinite(piece.samples).all()
        assert np.abs(piece.samples).max() <= 1.0001
        taught += piece.target.sum(axis=0)
    assert (taught > 0).all()


def test_fine_tuning_begins_with_the_weights_of_a_bundle_and_says_so(trained: Bundle, tmp_path: Path) -> None:
    made = plan(training={"steps": 1, "lanes": 2, "unroll_ms": 200, "learning_rate": 1e-12, "weight_decay": 0})
    started = run.anew(
        job(made, tone_folder(tmp_path / "own"), tmp_path / "own.bundle"), run.weights_of(trained.path, made)
    )
    assert started.passport["origin"] == trained.sha
    assert all(np.allclose(started.weights[name], value, atol=1e-6) for name, value in trained.weights.items())


def test_fine_tuning_another_network_is_refused(trained: Bundle) -> None:
    other = plan(recognizer__model={"kind": "gru", "layers": 1, "hidden": 9}, recognizer__labels={"low": [], "mid": []})
    with pytest.raises(ConfigError, match="its model, labels differ from the config's"):
        run.weights_of(trained.path, other)


def test_a_passport_names_data_seed_and_versions_and_no_path(trained: Bundle, words: Path) -> None:
    passport = trained.passport
    assert passport["data"][0]["name"] == words.name
    assert len(passport["data"][0]["sha256"]) == 64
    assert passport["seed"] == 0
    assert passport["config"]["recognizer"]["name"] == "tiny"
    assert {"torch", "numpy"} <= set(passport["versions"])
    assert passport["metrics"]["steps"] == 12
    assert str(words.parent) not in msgspec.json.encode(passport).decode()
    folder = trained.path.with_name(trained.path.name + ".training")
    assert {"checkpoint.safetensors", "metrics.jsonl", "training.png"} == {file.name for file in folder.iterdir()}


def said_of(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What a train command that is refused says; the table of the data may stand before it."""
    assert main(["train", *map(str, words)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = [line for line in shown.err.splitlines() if line.startswith("streamrnn train: ")]
    assert len(lines) == 1
    assert shown.err.endswith(lines[0] + "\n")
    return lines[0]


MISTAKES = {
    "label-without-clips": (["recognizer.labels.zoom=[]"], "label 'zoom': no recording in the data"),
    "label-without-recordings": (
        ["recognizer.labels.zoom=[]", "material={kind: recordings}"],
        "label 'zoom': no recording in the data",
    ),
    "channels": (
        ["recognizer.channels=2", "recognizer.features=[{kind: frame}]", "material={kind: recordings}"],
        "1 channels, the recognizer takes 2",
    ),
    "split": (["validation={split: devv}"], "validation.split: no recording is in 'devv'; there are dev, train"),
    "endless": (["training.unroll_ms=0"], "training.unroll_ms: 0 unrolls whole recordings"),
    "texts": (["material.speech={texts: {lwo: low}}"], "material.speech.texts.lwo: no label; did you mean 'low'?"),
    "key": (["training.stepz=3"], "training.stepz: unknown key; did you mean 'steps'?"),
    "feature": (["recognizer.features.1.bandz=3"], "recognizer.features[1].bandz: unknown key"),
    "order": (["material.speed={least: 2, most: 1}"], "material.speed: least 2 is above most 1"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_config_is_one_line(
    mistake: str, words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(WORDS)
    changes, said = MISTAKES[mistake]
    sets = [word for change in changes for word in ("--set", change)]
    command = [tmp_path / "c.yaml", "--data", words, "--out", tmp_path / "o.bundle", *sets]
    assert said in said_of(capsys, *command)
    assert not (tmp_path / "o.bundle").exists()


def test_data_that_is_not_there_is_one_line(words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(WORDS)
    out = ("--out", tmp_path / "o.bundle")
    assert "no such folder" in said_of(capsys, config, "--data", tmp_path / "none", *out)
    (tmp_path / "empty").mkdir()
    assert "no recordings" in said_of(capsys, config, "--data", tmp_path / "empty", *out)
    shutil.copytree(words, tmp_path / "holes")
    (tmp_path / "holes" / "ann" / "low_0.wav").unlink()
    assert "low_0.wav, which is missing" in said_of(capsys, config, "--data", tmp_path / "holes", *out)
    text = (words / "manifest.csv").read_text().replace(",train,", ",dev,")
    (tmp_path / "holes" / "manifest.csv").write_text(text)
    (tmp_path / "holes" / "ann" / "low_0.wav").write_bytes((words / "ann" / "low_0.wav").read_bytes())
    assert "left to train on (splits: dev)" in said_of(capsys, config, "--data", tmp_path / "holes", *out)
    assert "is a folder; name a file in it" in said_of(capsys, config, "--data", words, "--out", tmp_path)
    (tmp_path / "file").write_text("")
    assert "cannot be made" in said_of(capsys, config, "--data", words, "--out", tmp_path / "file" / "o.bundle")
    assert "none.yaml" in said_of(capsys, tmp_path / "none.yaml", "--data", words, *out)
    assert "no.bundle" in said_of(capsys, config, "--data", words, *out, "--from", tmp_path / "no.bundle")


# One of the two labels is made from text, the other has no recording.
SPOKEN = "material={kind: words, variants: 1, speech: {texts: {low: low}, clips: 1}}"


@pytest.mark.parametrize("material", [SPOKEN, "material={kind: recordings}"])
def test_data_without_any_label_of_the_recognizer_is_one_line(
    material: str, words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(WORDS)
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        shutil.copy(words / "ann" / "low_0.wav", tmp_path / "data" / name / "0.wav")
    command = [tmp_path / "c.yaml", "--data", tmp_path / "data", "--out", tmp_path / "o.bundle", "--set", material]
    said = said_of(capsys, *command)
    assert f"{tmp_path / 'data'}: labels cat, dog are all unknown to the recognizer, which knows low, high" in said


def test_an_engine_that_is_not_there_is_one_line(
    words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.yaml").write_text(WORDS)
    monkeypatch.setenv("PATH", str(tmp_path))
    material = "material={kind: words, speech: {texts: {low: low}, engines: [flite]}}"
    command = [tmp_path / "c.yaml", "--data", words, "--out", tmp_path / "o.bundle", "--set", material]
    said = said_of(capsys, *command)
    assert "material.speech.engines: espeak-ng is not installed" in said


def test_the_passport_says_who_spoke() -> None:
    if not espeak.available():
        pytest.skip("espeak-ng is not installed")
    for engines, spoken in ((("espeak-ng",), espeak.version()), ((), together.named((), "training").name())):
        config = WordsConfig(speech=SpeechConfig(texts={"low": "low"}, engines=engines))
        assert passport(msgspec.structs.replace(plan(), material=config), [], [])["synthesis"] == spoken


def test_words_may_all_be_made_from_text() -> None:
    if not espeak.available():
        pytest.skip("espeak-ng is not installed")
    recognizer = Network(plan().recognizer).recognizer
    config = WordsConfig(variants=1, speech=SpeechConfig(texts={"low": "low", "high": "high"}, clips=1))
    made = Words(config, recognizer, [clip(-1, 5, "_other")], Supply(0, 4))
    assert sum(made.piece(0, index).target.sum() for index in range(10)) > 0


@pytest.mark.parametrize("damage", [b"", b"RIFF"])
def test_a_label_whose_recordings_are_all_left_out_is_one_line(
    damage: bytes, words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(WORDS)
    for name in ("low", "high"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(3):
            shutil.copy(words / "ann" / f"{name}_{i}.wav", tmp_path / "data" / name / f"{i}.wav")
            if name == "high":
                (tmp_path / "data" / name / f"{i}.wav").write_bytes(damage)
    command = [tmp_path / "c.yaml", "--data", tmp_path / "data", "--out", tmp_path / "o.bundle", "--set", SPOKEN]
    said = said_of(capsys, *command)
    assert f"label 'high': all its recordings are left out, as {tmp_path / 'data' / 'high' / '0.wav'}" in said


def test_quick_is_a_plan_of_its_own(words: Path, tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(WORDS + "quick: {steps: 2, lanes: 2, unroll_ms: 400, judge_every: 1, warm_up_steps: 1}\n")
    assert main(["train", str(config), "--data", str(words), "--out", str(tmp_path / "q.bundle"), "--quick"]) == 0
    assert read(tmp_path / "q.bundle").passport["metrics"]["steps"] == 2


def test_recordings_of_any_rate_and_channels_are_mixed_and_resampled(tmp_path: Path) -> None:
    from streamrnn.evaluation.recordings import read_folder
    from streamrnn.training import loading

    (tmp_path / "low").mkdir()
    soundfile.write(tmp_path / "low" / "a.wav", np.zeros((16000, 2), np.float32), 16000)
    (made,) = loading.load(plan().recognizer, read_folder(tmp_path))
    assert made.samples.shape == (8000, 1)
    assert made.spans[0].end == 8000
