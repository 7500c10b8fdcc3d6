"""Truncated backpropagation through time: lanes in, state carried and detached from unroll to unroll, weights averaged.

Werbos (1990), Williams and Peng (1990). A run is a function of its config, data and seed: each step draws its random
numbers from the seed and its own number, so a run that was killed and resumed ends in the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from streamrnn.errors import ConfigError
from streamrnn.network import Network
from streamrnn.stage import State, detach, where
from streamrnn.training import checkpoint, mining
from streamrnn.training.checkpoint import Checkpoint, Progress, Tensors
from streamrnn.training.judge import Judgement, judge
from streamrnn.training.lanes import Cursor, Lanes, Unroll
from streamrnn.training.pieces import Material, Piece
from streamrnn.training.plan import FitConfig

_PARTS = 4  # places in an unroll where a stream may begin anew


@dataclass(frozen=True, slots=True)
class Report:
    """What one step did; `judgement` stands where the averaged weights were judged after it."""

    step: int
    loss: float
    norm: float
    learning_rate: float
    useful: float  # the share of frames that taught
    judgement: Judgement | None


@dataclass(frozen=True, slots=True)
class Run:
    """What to fit, on what, and where the checkpoint lies. `longest` is the longest recording, in frames."""

    config: FitConfig
    network: Network
    material: Material
    judged: Sequence[Piece]
    longest: int
    plan: str
    path: Path


def fit(run: Run, tell: Callable[[Report], None], resume_from: Checkpoint | None = None) -> Progress:
    """Train until the steps are done or patience is; leaves the best averaged weights in the network."""
    config, network = run.config, run.network
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    begin = _beginning(run) if resume_from is None else resume_from
    if resume_from is None:
        # From the first moment on there is something to resume: a fine-tuning that is cut off must not begin at random.
        checkpoint.save(run.path, begin)
    else:
        network.load_state_dict(begin.network)
        checkpoint.restore_optimiser(optimiser, begin.optimiser)
    progress = begin.progress
    average, best, state = (_on(tensors, _device(network)) for tensors in (begin.average, begin.best, begin.state))
    frame_rate = network.recognizer.frame_rate
    whole = config.unroll_ms == 0
    unroll = run.longest if whole else max(_PARTS, round(config.unroll_ms * frame_rate / 1000.0))
    mined = begin.mined
    if mined:
        run.material.weigh(mined["scores"].numpy())
    lanes = Lanes(run.material, network.recognizer, progress.cursors, unroll, 1 if whole else _PARTS)
    network.train()
    with ThreadPoolExecutor(1) as ahead:
        # The next unroll is composed while torch computes this one; its cursors travel with it.
        coming = ahead.submit(lanes.next)
        while progress.step < config.steps and not _out_of_patience(config, progress):
            batch = coming.result()
            mines = _mines(config, progress.step + 1)
            if progress.step + 1 < config.steps and not mines:
                coming = ahead.submit(lanes.next)
            loss, norm, state = _step(run, optimiser, batch, state, progress.step)
            progress = replace(progress, step=progress.step + 1, cursors=batch.after)
            _average(average, network, min(config.averaging, progress.step / (progress.step + 10.0)))
            if mines:
                mined = _mine(run, average, progress.step)
                # What is begun from here on is put together anew; a piece that was half used up is let go.
                lanes.cursors = [Cursor(cursor.piece + 1) for cursor in lanes.cursors]
                progress = replace(progress, cursors=tuple(lanes.cursors))
                coming = ahead.submit(lanes.next)
            due = mines or progress.step % config.judge_every == 0 or progress.step == config.steps
            judgement = _judge_average(run, average) if due else None
            if judgement is not None and judgement.loss < progress.best_loss:
                best = {name: value.clone() for name, value in average.items()}
                progress = replace(
                    progress, best_loss=judgement.loss, best_accuracy=judgement.accuracy, best_step=progress.step
                )
            tell(
                Report(
                    progress.step, loss, norm, _rate(config, progress.step - 1), float(batch.teaches.mean()), judgement
                )
            )
            if due:
                memory = checkpoint.optimiser_tensors(optimiser)
                checkpoint.save(
                    run.path, Checkpoint(run.plan, progress, _copy(network), average, best, memory, state, mined)
                )
    network.load_state_dict(best)
    network.eval()
    return progress


def _beginning(run: Run) -> Checkpoint:
    progress = Progress(0, (Cursor(),) * run.config.lanes, math.inf, 0.0, 0)
    state = run.network.initial_state(run.config.lanes)
    network, average, best = (_copy(run.network) for _ in range(3))
    return Checkpoint(run.plan, progress, network, average, best, {}, state, {})


def _out_of_patience(config: FitConfig, progress: Progress) -> bool:
    return 0 < config.patience * config.judge_every <= progress.step - progress.best_step


def _step(
    run: Run, optimiser: torch.optim.Optimizer, batch: Unroll, state: State, step: int
) -> tuple[float, float, State]:
    config, network = run.config, run.network
    # A step's random numbers depend on its own number alone, whatever ran before it in this process.
    torch.manual_seed(config.seed * 1_000_003 + step)
    for group in optimiser.param_groups:
        group["lr"] = _rate(config, step)
    logits, state = through(network, batch, state)
    target, teaches = (torch.from_numpy(array).to(logits.device) for array in (batch.target, batch.teaches))
    loss = network.head.loss(logits, target, teaches)
    if not math.isfinite(float(loss.detach())):
        raise ConfigError(
            f"training.learning_rate: {config.learning_rate:g} is too high, at step {step + 1} the loss is no longer "
            "finite; lower it or training.clip_norm"
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
    optimiser.step()
    return float(loss.detach()), float(norm), detach(state)


def through(network: Network, batch: Unroll, state: State) -> tuple[Tensor, State]:
    """Logits (lanes, frames, columns) of an unroll; lanes whose stream begins take the initial state where it does."""
    samples, hop = torch.from_numpy(batch.samples).to(_device(network)), network.hop
    initial = _on(network.initial_state(len(samples)), samples.device)
    parts = []
    for segment in batch.segments:
        if segment.first.any():
            state = where(torch.from_numpy(segment.first).to(samples.device), initial, state)
        logits, state = network(samples[:, segment.start * hop : segment.end * hop], state)
        parts.append(logits)
    return torch.cat(parts, dim=1), state


def _device(network: Network) -> torch.device:
    return next(network.parameters()).device


def _on(state: State, device: torch.device) -> State:
    return {name: value.to(device) for name, value in state.items()}


def _rate(config: FitConfig, step: int) -> float:
    """Learning rate of a step: a linear rise, then half a cosine down to a hundredth."""
    if step < config.warm_up_steps:
        return config.learning_rate * (step + 1) / config.warm_up_steps
    through = (step - config.warm_up_steps) / max(1, config.steps - config.warm_up_steps)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, through))))


def _copy(network: Network) -> Tensors:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _average(average: Tensors, network: Network, factor: float) -> None:
    now = network.state_dict()
    with torch.no_grad():
        for name, value in average.items():
            value.lerp_(now[name], 1.0 - factor)


def _mines(config: FitConfig, step: int) -> bool:
    return config.mine_every > 0 and step % config.mine_every == 0 and step < config.steps


def _mine(run: Run, average: Tensors, step: int) -> Tensors:
    """Let the averaged network listen to what it must not recognise; nothing where the material has no such."""
    with _averaged(run.network, average):
        scores = mining.scores(run.network, run.material.suspects(step))
    if not len(scores):
        return {}
    run.material.weigh(scores)
    return {"scores": torch.from_numpy(scores)}


def _judge_average(run: Run, average: Tensors) -> Judgement:
    with _averaged(run.network, average):
        return judge(run.network, run.judged)


@contextmanager
def _averaged(network: Network, average: Tensors) -> Iterator[None]:
    """The network with the averaged weights in it, and afterwards with its own again."""
    kept = _copy(network)
    network.load_state_dict(average)
    try:
        yield
    finally:
        network.load_state_dict(kept)
