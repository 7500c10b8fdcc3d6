"""What several tests need: a bundle that is made, not trained, and hears the tone words "low" and "high"."""

from __future__ import annotations

from pathlib import Path

import pytest
from tones import write_bundle


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tones.bundle").path
