"""All that a training run is, in one file that is written whole or not at all: weights, optimiser, state, cursors."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from streamrnn.errors import BundleError
from streamrnn.training.lanes import Cursor

Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is: steps done, the cursors of its lanes, and the best judgement so far."""

    step: int
    cursors: tuple[Cursor, ...]
    best_loss: float
    best_accuracy: float
    best_step: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Progress with the arrays that belong to it; `plan` is the hash of the config and data it was made for.

    `mined` holds the `scores` of the suspects when the network last listened to them, nothing before it did.
    """

    plan: str
    progress: Progress
    network: Tensors
    average: Tensors
    best: Tensors
    optimiser: Tensors
    state: Tensors
    mined: Tensors


_PARTS = ("network", "average", "best", "optimiser", "state", "mined")


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path`; a kill at any moment leaves the old one or the new one. Raises BundleError."""
    tensors = {
        f"{part}/{name}": value.detach().clone().contiguous()
        for part in _PARTS
        for name, value in getattr(checkpoint, part).items()
    }
    progress = checkpoint.progress
    told = {
        "plan": checkpoint.plan,
        "step": progress.step,
        "cursors": [[cursor.piece, cursor.frame] for cursor in progress.cursors],
        "best": [progress.best_loss, progress.best_accuracy, progress.best_step],
    }
    partial = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(serialise(tensors, metadata={"progress": json.dumps(told)}))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written: {error.strerror}; make room or choose another --out") from None


def load(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises BundleError if there is none or it is damaged."""
    parts: dict[str, Tensors] = {part: {} for part in _PARTS}
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads(file.metadata()["progress"])
            for key in file.keys():  # noqa: SIM118 (safe_open is no mapping)
                part, name = key.split("/", 1)
                parts[part][name] = file.get_tensor(key)
        loss, accuracy, step = told["best"]
        cursors = tuple(Cursor(piece, frame) for piece, frame in told["cursors"])
        progress = Progress(told["step"], cursors, loss, accuracy, step)
        return Checkpoint(told["plan"], progress, **parts)
    except FileNotFoundError:
        raise BundleError(f"{path}: nothing to resume; train without --resume") from None
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise BundleError(f"{path}: damaged ({error}); train without --resume") from None


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> Tensors:
    """What an optimiser remembers of each parameter, as flat tensors."""
    state = optimiser.state_dict()["state"]
    return {f"{index}.{name}": value for index, memory in state.items() for name, value in memory.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Put back what `optimiser_tensors` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
