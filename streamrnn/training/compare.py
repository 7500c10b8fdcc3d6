"""The recurrent bodies side by side: accuracy, how far gradients reach back, and cost, on the same data and plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import torch
from torch import Tensor

from streamrnn import bench, registry
from streamrnn.backends import Step
from streamrnn.backends.torch import network as network_of
from streamrnn.bundle import Bundle, with_own_thresholds
from streamrnn.engine import serving
from streamrnn.evaluation.recordings import Recording
from streamrnn.evaluation.report import report, value_line
from streamrnn.evaluation.run import evaluate
from streamrnn.network import Network
from streamrnn.recognizer import CellConfig
from streamrnn.training import loading
from streamrnn.training.lanes import Cursor, Lanes
from streamrnn.training.pieces import Material, Supply
from streamrnn.training.plan import TrainingConfig
from streamrnn.training.run import Job, anew

UNROLLS = (10, 25, 50, 100, 200, 400)  # frames
_LANES = 32


@dataclass(frozen=True, slots=True)
class Reach:
    """Norms of a gradient over an unroll of so many frames.

    `state`: of the last frame's loss by the hidden state before the first frame, over that by the state one frame
    before the last: what of an error reaches back so far. `weights`: of the mean loss of all frames by the weights.
    """

    frames: int
    state: float
    weights: float


@dataclass(frozen=True, slots=True)
class Compared:
    """One recurrent body: what it scored, what it costs and how far its gradients reach."""

    kind: str
    frame_rate: float
    parameters: int
    report: dict[str, Any]
    microseconds: float
    reach: tuple[Reach, ...]


def compare(job: Job, judged: Sequence[Recording], tell: Callable[[str], None]) -> list[Compared]:
    """Train every registered model with the plan's sizes, and judge it. Raises UserError as training does."""
    compared = []
    for plug in registry.plugs("model"):
        tell(f"training {plug.kind}")
        plan = with_model(job.plan, plug)
        bundle = anew(replace(job, plan=plan, out=job.out / f"{plug.kind}.bundle"))
        served = serving(with_own_thresholds(bundle))
        network = network_of(bundle)
        compared.append(
            Compared(
                kind=plug.kind,
                frame_rate=bundle.recognizer.frame_rate,
                parameters=sum(weight.numel() for weight in network.parameters()),
                report=report(evaluate(served, judged), served, "", ()),
                microseconds=_microseconds(bundle, served.step),
                reach=reaches(network, _material(plan, network, job.data.recordings), plug.kind),
            )
        )
    return compared


def with_model(plan: TrainingConfig, plug: registry.Plug) -> TrainingConfig:
    """The same plan with another recurrent body of the same sizes."""
    model = plug.config(**msgspec.structs.asdict(plan.recognizer.model))
    return msgspec.structs.replace(plan, recognizer=msgspec.structs.replace(plan.recognizer, model=model))


def reaches(network: Network, material: Material, kind: str, unrolls: Sequence[int] = UNROLLS) -> tuple[Reach, ...]:
    """The norms of gradients over unrolls of these many frames, on `_LANES` lanes of the material."""
    longest = max(unrolls)
    # Twice as long, so that the state is a warm one at every border; pieces may begin at any frame.
    unroll = Lanes(material, network.recognizer, [Cursor()] * _LANES, 2 * longest, 2 * longest).next()
    samples, target = torch.from_numpy(unroll.samples), torch.from_numpy(unroll.target)
    last = _state_norm(network, samples, target, kind, 1)
    return tuple(
        Reach(
            frames,
            _state_norm(network, samples, target, kind, frames) / max(last, 1e-30),
            _weights_norm(network, samples[:, : frames * network.hop], target[:, :frames]),
        )
        for frames in unrolls
    )


def _state_norm(network: Network, samples: Tensor, target: Tensor, kind: str, frames: int) -> float:
    """Norm of the gradient of the last frame's loss by the model's state `frames` frames before the end."""
    border = samples.shape[1] - frames * network.hop
    with torch.no_grad():
        _, state = network(samples[:, :border], network.initial_state(len(samples)))
    memory = {name: value.clone().requires_grad_() for name, value in state.items() if name.startswith(f"{kind}.")}
    logits, _ = network(samples[:, border:], {**state, **memory})
    loss = network.head.loss(logits[:, -1:], target[:, -1:], torch.ones(len(samples), 1))
    return _norm(torch.autograd.grad(loss, list(memory.values()), allow_unused=True))


def _weights_norm(network: Network, samples: Tensor, target: Tensor) -> float:
    """Norm of the gradient of the mean loss by the weights, from the initial state on."""
    logits, _ = network(samples, network.initial_state(len(samples)))
    loss = network.head.loss(logits, target, torch.ones(target.shape[:2]))
    return _norm(torch.autograd.grad(loss, list(network.parameters()), allow_unused=True))


def _norm(gradients: Sequence[Tensor | None]) -> float:
    squares = [float(gradient.square().sum()) for gradient in gradients if gradient is not None]
    return math.sqrt(sum(squares))


def _material(plan: TrainingConfig, network: Network, recordings: Sequence[Recording]) -> Material:
    kept, _ = loading.hold_out(recordings, plan.validation)
    supply = Supply(plan.training.seed + 1, _LANES)
    clips = loading.load(plan.recognizer, kept)
    material: Material = registry.of(plan.material).load()(plan.material, network.recognizer, clips, supply)
    return material


def _microseconds(bundle: Bundle, step: Step) -> float:
    """For 10 ms of one stream, alone, in chunks of 100 ms, on the onnx backend."""
    recognizer = bundle.recognizer
    samples = bench.noise(recognizer, 1, bench.chunk_hops(recognizer, 100.0))
    hear = bench.keeping(step, bundle.initial, 1)
    return bench.race({"onnx": hear}, samples, recognizer.rate, 0.5)["onnx"]


def document(compared: Sequence[Compared], plan: TrainingConfig) -> dict[str, Any]:
    """All of it as one JSON document."""
    return {
        "steps": plan.training.steps,
        "models": {
            each.kind: {
                "parameters": each.parameters,
                "estimates": each.report["estimates"],
                "microseconds": each.microseconds,
                "gradients": [{"frames": r.frames, "state": r.state, "weights": r.weights} for r in each.reach],
            }
            for each in compared
        },
    }


def lines(compared: Sequence[Compared], plan: TrainingConfig) -> list[str]:
    """Both tables in Markdown, which people read on a terminal as well."""
    frame_rate = compared[0].frame_rate
    measured = "accuracy" if all("accuracy" in each.report["estimates"] for each in compared) else "miss_rate"
    training, model = plan.training, plan.recognizer.model
    assert isinstance(model, CellConfig)
    rows = [
        f"{training.steps} steps of {training.lanes} lanes, unroll {training.unroll_ms:g} ms, "
        f"{model.layers} layers of {model.hidden}; "
        "cost in microseconds for 10 ms of one stream, onnx, one thread.",
        "",
        f"| model | weights | {measured.replace('_', ' ')} | cost |",
        "|---|---:|---|---:|",
    ]
    for each in compared:
        value = value_line("{:.1%}", each.report["estimates"][measured])
        rows.append(f"| {each.kind} | {each.parameters / 1000:.0f} k | {value} | {each.microseconds:.1f} µs |")
    rows += [
        "",
        "What of the last frame's error reaches the state so many frames before it (1 is one frame before), and, after",
        "the slash, the norm of the gradient by the weights over an unroll of that length:",
        "",
        "| frames | " + " | ".join(each.kind for each in compared) + " |",
        "|---|" + "---:|" * len(compared),
    ]
    for place, reach in enumerate(compared[0].reach):
        cells = [f"{each.reach[place].state:.1e} / {each.reach[place].weights:.2f}" for each in compared]
        rows.append(f"| {reach.frames} ({reach.frames / frame_rate:g} s) | " + " | ".join(cells) + " |")
    return rows
