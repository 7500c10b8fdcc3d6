"""Train and judge once for each speaker, subject or record left out: how it will do on those it has never met.

streamrnn crossval configs/digits.yaml --data recordings/ --by speaker
streamrnn crossval configs/voice.yaml --data meetings/ --by record --beside words/ --beside noises/
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamrnn.training.crossval import Fold

_SHOWN = (
    *("accuracy", "clip_accuracy", "miss_rate", "false_accepts_per_hour", "macro_f1"),
    *("frame_precision", "frame_recall", "frame_f1"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a training config, see configs/")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, metavar="DIR", help="a data folder; repeatable"
    )
    parser.add_argument(
        "--beside", type=Path, action="append", default=[], metavar="DIR", help="every fold trains on this; repeatable"
    )
    parser.add_argument(
        "--by", choices=("speaker", "subject", "record"), required=True, help="what is left out at a time"
    )
    parser.add_argument(
        "--set", dest="overrides", action="append", metavar="KEY=VALUE", help="change a key of the config"
    )
    parser.add_argument(
        "--folds", type=int, default=0, metavar="N", help="only N trainings, each leaves several out; default: one each"
    )
    parser.add_argument(
        "--splits", default="train", metavar="NAMES", help="train on what is left of these: train,dev (train)"
    )
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="trainings at a time (2)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the bundles and their training logs here")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Cross-validate; the exit code."""
    from streamrnn.errors import ConfigError
    from streamrnn.evaluation.recordings import read_data

    if arguments.jobs < 1:
        raise ConfigError(f"--jobs {arguments.jobs}: at least 1")
    if arguments.folds < 0 or arguments.folds == 1:
        raise ConfigError(f"--folds {arguments.folds}: at least 2")
    try:
        from streamrnn.training import crossval, trial
        from streamrnn.training.run import Job
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"training needs {error.name}, which is not installed; pip install 'streamrnn[train]'"
        ) from None
    plan = trial.load(arguments.config, arguments.overrides)
    data = crossval.taken(read_data(arguments.data), arguments.splits.split(","))
    keys = {"record": lambda recording: f"{recording.path.stem}-{recording.span[0]}"}
    key = keys.get(arguments.by, lambda recording: recording.group)
    with tempfile.TemporaryDirectory(prefix="streamrnn-crossval-") as temporary:
        folder = arguments.out or Path(temporary)
        job = Job(plan, (*arguments.data, *arguments.beside), data, folder)
        beside = read_data(arguments.beside).recordings
        folds = crossval.folds(job, key, folder, beside, arguments.folds)
        reports = crossval.run(folds, arguments.jobs, _tell)
    document = {"by": arguments.by, "folds": reports, **_means(reports), "pooled": _pooled(reports)}
    document["labels"] = _labels(reports)
    if arguments.json:
        print(json.dumps(document, indent=1))
        return 0
    for name, report in reports.items():
        print(f"{name}: {_line(report)}")
    for measure in _SHOWN:
        if measure in document:
            spread = document["spread"][measure]
            pooled = _interval(document["pooled"][measure]) if measure in document["pooled"] else ""
            print(
                f"mean of {len(reports)} {measure}: {document[measure]:.4g} (standard deviation {spread:.2g}){pooled}"
            )
    for label, estimate in document["labels"].items():
        print(f"F1 of {label} in the frames of all folds: {estimate['value']:.4g}{_interval(estimate)}")
    return 0


def _means(reports: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Means over the folds and their standard deviation: folds are as different as people are, clips are not."""
    means: dict[str, Any] = {"spread": {}}
    for measure in _SHOWN:
        values = [report[measure] for report in reports.values() if measure in report]
        if values:
            mean = sum(values) / len(values)
            means[measure] = mean
            means["spread"][measure] = math.sqrt(sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1))
    return means


def _pooled(reports: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Shares over all clips of all folds with their intervals, which tell of the clips and not of the people."""
    import msgspec

    from streamrnn.evaluation.metrics import share

    pooled = {}
    for measure in ("accuracy", "clip_accuracy"):
        each = [report["estimates"][measure] for report in reports.values() if measure in report["estimates"]]
        if each and all(estimate["of"] == int(estimate["of"]) for estimate in each):
            count, of = sum(estimate["count"] for estimate in each), sum(int(estimate["of"]) for estimate in each)
            pooled[measure] = msgspec.to_builtins(share(count, of))
    return pooled


def _labels(reports: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """F1 of each label over the frames of all folds, with the interval that drawing the folds anew gives."""
    import msgspec

    from streamrnn.evaluation.breakdown import f1_by_label

    confusions = [
        {(said, heard): count for said, row in nested.items() for heard, count in row.items()}
        for report in reports.values()
        if (nested := report["confusion"].get("frames"))
    ]
    if not confusions:
        return {}
    return {label: msgspec.to_builtins(estimate) for label, estimate in f1_by_label(confusions).items()}


def _interval(estimate: dict[str, Any]) -> str:
    return f", {estimate['count']} of {estimate['of']:g} [{estimate['low']:.4g}, {estimate['high']:.4g}]"


def _line(report: dict[str, Any]) -> str:
    said = []
    for measure, estimate in report["estimates"].items():
        said.append(
            f"{measure} {estimate['value']:.4g} [{estimate['low']:.4g}, {estimate['high']:.4g}] of {estimate['of']:g}"
        )
    return "; ".join(said)


def _tell(fold: Fold, report: dict[str, Any]) -> None:
    print(f"{fold.name} left out: {_line(report)}", file=sys.stderr, flush=True)
