"""What a training config says: the recognizer, the material of the lanes and how to fit. No torch here."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streamrnn.config import Role
from streamrnn.errors import ConfigError, did_you_mean
from streamrnn.recognizer import Count, Fraction, NotNegative, Positive, RecognizerConfig
from streamrnn.registry import PlugConfig, register
from streamrnn.speech.together import Name as EngineName

Share = Annotated[float, Meta(ge=0, le=1)]


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An interval that a value is drawn from evenly."""

    least: float
    most: float

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(f"least {self.least:g} is above most {self.most:g}; swap them")


class SpeechConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Speech made from text for labels of which there are too few voices: `texts` says what to speak for each label.

    `share` of the words are drawn from it. Nothing may be recognised in `others`, in `near_misses` phrases that sound
    nearly like each text, and in `talk` sentences of common and invented words. `sentences` says for a label that is
    speech of any kind how many of such sentences are spoken for it. The `engines` that are named speak in turn, or all
    that are installed where none is.
    """

    texts: dict[str, str]
    others: tuple[str, ...] = ()
    share: Share = 0.15
    clips: Count = 60
    near_misses: Annotated[int, Meta(ge=0)] = 0
    talk: Annotated[int, Meta(ge=0)] = 0
    sentences: dict[str, Count] = {}
    engines: tuple[EngineName, ...] = ()


@register("material", "streamrnn.training.words:Words")
class WordsConfig(PlugConfig, frozen=True, tag="words"):
    """Words at random places in endless lanes, with pauses, talk, noise, rooms, gain and speed drawn anew each time.

    A piece has so many `words`; a share of `anew` of the pieces begins with a fresh state, the others go on with what
    the one before has left, though they have nothing to do with it. A share of `stretched` variants is faster or slower
    with the voice as it was, beside `speed`, which changes both. `margin_ms` of the recording around a word is kept. A
    share of `background` of the words is drawn from what must not be recognised, and of `broken` is half a word. A
    share of `talking` of the pieces is cut from long recordings, and of `silent` holds no word at all. Noise is a
    neighbour's talk in a share of `babble` of the noisy lanes. Among the noises that are made up is one of so many
    `voices` over one another, backwards; where speech itself is the label there must be none. So many `scratches` come
    and go as syllables do.
    """

    variants: Count = 6
    speed: Range = Range(0.85, 1.18)
    stretch: Range = Range(0.8, 1.25)
    stretched: Share = 0.0
    gain_db: Range = Range(-24.0, 0.0)
    snr_db: Range = Range(3.0, 40.0)
    clean: Share = 0.3
    room: Share = 0.4
    equaliser_db: NotNegative = 6.0
    margin_ms: NotNegative = 0.0
    pause_ms: Range = Range(60.0, 1200.0)
    connected: Share = 0.35
    overlap_ms: NotNegative = 40.0
    background: Share = 0.15
    broken: Share = 0.0
    talking: Share = 0.0
    silent: Share = 0.0
    babble: Share = 0.0
    voices: tuple[Count, ...] = (4, 8, 12)
    scratches: Annotated[int, Meta(ge=0)] = 0
    words: Range = Range(2, 7)
    anew: Share = 0.05
    speech: SpeechConfig | None = None


@register("material", "streamrnn.training.whole:Whole")
class WholeConfig(PlugConfig, frozen=True, tag="recordings"):
    """Recordings one after another in random order, each beginning with a fresh state.

    As they are, unless one of these varies them anew each time, as other people would wear the sensors: every three
    channels turned by up to `turn_degrees`, all stronger or weaker by up to `gain_db`, with white `noise` of up to that
    deviation, at another `speed`. `starts: anywhere` begins each at a random place, so that lanes are not all at the
    begin of a recording at once; `starts: apart` only the first of each lane, so that all others are heard from where a
    stream begins, as what has happened so far matters.

    `longest_ms` above 0 takes a stretch of so much of a longer one, from a random place each time. The first
    `settle_ms` of a stretch teach nothing: features that look back have not seen enough yet.
    """

    starts: Literal["begin", "anywhere", "apart"] = "begin"
    turn_degrees: Annotated[float, Meta(ge=0, le=180)] = 0.0
    gain_db: NotNegative = 0.0
    noise: NotNegative = 0.0
    speed: Range = Range(1.0, 1.0)
    longest_ms: NotNegative = 0.0
    settle_ms: NotNegative = 0.0

    def __post_init__(self) -> None:
        if self.speed.least <= 0:
            raise ConfigError(f"material.speed.least: {self.speed.least:g} is no speed; choose one above 0")


class FitConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Truncated backpropagation through time: `lanes` streams at once, `unroll_ms` a backward pass.

    `unroll_ms: 0` unrolls whole recordings: plain backpropagation through time. The weights that are kept are a running
    average with factor `averaging`. After `patience` judgements without a lower loss training stops; 0 never stops it.
    A second thread brings a network of 2 x 128 nothing, and another number of threads is another order of sums. After
    every `mine_every` steps, 0 for never, the network listens to what must not be recognised; what fooled it comes more
    often from then on.
    """

    steps: Count = 4000
    lanes: Count = 64
    unroll_ms: NotNegative = 1500.0
    learning_rate: Positive = 2e-3
    weight_decay: NotNegative = 0.01
    warm_up_steps: Count = 100
    clip_norm: Positive = 1.0
    averaging: Fraction = 0.998
    judge_every: Count = 200
    patience: Annotated[int, Meta(ge=0)] = 0
    mine_every: Annotated[int, Meta(ge=0)] = 0
    seed: Annotated[int, Meta(ge=0)] = 0
    threads: Count = 1


class ValidationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What early stopping looks at: a split of the data, or a share of `train` that is then not trained on."""

    split: str = "train"
    share: Share = 0.08


class CalibrationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """After training, `hours` are composed of what was held out, to measure what each threshold costs; 0 for none.

    `talk_minutes` of talk from text are added to what must not be recognised, in voices that training does not use.
    """

    hours: NotNegative = 0.0
    talk_minutes: NotNegative = 0.0


class TrainingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole training config, as `configs/*.yaml` holds it.

    `finetuning` stands in for `training` with `--from`, and `quick` with `--quick`.
    """

    recognizer: RecognizerConfig
    material: Annotated[PlugConfig, Role("material")]
    training: FitConfig = FitConfig()
    finetuning: FitConfig = FitConfig(steps=300, warm_up_steps=30, learning_rate=3e-4, averaging=0.98, judge_every=50)
    quick: FitConfig = FitConfig(steps=600, lanes=48, judge_every=100, averaging=0.99)
    validation: ValidationConfig = ValidationConfig()
    calibration: CalibrationConfig = CalibrationConfig()

    def __post_init__(self) -> None:
        if not isinstance(self.material, WordsConfig):
            return
        for section, fit in (("training", self.training), ("finetuning", self.finetuning)):
            if not fit.unroll_ms:
                raise ConfigError(
                    f"{section}.unroll_ms: 0 unrolls whole recordings, and words make endless lanes; set it"
                )
        speech = self.material.speech
        spoken = (("texts", speech.texts), ("sentences", speech.sentences)) if speech is not None else ()
        for section, names in spoken:
            for name in names:
                if name not in self.recognizer.labels:
                    known = did_you_mean(name, self.recognizer.labels)
                    raise ConfigError(f"material.speech.{section}.{name}: no label; {known}")
