"""From a plan and data folders to a bundle: check the data, build, fit, export, and say how it went."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from streamrnn import bundle as bundles
from streamrnn import registry
from streamrnn.backends.torch import network as network_of
from streamrnn.bundle import Bundle
from streamrnn.errors import BundleError, ConfigError
from streamrnn.evaluation.recordings import Dataset, Recording
from streamrnn.evaluation.summary import summary
from streamrnn.network import Network
from streamrnn.training import checkpoint, loading, plots, synthesis
from streamrnn.training.checkpoint import Checkpoint, Progress
from streamrnn.training.export import export
from streamrnn.training.fit import Run, fit
from streamrnn.training.lanes import Cursor, Lanes
from streamrnn.training.passport import passport, plan_hash
from streamrnn.training.pieces import Material, Supply
from streamrnn.training.plan import TrainingConfig, WordsConfig
from streamrnn.training.progress import Teller, to_terminal

_MEASURE_S = 20.0


@dataclass(frozen=True, slots=True)
class Job:
    """What to train and where to: `out` is the bundle, and a folder `<out>.training` beside it holds the run."""

    plan: TrainingConfig
    folders: tuple[Path, ...]
    data: Dataset
    out: Path
    device: str = "cpu"

    @property
    def folder(self) -> Path:
        """Where checkpoint, metrics and plots lie."""
        return self.out.with_name(self.out.name + ".training")

    @property
    def checkpoint(self) -> Path:
        """All that is needed to resume."""
        return self.folder / "checkpoint.safetensors"


def anew(job: Job) -> Bundle:
    """Train from random weights. Raises UserError for data or a config that cannot be trained."""
    return _train(job, lambda network: None, _nothing_to_resume)


def finetune(job: Job, origin: Path) -> Bundle:
    """Train on from a bundle's weights. Raises ConfigError if the plan describes another network."""
    source = bundles.read(origin)
    theirs, ours = source.recognizer.config, job.plan.recognizer
    differs = [
        name
        for name in ("rate", "channels", "features", "model", "head")
        if getattr(theirs, name) != getattr(ours, name)
    ]
    if list(theirs.labels) != list(ours.labels):
        differs.append("labels")
    if differs:
        raise ConfigError(f"{origin}: its {', '.join(differs)} differ from the config's; train it with its own config")

    def take(network: Network) -> None:
        network.load_state_dict(network_of(source).state_dict())

    return _train(job, take, _nothing_to_resume)


def resume(job: Job) -> Bundle:
    """Go on with a run that was cut off. Raises BundleError if there is none or it was for another config or data."""
    return _train(job, lambda network: None, checkpoint.load)


def _nothing_to_resume(path: Path) -> None:
    shutil.rmtree(path.parent, ignore_errors=True)


def _train(job: Job, start: Callable[[Network], None], find: Callable[[Path], Checkpoint | None]) -> Bundle:
    plan, out = job.plan, to_terminal()
    recordings = _checked(job)
    kept, judged = loading.hold_out(recordings, plan.validation)
    identity = plan_hash(plan, recordings)
    found = find(job.checkpoint)
    if found is not None and found.plan != identity:
        raise BundleError(f"{job.checkpoint}: made with another config or other data; train without --resume")
    torch.manual_seed(plan.training.seed)
    network = Network(plan.recognizer)
    clips = loading.load(plan.recognizer, kept)
    print(f"preparing {len(clips)} recordings", file=out, flush=True)
    supply = Supply(plan.training.seed, plan.training.lanes)
    material: Material = registry.of(plan.material).load()(plan.material, network.recognizer, clips, supply)
    if found is None:
        _measure(network, material)
        start(network)
    longest = max(len(clip.samples) for clip in clips) // network.hop
    pieces = material.judged(loading.load(plan.recognizer, judged))
    network.to(job.device)
    run = Run(plan.training, network, material, pieces, max(1, longest), identity, job.checkpoint)
    teller = Teller(job.folder / "metrics.jsonl", plan.training.steps, found.progress.step if found else 0, out)
    try:
        progress = fit(run, teller, found)
    finally:
        teller.close()
    plots.draw(job.folder / "metrics.jsonl", job.folder / "training.png", plan.training.clip_norm)
    print("exporting", file=out, flush=True)
    return export(network, job.out, {**passport(plan, job.folders, recordings), "metrics": _metrics(progress)})


def _checked(job: Job) -> tuple[Recording, ...]:
    """Say what the data is, and which recordings can be used."""
    looked_at = summary(job.data, job.plan.recognizer)
    for line in looked_at.lines():
        print(line, file=to_terminal())
    material = job.plan.material
    if isinstance(material, WordsConfig) and material.speech is not None and not synthesis.available():
        print(
            "warning: espeak-ng is not installed, so no speech is synthesised; unseen speakers will suffer "
            "(apt-get install espeak-ng)",
            file=to_terminal(),
        )
    return looked_at.usable


def _measure(network: Network, material: Material) -> None:
    """Fix the statistics of Scale on what the first lanes bring."""
    frames = max(4, round(_MEASURE_S * network.recognizer.frame_rate))
    lanes = Lanes(material, network.recognizer, [Cursor()] * 16, frames, 4)
    network.measure(torch.from_numpy(np.ascontiguousarray(lanes.next().samples)))


def _metrics(progress: Progress) -> dict[str, float]:
    return {
        "steps": progress.step,
        "best_step": progress.best_step,
        "judged_loss": progress.best_loss,
        "judged_accuracy": progress.best_accuracy,
    }
