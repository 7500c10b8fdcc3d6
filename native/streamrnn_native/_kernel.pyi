from typing import final

from typing_extensions import Buffer

Stage = tuple[str, tuple[int, ...], tuple[Buffer, ...]]

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
        samples: Buffer,
        posteriors: Buffer,
        before: tuple[Buffer, ...],
        after: tuple[Buffer, ...],
    ) -> None: ...
