"""Cross-validation: train once for each speaker, subject or record left out, and judge on what was left out."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from streamrnn.errors import RecordingError
from streamrnn.evaluation.recordings import Dataset, Recording
from streamrnn.evaluation.run import choose_split
from streamrnn.training.run import Job, anew


@dataclass(frozen=True, slots=True)
class Fold:
    """One training: a job without the recordings of `name`, which are `judged` on."""

    name: str
    job: Job
    judged: tuple[Recording, ...]


def taken(data: Dataset, splits: Sequence[str]) -> Dataset:
    """The same data with the recordings of `splits` for training: what is left out of a fold is chosen by other names.

    Raises RecordingError for a split that no recording is in.
    """
    for split in splits:
        if split not in ("train", ""):
            choose_split(data.recordings, split)
    recordings = tuple(replace(each, split="train") if each.split in splits else each for each in data.recordings)
    return replace(data, recordings=recordings)


def folds(
    job: Job, key: Callable[[Recording], str], folder: Path, beside: Sequence[Recording] = (), count: int = 0
) -> list[Fold]:
    """A fold for each value of `key`, all of which train on what stands `beside` as well.

    With a `count` there are only so many folds, each of every `count`-th value. Raises RecordingError if there are
    fewer than two, or one is nameless, or fewer than `count`.
    """
    names = sorted({key(recording) for recording in job.data.recordings})
    if "" in names:
        count = sum(key(recording) == "" for recording in job.data.recordings)
        raise RecordingError(f"{count} recordings do not say whose they are; use --by record")
    if len(names) < 2:
        raise RecordingError(f"only {names} can be left out; cross-validation needs at least two")
    if count > len(names):
        raise RecordingError(f"--folds {count}: there are only {len(names)} to be left out; choose fewer")
    parts = {f"fold-{i + 1}": names[i::count] for i in range(count)} if count else {name: [name] for name in names}
    made: list[Fold] = []
    for name, left_out in parts.items():
        rest = tuple(recording for recording in job.data.recordings if key(recording) not in left_out)
        judged = tuple(recording for recording in job.data.recordings if key(recording) in left_out)
        data = Dataset((*rest, *beside), job.data.left_out)
        # Whatever a speaker is called, the name is one of a file in this folder, and no two are the same.
        out = folder / f"{quote(name, safe='')}.bundle"
        made.append(Fold(name, replace(job, data=data, out=out), judged))
    return made


def run(
    all_folds: Sequence[Fold], jobs: int, done: Callable[[Fold, dict[str, Any]], None]
) -> dict[str, dict[str, Any]]:
    """Train and judge every fold, `jobs` at a time in processes of their own; each fold's report by its name."""
    context = multiprocessing.get_context("spawn")
    reports: dict[str, dict[str, Any]] = {}
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        waiting = {pool.submit(train_and_judge, fold): fold for fold in all_folds}
        try:
            for future in as_completed(waiting):
                fold = waiting[future]
                reports[fold.name] = future.result()
                done(fold, reports[fold.name])
        except BaseException:
            # What fails for one fails for all: hours of other folds must not run before anybody is told, nor write on.
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
                child.join()
            raise
    return {fold.name: reports[fold.name] for fold in all_folds}


def train_and_judge(fold: Fold) -> dict[str, Any]:
    """Train one fold and judge it through the engine: the report that `eval --json` prints."""
    from streamrnn.bundle import with_own_thresholds
    from streamrnn.engine import serving
    from streamrnn.evaluation.report import report
    from streamrnn.evaluation.run import evaluate

    # What several trainings say at once nobody can read: each has a log of its own beside its bundle.
    fold.job.out.parent.mkdir(parents=True, exist_ok=True)
    with fold.job.out.with_suffix(".log").open("w", encoding="utf-8") as log, contextlib.redirect_stderr(log):
        served = serving(with_own_thresholds(anew(fold.job)))
    return report(evaluate(served, fold.judged), served, "", ())
