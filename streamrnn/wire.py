"""The results wire: topics and messages, checked as they come in. No sockets here; docs/wire.md is its page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from streamrnn import mistakes
from streamrnn.errors import StreamError, UserError
from streamrnn.events import KINDS, SCHEMA, Alarm, BundleRef, Channel, Forecast, Heard, Lost, Scored

PREFIX = f"v{SCHEMA}/"
NOBODY = "_"  # stands where a topic has no stream or no bundle
RESULTS_ENDPOINT = "tcp://127.0.0.1:5560"

_NAME = re.compile(r"[a-z0-9_.-]{1,64}")
Name = Annotated[str, Meta(pattern=r"^[a-z0-9_.-]{1,64}\Z")]
Natural = Annotated[int, Meta(ge=0, le=2**62)]
Positive = Annotated[int, Meta(ge=1, le=2**62)]


class WireError(UserError):
    """What came over the wire breaks its rules; `code` is for programs, `text` for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class Moment(msgspec.Struct, frozen=True):
    """When: samples of the source heard so far and their rate in Hz are the truth; the two clocks are advisory."""

    sample: Natural
    rate: Natural
    mono_ns: Natural
    utc_ns: Natural


class Status(msgspec.Struct, frozen=True):
    """What became of a stream or a source, and a line for people.

    `opened`, `restored`, `ended`, `suspended`, `failed` or `refused`; of the daemon `reloaded`, `kept` or `mended`; of
    the device of a stream `offline`, `online`, `silent`, `heard` or `malformed`, `irregular` of its rows, and of one of
    its channels `frozen`, `saturated`, `vanished` or `recovered`.
    """

    state: str
    text: str


class Beat(msgspec.Struct, frozen=True):
    """A sign of life: the last `seq` of each topic that changed since the beat before."""

    topics: dict[str, int]


class Hello(msgspec.Struct, frozen=True):
    """Said after a subscription: who is here, and the last `seq` of each topic, from which a subscriber counts.

    `control` is where calls are taken, such as `replay`; "" if nowhere. `inputs` are the channels that a bundle takes,
    of those that know them. `before` are the last runs before this one, the oldest first, left out by a daemon that
    keeps nothing by which it could know.
    """

    version: str
    bundles: tuple[BundleRef, ...]
    streams: tuple[str, ...]
    topics: dict[str, int]
    control: str = ""
    inputs: dict[str, tuple[Channel, ...]] = {}
    before: tuple[Name, ...] | UnsetType = UNSET


class Bye(msgspec.Struct, frozen=True):
    """The last message of a run: the last `seq` of each topic, so that a subscriber knows whether it has them all."""

    reason: str
    topics: dict[str, int]


Body = Heard | Forecast | Scored | Lost | Status | Beat | Hello | Bye | dict[str, Any]

# Kinds that have no struct yet are read as plain JSON objects.
BODIES: dict[str, type[msgspec.Struct]] = {
    "detection": Heard,
    "segment": Heard,
    "alarm": Alarm,
    "forecast": Forecast,
    "score": Scored,
    "gap": Lost,
    "status": Status,
    "heartbeat": Beat,
    "hello": Hello,
    "bye": Bye,
}


class _Version(msgspec.Struct, frozen=True):
    v: int


class _Counted(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    counting: str = ""  # left out where there is no stream, and by daemons of a version before


class Envelope(_Counted, frozen=True):
    """What every message has beside its body; see `Message`."""

    v: int
    kind: str
    stream: Name
    bundle: BundleRef
    run: Name
    epoch: Natural
    seq: Positive
    t: Moment
    readiness: str
    gap: Natural
    id: str


class _Received(Envelope, frozen=True):
    body: msgspec.Raw


class Message(Envelope, frozen=True):
    """One published result.

    `run` is new a process start; `seq` counts the messages of its topic in a run, from 1; `epoch` grows whenever the
    stream's memory was lost; `gap` is how many samples of the stream were lost so far; `id` names an event of
    its `counting`, "" for kinds that are none; within a `counting` sample n of the stream is the same sample for ever,
    over restarts too, "" where there is no stream; `body` is what its kind says.
    """

    body: Body

    @property
    def topic(self) -> str:
        """What it is published under, `v1/<kind>/<stream>/<bundle>/`."""
        return topic_of(self.kind, self.stream, self.bundle.name)


def topic_of(kind: str, stream: str = NOBODY, bundle: str = NOBODY) -> str:
    """`v1/<kind>/<stream>/<bundle>/`: the slash at the end keeps mic1 from matching mic10."""
    return f"{PREFIX}{kind}/{stream}/{bundle}/"


def check_name(name: str) -> str:
    """The name of a stream, if it can stand in a topic. Raises StreamError with one that can."""
    if _NAME.fullmatch(name) and name != NOBODY:
        return name
    raise StreamError(f"stream {name!r}: a name is 1 to 64 of a-z 0-9 _ . - and not just _; call it {as_name(name)!r}")


def as_name(text: str) -> str:
    """The nearest name that can stand in a topic, such as `my-talk` of "My talk"."""
    return re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-_.")[:64] or "stream"


def encode(message: Message) -> list[bytes]:
    """The parts `[topic, json]` of a message."""
    return [message.topic.encode(), msgspec.json.encode(message)]


def decode(parts: Sequence[bytes]) -> Message:
    """The message of received parts `[topic, json, raw...]`; fields and raw parts that are new are passed over.

    Raises WireError with the code `parts`, `malformed`, `version`, `kind`, `name` or `topic`.
    """
    if len(parts) < 2:
        raise WireError("parts", f"{len(parts)} parts; a message is [topic, json, raw...]")
    message = read(parts[1])
    if parts[0] != message.topic.encode():
        raise WireError("topic", f"{parts[0]!r} carries a message of {message.topic}")
    return message


def read(data: bytes) -> Message:
    """The message that a JSON text is. Raises WireError with the code `malformed`, `version`, `kind` or `name`."""
    version = parse(data, _Version).v
    if version != SCHEMA:
        raise WireError("version", f"v is {version}, this reads {SCHEMA}; use the same version on both sides")
    received = parse(data, _Received)
    if received.kind not in KINDS:
        raise WireError("kind", f"{received.kind!r} is none of {', '.join(KINDS)}")
    if not _NAME.fullmatch(received.bundle.name):
        raise WireError("name", f"bundle {received.bundle.name!r} is no name")
    body: Any = parse(bytes(received.body), BODIES.get(received.kind, dict[str, Any]))
    fields = {name: getattr(received, name) for name in Envelope.__struct_fields__}
    return Message(**fields, body=body)


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """One that is kept: to look a type up takes longer than to read a header."""
    return msgspec.json.Decoder(kind)


def parse(data: bytes, kind: Any) -> Any:
    """JSON as the type `kind`. Raises WireError with the code `malformed`."""
    try:
        return _decoder(kind).decode(data)
    except msgspec.ValidationError as error:
        raise WireError("malformed", mistakes.told(error, _as_it_is(data), kind)) from None
    # The last two: bytes that are no UTF-8, and brackets nested deeper than the stack.
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", mistakes.unread(error)) from None


def _as_it_is(data: bytes) -> Any:
    """What a JSON text holds, to show; nothing if all of it cannot be read."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
