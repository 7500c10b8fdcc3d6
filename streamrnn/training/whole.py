"""Recordings as they are, one after another in random order, each beginning with a fresh state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamrnn.errors import RecordingError
from streamrnn.recognizer import Recognizer
from streamrnn.training.pieces import Clip, Piece, Supply, targets
from streamrnn.training.plan import WholeConfig


class Whole:
    """Every recording once an epoch, in an order that depends on the seed and the epoch alone."""

    def __init__(self, config: WholeConfig, recognizer: Recognizer, clips: Sequence[Clip], supply: Supply) -> None:
        """Raises RecordingError if no recording is as long as one hop."""
        self._recognizer, self._supply = recognizer, supply
        self._clips = [clip for clip in clips if len(clip.samples) >= recognizer.hop]
        if not self._clips:
            raise RecordingError(
                f"every recording is shorter than the hop of {recognizer.hop} samples; add longer ones"
            )

    def piece(self, lane: int, index: int) -> Piece:
        """The recording that is the turn of `lane`."""
        turn = index * self._supply.lanes + lane
        epoch, place = divmod(turn, len(self._clips))
        order = np.random.default_rng([self._supply.seed, 3, epoch]).permutation(len(self._clips))
        return whole_piece(self._recognizer, self._clips[int(order[place])])

    def judged(self, clips: Sequence[Clip]) -> list[Piece]:
        """Pieces to judge a network on: the recordings as they are."""
        return [whole_piece(self._recognizer, clip) for clip in clips if len(clip.samples) >= self._recognizer.hop]


def whole_piece(recognizer: Recognizer, clip: Clip) -> Piece:
    """A recording to its last whole hop; frames of which nobody knows the label teach nothing."""
    frames = len(clip.samples) // recognizer.hop
    target, teaches = targets(recognizer, frames, clip.spans)
    middle = (np.arange(frames) + 0.5) * recognizer.hop
    known = np.zeros(frames, np.bool_)
    for start, end in clip.known:
        known |= (middle >= start) & (middle < end)
    return Piece(clip.samples[: frames * recognizer.hop], target, teaches * known, anew=True)
