"""What thresholds cost, measured after a training: on what it held out, and on talk in voices it never heard."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from streamrnn.bundle import Bundle, measured, write
from streamrnn.evaluation.calibrating import Calibration, calibrate
from streamrnn.evaluation.recordings import Recording, read_data
from streamrnn.evaluation.stock import NOISE, ROOM
from streamrnn.speech import together
from streamrnn.speech.folder import Folder
from streamrnn.speech.recordings import Order, plan, record
from streamrnn.training.plan import CalibrationConfig, TrainingConfig, WordsConfig

# Another seed than that of the talk that training hears: other sentences too.
_SEED = 1_000


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
        calibration = Calibration(
            (*held_out, *under, *spoken), (*folders, talk), config.hours, made.training.seed + _SEED
        )
        return write(bundle.path, measured(bundle, calibrate(bundle, calibration)))


def _speak(made: TrainingConfig, config: CalibrationConfig, place: Path) -> tuple[Recording, ...]:
    """Minutes of talk in the voices that training does not use; none without the speech engine."""
    material = made.material
    speech = material.speech if isinstance(material, WordsConfig) else None
    engines = speech.engines if speech is not None else ()
    if not config.talk_minutes or not (engines or together.installed()):
        return ()
    texts = speech.texts if speech is not None else {}
    phrases = tuple(texts.get(label, label.replace("_", " ")) for label in made.recognizer.labels)
    order = Order(phrases, tuple(made.recognizer.labels), 0, 0, 60.0 * config.talk_minutes, made.training.seed + _SEED)
    with Folder(place, made.recognizer.rate) as folder:
        for samples, said in record(plan(order, together.named(engines, "held-out")), made.recognizer.rate):
            folder.add(samples, said)
    return read_data([place]).recordings
