"""What several tests need: a bundle that is made, not trained, and hears the tone words "low" and "high"."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tones import write_bundle

from streamrnn import bundle, engine
from streamrnn.bundle import Bundle
from streamrnn.engine import Serving

# Daemons that tests start have compiled modules, as pip leaves them: without, each start takes 0.1 s of processor more.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tones.bundle").path


@pytest.fixture(scope="session")
def serving(tiny_bundle: Path) -> Serving:
    """That bundle, as an engine runs it."""
    return engine.serving(bundle.read(tiny_bundle))


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of tone words, a second each."""
    from tiny import tone_folder

    return tone_folder(tmp_path_factory.mktemp("data") / "words")


@pytest.fixture(scope="session")
def trained(words: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of twelve steps on the tone words: what a run ends in that nothing has cut off."""
    pytest.importorskip("torch")
    from tiny import job, plan

    from streamrnn.training import run

    return run.anew(job(plan(), words, tmp_path_factory.mktemp("trained") / "tiny.bundle"))
