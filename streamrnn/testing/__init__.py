"""The law as public functions: `check_step`, `check_decoder`, `check_source` here, `check_stage` in `testing.torch`."""

from __future__ import annotations

from streamrnn.testing.decoder import check_decoder
from streamrnn.testing.law import LawBroken
from streamrnn.testing.source import check_source
from streamrnn.testing.step import check_step

__all__ = ["LawBroken", "check_decoder", "check_source", "check_step"]
