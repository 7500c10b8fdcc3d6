"""A bundle that is served in other processes: what they need of it, and nothing that computes here."""

from __future__ import annotations

import dataclasses
from typing import NoReturn

from streamrnn.backends import Array, ArrayState
from streamrnn.bundle import Bundle, read_from
from streamrnn.errors import BundleError
from streamrnn.pool import Serving
from streamrnn.recognizer import encode
from streamrnn.workers.orders import Given


class Elsewhere:
    """Stands where the step of a bundle would; the daemon's own thread never calls it."""

    def __init__(self, given: Given) -> None:
        self.given = given

    def __call__(self, samples: Array, state: ArrayState) -> NoReturn:
        """Raises RuntimeError."""
        raise RuntimeError("a bundle that workers serve was called in the daemon")


def elsewhere(serving: Serving, bundle: Bundle, backend: str) -> Serving:
    """What was proved here, to be served by workers: its file is kept as it is now, whatever becomes of it on disk.

    Raises BundleError if it is another one by now.
    """
    try:
        file = bundle.path.read_bytes()
    except OSError as error:
        raise BundleError(f"{bundle.path}: {error.strerror or error}; give the path of a bundle") from None
    if read_from(file, bundle.path).sha != serving.sha:
        raise BundleError(f"{bundle.path}: was replaced while it was read; try again")
    step = Elsewhere(Given(file, str(bundle.path), encode(serving.recognizer), backend))
    return dataclasses.replace(serving, step=step)


def given(serving: Serving) -> Given:
    """What workers need of a serving that `elsewhere` made."""
    assert isinstance(serving.step, Elsewhere)
    return serving.step.given
