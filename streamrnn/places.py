"""Where a daemon's config binds, writes and finds its keys: each place is its own, and what must be there is there.

Devices are not looked for: a config may be checked on another machine than the daemon's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from streamrnn.errors import ConfigError

_FOLDERS = ("directory", "folder", "journal")  # keys of configs that name a folder which is written to
_EVERYWHERE = ("*", "0.0.0.0", "::")
_SERVER = "server.key_secret"


def endpoints(config: Any) -> Iterator[tuple[str, Any, str]]:
    """Where in the config, the part of it, and the endpoint, of all that binds one."""
    for where, part in _parts(config):
        endpoint = getattr(part, "endpoint", "")
        if "://" in endpoint:
            yield f"{where}.endpoint", part, endpoint


def folders(config: Any) -> Iterator[tuple[str, Path]]:
    """Every folder that belongs to the daemon, in which it writes files of its own, with its key."""
    for where, part in _parts(config):
        for name in _FOLDERS:
            if isinstance(getattr(part, name, None), str) and getattr(part, name):
                yield f"{where}.{name}", Path(getattr(part, name))


def files(config: Any) -> Iterator[tuple[str, Path]]:
    """Every file that a sink writes, with its key."""
    for where, part in _parts(config):
        if where.startswith("sinks") and isinstance(getattr(part, "path", None), str) and part.path != "-":
            yield f"{where}.path", Path(part.path)


def check_apart(config: Any) -> None:
    """Raises ConfigError where two parts of a config have the same port, folder or file, whatever is there."""
    taken: list[tuple[str, str]] = []
    for where, _, endpoint in endpoints(config):
        # A port that the system chooses is another one each time.
        if not endpoint.endswith((":*", ":0")):
            for other, before in taken:
                if _meet(endpoint, before):
                    same = "" if endpoint == before else f", {before},"
                    raise ConfigError(f"{where}: {endpoint} is that of {other}{same} already; choose another port")
            taken.append((where, endpoint))
    own: dict[str, str] = {}
    for where, path in (*folders(config), *keys(config), *files(config)):
        other = own.setdefault(os.path.realpath(path), where)
        if other != where:
            raise ConfigError(f"{where}: {path} is that of {other} already; choose another, for each has its own")
    for where, path in files(config):
        inside = own.get(os.path.realpath(path.parent))
        if inside:
            raise ConfigError(
                f"{where}: {path} lies in the folder of {inside}, which is for the files of that alone; "
                "choose another folder"
            )


def keys(config: Any) -> Iterator[tuple[str, Path]]:
    """Every folder of keys that a config names, with the first key that does."""
    first: dict[str, str] = {}
    for where, part in sorted(_parts(config), key=lambda each: each[0] != "security"):
        folder = getattr(part, "keys", "")
        if folder:
            first.setdefault(os.path.realpath(folder), f"{where}.keys")
    yield from ((where, Path(folder)) for folder, where in first.items())


def check_there(config: Any) -> None:
    """Raises ConfigError for a folder or file that this user could not write, and for keys that are missing."""
    for where, folder in folders(config):
        there = _nearest(folder)
        if not os.path.isdir(there):
            raise ConfigError(f"{where}: {folder} cannot be made, for {there} is a file; choose another folder")
        if not os.access(there, os.W_OK | os.X_OK):
            repair = f"run: sudo install -d -o $(id -u) {folder}"
            raise ConfigError(f"{where}: {folder}: this user may not write to {there}; {repair}, or choose another")
    for where, path in files(config):
        if os.path.isdir(path):
            raise ConfigError(f"{where}: {path} is a folder; name a file in it")
        if not os.path.isdir(path.parent):
            raise ConfigError(f"{where}: {path}: there is no folder {path.parent}; run: mkdir -p {path.parent}")
        there = path if os.path.exists(path) else path.parent
        if not os.access(there, os.W_OK):
            raise ConfigError(f"{where}: {path}: this user may not write to {there}; choose another path")
    for where, folder in keys(config):
        if not os.path.exists(folder / _SERVER):
            lacks = f"has no {_SERVER}" if os.path.isdir(folder) else "there is no such folder"
            raise ConfigError(f"{where}: {folder}: {lacks}; run: streamrnn keygen server --out {folder}")


def _parts(config: Any) -> Iterator[tuple[str, Any]]:
    """The sections of a config, and what stands in those that are lists, with its key."""
    for key in config.__struct_fields__:
        there = getattr(config, key)
        listed = [(f"{key}[{i}]", each) for i, each in enumerate(there)] if isinstance(there, tuple) else [(key, there)]
        yield from ((where, each) for where, each in listed if isinstance(each, msgspec.Struct))


def _meet(one: str, other: str) -> bool:
    """Whether two endpoints could not both be bound: those of one port, whatever their scheme."""
    if one == other or one.startswith("ipc://") or other.startswith("ipc://"):
        return one == other
    (host, port), (its_host, its_port) = _address(one), _address(other)
    return port == its_port and (host == its_host or host in _EVERYWHERE or its_host in _EVERYWHERE)


def _address(endpoint: str) -> tuple[str, str]:
    host, _, port = endpoint.partition("://")[2].partition("/")[0].rpartition(":")
    host = host.strip("[]")
    return "127.0.0.1" if host == "localhost" else host, port


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that is there already: in it the daemon makes what is missing."""
    # os.path and not Path, for which a folder that may not be entered is an error and not an answer.
    return next((each for each in (folder, *folder.absolute().parents) if os.path.exists(each)), Path("/"))
