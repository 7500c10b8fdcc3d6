"""What a training is judged by beside its recordings: words and talk from text, in voices that it never hears."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from streamrnn.bundle import Bundle, measured, write
from streamrnn.evaluation.calibrating import Calibration, calibrate
from streamrnn.evaluation.recordings import Recording, read_data
from streamrnn.evaluation.stock import NOISE, ROOM
from streamrnn.recognizer import label_of
from streamrnn.speech import together
from streamrnn.speech.folder import Folder
from streamrnn.speech.recordings import Order, plan, record
from streamrnn.training.plan import CalibrationConfig, TrainingConfig, WordsConfig

# Another seed than that of the talk that training hears: other sentences too.
_SEED = 1_000
_WORDS = 60  # of a label of which there is no recording


def add(
    bundle: Bundle,
    made: TrainingConfig,
    folders: Sequence[Path],
    held_out: Sequence[Recording],
    kept: Sequence[Recording],
) -> Bundle:
    """The bundle, written again with the DET in it; under it lie the noises and rooms of training as well.

    Raises RecordingError where what was held out has no word or nothing that must not be recognised.
    """
    config = made.calibration
    under = [each for each in kept if any(s.label.startswith((NOISE, ROOM)) for s in each.segments)]
    with tempfile.TemporaryDirectory(prefix="streamrnn-talk-") as temporary:
        talk = Path(temporary) / "talk-from-text"
        spoken = _speak(made, config, talk)
        calibration = Calibration((*held_out, *under, *spoken), (*folders, talk), config.hours, _seed(made))
        return write(bundle.path, measured(bundle, calibrate(bundle, calibration)))


def unrecorded(made: TrainingConfig, recordings: Sequence[Recording], place: Path) -> tuple[Recording, ...]:
    """Words from text, into a folder, of the labels that no recording has: else all of them could be missed unseen."""
    config = made.recognizer
    there = {label_of(config, segment.label) for each in recordings for segment in each.segments}
    texts = _texts(made)
    missing = [label for label in config.labels if label not in there and label in texts]
    return _record(
        made, Order(tuple(texts[label] for label in missing), tuple(missing), _WORDS, 0, 0.0, _seed(made)), place
    )


def _speak(made: TrainingConfig, config: CalibrationConfig, place: Path) -> tuple[Recording, ...]:
    """Minutes of talk."""
    texts, labels = _texts(made), tuple(made.recognizer.labels)
    phrases = tuple(texts.get(label, label.replace("_", " ")) for label in labels)
    return _record(made, Order(phrases, labels, 0, 0, 60.0 * config.talk_minutes, _seed(made)), place)


def _seed(made: TrainingConfig) -> int:
    return made.training.seed + _SEED


def _texts(made: TrainingConfig) -> dict[str, str]:
    speech = made.material.speech if isinstance(made.material, WordsConfig) else None
    return speech.texts if speech is not None else {}


def _record(made: TrainingConfig, order: Order, place: Path) -> tuple[Recording, ...]:
    """What is ordered, in the voices that training does not use; none without the speech engine."""
    speech = made.material.speech if isinstance(made.material, WordsConfig) else None
    engines = speech.engines if speech is not None else ()
    if not (order.count or order.talk_s) or not order.phrases or not (engines or together.installed()):
        return ()
    with Folder(place, made.recognizer.rate) as folder:
        for samples, said in record(plan(order, together.named(engines, "held-out")), made.recognizer.rate):
            folder.add(samples, said)
    return read_data([place]).recordings
