"""Train a recognizer on folders of recordings and write it as one bundle.

  streamrnn train configs/digits.yaml --data recordings/ --out digits.bundle

Beside the bundle, OUT.training/ holds metrics.jsonl, training.png and the checkpoint that --resume goes on from.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a training config, see configs/")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, metavar="DIR", help="a data folder; repeatable"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="the bundle to write")
    parser.add_argument("--from", dest="origin", type=Path, metavar="BUNDLE", help="begin with a bundle's weights")
    parser.add_argument("--quick", action="store_true", help="a first bundle within minutes: the `quick` of the config")
    parser.add_argument("--resume", action="store_true", help="go on with the same command that was cut off")
    parser.add_argument(
        "--set", dest="overrides", action="append", metavar="KEY=VALUE", help="change a key of the config"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")


def run(arguments: argparse.Namespace) -> int:
    """Train; the exit code."""
    import msgspec

    from streamrnn.errors import ConfigError
    from streamrnn.evaluation.recordings import read_data

    try:
        import torch

        from streamrnn.training import run as training
        from streamrnn.training import trial
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"training needs {error.name}, which is not installed; pip install 'streamrnn[train]'"
        ) from None
    plan = trial.load(arguments.config, arguments.overrides)
    if arguments.origin is not None:
        _check_overrides(arguments.overrides or [])
    data = read_data(arguments.data)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch sees no GPU here; use --device cpu")
    job = training.Job(plan, tuple(arguments.data), data, arguments.out, arguments.device)
    start = training.RANDOM if arguments.origin is None else training.weights_of(arguments.origin, plan)
    if arguments.origin is not None:
        job = dataclasses.replace(job, plan=msgspec.structs.replace(plan, training=plan.finetuning))
    elif arguments.quick:
        job = dataclasses.replace(job, plan=msgspec.structs.replace(plan, training=plan.quick))
    train = training.resume if arguments.resume else training.anew
    bundle = train(job, start)
    metrics = bundle.passport["metrics"]
    print(f"{bundle.path}  sha {bundle.sha[:12]}  {bundle.path.stat().st_size / 2**20:.1f} MB")
    right = f"{100 * metrics['judged_accuracy']:.1f} % of labelled frames right"
    of_loss = f"loss {metrics['judged_loss']:.3f}; eval sets its forecasts beside persistence and an autoregression"
    said = of_loss if bundle.recognizer.forecasts else right
    print(f"judged on held-out recordings at step {metrics['best_step']}: {said}")
    print(f"next: streamrnn eval {bundle.path} --data DIR")
    return 0


def _check_overrides(overrides: list[str]) -> None:
    """Raises ConfigError for one that fine-tuning would pass over."""
    from streamrnn.errors import ConfigError

    for override in overrides:
        section, mark = override[:8], override[8:9]
        if section == "training" and mark in (".", "="):
            raise ConfigError(
                f"--set {override}: with --from the section `finetuning` stands in for `training`; "
                f"write --set finetuning{override[8:]}"
            )
