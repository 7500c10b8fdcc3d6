"""An offline labeller: a bidirectional network over a recognizer's features proposes labels for unlabelled recordings.

It reads a recording in both directions (Schuster and Paliwal 1997), so it is no Stage, has no kind in any registry and
is in no bundle: a live stream has no future. What it writes are Audacity label tracks, for a person to look over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from streamrnn import decoders, registry
from streamrnn.backends import Array
from streamrnn.decoders import SegmentsConfig
from streamrnn.errors import RecordingError
from streamrnn.evaluation.recordings import Recording
from streamrnn.heads import Head
from streamrnn.network import Network
from streamrnn.stage import Chain, Stage
from streamrnn.training import loading
from streamrnn.training.judge import batch
from streamrnn.training.pieces import Piece
from streamrnn.training.plan import TrainingConfig
from streamrnn.training.whole import whole_piece

_ROWS = 16


@dataclass(frozen=True, slots=True)
class Proposal:
    """A stretch of a recording, in seconds, and the label that the labeller proposes for it."""

    start: float
    end: float
    label: str


class Labeller(nn.Module):
    """The features and the head of a network, with a GRU in each direction between them."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        config = network.recognizer.config
        chain = network.chain
        named = [(n, s) for n, s in zip(chain.names, chain.stages, strict=True) if isinstance(s, Stage)]
        # The chain is features ▸ model ▸ head; the last two are built anew, the head for twice the width.
        self.features = Chain(named[:-2])
        hidden, layers = getattr(config.model, "hidden", 64), getattr(config.model, "layers", 1)
        width = self.features.width or config.channels
        self.body = nn.GRU(width, hidden, layers, batch_first=True, bidirectional=True)
        self.head: Head = registry.of(config.head).load()(config.head, 2 * hidden, tuple(config.labels))
        self.recognizer = network.recognizer

    def forward(self, samples: Tensor, frames: Sequence[int]) -> Tensor:
        """(batch, samples, channels) of which row i is `frames[i]` long -> logits (batch, frames, columns)."""
        x, _ = self.features(samples, self.features.initial_state(len(samples)))
        # Packed, so that the way back begins at the end of each recording, not in the zeros behind it.
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(frames), batch_first=True, enforce_sorted=False)
        y, _ = nn.utils.rnn.pad_packed_sequence(self.body(packed)[0], batch_first=True, total_length=x.shape[1])
        logits: Tensor = self.head(y, {})[0]
        return logits


def train(plan: TrainingConfig, recordings: Sequence[Recording]) -> Labeller:
    """Fit a labeller on labelled recordings, each whole, by the sizes, steps, rate and seed of a plan.

    Raises RecordingError if no recording is as long as a hop or one has other channels.
    """
    fit = plan.training
    torch.manual_seed(fit.seed)
    network = Network(plan.recognizer)
    clips = loading.load(plan.recognizer, recordings)
    pieces = [whole_piece(network.recognizer, clip) for clip in clips if len(clip.samples) >= network.hop]
    if not pieces:
        raise RecordingError("no recording is as long as a hop; give longer ones to train the labeller on")
    network.measure(torch.from_numpy(np.concatenate([piece.samples for piece in pieces]))[None])
    labeller = Labeller(network)
    optimiser = torch.optim.AdamW(labeller.parameters(), fit.learning_rate, weight_decay=fit.weight_decay)
    random = np.random.default_rng(fit.seed)
    for _ in range(fit.steps):
        chosen = random.permutation(len(pieces))[: min(_ROWS, fit.lanes)]
        rows = [pieces[int(i)] for i in chosen]
        samples, target, teaches = batch(rows)
        loss = labeller.head.loss(labeller(samples, [row.frames for row in rows]), target, teaches)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(labeller.parameters(), fit.clip_norm)
        optimiser.step()
    return labeller.eval()


def posteriors(labeller: Labeller, piece: Piece) -> Array:
    """What the labeller says of a whole recording, (frames, columns)."""
    with torch.inference_mode():
        logits = labeller(torch.from_numpy(piece.samples)[None], [piece.frames])
        said: Array = labeller.head.posterior(logits)[0].numpy().copy()
    return said


def propose(labeller: Labeller, recording: Recording) -> list[Proposal]:
    """The segments of a recording, found by the decoder that serves, on posteriors that knew the end.

    Raises RecordingError where the recording has other channels than the recognizer takes.
    """
    recognizer = labeller.recognizer
    (clip,) = loading.load(recognizer.config, [recording])
    if len(clip.samples) < recognizer.hop:
        return []
    piece = whole_piece(recognizer, clip)
    decoder = decoders.build(SegmentsConfig(smooth_ms=0.0), recognizer)
    found, track = decoder(posteriors(labeller, piece)[None], decoder.initial_track(1))
    seconds = recognizer.hop / recognizer.rate
    return [
        Proposal(
            each.start * seconds,
            each.end * seconds if each.end < piece.frames else recording.seconds,
            recognizer.columns[each.column],
        )
        for each in sorted([*found, *decoder.finish(track)], key=lambda each: each.start)
    ]


def label(labeller: Labeller, recordings: Sequence[Recording], folder: Path) -> list[Path]:
    """Write `<name>.txt`, an Audacity label track, for each recording into `folder`. Raises RecordingError."""
    tracks = [folder / f"{recording.path.stem}.txt" for recording in recordings]
    twice = [track for track, count in Counter(tracks).items() if count > 1]
    if twice:
        raise RecordingError(f"{twice[0]}: would be the track of two recordings; label them into folders of their own")
    for recording, track in zip(recordings, tracks, strict=True):
        lines = [f"{p.start:.3f}\t{p.end:.3f}\t{p.label}\n" for p in propose(labeller, recording)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            track.write_text("".join(lines), encoding="utf-8")
        except OSError as error:
            raise RecordingError(f"{track}: cannot be written: {error.strerror}; choose another folder") from None
    return tracks
