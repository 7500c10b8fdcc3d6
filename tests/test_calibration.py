"""Calibration: the temperature that made the data is found again, and moves neither the loss nor the best label."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import job, plan

from streamrnn import bundle
from streamrnn.backends.torch import network as network_of
from streamrnn.bundle import Bundle, open_step
from streamrnn.heads import Classes, Head, Labels
from streamrnn.network import Network
from streamrnn.recognizer import ClassesConfig, LabelsConfig
from streamrnn.training import calibration, run
from streamrnn.training.pieces import Piece

torch.set_num_threads(1)
FRAMES = 4000


def classes() -> Head:
    return Classes(ClassesConfig(smoothing=0.1, background_weight=2.0), 4, ("low", "high"))


def labels() -> Head:
    return Labels(LabelsConfig(positive_weight=3.0), 4, ("low", "high"))


def drawn(head: Head, temperature: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (1, frames, columns), and targets drawn from what they mean at a temperature."""
    random = torch.Generator().manual_seed(seed)
    logits = 3.0 * torch.randn(1, FRAMES, head.width, generator=random)
    if isinstance(head, Labels):
        return logits, torch.bernoulli(torch.sigmoid(logits / temperature), generator=random)
    said = torch.multinomial(torch.softmax(logits[0] / temperature, dim=-1), 1, generator=random)[:, 0]
    return logits, torch.nn.functional.one_hot(said, head.width)[None, :, 1:].float()


class Known(torch.nn.Module):
    """A network whose logits are given: they are its samples."""

    def __init__(self, head: Head, network: Network) -> None:
        super().__init__()
        self.head, self.recognizer = head, network.recognizer

    def initial_state(self, batch: int) -> dict[str, torch.Tensor]:
        return {}

    def forward(self, x: torch.Tensor, state: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return x, state


@pytest.mark.parametrize("make", [classes, labels])
@given(st.floats(0.4, 2.5), st.integers(0, 99))
@settings(max_examples=6)
def test_the_temperature_of_the_data_is_found(make: type, temperature: float, seed: int) -> None:
    head = make()
    network = Known(head, Network(plan().recognizer))
    logits, target = drawn(head, temperature, seed)
    network.recognizer = replace_columns(network.recognizer, head)
    piece = Piece(logits[0].numpy(), target[0].numpy(), np.ones(FRAMES, np.float32), anew=True)
    found = calibration.calibrate(network, [piece])  # type: ignore[arg-type]
    assert found.temperature == pytest.approx(temperature, rel=0.15)
    assert float(head.temperature) == pytest.approx(found.temperature)
    assert found.nll_after <= found.nll_before
    assert found.ece_after < 0.05


def replace_columns(recognizer: object, head: Head) -> object:
    import msgspec

    return msgspec.structs.replace(recognizer, columns=head.columns)  # type: ignore[type-var]


@pytest.mark.parametrize("head", [classes(), labels()])
def test_the_loss_and_the_best_column_do_not_know_the_temperature(head: Head) -> None:
    logits, target = drawn(head, 1.0, 0)
    teaches = torch.ones(1, FRAMES)
    before, best = head.loss(logits, target, teaches), head.posterior(logits).argmax(dim=-1)
    head.temperature.fill_(1.7)
    assert torch.equal(head.loss(logits, target, teaches), before)
    assert torch.equal(head.posterior(logits).argmax(dim=-1), best)


def test_surprise_is_the_likelihood_and_neither_smoothed_nor_weighted() -> None:
    logits = torch.tensor([[[0.0, math.log(2), math.log(5)]]])
    assert float(classes().surprise(logits, torch.tensor([[[0.0, 1.0]]]))) == pytest.approx(math.log(8 / 5))
    assert float(classes().surprise(logits, torch.zeros(1, 1, 2))) == pytest.approx(math.log(8))
    logits = torch.tensor([[[math.log(3), 0.0]]])
    assert float(labels().surprise(logits, torch.ones(1, 1, 2))) == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


@given(st.floats(-3.0, 3.0), st.floats(0.1, 3.0))
def test_the_lowest_place_of_a_valley(place: float, steepness: float) -> None:
    assert calibration.lowest(lambda x: steepness * abs(x - place) ** 1.5, -4.0, 4.0) == pytest.approx(place, abs=1e-3)


def test_a_training_ends_calibrated_and_both_backends_and_the_passport_know_it(trained: Bundle) -> None:
    metrics = trained.passport["metrics"]
    assert {"temperature", "nll_before", "nll_after", "ece_before", "ece_after"} <= set(metrics)
    assert metrics["nll_after"] <= metrics["nll_before"]
    assert float(trained.weights["head.temperature"][0]) == pytest.approx(metrics["temperature"])
    samples = trained.golden.samples[None]
    onnx, _ = open_step(trained, "onnx")(samples, trained.initial)
    reference, _ = open_step(trained, "torch")(samples, trained.initial)
    np.testing.assert_allclose(onnx, reference, atol=1e-4)


def without_temperature(old: Bundle) -> Bundle:
    """As bundles were before there was a temperature."""
    return replace(old, weights={name: array for name, array in old.weights.items() if "temperature" not in name})


def test_bundles_from_before_it_have_a_temperature_of_one(trained: Bundle) -> None:
    assert float(network_of(without_temperature(trained)).head.temperature) == 1.0
    shipped = without_temperature(bundle.read(bundle.shipped("digits")))
    assert float(network_of(shipped).head.temperature) == 1.0


def test_fine_tuning_begins_with_the_weights_of_an_old_bundle_and_fits_its_own(
    trained: Bundle, words: Path, tmp_path: Path
) -> None:
    old = without_temperature(trained)
    path = tmp_path / "old.bundle"
    contents = bundle.Contents(old.recognizer, old.initial, old.weights, old.graph, old.golden, old.passport)
    bundle.write(path, contents)
    made = plan(training__steps=2)
    tuned = run.anew(job(made, words, tmp_path / "tuned.bundle"), run.weights_of(path, made))
    assert float(tuned.weights["head.temperature"][0]) == pytest.approx(tuned.passport["metrics"]["temperature"])
