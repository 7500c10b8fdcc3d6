"""Keys in files: CURVE key pairs as ZeroMQ certificates, and the list of public keys that a daemon lets in.

The folder of a daemon holds `server.key_secret`, its own pair, and `allowed`, a line for each client:

    ROLE[,ROLE] PUBLIC-KEY NAME
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import zmq

from streamrnn.errors import ConfigError, did_you_mean
from streamrnn.limits import ALLOWED_BYTES

Role = Literal["read", "ingest", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
SERVER = "server"
ALLOWED = "allowed"
SECRET_SUFFIX = ".key_secret"
PUBLIC_SUFFIX = ".key"

_NAME = re.compile(r"[a-z0-9_.-]{1,64}")
_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")  # Z85, https://rfc.zeromq.org/spec/32/
_LINE = re.compile(r'^\s*(public|secret|server)-key\s*=\s*"([^"]*)"\s*$', re.MULTILINE)
_COMMENT = "# Who is let in: ROLE[,ROLE] PUBLIC-KEY NAME. Take a line out to let that key in no more.\n"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key pair in Z85, and the public key of the server that it is for ("": none was named)."""

    public: bytes
    secret: bytes
    server: bytes = b""

    def __repr__(self) -> str:
        # So that no secret gets into a log.
        return f"KeyPair({self.public.decode()})"


@dataclass(frozen=True, slots=True)
class Client:
    """One line of the list: a name for people, and what it may do."""

    name: str
    roles: frozenset[Role]


def generate(server: bytes = b"") -> KeyPair:
    """A new pair from the system's randomness."""
    return KeyPair(*zmq.curve_keypair(), server)


def load(path: Path) -> KeyPair:
    """The pair in a secret certificate. Raises ConfigError if it is none, or open to others."""
    text = _private(path, "keys", 0o077, f"chmod 600 {path}")
    found = dict(_LINE.findall(text))
    for kind, key in found.items():
        if not _KEY.fullmatch(key):
            raise ConfigError(f"keys {path}: {kind}-key is no Z85 key of 40 characters; make one with streamrnn keygen")
    if "secret" not in found:
        raise ConfigError(f"keys {path}: no secret-key in it; give the file NAME{SECRET_SUFFIX} of streamrnn keygen")
    secret = found["secret"].encode()
    try:
        public = zmq.curve_public(secret)
    except zmq.ZMQError:  # letters of Z85 that stand for no number of 32 bits
        raise ConfigError(f"keys {path}: secret-key is no key; make one with streamrnn keygen") from None
    if found.get("public", public.decode()).encode() != public:
        raise ConfigError(f"keys {path}: public-key is not that of secret-key; make a pair with streamrnn keygen")
    return KeyPair(public, secret, found.get("server", "").encode())


def load_client(path: Path) -> KeyPair:
    """The pair of a client, which knows its server. Raises ConfigError."""
    pair = load(path)
    if not pair.server:
        raise ConfigError(f'keys {path}: no server-key in it; add the line `server-key = "..."` of the daemon')
    return pair


def load_server(folder: Path) -> KeyPair:
    """The pair of the daemon whose folder it is, once its list could be read as well. Raises ConfigError."""
    pair = load(folder / f"{SERVER}{SECRET_SUFFIX}")
    read_allowed(folder)
    return pair


def read_allowed(folder: Path) -> Mapping[bytes, Client]:
    """Who is let in, by public key. Raises ConfigError if the list is missing, malformed or others may write to it."""
    path = folder / ALLOWED
    _owned(folder, "keys", 0o022, f"chmod go-w {folder}")
    text = _private(path, "keys", 0o022, f"chmod go-w {path}")
    clients: dict[bytes, Client] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"keys {path}: line {number}"
        if len(words) != 3:
            raise ConfigError(f"{where}: {len(words)} words; write ROLE[,ROLE] PUBLIC-KEY NAME")
        roles, key, name = words
        if not _KEY.fullmatch(key) or not _NAME.fullmatch(name):
            raise ConfigError(f"{where}: no Z85 key of 40 characters and name of a-z 0-9 _ . -; see streamrnn keygen")
        if key.encode() in clients:
            raise ConfigError(
                f"{where}: the key of {clients[key.encode()].name!r} again; keep one line, roles by comma"
            )
        clients[key.encode()] = Client(name, frozenset(_role(role, where) for role in roles.split(",")))
    return clients


def public_of(folder: Path) -> bytes:
    """The public key of the daemon whose folder it is, b"" if it has none yet. Raises ConfigError."""
    path = folder / f"{SERVER}{SECRET_SUFFIX}"
    return load(path).public if path.exists() else b""


def write(folder: Path, name: str, pair: KeyPair) -> Path:
    """A pair as NAME.key_secret, for its owner alone, and NAME.key; the first of the two.

    Raises ConfigError if either is there already, or the folder takes none.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"keys {name!r}: a name is 1 to 64 of a-z 0-9 _ . -; choose such a one")
    secret, public = folder / f"{name}{SECRET_SUFFIX}", folder / f"{name}{PUBLIC_SUFFIX}"
    for path in (secret, public):
        if path.exists():
            raise ConfigError(f"keys {path}: is there already and is not overwritten; choose another name")
    server = f'    server-key = "{pair.server.decode()}"\n' if pair.server else ""
    known = f'metadata\n    name = "{name}"\ncurve\n    public-key = "{pair.public.decode()}"\n'
    with _writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret_line = f'    secret-key = "{pair.secret.decode()}"\n'
        _create(secret, f"# Secret: for {name} alone.\n{known}{secret_line}{server}", 0o600)
        _create(public, f"# Public: for everyone.\n{known}", 0o644)
    return secret


def begin_list(folder: Path) -> None:
    """An empty list of who is let in, where there is none yet. Raises ConfigError if it cannot be written."""
    with _writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (folder / ALLOWED).exists():
            _create(folder / ALLOWED, _COMMENT, 0o600)


def check_free(folder: Path, name: str) -> None:
    """Raises ConfigError if the list lets a client of this name in already, or cannot be read."""
    if any(client.name == name for client in read_allowed(folder).values()):
        raise ConfigError(f"keys {folder / ALLOWED}: {name!r} is let in already; choose another name, or mend its line")


def allow(folder: Path, name: str, public: bytes, roles: tuple[Role, ...]) -> None:
    """A line more in the list of a daemon. Raises ConfigError if the name stands there, or it cannot be written."""
    check_free(folder, name)
    path = folder / ALLOWED
    with _writing(folder):
        # Someone may have edited it and left the last line open.
        text = path.read_text(encoding="utf-8")
        gap = "" if not text or text.endswith("\n") else "\n"
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{gap}{','.join(roles)} {public.decode()} {name}\n")


def checked_key(text: str) -> bytes:
    """A public key in Z85, or "" for none, as bytes. Raises ConfigError if it is neither."""
    if text and not _KEY.fullmatch(text):
        raise ConfigError(f"keys {text!r}: no Z85 key of 40 characters; copy public-key from the daemon's server.key")
    return text.encode()


def _role(text: str, where: str) -> Role:
    for role in ROLES:
        if role == text:
            return role
    raise ConfigError(f"{where}: role {text!r}: {did_you_mean(text, ROLES)}")


def _create(path: Path, text: str, mode: int) -> None:
    # Exclusive: nothing is overwritten, and no link that somebody has put there is followed.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"keys {folder}: cannot be written ({error.strerror or error}); give --out DIR") from None


def _private(path: Path, what: str, forbidden: int, repair: str) -> str:
    """A file's text. Raises ConfigError if it cannot be read or has one of the mode bits that are forbidden."""
    try:
        with path.open(encoding="utf-8") as file:
            # Of the open file: what was looked at is what is read.
            _check(path, os.fstat(file.fileno()), what, forbidden, repair)
            text = file.read(ALLOWED_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{what} {path}: cannot be read ({reason}); make it with streamrnn keygen") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{what} {path}: not UTF-8 text; make it with streamrnn keygen") from None
    if len(text) > ALLOWED_BYTES:
        raise ConfigError(f"{what} {path}: more than {ALLOWED_BYTES} bytes; is it the right file?")
    return text


def _owned(path: Path, what: str, forbidden: int, repair: str) -> None:
    try:
        _check(path, path.stat(), what, forbidden, repair)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{what} {path}: cannot be read ({reason}); make it with streamrnn keygen --out") from None


def _check(path: Path, status: os.stat_result, what: str, forbidden: int, repair: str) -> None:
    if os.name != "posix":
        return  # elsewhere the mode tells nothing
    mode = stat.S_IMODE(status.st_mode)
    if mode & forbidden:
        does = "read" if forbidden & 0o044 else "write to"
        raise ConfigError(f"{what} {path}: others may {does} it (mode {mode:04o}); run: {repair}")
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"{what} {path}: belongs to user {status.st_uid}; run: chown {os.geteuid()} {path}")
