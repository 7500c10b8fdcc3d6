"""What is fixed after training: labels, rate, hop, delay and the configurations of every stage. No torch here."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streamrnn.config import Role
from streamrnn.errors import ConfigError
from streamrnn.events import Channel
from streamrnn.registry import PlugConfig, register

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9_.-]{1,64}\Z")]
Label = Annotated[str, Meta(min_length=1, max_length=128)]

BACKGROUND = "_background"


@register("feature", "streamrnn.features:Frame")
class FrameConfig(PlugConfig, frozen=True, tag="frame"):
    """Cut samples into overlapping windows, causally: the first ones look back on zeros."""

    window_ms: Positive = 32.0
    hop_ms: Positive = 10.0


@register("feature", "streamrnn.features:LogMel")
class LogMelConfig(PlugConfig, frozen=True, tag="log_mel"):
    """Windows of one channel -> logarithm of the energy in mel bands; `high_hz` 0 means half the rate."""

    bands: Count = 40
    low_hz: NotNegative = 60.0
    high_hz: NotNegative = 0.0
    floor_db: float = -80.0


@register("feature", "streamrnn.features:Mfcc")
class MfccConfig(PlugConfig, frozen=True, tag="mfcc"):
    """Windows of one channel -> cepstral coefficients of their log-mel bands."""

    coefficients: Count = 20
    bands: Count = 40
    low_hz: NotNegative = 60.0
    high_hz: NotNegative = 0.0
    floor_db: float = -80.0


@register("feature", "streamrnn.features:Scale")
class ScaleConfig(PlugConfig, frozen=True, tag="scale"):
    """Subtract the mean and divide by the deviation that training measured, feature by feature."""


@register("feature", "streamrnn.features:Delta")
class DeltaConfig(PlugConfig, frozen=True, tag="delta"):
    """Append the slope over `2 * reach + 1` frames; the output lags by `reach` frames."""

    reach: Count = 2


@register("feature", "streamrnn.features:Stack")
class StackConfig(PlugConfig, frozen=True, tag="stack"):
    """Join every `frames` frames into one."""

    frames: Count = 2


@register("feature", "streamrnn.features:Mask")
class MaskConfig(PlugConfig, frozen=True, tag="mask"):
    """In training, hide random runs of up to `bands` features and `frames` frames; afterwards it changes nothing."""

    bands: Annotated[int, Meta(ge=0)] = 8
    frames: Annotated[int, Meta(ge=0)] = 8
    share: Fraction = 0.5


@register("feature", "streamrnn.convolution:Convolution")
class ConvolutionConfig(PlugConfig, frozen=True, tag="convolution"):
    """Learnt patterns over the last `frames` frames and `bands` neighbouring bands, at every `hop_bands`-th band.

    The input is bands of `inputs` maps each; the output is bands of `maps` maps, a frame for every `hop_frames`.
    """

    maps: Count = 16
    inputs: Count = 1
    frames: Count = 3
    bands: Count = 3
    hop_frames: Count = 1
    hop_bands: Count = 1


@register("feature", "streamrnn.features:Statistics")
class StatisticsConfig(PlugConfig, frozen=True, tag="statistics"):
    """Mean, deviation, least and greatest value of each input over the last `frames` frames."""

    frames: Annotated[int, Meta(ge=2)] = 10


@register("feature", "streamrnn.sensing:Magnitude")
class MagnitudeConfig(PlugConfig, frozen=True, tag="magnitude"):
    """Append the length of each vector of `axes` neighbouring values, which turning the sensor does not change."""

    axes: Count = 3


@register("feature", "streamrnn.sensing:Centre")
class CentreConfig(PlugConfig, frozen=True, tag="centre"):
    """Subtract from each input its mean over the last `frames` frames: gravity, or a baseline that wanders."""

    frames: Annotated[int, Meta(ge=2)] = 50


@register("feature", "streamrnn.sensing:Spectrum")
class SpectrumConfig(PlugConfig, frozen=True, tag="spectrum"):
    """Windows of any channels -> of each its mean and the logarithm of the energy in `bands` up to `high_hz`.

    `high_hz` 0 means half the rate. Amplitudes far below `floor`, in the unit of the samples, are as none.
    """

    bands: Count = 12
    high_hz: NotNegative = 0.0
    floor: Positive = 0.01


@register("feature", "streamrnn.beating:Beats")
class BeatsConfig(PlugConfig, frozen=True, tag="beats"):
    """Samples of one lead of an electrocardiogram -> each beat, in the frame in which it is `wait_ms` old.

    Frames without a beat are zeros. What comes within `wait_ms` after a beat is known of it, the next one perhaps.
    """

    hop_ms: Positive = 100.0
    wait_ms: Positive = 800.0


@register("feature", "streamrnn.memories:Lag")
class LagConfig(PlugConfig, frozen=True, tag="lag"):
    """Append the values of so many frames ago, a copy a number: a day and a week before, in a series that has them."""

    frames: Annotated[tuple[Count, ...], Meta(min_length=1)]


@register("feature", "streamrnn.memories:Standardise")
class StandardiseConfig(PlugConfig, frozen=True, tag="standardise"):
    """Over mean and deviation of the stream's own last `2 ** doublings` frames, at most `most` either way.

    For streams that have nothing in common but their shape: what training measured of others says nothing of this one.
    """

    doublings: Annotated[int, Meta(ge=1, le=16)] = 9
    most: Positive = 8.0


@register("feature", "streamrnn.memories:Past")
class PastConfig(PlugConfig, frozen=True, tag="past"):
    """Append the mean of each input over the stream's last `2 ** d` frames, or as many as there were, for each `d`."""

    doublings: Annotated[tuple[Annotated[int, Meta(ge=1, le=16)], ...], Meta(min_length=1)] = (6,)


@register("feature", "streamrnn.memories:Anchor")
class AnchorConfig(PlugConfig, frozen=True, tag="anchor"):
    """Over mean and deviation of its own first `frames`, bent by asinh: a value stands for the same for ever."""

    frames: Count = 150


class CellConfig(PlugConfig, frozen=True):
    """What the recurrent bodies have in common."""

    layers: Count = 2
    hidden: Count = 128
    projection: Annotated[int, Meta(ge=0)] = 0
    dropout: Fraction = 0.0


@register("model", "streamrnn.models:Gru")
class GruConfig(CellConfig, frozen=True, tag="gru"):
    """Gated recurrent unit (Cho et al. 2014); `projection` > 0 puts a linear layer of that width before it."""


@register("model", "streamrnn.models:Lstm")
class LstmConfig(CellConfig, frozen=True, tag="lstm"):
    """Long short-term memory (Hochreiter and Schmidhuber 1997)."""


@register("model", "streamrnn.models:Rnn")
class RnnConfig(CellConfig, frozen=True, tag="rnn"):
    """The plain recurrent network of Elman (1990) with a hyperbolic tangent."""


@register("head", "streamrnn.heads:Classes")
class ClassesConfig(PlugConfig, frozen=True, tag="classes"):
    """One of the labels, or background, in each frame: softmax and cross-entropy.

    A frame counts as much as the weight of its label, 1 if none is given: those that are rare may count more.
    """

    smoothing: Fraction = 0.0
    background_weight: Positive = 1.0
    weights: dict[Label, Positive] = msgspec.field(default_factory=dict)


@register("head", "streamrnn.heads:Labels")
class LabelsConfig(PlugConfig, frozen=True, tag="labels"):
    """Any of the labels in each frame: a sigmoid and binary cross-entropy a label."""

    positive_weight: Positive = 1.0


@register("head", "streamrnn.forecast:Forecast")
class ForecastConfig(PlugConfig, frozen=True, tag="forecast"):
    """The first `channels` features `steps` frames ahead, as a Gaussian each; the future of the input is the target.

    The one label of the recognizer names what the alarms are called. `beta` 0 is the likelihood's own loss, in which
    what is hard to tell counts little; 1 is the mean square (Seitzer et al. 2022, On the pitfalls of heteroscedastic
    uncertainty estimation).

    The network learns by how much what comes differs from what is expected without it: `persistence` expects what is,
    `autoregression` what a linear forecast of all features says, fitted to the same recordings before training.
    """

    steps: Count = 1
    channels: Count = 1
    beta: Annotated[float, Meta(ge=0, le=1)] = 0.5
    stands_on: Literal["persistence", "autoregression"] = "persistence"


class TargetsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the frames of a labelled word are positive.

    `whole`: all of it. `end`: from `before_ms` before its end to `after_ms` after it, which is when a network that has
    heard the word can know it; frames within `ignore_ms` before that region teach nothing. `instant`: what is labelled
    is there in the data at known instants, as beats of a heart are, and its label is due `after_ms` later: only frames
    of the last `before_ms` until then teach, and `eval` asks no others.
    """

    place: Literal["whole", "end", "instant"] = "whole"
    before_ms: NotNegative = 0.0
    after_ms: NotNegative = 0.0
    ignore_ms: NotNegative = 0.0

    def __post_init__(self) -> None:
        if self.place == "instant" and not self.before_ms:
            raise ConfigError("targets.before_ms: 0 leaves no frame to teach at an instant; set it to a few frames")


class RecognizerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The part of a training config that describes the recognizer.

    `labels` maps each published label to the names it has in data folders, `zero: ["0"]`; an empty list means its own
    name. A label of the data that stands nowhere here is background. `inputs` name the channels, in their order, and
    say in which unit they are; left out, they are those of the columns of the data, if it names them.
    """

    name: Name
    rate: Count
    labels: dict[Label, tuple[str, ...]]
    features: tuple[Annotated[PlugConfig, Role("feature")], ...]
    model: Annotated[PlugConfig, Role("model")]
    head: Annotated[PlugConfig, Role("head")]
    decoder: Annotated[PlugConfig, Role("decoder")]
    channels: Count = 1
    targets: TargetsConfig = TargetsConfig()
    inputs: tuple[Channel, ...] = ()

    def __post_init__(self) -> None:
        if not self.labels:
            raise ConfigError("labels: empty; name at least one label")
        if self.inputs and len({each.name for each in self.inputs}) != self.channels:
            raise ConfigError(f"inputs: {len(self.inputs)} for {self.channels} channels; name each of them once")
        names: dict[str, str] = {}
        for label, aliases in self.labels.items():
            if label.startswith("_"):
                raise ConfigError(f"labels.{label}: a name with '_' in front is background; leave it out")
            for alias in (label, *aliases):
                if names.setdefault(alias, label) != label:
                    raise ConfigError(f"labels.{label}: {alias!r} already stands for {names[alias]!r}; keep one")


class Recognizer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A trained recognizer as data: its configuration and what follows from it.

    `hop` samples make one frame of posteriors; `delay` samples after a word its last frame is out (decoder apart);
    `columns` name the posteriors; `warm_up` frames pass before the state of a fresh stream has settled. `units` has, of
    a forecast's channels, the value that 0 stands for in the frames and how much 1 is; empty where nobody knows.
    """

    config: RecognizerConfig
    columns: tuple[str, ...]
    hop: int
    delay: int
    warm_up: int
    units: tuple[tuple[float, float], ...] = ()

    @property
    def name(self) -> str:
        """Its name on the wire."""
        return self.config.name

    @property
    def rate(self) -> int:
        """Samples a second that the network takes, in Hz."""
        return self.config.rate

    @property
    def channels(self) -> int:
        """Channels a sample."""
        return self.config.channels

    @property
    def frame_rate(self) -> float:
        """Frames of posteriors a second, in Hz."""
        return self.config.rate / self.hop

    @property
    def forecasts(self) -> bool:
        """Whether the head says what comes next: its columns are no posteriors of labels, and training needs none."""
        return isinstance(self.config.head, ForecastConfig)

    def frames(self, milliseconds: float) -> int:
        """The number of frames nearest to a duration."""
        return round(milliseconds * self.config.rate / (1000.0 * self.hop))


def label_of(config: RecognizerConfig, name: str) -> str:
    """The label that a name in a data folder stands for: a published label, or BACKGROUND."""
    for label, aliases in config.labels.items():
        if name == label or name in aliases:
            return label
    return BACKGROUND


def forecast_columns(label: str, channels: int) -> tuple[str, ...]:
    """The columns of a forecast's frames: how unlikely it was in [0, 1], whether it had been forecast, and by channel.

    `expected`, `deviation` and `seen` are of the frame, `coming` and `spread` of the one that is forecast in it.
    """
    parts = ("expected", "deviation", "seen", "coming", "spread")
    return (label, "_ready", *(f"_{part}.{i}" for part in parts for i in range(channels)))


def encode(recognizer: Recognizer) -> bytes:
    """JSON of a recognizer, as it stands in a bundle."""
    return msgspec.json.format(msgspec.json.encode(recognizer), indent=1)
