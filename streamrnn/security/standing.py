"""What the senders of messages may do now: connections outlive their key's line in the list, their messages do not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import monotonic

import zmq

from streamrnn.errors import ConfigError
from streamrnn.security import keys as certificates
from streamrnn.security.keys import ROLES, Client, Role

_ALL: frozenset[Role] = frozenset(ROLES)
_LOOK_S = 1.0  # between two looks at the list


class Standing:
    """The list of the folder `keys`, looked at each second; with "" everyone may do everything. For one thread."""

    def __init__(self, keys: str) -> None:
        self._keys = keys
        self._listed: Mapping[bytes, Client] = {}
        self._is_readable = True
        self._next_look = 0.0

    def roles_of(self, frame: zmq.Frame) -> frozenset[Role]:
        """What the sender of a received frame (`copy=False`) may do; nothing, once its key is no longer listed."""
        return self.roles(self.key_of(frame))

    def key_of(self, frame: zmq.Frame) -> str:
        """The key with which the sender of a received frame came in; "" where none is asked for, or none was shown."""
        return key_of(frame) if self._keys else ""

    def roles(self, key: str) -> frozenset[Role]:
        """What whoever came in with a key may do; nothing, once it is no longer listed."""
        if not self._keys:
            return _ALL
        if monotonic() >= self._next_look:
            self._look()
        client = self._listed.get(key.encode())
        roles = client.roles if client is not None else frozenset()
        return frozenset(ROLES) if "admin" in roles else roles

    def _look(self) -> None:
        self._next_look = monotonic() + _LOOK_S
        try:
            self._listed, self._is_readable = certificates.read_allowed(Path(self._keys)), True
        except ConfigError:
            # Once may be an editor that is just saving it; a list that stays unreadable has nobody in it.
            if not self._is_readable:
                self._listed = {}
            self._is_readable = False


def key_of(frame: zmq.Frame) -> str:
    """The public key with which the sender of a received frame (`copy=False`) came in; "" if it showed none."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:  # no key, no user
        return ""
