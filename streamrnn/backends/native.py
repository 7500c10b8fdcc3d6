"""A bundle's step by the compiled kernel, from its weights: optional, no graph and no torch; the daemon's first choice.

The kernel lies in a distribution of its own, `streamrnn_native` (the folder `native/`). It computes each row by itself,
every sum in one order: a stream's posteriors are the same bits in any batch and for any split.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from streamrnn_native import Plan

from streamrnn import registry
from streamrnn.backends import Array, ArrayState
from streamrnn.errors import BundleError, ConfigError
from streamrnn.recognizer import (
    CellConfig,
    ClassesConfig,
    ConvolutionConfig,
    DeltaConfig,
    FrameConfig,
    GruConfig,
    LabelsConfig,
    LogMelConfig,
    LstmConfig,
    MaskConfig,
    MfccConfig,
    RecognizerConfig,
    RnnConfig,
    ScaleConfig,
    StackConfig,
    StatisticsConfig,
)
from streamrnn.registry import PlugConfig

if TYPE_CHECKING:
    from streamrnn.bundle import Bundle

Stage = tuple[str, tuple[int, ...], tuple[Array, ...]]
_CELLS: dict[type[PlugConfig], tuple[str, tuple[str, ...]]] = {
    GruConfig: ("gru", ("h",)),
    LstmConfig: ("lstm", ("h", "c")),
    RnnConfig: ("rnn", ("h",)),
}
_POSTERIORS: dict[type[PlugConfig], str] = {ClassesConfig: "softmax", LabelsConfig: "sigmoid"}
_FLOAT = np.dtype(np.float32)
_CELL_WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


class NativeStep:
    """Samples and state in, posteriors and state out, by one call without the interpreter's lock."""

    def __init__(self, plan: Plan, shapes: dict[str, tuple[int, ...]]) -> None:
        """`shapes` are those of the states of one stream, in the plan's order."""
        self.instructions: str = plan.instructions  # what it was compiled for that runs here: avx512, avx2 or plain
        self._step, self._hop, self._columns = plan.step, plan.hop, plan.columns
        self._shapes = tuple(shapes.items())

    def __call__(self, samples: Array, state: ArrayState) -> tuple[Array, ArrayState]:
        """(batch, time, channels), state -> posteriors (batch, time / hop, columns), state."""
        batch, hops = samples.shape[0], samples.shape[1] // self._hop
        posteriors = np.empty((batch, hops, self._columns), _FLOAT)
        after = {name: np.empty((batch, *shape), _FLOAT) for name, shape in self._shapes}
        before = tuple([state[name] for name in after])
        made = tuple(after.values())
        try:
            self._step(batch, hops, samples, posteriors, before, made)
        except TypeError:  # of another type or layout, which is cheaper to hear of than to ask for
            before = tuple([np.ascontiguousarray(array, _FLOAT) for array in before])
            self._step(batch, hops, np.ascontiguousarray(samples, _FLOAT), posteriors, before, made)
        return posteriors, after


def open_step(bundle: Bundle, instructions: str = "") -> NativeStep:
    """The step of a bundle, on the best instructions of this processor or the ones that are named.

    Raises BundleError if it has a stage that the kernel does not know, or weights or a state that do not fit.
    """
    try:
        told = _Told(bundle.recognizer.config, bundle.weights)
        plan = Plan(instructions, bundle.recognizer.channels, tuple(told.stages))
    except (ConfigError, LookupError, ValueError, ArithmeticError) as error:
        raise BundleError(f"{bundle.path}: the native backend does not take it ({error}); use onnx") from None
    wanted = {name: array.shape[1:] for name, array in bundle.initial.items()}
    sizes = tuple(math.prod(shape) for shape in told.shapes.values())
    recognizer = bundle.recognizer
    made = (told.shapes, plan.states, plan.hop, plan.columns)
    if made != (wanted, sizes, recognizer.hop, len(recognizer.columns)):
        raise BundleError(f"{bundle.path}: the native backend would keep another state than its own; use onnx")
    return NativeStep(plan, told.shapes)


@dataclass
class _Told:
    """A recognizer as the kernel is told of it: stages in their order, and the shape of each state of a stream."""

    config: RecognizerConfig
    weights: ArrayState
    stages: list[Stage] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.width, self.rate = self.config.channels, float(self.config.rate)
        used: Counter[str] = Counter()
        before: PlugConfig | None = None
        for i, plug in enumerate((*self.config.features, self.config.model)):
            kind = registry.of(plug).kind
            used[kind] += 1
            self._stage(plug, before, f"chain.stages.{i}.", kind if used[kind] == 1 else f"{kind}{used[kind]}")
            before = plug
        head = f"chain.stages.{len(self.config.features) + 1}."
        posterior = _POSTERIORS.get(type(self.config.head))
        if posterior is None:
            raise ConfigError(f"head: {registry.of(self.config.head).kind!r} is none that it knows")
        self._dense(f"{head}layer.")
        self.stages.append((posterior, (), (self._weight(f"{head}temperature", np.ones(1)),)))

    def _weight(self, name: str, absent: Any = None) -> Array:
        given = self.weights[name] if absent is None else self.weights.get(name, absent)
        return np.ascontiguousarray(given, np.float32)

    def _stage(self, plug: PlugConfig, before: PlugConfig | None, prefix: str, name: str) -> None:
        match plug:
            case FrameConfig():
                hop, window = round(plug.hop_ms * self.rate / 1000), round(plug.window_ms * self.rate / 1000)
                self._tail(name, -(-window // hop) * hop - hop)
                self.stages.append(("frame", (window, hop), ()))
                self.width, self.rate = self.width * window, self.rate / hop
            case LogMelConfig() | MfccConfig():
                self._bands(plug, before)
                if isinstance(plug, MfccConfig):
                    self.stages.append(("dense", (plug.coefficients,), _cosines(plug.coefficients, plug.bands)))
                    self.width = plug.coefficients
            case ScaleConfig():
                self.stages.append(("scale", (), (self._weight(f"{prefix}mean"), self._weight(f"{prefix}deviation"))))
            case MaskConfig():
                pass  # it hides in training only
            case DeltaConfig():
                self._tail(name, 2 * plug.reach)
                self.stages.append(("delta", (plug.reach,), ()))
                self.width *= 2
            case StackConfig():
                self.stages.append(("stack", (plug.frames,), ()))
                self.width, self.rate = self.width * plug.frames, self.rate / plug.frames
            case StatisticsConfig():
                self._tail(name, plug.frames - 1)
                self.stages.append(("statistics", (plug.frames,), ()))
                self.width *= 4
            case ConvolutionConfig():
                self._convolution(plug, prefix, name)
            case CellConfig() if type(plug) in _CELLS:
                self._cells(plug, prefix, name)
            case _:
                raise ConfigError(f"{registry.of(plug).kind!r} is no stage that it knows")

    def _tail(self, name: str, steps: int) -> None:
        self.shapes[f"{name}.tail"] = (steps, self.width)

    def _bands(self, plug: LogMelConfig | MfccConfig, before: PlugConfig | None) -> None:
        window, hop = self.width, 0
        if isinstance(before, FrameConfig) and self.stages[-1][1][0] == window:
            # Windows of one channel are never put together: the transform reads them where the samples lie.
            (_, (window, hop), _) = self.stages.pop()
        size = 2 ** math.ceil(math.log2(window))
        weights = _mel(size, self.config.rate, plug)
        used = np.flatnonzero(weights.any(axis=0))
        first, bins = int(used[0]), int(used[-1] - used[0]) + 1
        # The transform of a real series is twice too large as the kernel takes it apart, and so is a sine's: no factor.
        taper = np.hanning(window) / np.hanning(window).sum()
        over_floor = weights[:, first : first + bins] / 10.0 ** (plug.floor_db / 10.0)
        arrays = tuple(np.ascontiguousarray(each, np.float32) for each in (taper, over_floor))
        self.stages.append(("mel", (hop, window, size, first, bins, plug.bands), arrays))
        self.width = plug.bands

    def _convolution(self, plug: ConvolutionConfig, prefix: str, name: str) -> None:
        self._tail(name, plug.frames - plug.hop_frames)
        patterns, bias = (self._weight(f"{prefix}patterns.{which}") for which in ("weight", "bias"))
        numbers = (plug.inputs, plug.maps, plug.frames, plug.bands, plug.hop_frames, plug.hop_bands)
        self.stages.append(("convolution", numbers, (patterns, bias)))
        positions = (self.width // plug.inputs + 2 * (plug.bands // 2) - plug.bands) // plug.hop_bands + 1
        self.width, self.rate = plug.maps * positions, self.rate / plug.hop_frames

    def _cells(self, plug: CellConfig, prefix: str, name: str) -> None:
        kind, memories = _CELLS[type(plug)]
        if plug.projection:
            self._dense(f"{prefix}project.")
        for layer in range(plug.layers):
            arrays = tuple(self._weight(f"{prefix}layers.{layer}.{which}") for which in _CELL_WEIGHTS)
            self.stages.append((kind, (plug.hidden,), arrays))
            self.shapes.update({f"{name}.{layer}.{memory}": (plug.hidden,) for memory in memories})
        self.width = plug.hidden

    def _dense(self, prefix: str) -> None:
        weight, bias = self._weight(f"{prefix}weight"), self._weight(f"{prefix}bias")
        self.stages.append(("dense", (len(weight),), (weight, bias)))
        self.width = len(weight)


def _mel(size: int, rate: int, plug: LogMelConfig | MfccConfig) -> NDArray[np.float64]:
    """(bands, size / 2 + 1): triangles that meet at the middles of their neighbours, evenly spaced in mel."""

    def mel(hertz: float) -> float:
        return 2595.0 * math.log10(1.0 + hertz / 700.0)

    corners = np.linspace(mel(plug.low_hz), mel(plug.high_hz or rate / 2), plug.bands + 2)
    hertz = 700.0 * (10.0 ** (corners[:, None] / 2595.0) - 1.0)
    left, middle, right = hertz[:-2], hertz[1:-1], hertz[2:]
    tones = np.linspace(0, rate // 2, size // 2 + 1)
    rise, fall = (tones - left) / (middle - left), (right - tones) / (right - middle)
    return np.maximum(0.0, np.minimum(rise, fall)).astype(np.float64)


def _cosines(coefficients: int, bands: int) -> tuple[Array, Array]:
    """The orthonormal cosine transform of bands as a dense stage: weights (coefficients, bands), and no bias."""
    angle = math.pi / bands * np.outer(np.arange(coefficients), np.arange(bands) + 0.5)
    cosines = np.cos(angle) * math.sqrt(2.0 / bands)
    cosines[0] *= math.sqrt(0.5)
    return cosines.astype(np.float32), np.zeros(coefficients, np.float32)
