"""Which streamrnn this is; the package takes its version from here, so that nothing has to look it up at a start."""

from __future__ import annotations

VERSION = "0.1.0"
