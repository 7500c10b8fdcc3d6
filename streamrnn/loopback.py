"""Where the probes of a daemon may be: an address of this machine, as a config names it."""

from __future__ import annotations

import contextlib
import ipaddress

from streamrnn.errors import ConfigError


def address_of(endpoint: str) -> tuple[str, int]:
    """Host and port of `http://127.0.0.1:9464`, port 0 for `*`. Raises ConfigError if it is not on this machine."""
    scheme, _, place = endpoint.partition("://")
    host, _, port = place.rstrip("/").rpartition(":")
    host = host.strip("[]")
    if scheme != "http" or not host or not (port == "*" or (port.isdecimal() and int(port) < 65536)):
        raise ConfigError(f"health.endpoint: {endpoint!r} is no endpoint; write http://127.0.0.1:9464")
    loopback = host == "localhost"
    with contextlib.suppress(ValueError):
        loopback = loopback or ipaddress.ip_address(host).is_loopback
    if not loopback:
        raise ConfigError(
            f"health.endpoint: {host} can be reached from other machines; use 127.0.0.1 and put a proxy in front of it"
        )
    return host, 0 if port == "*" else int(port)
