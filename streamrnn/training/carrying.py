"""Three ways to train over the borders of clips, each played in three ways: what carried state is worth, and costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from streamrnn.bundle import Bundle
from streamrnn.engine import serving
from streamrnn.errors import ConfigError, RecordingError
from streamrnn.evaluation.endless import Endless, clips_right
from streamrnn.evaluation.metrics import Estimate, clip_is_right, share
from streamrnn.evaluation.recordings import Recording
from streamrnn.evaluation.report import value_line
from streamrnn.evaluation.run import evaluate, is_clip
from streamrnn.recognizer import label_of
from streamrnn.training.plan import Range, TrainingConfig, WordsConfig
from streamrnn.training.run import Job, anew

# How clips follow one another in training: (what it is called, words in a piece, share of pieces that begin anew).
WAYS = (
    ("stateless: a fresh state for every word", Range(1, 1), 1.0),
    ("truncated BPTT: a fresh state for every few words", Range(2, 7), 1.0),
    ("truncated BPTT, state carried over unrelated words", Range(2, 7), 0.05),
)
PLAYED = ("whole clip", "streamed, reset before each", "streamed, never reset")
_MARGIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Way:
    """One way to train, and the share of clips right in each way of `PLAYED`."""

    name: str
    right: tuple[Estimate, ...]


def compare(job: Job, judged: Sequence[Recording], tell: Callable[[str], None]) -> list[Way]:
    """Train in each way with the plan's sizes and judge it. Raises UserError as training does, or without clips."""
    clips = [recording for recording in judged if is_clip(recording, job.plan.recognizer)]
    if not clips:
        raise RecordingError("the split has no clips, short recordings of one word, to play; choose another --split")
    ways = []
    for number, (name, words, fresh) in enumerate(WAYS):
        tell(f"training {name}")
        plan = trained_so(job.plan, words, fresh)
        bundle = anew(replace(job, plan=plan, out=job.out / f"{number}.bundle"))
        ways.append(Way(name, play(bundle, clips)))
    return ways


def trained_so(plan: TrainingConfig, words: Range, fresh: float) -> TrainingConfig:
    """The same plan with so many words in a piece and such a share of pieces that begin anew. Raises ConfigError."""
    if not isinstance(plan.material, WordsConfig):
        raise ConfigError("material.kind: carried state is compared on words; give a config whose material is words")
    material = msgspec.structs.replace(plan.material, words=words, anew=fresh)
    return msgspec.structs.replace(plan, material=material)


def play(bundle: Bundle, clips: Sequence[Recording]) -> tuple[Estimate, ...]:
    """The share of clips right: by the highest mean posterior, as streams of their own, and all as one stream."""
    served = serving(bundle)
    config = bundle.recognizer.config
    result = evaluate(served, clips)
    whole = sum(clip.plain == clip.said for clip in result.clips)
    reset = sum(clip_is_right(clip.said, clip.heard) for clip in result.clips)
    # In an order that mixes labels and people, always the same.
    order = np.random.default_rng(0).permutation(len(clips))
    mixed = tuple(clips[int(place)] for place in order)
    endless = Endless(mixed, round(_MARGIN_S * mixed[0].rate))
    (stream,) = evaluate(served, [endless]).streams
    carried = clips_right(stream, endless, [label_of(config, clip.segments[0].label) for clip in mixed])
    return tuple(share(count, len(clips)) for count in (whole, reset, carried))


def document(ways: Sequence[Way], plan: TrainingConfig) -> dict[str, Any]:
    """All of it as one JSON document."""
    ways_played = {
        way.name: {how: msgspec.to_builtins(right) for how, right in zip(PLAYED, way.right, strict=True)}
        for way in ways
    }
    return {"steps": plan.training.steps, "trained": ways_played}


def lines(ways: Sequence[Way], plan: TrainingConfig) -> list[str]:
    """The table in Markdown, which people read on a terminal as well."""
    training = plan.training
    rows = [
        f"Clips right after {training.steps} steps of {training.lanes} lanes, unroll {training.unroll_ms:g} ms: by the",
        "highest mean posterior of the whole clip; by the clip rule (exactly one detection, of the right label) with",
        "half a second of silence before and after; and by the same rule with all clips as one endless stream.",
        "",
        f"| trained | {' | '.join(PLAYED)} |",
        f"|---|{'---|' * len(PLAYED)}",
    ]
    rows += [
        f"| {way.name} | " + " | ".join(value_line("{:.1%}", msgspec.to_builtins(each)) for each in way.right) + " |"
        for way in ways
    ]
    return rows
