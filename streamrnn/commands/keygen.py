"""Make a key pair for a client of a daemon, and let it in; the daemon's own pair is made with the first one.

Example:
  streamrnn keygen kitchen --role ingest
  streamrnn keygen dashboard --role read --out /etc/streamrnn/keys
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from streamrnn.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose key, what it may do, and where it is kept."""
    parser.add_argument("name", metavar="NAME", help="of the client, a-z 0-9 _ . -; server: the daemon's own pair")
    parser.add_argument(
        "--role",
        action="append",
        choices=("read", "ingest", "admin"),
        help="let it in to read results, bring samples, or do all; may be repeated; without it nothing is allowed yet",
    )
    parser.add_argument("--out", type=Path, default=Path("keys"), metavar="DIR", help="default %(default)s")
    parser.add_argument("--server", default="", metavar="KEY", help="public key of a daemon that is elsewhere")


def run(arguments: argparse.Namespace) -> int:
    """Write the files, none of them over another; say what to do with them."""
    from streamrnn.security import SERVER, keys

    folder: Path = arguments.out
    if arguments.server and arguments.role:
        raise UserError("--server is for a key that a daemon elsewhere lets in; leave out --role, or --server")
    if arguments.name == SERVER and (arguments.role or arguments.server):
        raise UserError(f"{SERVER}: is the daemon's own pair, which has no role; choose another name for a client")
    if arguments.name == SERVER:
        keys.write(folder, SERVER, keys.generate())
        keys.begin_list(folder)
        _say(f"{folder}: the daemon's; write `security: {{keys: {folder}}}` into its config")
        return 0
    if arguments.role:
        # Asked first, so that a name that is let in already leaves no files.
        keys.begin_list(folder)
        keys.check_free(folder, arguments.name)
        if not keys.public_of(folder):
            keys.write(folder, SERVER, keys.generate())
            _say(f"{folder}: made the daemon's own pair; write `security: {{keys: {folder}}}` into its config")
    pair = keys.generate(keys.checked_key(arguments.server) or keys.public_of(folder))
    path = keys.write(folder, arguments.name, pair)
    if arguments.role:
        keys.allow(folder, arguments.name, pair.public, tuple(dict.fromkeys(arguments.role)))
        _say(f"{folder / keys.ALLOWED}: {arguments.name} is let in, to {', '.join(arguments.role)}")
    else:
        _say(f"the daemon lets it in once its list has the line: ROLE {pair.public.decode()} {arguments.name}")
    if not pair.server:
        _say(f'{path}: names no daemon yet; add the line `server-key = "..."` with the key in its server.key')
    _say(f"{path}: secret; move it to {arguments.name} and use it there with --keys {path.name}")
    return 0


def _say(line: str) -> None:
    print(f"streamrnn keygen: {line}", file=sys.stderr)
