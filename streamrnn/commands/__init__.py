"""The commands of `streamrnn`, one file each: `add_arguments(parser)` and `run(arguments) -> exit code`."""

from __future__ import annotations

import argparse


def add_budget(parser: argparse.ArgumentParser) -> None:
    """Declare the budget that stands in for thresholds; 0 leaves the bundle its own."""
    parser.add_argument(
        "--max-false-accepts-per-hour",
        type=float,
        default=0.0,
        metavar="N",
        help="a budget that chooses the thresholds",
    )
