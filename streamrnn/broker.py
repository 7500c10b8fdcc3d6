"""A client of an MQTT broker, with login and TLS as a config says; paho-mqtt is imported only when one is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from streamrnn.errors import ConfigError, DeviceError

RETRY_S = (1, 30)
_KEEPALIVE_S = 30


class Login(Protocol):
    """Where a broker is, and who we are; `port` 0 is 1883, or 8883 with TLS, which `ca_file` turns on."""

    @property
    def host(self) -> str: ...  # noqa: D102
    @property
    def port(self) -> int: ...  # noqa: D102
    @property
    def user(self) -> str: ...  # noqa: D102
    @property
    def password_file(self) -> str: ...  # noqa: D102
    @property
    def ca_file(self) -> str: ...  # noqa: D102
    @property
    def client_id(self) -> str: ...  # noqa: D102


def port_of(login: Login) -> int:
    """The port that is meant."""
    return login.port or (8883 if login.ca_file else 1883)


def client(login: Login) -> Any:
    """A client that is not yet on its way. Raises ConfigError without paho-mqtt, DeviceError if a file is not read."""
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ModuleNotFoundError:
        raise ConfigError("kind mqtt: needs paho-mqtt; pip install 'streamrnn[ops]'") from None
    made = Client(CallbackAPIVersion.VERSION2, client_id=login.client_id)
    if login.user:
        made.username_pw_set(login.user, _password(login.password_file))
    if login.ca_file:
        try:
            made.tls_set(None if login.ca_file == "system" else login.ca_file)
        except OSError as error:
            told = error.strerror or str(error)
            raise DeviceError(f"mqtt ca_file {login.ca_file}: {told}; give a file of certificates") from None
    made.reconnect_delay_set(*RETRY_S)
    return made


def start(made: Any, login: Login) -> None:
    """Let it look for its broker, now and whenever it went away, in a thread of its own. Raises ConfigError."""
    try:
        made.connect_async(login.host, port_of(login), keepalive=_KEEPALIVE_S)
    except ValueError as error:
        raise ConfigError(f"kind mqtt: host {login.host!r}: {error}; give the broker's name") from None
    made.loop_start()


def _password(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        told = getattr(error, "strerror", None) or "not UTF-8 text"
        raise DeviceError(f"mqtt password_file {path}: {told}; give a file that holds the password alone") from None
