"""`check_stage`: the law for torch stages, tight in float64, loose in float32, with gradients and the end."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrnn.stage import Stage, State
from streamrnn.testing.law import LawBroken, Memory
from streamrnn.testing.step import check_step

_TIGHT, _LOOSE = 1e-9, 2e-4


def check_stage(stage: Stage, inputs: int, *, seed: int = 0, trials: int = 2) -> None:
    """Hold a torch stage for inputs of `inputs` a step to the law. Raises LawBroken with one sentence.

    Beside what `check_step` tries, tight in float64 and loose in float32: the gradient of chunks whose state is carried
    on is the gradient of the whole; `finish` feeds as many zeros as `delay` declares, and by then the last input has
    been heard in the output.
    """
    # Copies, so that the stage of the caller keeps its dtype and mode; eval, since dropout is no function of its input.
    double, single = copy.deepcopy(stage).double().eval(), copy.deepcopy(stage).float().eval()
    for checked, dtype, atol in ((double, np.float64, _TIGHT), (single, np.float32, _LOOSE)):
        step = _Numpy(checked, dtype)
        check_step(step, step.initial(), stage.hop, inputs, seed=seed, trials=trials, atol=atol, dtype=dtype)
    _check_gradient(double, inputs, seed)
    _check_finish(double, inputs, seed)


class _Numpy:
    """A stage as a numpy step of one dtype."""

    def __init__(self, stage: Stage, dtype: type[np.floating[Any]]) -> None:
        self.stage = stage
        self.dtype = torch.float64 if dtype is np.float64 else torch.float32

    def initial(self) -> Memory:
        return {name: value.numpy() for name, value in _fresh(self.stage, 1, self.dtype).items()}

    def __call__(self, x: NDArray[Any], state: Memory) -> tuple[NDArray[Any], Memory]:
        # from_numpy shares memory, so that a stage that writes to its arguments is seen to.
        with torch.no_grad():
            tensors = {name: torch.from_numpy(array) for name, array in state.items()}
            y, after = self.stage(torch.from_numpy(x), tensors)
        return y.numpy(), {name: value.numpy() for name, value in after.items()}


def _fresh(stage: Stage, batch: int, dtype: torch.dtype) -> State:
    return {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in stage.initial_state(batch).items()
    }


def _noise(generator: np.random.Generator, batch: int, time: int, inputs: int) -> Tensor:
    return torch.from_numpy(generator.standard_normal((batch, time, inputs)) * 0.3)


def _check_gradient(stage: Stage, inputs: int, seed: int) -> None:
    hops = 6
    x = _noise(np.random.default_rng(seed), 2, hops * stage.hop, inputs)
    wanted = [parameter for parameter in stage.parameters() if parameter.requires_grad]

    def gradients(cuts: tuple[int, ...]) -> list[Tensor]:
        leaf = x.clone().requires_grad_()
        state, parts, at = _fresh(stage, len(x), torch.float64), [], 0
        for hops_of_cut in cuts:
            y, state = stage(leaf[:, at * stage.hop : (at + hops_of_cut) * stage.hop], state)
            parts.append(y)
            at += hops_of_cut
        whole = torch.cat(parts, dim=1)
        weight = torch.arange(1, whole.shape[1] + 1, dtype=torch.float64)[None, :, None] / whole.shape[1]
        score = (whole * whole * weight).sum()
        found = torch.autograd.grad(score, [leaf, *wanted], allow_unused=True)
        return [torch.zeros(()) if value is None else value for value in found]

    whole = gradients((hops,))
    for cuts in ((1,) * hops, (2, 3, 1)):
        for one, other in zip(whole, gradients(cuts), strict=True):
            largest = max(1.0, float(one.abs().max()))
            apart = float((one - other).abs().max())
            if not apart <= _TIGHT * largest * 10:
                raise LawBroken(f"the gradient of chunks is that of the whole: hops {cuts} differ by {apart:.3g}")


def _check_finish(stage: Stage, inputs: int, seed: int) -> None:
    """`finish` is the declared number of zeros, and they suffice for the last input to come out."""
    hops = max(4, 2 * -(-stage.delay // stage.hop))
    x = _noise(np.random.default_rng(seed + 1), 2, hops * stage.hop, inputs)
    with torch.no_grad():
        heard, state = stage(x, _fresh(stage, len(x), torch.float64))
        ending, _ = stage.finish(state, x)
        steps = -(-stage.delay // stage.hop)
        if ending.shape[1] != steps:
            raise LawBroken(f"finish brings out the delay: {ending.shape[1]} steps came, {steps} are declared")
        longer = torch.cat([x, x.new_zeros(len(x), steps * stage.hop, inputs)], dim=1)
        padded, _ = stage(longer, _fresh(stage, len(x), torch.float64))
        apart = float((torch.cat([heard, ending], dim=1) - padded).abs().max()) if padded.numel() else 0.0
        if not apart <= _TIGHT * 10:
            raise LawBroken(f"finish feeds zeros: it differs by {apart:.3g} from the same with zeros behind it")
        other = longer.clone()
        other[:, x.shape[1] - 1] += 3.0
        changed, _ = stage(other, _fresh(stage, len(x), torch.float64))
        if padded.numel() and bool((changed == padded).all()):
            raise LawBroken(f"the last input is heard by the end: a delay of {stage.delay} input steps is too short")
