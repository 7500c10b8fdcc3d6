"""Recordings one after another in random order, each beginning with a fresh state, as they are or varied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from streamrnn.errors import ConfigError, RecordingError
from streamrnn.recognizer import Recognizer
from streamrnn.training.pieces import Clip, Piece, Samples, Supply, targets
from streamrnn.training.plan import WholeConfig
from streamrnn.training.wearing import from_anywhere, varied


class Whole:
    """Every recording once an epoch, in an order that depends on the seed and the epoch alone."""

    def __init__(self, config: WholeConfig, recognizer: Recognizer, clips: Sequence[Clip], supply: Supply) -> None:
        """Raises RecordingError if no recording is as long as one hop, or a label is in none, ConfigError."""
        if config.turn_degrees and recognizer.channels % 3:
            raise ConfigError(f"material.turn_degrees: {recognizer.channels} channels are no vectors of 3; take it out")
        self._config = config
        self._recognizer, self._supply = recognizer, supply
        self._clips = [clip for clip in clips if len(clip.samples) >= recognizer.hop]
        if not self._clips:
            raise RecordingError(
                f"every recording is shorter than the hop of {recognizer.hop} samples; add longer ones"
            )
        self._longest = recognizer.frames(config.longest_ms) * recognizer.hop
        self._settle = recognizer.frames(config.settle_ms)
        heard = {span.label for clip in self._clips for span in clip.spans}
        for label, name in enumerate(recognizer.config.labels):
            if label not in heard and not recognizer.forecasts:
                raise RecordingError(f"label {name!r}: no recording in the data; add some or take the label out")

    def piece(self, lane: int, index: int) -> Piece:
        """The recording that is the turn of `lane`."""
        turn = index * self._supply.lanes + lane
        epoch, place = divmod(turn, len(self._clips))
        order = np.random.default_rng([self._supply.seed, 3, epoch]).permutation(len(self._clips))
        random = np.random.default_rng([self._supply.seed, 4, turn])
        clip = varied(self._clips[int(order[place])], self._config, random)
        if self._config.starts == "apart" and index == 0:
            clip = from_anywhere(clip, random)
        piece = whole_piece(self._recognizer, clip if len(clip.samples) >= self._recognizer.hop else self._clips[0])
        return self._stretch(piece, turn) if self._longest or self._settle else piece

    def _stretch(self, piece: Piece, turn: int) -> Piece:
        """A part of a piece from a random place, or all of it; its first frames teach nothing."""
        hop = self._recognizer.hop
        count = min(piece.frames, self._longest // hop) if self._longest else piece.frames
        random = np.random.default_rng([self._supply.seed, 5, turn])
        first = int(random.integers(piece.frames - count + 1))
        part, teaches = slice(first, first + count), piece.teaches[first : first + count].copy()
        # A piece that is shorter than what it takes to settle still teaches with its last half.
        teaches[: min(self._settle, count // 2)] = 0.0
        return Piece(piece.samples[first * hop : (first + count) * hop], piece.target[part], teaches, anew=True)

    def judged(self, clips: Sequence[Clip]) -> list[Piece]:
        """Pieces to judge a network on: the recordings as they are."""
        return [whole_piece(self._recognizer, clip) for clip in clips if len(clip.samples) >= self._recognizer.hop]

    def suspects(self, step: int) -> Iterator[Samples]:
        """None: recordings are taken as they are."""
        return iter(())

    def weigh(self, scores: Samples) -> None:
        """Nothing was listened to."""


def whole_piece(recognizer: Recognizer, clip: Clip) -> Piece:
    """A recording to its last whole hop; frames of which nobody knows the label teach nothing."""
    frames = len(clip.samples) // recognizer.hop
    target, teaches = targets(recognizer, frames, clip.spans)
    # A frame is labelled by its last sample, as `targets` has it: where nobody knows that one, it must not teach.
    last = np.arange(1, frames + 1) * recognizer.hop - 1
    known = np.zeros(frames, np.bool_)
    for start, end in clip.known:
        known |= (last >= start) & (last < end)
    if recognizer.forecasts:
        # The future of the input is the target; what is labelled is what must not be learnt as usual.
        known &= target.max(axis=1) == 0
    return Piece(clip.samples[: frames * recognizer.hop], target, teaches * known, anew=True)
