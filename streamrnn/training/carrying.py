"""Three ways to train over the borders of clips, each played in three ways: what carried state is worth, and costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.bundle import Bundle
from streamrnn.engine import serving
from streamrnn.errors import ConfigError, RecordingError
from streamrnn.evaluation.endless import Endless, clips_right
from streamrnn.evaluation.intervals import shares
from streamrnn.evaluation.metrics import Estimate, clip_is_right, over_units
from streamrnn.evaluation.recordings import Recording
from streamrnn.evaluation.run import evaluate, is_clip
from streamrnn.evaluation.turns import Turn, in_turns
from streamrnn.recognizer import label_of
from streamrnn.training.plan import Range, TrainingConfig, WordsConfig
from streamrnn.training.run import Job, anew

# How clips follow one another in training: file, what it is called, words in a piece, share of pieces that begin anew.
WAYS = (
    ("stateless", "stateless: a fresh state for every word", Range(1, 1), 1.0),
    ("tbptt", "truncated BPTT: a fresh state for every few words", Range(2, 7), 1.0),
    ("carried", "truncated BPTT, state carried over unrelated words", Range(2, 7), 0.05),
)
PLAYED = ("whole clip", "streamed, reset before each", "streamed, never reset")
TIMES = 10  # each clip is played
_MARGIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Way:
    """One way to train: the share of clips right in each way of `PLAYED`, and what never resetting loses of it.

    `lost` is the share right with resets minus the one without, of the same playings.
    """

    name: str
    right: tuple[Estimate, ...]
    lost: Estimate


def compare(job: Job, judged: Sequence[Recording], tell: Callable[[str], None]) -> list[Way]:
    """Train in each way with the plan's sizes and judge it. Raises UserError as training does, or without clips.

    The bundles lie in the folder `job.out` afterwards, by the first names of `WAYS`.
    """
    clips = [recording for recording in judged if is_clip(recording, job.plan.recognizer)]
    if not clips:
        raise RecordingError("the split has no clips, short recordings of one word, to play; choose another --split")
    ways = []
    for file, name, words, fresh in WAYS:
        tell(f"training {name}")
        plan = trained_so(job.plan, words, fresh)
        bundle = anew(replace(job, plan=plan, out=job.out / f"{file}.bundle"))
        tell(f"playing {len(clips)} clips, each {TIMES} times")
        ways.append(play(name, bundle, clips))
    return ways


def trained_so(plan: TrainingConfig, words: Range, fresh: float) -> TrainingConfig:
    """The same plan with so many words in a piece and such a share of pieces that begin anew. Raises ConfigError."""
    if not isinstance(plan.material, WordsConfig):
        raise ConfigError("material.kind: carried state is compared on words; give a config whose material is words")
    material = msgspec.structs.replace(plan.material, words=words, anew=fresh)
    return msgspec.structs.replace(plan, material=material)


def play(name: str, bundle: Bundle, clips: Sequence[Recording]) -> Way:
    """The share of playings right: by the highest mean posterior, as streams of their own, and all as one stream."""
    served = serving(bundle)
    config = bundle.recognizer.config
    # One seed: each bundle hears the same.
    turns = in_turns(clips, TIMES, np.random.default_rng(0))
    result = evaluate(served, turns)
    whole = [clip.plain == clip.said for clip in result.clips]
    reset = [clip_is_right(clip.said, clip.heard) for clip in result.clips]
    endless = Endless(tuple(turns), round(_MARGIN_S * turns[0].rate))
    (stream,) = evaluate(served, [endless]).streams
    carried = clips_right(stream, endless, [label_of(config, turn.segments[0].label) for turn in turns])
    counts = [_by_clip(turns, clips, each) for each in (whole, reset, carried)]
    lost = over_units([int(n) for n in counts[1] - counts[2]], [TIMES] * len(clips))
    value = (sum(reset) - sum(carried)) / len(turns)
    return Way(
        name,
        tuple(_share(each) for each in counts),
        Estimate(value, min(lost.low, value), max(lost.high, value), sum(reset) - sum(carried), float(len(turns))),
    )


def _by_clip(turns: Sequence[Turn], clips: Sequence[Recording], right: Sequence[bool]) -> NDArray[np.int64]:
    """(clips,): how often each was right."""
    place = {id(clip): number for number, clip in enumerate(clips)}
    places = [place[id(turn.clip)] for turn in turns]
    return np.bincount(places, np.asarray(right, np.float64), len(clips)).astype(np.int64)


def _share(right: NDArray[np.int64]) -> Estimate:
    """The share right, with an interval over clips: playings of one clip are no independent trials."""
    total = len(right) * TIMES
    ((low, high),) = shares(right[None], [TIMES] * len(right))
    return Estimate(int(right.sum()) / total, low, high, int(right.sum()), float(total))


def document(ways: Sequence[Way], plan: TrainingConfig) -> dict[str, Any]:
    """All of it as one JSON document."""
    ways_played = {
        way.name: {
            **{how: msgspec.to_builtins(right) for how, right in zip(PLAYED, way.right, strict=True)},
            "lost without reset": msgspec.to_builtins(way.lost),
        }
        for way in ways
    }
    return {"steps": plan.training.steps, "times": TIMES, "trained": ways_played}


def lines(ways: Sequence[Way], plan: TrainingConfig) -> list[str]:
    """The table in Markdown, which people read on a terminal as well."""
    training = plan.training
    playings = ways[0].right[0].of
    rows = [
        f"Clips right after {training.steps} steps of {training.lanes} lanes, unroll {training.unroll_ms:g} ms: by the",
        "highest mean posterior of the whole clip; by the clip rule (exactly one detection, of the right label) with",
        "half a second of silence before and after; and by the same rule with all clips as one endless stream.",
        "",
        f"Each of {playings / TIMES:.0f} clips is played {TIMES} times, at another gain (down to -12 dB), under no",
        "noise or white noise at 30 or 20 dB, after another pause, and the same playings are heard in every cell.",
        "Intervals (95 %) are over clips, for playings of one clip are no independent trials. The last column is what",
        "never resetting loses, in points, from the same playings with and without: below zero it gains.",
        "",
        f"| trained | {' | '.join(PLAYED)} | lost without reset |",
        f"|---|{'---|' * (len(PLAYED) + 1)}",
    ]
    rows += [
        f"| {way.name} | {' | '.join(_written(each) for each in way.right)} | {_points(way.lost)} |" for way in ways
    ]
    return rows


def _written(each: Estimate) -> str:
    return f"{each.value:.1%} ({each.low:.1%} to {each.high:.1%})"


def _points(each: Estimate) -> str:
    return f"{100 * each.value:+.2f} ({100 * each.low:+.2f} to {100 * each.high:+.2f})"
