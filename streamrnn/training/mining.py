"""Hard negatives: how much each sound in which nothing may be recognised fools the network (Sung and Poggio 1998)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np
import torch

from streamrnn.network import Network
from streamrnn.recognizer import BACKGROUND
from streamrnn.training.judge import ROWS
from streamrnn.training.pieces import Samples

_SMOOTH_S = 0.1
_LEAD_S = 0.3


def scores(network: Network, sounds: Iterable[Samples]) -> Samples:
    """(sounds,): the highest mean posterior of any label over a tenth of a second in each; the mode stays as it is."""
    was_training, device = network.training, next(network.parameters()).device
    network.eval()
    recognizer, hop = network.recognizer, network.hop
    width = max(1, round(_SMOOTH_S * recognizer.frame_rate))
    labels = [i for i, column in enumerate(recognizer.columns) if column != BACKGROUND]
    lead, tail = int(_LEAD_S * recognizer.rate), recognizer.delay
    found: list[Samples] = []
    coming = iter(sounds)  # hours of them are never in memory at once
    with torch.inference_mode():
        while some := list(islice(coming, ROWS)):
            longest = lead + max(len(sound) for sound in some) + tail
            samples = torch.zeros(len(some), -(-longest // hop) * hop, 1)
            for row, sound in enumerate(some):
                peak = max(1e-4, float(np.abs(sound).max(initial=0.0)))
                samples[row, lead : lead + len(sound), 0] = torch.from_numpy(sound * np.float32(0.3 / peak))
            initial = {name: value.to(device) for name, value in network.initial_state(len(some)).items()}
            logits, _ = network(samples.to(device), initial)
            said = network.head.posterior(logits)[..., labels]
            mean = said.unfold(1, min(width, said.shape[1]), 1).mean(dim=-1)
            found.append(mean.amax(dim=(1, 2)).cpu().numpy())
    network.train(was_training)
    return np.concatenate(found, dtype=np.float32) if found else np.zeros(0, np.float32)
