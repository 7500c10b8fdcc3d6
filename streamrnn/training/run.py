"""From a plan and data folders to a bundle: check the data, build, fit, export, and say how it went."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from streamrnn import bundle as bundles
from streamrnn import registry
from streamrnn.backends.torch import network as network_of
from streamrnn.bundle import Bundle
from streamrnn.errors import BundleError, ConfigError, RecordingError, SpeechError
from streamrnn.evaluation import calibrating
from streamrnn.evaluation.recordings import Dataset, Recording
from streamrnn.evaluation.run import check_labels
from streamrnn.evaluation.summary import check_left_out, summary
from streamrnn.network import Network
from streamrnn.recognizer import ForecastConfig
from streamrnn.speech import espeak, together
from streamrnn.training import autoregression, checkpoint, evidence, loading, plots
from streamrnn.training.calibration import Calibration, calibrate
from streamrnn.training.checkpoint import Checkpoint, Progress
from streamrnn.training.export import export
from streamrnn.training.fit import Run, fit
from streamrnn.training.lanes import Cursor, Lanes
from streamrnn.training.naming import named
from streamrnn.training.passport import passport, plan_hash
from streamrnn.training.pieces import Material, Supply
from streamrnn.training.plan import TrainingConfig, WholeConfig, WordsConfig
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


@dataclass(frozen=True, slots=True)
class Start:
    """The weights that a training begins with; `origin` is the sha of the bundle that they come from."""

    origin: str
    take: Callable[[Network], None]


@dataclass(frozen=True, slots=True)
class _Split:
    """All recordings that can be used; of these what is trained on, and what early stopping looks at."""

    usable: Sequence[Recording]
    kept: Sequence[Recording]
    judged: Sequence[Recording]


# The seed's random weights, as the network was built with.
RANDOM = Start("", lambda network: None)


def weights_of(origin: Path, plan: TrainingConfig) -> Start:
    """Start from a bundle: fine-tuning. Raises ConfigError if the plan describes another network, BundleError."""
    source = bundles.read(bundles.locate(str(origin)))
    theirs, ours = source.recognizer.config, plan.recognizer
    differs = [
        name
        for name in ("rate", "channels", "features", "model", "head")
        if getattr(theirs, name) != getattr(ours, name)
    ]
    if list(theirs.labels) != list(ours.labels):
        differs.append("labels")
    if differs:
        raise ConfigError(f"{origin}: its {', '.join(differs)} differ from the config's; train it with its own config")
    weights = network_of(source).state_dict()

    def take(network: Network) -> None:
        network.load_state_dict(weights)

    return Start(source.sha, take)


def anew(job: Job, start: Start = RANDOM) -> Bundle:
    """Train from the beginning. Raises UserError for data or a config that cannot be trained."""

    def clear(identity: str) -> None:
        shutil.rmtree(job.folder, ignore_errors=True)

    return _train(job, start, clear)


def resume(job: Job, start: Start = RANDOM) -> Bundle:
    """Go on with a run that was cut off, from the beginning if it was before the first checkpoint.

    Raises BundleError if the checkpoint is damaged or was made with another config, data or start.
    """

    def find(identity: str) -> Checkpoint | None:
        if not job.checkpoint.exists():
            print(f"{job.checkpoint}: no checkpoint yet, training from the beginning", file=to_terminal(), flush=True)
            return None
        found = checkpoint.load(job.checkpoint)
        if found.plan != identity:
            raise BundleError(f"{job.checkpoint}: made with another config, data or --from; train without --resume")
        return found

    return _train(job, start, find)


def _train(job: Job, start: Start, find: Callable[[str], Checkpoint | None]) -> Bundle:
    out = to_terminal()
    if job.out.is_dir():
        raise BundleError(f"--out {job.out}: is a folder; name a file in it")
    plan, recordings = named(job.plan, _checked(job))
    job = replace(job, plan=plan)
    kept, held_out = loading.hold_out(recordings, plan.validation)
    with tempfile.TemporaryDirectory(prefix="streamrnn-words-") as temporary:
        place = Path(temporary) / "words-from-text"
        spoken = evidence.unrecorded(plan, (*kept, *held_out), place)
        judged = [*held_out, *spoken]
        bundle = _fitted(job, start, find, _Split(recordings, kept, judged))
        if not plan.calibration.hours:
            return bundle
        print(f"measuring {plan.calibration.hours:g} h of what was held out", file=out, flush=True)
        folders = (*job.folders, place) if spoken else job.folders
        bundle = evidence.add(bundle, plan, folders, [*judged, *loading.apart(recordings)], kept)
    for told in calibrating.lines(bundle.det):
        print(told, file=out, flush=True)
    return bundle


def _fitted(job: Job, start: Start, find: Callable[[str], Checkpoint | None], split: _Split) -> Bundle:
    """The bundle, with all in it but what its thresholds cost."""
    plan, out = job.plan, to_terminal()
    identity = plan_hash(plan, split.usable, start.origin)
    found = find(identity)
    _make(job.folder)
    torch.set_num_threads(plan.training.threads)
    torch.manual_seed(plan.training.seed)
    network = Network(plan.recognizer)
    clips = loading.load(plan.recognizer, split.kept)
    print(f"preparing {len(clips)} recordings", file=out, flush=True)
    supply = Supply(plan.training.seed, plan.training.lanes)
    material: Material = registry.of(plan.material).load()(plan.material, network.recognizer, clips, supply)
    if found is None:
        _measure(network, material)
        head = plan.recognizer.head
        if isinstance(head, ForecastConfig) and head.stands_on == "autoregression":
            settle = plan.material.settle_ms if isinstance(plan.material, WholeConfig) else 0.0
            autoregression.begin(network, material.judged(clips), network.recognizer.frames(settle))
        start.take(network)
    longest = max(len(clip.samples) for clip in clips) // network.hop
    pieces = material.judged(loading.load(plan.recognizer, split.judged))
    if not pieces:
        raise RecordingError("every held-out recording is shorter than a hop; raise validation.share")
    network.to(job.device)
    run = Run(plan.training, network, material, pieces, max(1, longest), identity, job.checkpoint)
    teller = Teller(job.folder / "metrics.jsonl", plan.training.steps, found.progress.step if found else 0, out)
    try:
        progress = fit(run, teller, found)
    finally:
        teller.close()
    plots.draw(job.folder / "metrics.jsonl", job.folder / "training.png", plan.training.clip_norm)
    calibrated = calibrate(network, pieces)
    print(f"posteriors calibrated by a temperature of {calibrated.temperature:.2f}", file=out, flush=True)
    print("exporting", file=out, flush=True)
    made = passport(plan, job.folders, split.usable)
    if start.origin:
        made["origin"] = start.origin
    return export(network, job.out, {**made, "metrics": _metrics(progress, calibrated)})


def _make(folder: Path) -> None:
    """Before hours of work, not after them: the place for it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be made: {error.strerror}; choose another --out") from None


def _checked(job: Job) -> tuple[Recording, ...]:
    """Say what the data is, and which recordings can be used."""
    looked_at = summary(job.data, job.plan.recognizer)
    for line in looked_at.lines():
        print(line, file=to_terminal())
    if not _all_from_text(job.plan):
        check_labels(looked_at.usable, job.plan.recognizer, job.folders)
    check_left_out(looked_at, job.plan.recognizer)
    _check_speech(job.plan)
    return looked_at.usable


def _all_from_text(plan: TrainingConfig) -> bool:
    """Whether every label is spoken: then the data may be of nothing but what must not be recognised."""
    speech = plan.material.speech if isinstance(plan.material, WordsConfig) else None
    return speech is not None and set(plan.recognizer.labels) <= {*speech.texts, *speech.sentences}


def _check_speech(plan: TrainingConfig) -> None:
    """Before hours of work, not in the midst of them: whoever is to speak is there."""
    speech = plan.material.speech if isinstance(plan.material, WordsConfig) else None
    if speech is None:
        return
    if not speech.engines and not together.installed():
        print(
            "warning: espeak-ng is not installed, so no speech is synthesised; unseen speakers will suffer "
            f"({espeak.INSTALL})",
            file=to_terminal(),
        )
        return
    try:
        together.chosen(speech.engines, "training")
    except SpeechError as error:
        raise ConfigError(f"material.speech.engines: {error}") from None


def _measure(network: Network, material: Material) -> None:
    """Fix the statistics of Scale on what the first lanes bring."""
    frames = max(4, round(_MEASURE_S * network.recognizer.frame_rate))
    # A grid of one frame: no stream is reset here, so silence between recordings would only bias the statistics.
    lanes = Lanes(material, network.recognizer, [Cursor()] * 16, frames, frames)
    network.measure(torch.from_numpy(np.ascontiguousarray(lanes.next().samples)))


def _metrics(progress: Progress, calibrated: Calibration) -> dict[str, float]:
    return {
        "steps": progress.step,
        "best_step": progress.best_step,
        "judged_loss": progress.best_loss,
        "judged_accuracy": progress.best_accuracy,
        **asdict(calibrated),
    }
