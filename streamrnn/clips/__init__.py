"""Clips: the samples around what was detected, kept in files if the config asks for it. What it may ask for."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streamrnn.errors import ConfigError
from streamrnn.recognizer import Count, NotNegative, Positive

_AT_MOST_S = Meta(le=3600.0)


class ClipsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keep the samples around every event of these `kinds` in `directory` ("": nowhere, no sample is kept at all).

    A clip reaches from `before_s` before the event's start to `after_s` after its end; of an event that was told more
    than `longest_s` after its start only what came since then. Streams are kept `at_once`, or each `when_asked` for it
    over control. The oldest clips go where there would be more than `max_clips`, or of more than `max_bytes` together,
    and all that are older than `max_age_days`. The samples of all streams that are kept in memory have at most
    `memory_bytes`; of a stream that finds no room there are no clips. What waits for the disk has a quarter more.

    With `state_every_s` what is remembered of a stream is kept as often, and of it what was before a clip beside the
    clip, so that `streamrnn replay` can hear the event again; 0 keeps none.
    """

    directory: str = ""
    before_s: Annotated[NotNegative, _AT_MOST_S] = 1.0
    after_s: Annotated[NotNegative, _AT_MOST_S] = 0.5
    longest_s: Annotated[Positive, _AT_MOST_S] = 5.0
    kinds: tuple[Literal["detection", "segment", "alarm"], ...] = ("detection",)
    start: Literal["at_once", "when_asked"] = "at_once"
    max_clips: Annotated[Count, Meta(le=1_000_000)] = 1000
    max_bytes: Annotated[int, Meta(ge=1 << 20)] = 100_000_000
    max_age_days: Positive = 7.0
    memory_bytes: Annotated[int, Meta(ge=1 << 20)] = 256_000_000
    state_every_s: Annotated[NotNegative, _AT_MOST_S] = 0.0

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ConfigError("kinds: empty; name detection, segment or alarm")
        settings = [getattr(self, name) for name in self.__struct_fields__[1:]]
        if not self.directory and settings != [field.default for field in msgspec.structs.fields(ClipsConfig)[1:]]:
            raise ConfigError("directory: missing; name a folder for the clips, or leave out all of `clips:`")
