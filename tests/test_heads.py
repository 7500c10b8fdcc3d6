"""Heads: losses against numbers worked out by hand, and frames that nobody has labelled."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from streamrnn.heads import Classes, Head, Labels
from streamrnn.recognizer import BACKGROUND, ClassesConfig, LabelsConfig

torch.set_num_threads(1)


def classes(**config: float) -> Classes:
    return Classes(ClassesConfig(**config), 4, ("low", "high"))


def labels(**config: float) -> Labels:
    return Labels(LabelsConfig(**config), 4, ("low", "high"))


def frames(*rows: list[float]) -> Tensor:
    return torch.tensor([list(rows)])


# Softmax of (0, ln 2, ln 5) is (1, 2, 5) / 8.
LOGITS = frames([0.0, math.log(2), math.log(5)], [0.0, math.log(2), math.log(5)])


def test_classes_is_cross_entropy_against_the_label_or_background() -> None:
    loss = classes().loss(LOGITS, frames([0.0, 1.0], [0.0, 0.0]), torch.ones(1, 2))
    assert float(loss) == pytest.approx((math.log(8 / 5) + math.log(8)) / 2, rel=1e-6)
    assert classes().columns == (BACKGROUND, "low", "high")


def test_classes_smooths_over_all_columns_and_weighs_background() -> None:
    each = [math.log(8), math.log(4), math.log(8 / 5)]
    smoothed = [0.7 * chosen + 0.1 * sum(each) for chosen in each]
    loss = classes(smoothing=0.3).loss(LOGITS, frames([1.0, 0.0], [0.0, 0.0]), torch.ones(1, 2))
    assert float(loss) == pytest.approx((smoothed[1] + smoothed[0]) / 2, rel=1e-6)
    loss = classes(background_weight=3.0).loss(LOGITS, frames([1.0, 0.0], [0.0, 0.0]), torch.ones(1, 2))
    assert float(loss) == pytest.approx((each[1] + 3 * each[0]) / 4, rel=1e-6)


def test_labels_is_binary_cross_entropy_of_each_and_any_may_hold() -> None:
    logits = frames([math.log(3), 0.0])  # sigmoids 3/4 and 1/2
    both, none = frames([1.0, 1.0]), frames([0.0, 0.0])
    taught = torch.ones(1, 1)
    assert float(labels().loss(logits, both, taught)) == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, rel=1e-6)
    assert float(labels().loss(logits, none, taught)) == pytest.approx((math.log(4) + math.log(2)) / 2, rel=1e-6)
    weighted = (5 * math.log(4 / 3) + 5 * math.log(2)) / 2
    assert float(labels(positive_weight=5.0).loss(logits, both, taught)) == pytest.approx(weighted, rel=1e-6)
    assert labels().posterior(logits)[0, 0].tolist() == pytest.approx([0.75, 0.5])


def test_labels_learns_two_at_once() -> None:
    torch.manual_seed(0)
    head = labels()
    x = torch.eye(4)[None]
    wanted = frames([0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0])
    optimiser = torch.optim.Adam(head.parameters(), 0.3)
    for _ in range(60):
        optimiser.zero_grad()
        head.loss(head(x, {})[0], wanted, torch.ones(1, 4)).backward()
        optimiser.step()
    assert torch.equal((head.posterior(head(x, {})[0]) > 0.5).float(), wanted)


@pytest.mark.parametrize("head", [classes(smoothing=0.1, background_weight=2.0), labels(positive_weight=3.0)])
@given(st.lists(st.booleans(), min_size=5, max_size=5), st.integers(0, 1000))
def test_frames_that_do_not_teach_change_nothing(head: Head, taught: list[bool], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 5, head.width, generator=generator, requires_grad=True)
    target = torch.nn.functional.one_hot(torch.randint(0, 2, (2, 5), generator=generator), 2).float()
    teaches = torch.tensor([taught, taught]).float()
    loss = head.loss(logits, target, teaches)
    (gradient,) = torch.autograd.grad(loss, logits)
    loss, logits = loss.detach(), logits.detach()
    assert not gradient[teaches == 0].any()
    changed, other = logits.clone(), target.clone()
    changed[teaches == 0] += 7.0
    other[teaches == 0] = 0.0
    assert float(head.loss(changed, other, teaches)) == pytest.approx(float(loss), abs=1e-6)
    kept = [i for i, each in enumerate(taught) if each]
    if kept:
        alone = head.loss(logits[:, kept], target[:, kept], torch.ones(2, len(kept)))
        assert float(alone) == pytest.approx(float(loss), rel=1e-5)
    else:
        assert float(loss) == 0.0
