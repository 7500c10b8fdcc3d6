"""What the bench compares with: torchaudio's MelSpectrogram and `nn.GRU` in a loop, as one writes it by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torchaudio
from torch import nn

from streamrnn.backends import Array
from streamrnn.bench import Hearer, keeping
from streamrnn.bundle import open_steps
from streamrnn.decoders import EndpointConfig
from streamrnn.network import Network
from streamrnn.recognizer import ClassesConfig, FrameConfig, GruConfig, LogMelConfig, RecognizerConfig
from streamrnn.registry import PlugConfig
from streamrnn.training.export import export

_RATE, _WINDOW, _HOP, _BANDS, _LOW_HZ = 16_000, 512, 160, 40, 60.0
_LAYERS, _HIDDEN = 2, 128
_LABELS = tuple(f"word{i}" for i in range(10))


def network() -> Network:
    """The network of the bench: GRU 2 x 128 on 40 log-mel bands, 100 frames a second, with random weights."""
    frame = FrameConfig(window_ms=1000 * _WINDOW / _RATE, hop_ms=1000 * _HOP / _RATE)
    return _network(_RATE, 1, (frame, LogMelConfig(bands=_BANDS, low_hz=_LOW_HZ)))


def cells() -> Network:
    """The same without its features: it takes 40 values 100 times a second."""
    return _network(_RATE // _HOP, _BANDS, ())


def _network(rate: int, channels: int, features: tuple[PlugConfig, ...]) -> Network:
    torch.manual_seed(0)
    return Network(
        RecognizerConfig(
            name="bench",
            rate=rate,
            channels=channels,
            labels=dict.fromkeys(_LABELS, ()),
            features=features,
            model=GruConfig(layers=_LAYERS, hidden=_HIDDEN),
            head=ClassesConfig(),
            decoder=EndpointConfig(),
        )
    ).eval()


class PlainLoop:
    """A kept tail, MelSpectrogram, log, `nn.GRU`, linear, softmax; the hidden state kept from call to call.

    It has the weights of a `network()` and so gives the same posteriors: what is compared is the cost alone.
    """

    def __init__(self, source: Network, batch: int) -> None:
        self._mel = torchaudio.transforms.MelSpectrogram(
            sample_rate=_RATE,
            n_fft=_WINDOW,
            hop_length=_HOP,
            f_min=_LOW_HZ,
            n_mels=_BANDS,
            center=False,
            wkwargs={"periodic": False},
        )
        # Full scale is 1, and the logarithm begins at a floor of -80 dB, as in features.LogMel.
        self._gain = float((2.0 / self._mel.spectrogram.window.sum()) ** 2 / 10.0**-8.0)
        self._gru = _gru(source)
        self._linear = nn.Linear(_HIDDEN, len(_LABELS) + 1)
        self._linear.load_state_dict(source.head.layer.state_dict())
        self._tail = torch.zeros(batch, _WINDOW - _HOP)
        self._hidden = torch.zeros(_LAYERS, batch, _HIDDEN)

    def __call__(self, samples: Array) -> Array:
        """(batch, time, 1) -> posteriors (batch, time / 160, 11)."""
        with torch.inference_mode():
            joined = torch.cat([self._tail, torch.from_numpy(samples)[:, :, 0]], dim=1)
            self._tail = joined[:, -(_WINDOW - _HOP) :]
            frames = torch.log1p(self._mel(joined) * self._gain).transpose(1, 2)
            y, self._hidden = self._gru(frames, self._hidden)
            posteriors: Array = torch.softmax(self._linear(y), dim=-1).numpy()
        return posteriors


class PlainCells:
    """`nn.GRU` alone with its hidden state kept, on the values of each frame and without a head."""

    def __init__(self, source: Network, batch: int) -> None:
        self._gru = _gru(source)
        self._hidden = torch.zeros(_LAYERS, batch, _HIDDEN)

    def __call__(self, samples: Array) -> Array:
        """(batch, time, 40) -> hidden states (batch, time, 128)."""
        with torch.inference_mode():
            y, self._hidden = self._gru(torch.from_numpy(samples), self._hidden)
            hidden: Array = y.numpy()
        return hidden


def _gru(source: Network) -> nn.GRU:
    """torch's GRU of all layers with the weights of a network of this bench."""
    gru = nn.GRU(_BANDS, _HIDDEN, _LAYERS, batch_first=True)
    weights = source.state_dict()
    stage = len(source.recognizer.config.features)
    layers = {
        name.replace("_l0", f"_l{layer}"): weights[f"chain.stages.{stage}.layers.{layer}.{name}"]
        for layer in range(_LAYERS)
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    }
    gru.load_state_dict(layers)
    return gru


class Contestants:
    """The backends and the plain loop, all with the weights of one network."""

    def __init__(self, folder: Path, source: Network, loop: Callable[[Network, int], Hearer]) -> None:
        """Exports a network of this bench into a bundle in `folder`; `loop` makes what it is compared with."""
        torch.set_num_threads(1)
        self._network, self._loop = source, loop
        self.bundle = export(source, folder / "bench.bundle", {})
        self.steps = open_steps(self.bundle, "torch")
        self.recognizer = self.bundle.recognizer

    def __call__(self, batch: int) -> dict[str, Hearer]:
        """Each of them with `batch` fresh streams; the loop is named "loop"."""
        kept = {name: keeping(step, self.bundle.initial, batch) for name, step in self.steps.items()}
        return {**kept, "loop": self._loop(self._network, batch)}
