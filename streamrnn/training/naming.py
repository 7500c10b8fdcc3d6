"""What the columns of the data are called, as far as they say: a bundle knows its channels by it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streamrnn.evaluation.recordings import Recording
from streamrnn.events import Channel
from streamrnn.training.plan import TrainingConfig


def named(plan: TrainingConfig, recordings: Sequence[Recording]) -> tuple[TrainingConfig, tuple[Recording, ...]]:
    """The plan with the names of the columns, if it has none and all recordings have the same ones, in any order.

    The recordings come in that of the first.
    """
    config, names = plan.recognizer, recordings[0].names
    if config.inputs or len(names) != config.channels or any({*each.names} != {*names} for each in recordings):
        return plan, tuple(recordings)
    inputs = tuple(Channel(name) for name in names)
    plan = msgspec.structs.replace(plan, recognizer=msgspec.structs.replace(config, inputs=inputs))
    return plan, tuple(each.in_order(inputs, config.name) for each in recordings)
