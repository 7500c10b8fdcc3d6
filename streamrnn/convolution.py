"""Learnt patterns over time and neighbouring bands as a stage: the front of a convolutional recurrent network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamrnn.errors import ConfigError
from streamrnn.recognizer import ConvolutionConfig
from streamrnn.stage import Inputs, Stage, State


class Convolution(Stage):
    """Causal convolution over frames and bands with a rectifier (as in Arik et al. 2017, a keyword spotter).

    What is learnt at one band is known at all of them, so that a higher voice is a shift and not a new word.
    """

    def __init__(self, config: ConvolutionConfig, inputs: Inputs) -> None:
        """Raises ConfigError if the inputs are no whole maps, a pattern exceeds them or is shorter than a hop."""
        super().__init__()
        bands, odd = divmod(inputs.width, config.inputs)
        if odd:
            raise ConfigError(f"inputs: {inputs.width} values a frame are not {config.inputs} maps of bands; mend it")
        if config.bands > bands:
            raise ConfigError(f"bands: {config.bands} exceed the {bands} that come in; lower it")
        if config.frames < config.hop_frames:
            raise ConfigError(f"frames: {config.frames} are fewer than hop_frames {config.hop_frames}; raise it")
        self.hop, self.frames = config.hop_frames, config.frames
        self.maps, self.inputs, self.bands = config.maps, config.inputs, bands
        # Bands at the edges stand alone on one side; a zero is the mean once the frames are scaled.
        self.pad = config.bands // 2
        self.width = config.maps * ((bands + 2 * self.pad - config.bands) // config.hop_bands + 1)
        self.patterns = nn.Conv2d(
            config.inputs,
            config.maps,
            (config.frames, config.bands),
            (config.hop_frames, config.hop_bands),
            (0, self.pad),
        )

    def initial_state(self, batch: int) -> State:
        """The frames before the first: zeros."""
        return {"tail": torch.zeros(batch, self.frames - self.hop, self.inputs * self.bands)}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, frames, bands * inputs) -> (batch, frames / hop, bands / hop_bands * maps)."""
        joined = torch.cat([state["tail"], x], dim=1)
        # A band's maps lie side by side: that is the order in which the processor convolves them fastest.
        maps = joined.reshape(joined.shape[0], -1, self.bands, self.inputs).permute(0, 3, 1, 2)
        heard = functional.relu(self.patterns(maps))
        return heard.permute(0, 2, 3, 1).flatten(2), {"tail": joined[:, x.shape[1] :]}
