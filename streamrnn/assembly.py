"""What a daemon's config names: the bundles that serve and the shadows beside them, opened and proved; its sources."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from streamrnn import bundle, places, sources, workers
from streamrnn.bundle import Bundle
from streamrnn.daemon_config import DaemonConfig
from streamrnn.engine import Serving, serving
from streamrnn.errors import BundleError, ConfigError
from streamrnn.hearing import Hearing, Here
from streamrnn.history import History
from streamrnn.recognizer import Recognizer
from streamrnn.sources import SourceConfig
from streamrnn.statefile import StateFile
from streamrnn.watch import Watch
from streamrnn.wire import NOBODY, Status


def check(config: DaemonConfig) -> list[str]:
    """The names of the bundles of a config that could be served. Raises ConfigError or BundleError."""
    places.check_there(config)
    names = [there.recognizer.name for there, _ in bundles(config)]
    source_configs(config, names)
    return names


def bundles(config: DaemonConfig) -> list[tuple[Bundle, str]]:
    """Each bundle, shadows last, with the name and decoder of the config, and its backend.

    Raises BundleError or ConfigError.
    """
    opened: list[tuple[Bundle, str]] = []
    for key, listed in (("bundles", config.bundles), ("shadows", config.shadows)):
        for i, each in enumerate(listed):
            where = f"{key}[{i}]"
            there = bundle.with_decoder(_read(each.path, where), each.decoder, f"{where}.decoder")
            changed = there.recognizer.config
            if each.name:
                changed = msgspec.structs.replace(changed, name=each.name)
            recognizer = msgspec.structs.replace(there.recognizer, config=changed)
            if recognizer.name in [before.recognizer.name for before, _ in opened]:
                raise ConfigError(f"{where}: another is named {recognizer.name!r} already; add `name:`")
            if key == "shadows":
                _beside(recognizer, [before.recognizer for before, _ in opened[: len(config.bundles)]], where)
            opened.append(
                (dataclasses.replace(there, recognizer=recognizer), bundle.choose_backend(there, each.backend))
            )
    return opened


def _read(path: str, where: str) -> Bundle:
    try:
        return bundle.read(bundle.locate(path))
    except BundleError as error:
        raise BundleError(f"{where}.path: {error}") from None


def serve(config: DaemonConfig, opened: Sequence[tuple[Bundle, str]]) -> list[Serving]:
    """Those bundles, proved on their golden audio, each shadow beside one that serves. Raises BundleError."""
    servings: list[Serving] = []
    for i, (there, backend) in enumerate(opened):
        served = serving(there, backend)
        bundle.prove(there, served.step)
        if i >= len(config.bundles):
            recognizers = [each.recognizer for each in servings[: len(config.bundles)]]
            beside = _beside(there.recognizer, recognizers, f"shadows[{i - len(config.bundles)}]")
            served = dataclasses.replace(served, beside=beside)
        servings.append(served)
    return servings


def placed(
    config: DaemonConfig, bundles: Sequence[tuple[Bundle, str]], proved: Sequence[Serving], watch: Watch
) -> list[Serving]:
    """Bundles that were proved, as the engine of a config is to have them. Raises BundleError."""
    if config.workers == 1:
        return [watch.measured(each) for each in proved]
    return [workers.elsewhere(each, *there) for each, there in zip(proved, bundles, strict=True)]


def engine(
    config: DaemonConfig,
    servings: Sequence[Serving],
    watch: Watch,
    tell: Callable[[str, Status], None],
    ring: Callable[[], None],
) -> Hearing:
    """What hears these bundles, here or in workers. `tell` publishes a status, `ring` wakes the engine's thread.

    Raises ConfigError if two share a name.
    """
    rows_a_call, round_s = config.engine.streams_a_step, config.engine.step_ms / 1000.0
    if config.workers == 1:
        return Here(servings, rows_a_call=rows_a_call, round_s=round_s)
    return workers.Sharded(
        servings,
        workers=config.workers,
        rows_a_call=rows_a_call,
        round_s=round_s,
        # Before the daemon itself is taken for dead.
        stall_s=config.health.stall_s / 2,
        meter=watch.meter,
        tell=lambda status: tell(NOBODY, status),
        progress=watch.vitals.moved,
        ring=ring,
    )


def _beside(shadow: Recognizer, served: Sequence[Recognizer], where: str) -> str:
    """The name of the bundle with which a shadow is compared. Raises ConfigError if there is none."""
    for each in served:
        if set(each.config.labels) == set(shadow.config.labels) and each.channels == shadow.channels:
            return each.name
    labels = ", ".join(sorted(shadow.config.labels))
    raise ConfigError(
        f"{where}: no bundle that serves has its labels ({labels}) and channels; put it under `bundles:` instead"
    )


def source_configs(config: DaemonConfig, names: Sequence[str]) -> list[SourceConfig]:
    """Its sources, where its bundles have these names, those of shadows last. Raises ConfigError."""
    names = names[: len(config.bundles)]  # shadows hear what those do
    return [sources.checked(each, names, f"sources[{i}]") for i, each in enumerate(config.sources)]


def runs_before(history: History, state: StateFile) -> tuple[str, ...] | UnsetType:
    """The runs of the daemon before this one, by what it keeps of them; UNSET if it keeps nothing."""
    if history.place:
        return history.before
    return state.runs if state.place else UNSET
