"""Who may talk to a daemon: keys, the list of those that are let in, and doors that keep to it; docs/security.md."""

from streamrnn.security.doors import Door, bind_repair, introduce, secure
from streamrnn.security.ending import LINGER_MS, end
from streamrnn.security.exposure import guarded
from streamrnn.security.keys import ROLES, SERVER, Role
from streamrnn.security.refusals import Refusals

__all__ = [
    "LINGER_MS",
    "ROLES",
    "SERVER",
    "Door",
    "Refusals",
    "Role",
    "bind_repair",
    "end",
    "guarded",
    "introduce",
    "secure",
]
