"""Sound servers of our own: PulseAudio with null sinks, whose monitors are microphones that can be unplugged."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

MISSING = [name for name in ("pulseaudio", "pactl", "paplay") if shutil.which(name) is None]
PLUGIN = any(Path("/usr/lib").glob("**/alsa-lib/libasound_module_pcm_pulse.so"))
SKIP = (
    f"no sound server is installed: apt-get install pulseaudio pulseaudio-utils ({', '.join(MISSING)})"
    if MISSING
    else "ALSA cannot reach a sound server: apt-get install libasound2-plugins"
    if not PLUGIN
    else "sounddevice is not installed"
    if importlib.util.find_spec("sounddevice") is None
    else ""
)


class SoundServers:
    """Private: sockets, home and the list of microphones lie in a folder.

    Each microphone has a server of its own, for PulseAudio moves whoever listens to a source that goes to another one.
    """

    def __init__(self, folder: Path, *microphones: str) -> None:
        self._folder = folder
        self._modules: dict[str, str] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        (folder / "run").mkdir(mode=0o700)
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "ALSA_CONFIG_PATH": str(folder / "asound.conf"),
        }
        self.list_microphones(*microphones)
        for name in microphones:
            self._start(name)
            self.plug(name)

    def list_microphones(self, *names: str) -> None:
        """What PortAudio will find when it looks again."""
        text = "</usr/share/alsa/alsa.conf>\n"
        for name in names:
            settings = f'type pulse server "{self._address(name)}" device "{name}.monitor"'
            text += f'pcm.{name} {{ {settings} hint {{ show on description "{name}" }} }}\n'
        (self._folder / "asound.conf").write_text(text)

    def plug(self, name: str) -> None:
        sink = ("module-null-sink", f"sink_name={name}", "rate=16000", "channels=1")
        self._modules[name] = self._pactl(name, "load-module", *sink).stdout.strip()

    def unplug(self, name: str) -> None:
        self._pactl(name, "unload-module", self._modules.pop(name))

    def play(self, name: str, path: Path) -> subprocess.Popen[bytes]:
        """Play a WAV into a microphone; it goes on by itself."""
        command = ["paplay", f"--server={self._address(name)}", f"--device={name}", "--latency-msec=50", str(path)]
        player = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)
        self._processes.append(player)
        return player

    def _start(self, name: str) -> None:
        protocol = f"module-native-protocol-unix socket={self._folder / name} auth-anonymous=1"
        command = [
            "pulseaudio",
            "-n",
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--use-pid-file=no",
            "--disable-shm=yes",
        ]
        command += ["--realtime=no", "--high-priority=no", "-L", protocol]
        self._processes.append(subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL))
        until = time.monotonic() + 10
        while not (self._folder / name).exists() or self._pactl(name, "info", check=False).returncode:
            assert time.monotonic() < until, "the sound server does not start"
            time.sleep(0.05)

    def _address(self, name: str) -> str:
        return f"unix:{self._folder / name}"

    def _pactl(self, name: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ["pactl", f"--server={self._address(name)}", *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=check)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes[::-1]:
            process.kill()
            process.wait()
