from typing import Any, final

from numpy.typing import NDArray

Stage = tuple[str, tuple[int, ...], tuple[NDArray[Any], ...]]

def available() -> list[str]: ...

@final
class Plan:
    def __init__(self, instructions: str, channels: int, stages: tuple[Stage, ...]) -> None: ...
    @property
    def hop(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def instructions(self) -> str: ...
    @property
    def states(self) -> tuple[int, ...]: ...
    def step(
        self,
        batch: int,
        hops: int,
        samples: NDArray[Any],
        posteriors: NDArray[Any],
        before: tuple[NDArray[Any], ...],
        after: tuple[NDArray[Any], ...],
    ) -> None: ...
