"""How far an endpoint reaches: what the network can reach has keys, or is not bound."""

from __future__ import annotations

import ipaddress
from typing import Any, TypeVar

import msgspec

from streamrnn.errors import ConfigError

T = TypeVar("T")

_LONGEST_PATH = 107  # bytes of the path of a socket, on Linux

_LOCAL = ("ipc", "inproc")  # files and memory of this machine: who may use them its permissions say


def exposed(endpoint: str) -> bool:
    """Whether other machines could reach it. What is not known to be local is not taken for it."""
    scheme, separator, rest = endpoint.partition("://")
    if not separator or scheme in _LOCAL:
        return False  # a word such as "off", or an endpoint that ZeroMQ itself refuses
    # Without a port ZeroMQ refuses it, which is another mistake than to be reached from the network.
    host = (rest.rpartition(":")[0] if ":" in rest else rest).strip("[]")
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, `*`, or that of an interface
        return host != "localhost"


def require_keys(endpoint: str, keys: str, where: str) -> None:
    """Raises ConfigError if the network can reach an endpoint that has no keys."""
    if not keys and exposed(endpoint):
        raise ConfigError(
            f"{where}: {endpoint} can be reached from the network, and no keys are asked for; "
            f"make some (streamrnn keygen) and write `security: {{keys: DIR}}`, or bind tcp://127.0.0.1:PORT"
        )


def _check(endpoint: str, where: str) -> None:
    """Raises ConfigError for what ZeroMQ could not bind, or nobody could connect to."""
    scheme, _, place = endpoint.partition("://")
    host, _, port = place.rpartition(":")
    is_tcp = scheme == "tcp" and host and (port == "*" or (port.isascii() and port.isdecimal() and int(port) < 65536))
    is_file = scheme == "ipc" and place and len(place.encode()) <= _LONGEST_PATH
    if not is_tcp and not is_file:
        raise ConfigError(
            f"{where}: {endpoint!r} is no endpoint of a daemon; write tcp://HOST:PORT, its port at most 65535, "
            f"or ipc://PATH, at most {_LONGEST_PATH} bytes"
        )


def guarded(config: T, keys: str, where: str) -> T:
    """A config of something with an endpoint, with the daemon's keys if it names none; others as they are.

    Raises ConfigError as `require_keys` does, and for what is no endpoint; `where` is the key path of the config.
    """
    if not isinstance(config, msgspec.Struct) or "keys" not in config.__struct_fields__:
        return config
    given: Any = config
    own: Any = msgspec.structs.replace(given, keys=given.keys or keys)
    if own.endpoint not in getattr(own, "words", ()):
        _check(own.endpoint, f"{where}.endpoint")
    require_keys(own.endpoint, own.keys, f"{where}.endpoint")
    found: T = own
    return found
