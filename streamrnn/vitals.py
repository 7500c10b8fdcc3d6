"""Whether a daemon lives and is ready: judged by the progress of the engine's loop, told to systemd from that loop.

Nothing else may say that the daemon lives: a thread that only says so would go on saying it while the engine hangs.
"""

from __future__ import annotations

import time
from typing import Literal

from streamrnn.notify import Notifier

_STATUS_S = 10.0  # between two STATUS lines where nobody waits for a sign of life

Stage = Literal["starting", "serving", "stopping"]


class Vitals:
    """`moved` is called by the engine's thread whenever work got on, or when there was none; all else only reads."""

    def __init__(self, notifier: Notifier, stall_s: float) -> None:
        self.notifier = notifier
        self.stall_s = stall_s
        self.stage: Stage = "starting"
        self.status = ""  # a line for `systemctl status`
        self.lacking = ""  # why nothing can come out although the loop runs, for people; "" if something can
        self._pace_s = notifier.watchdog_s / 2 if notifier.watchdog_s else _STATUS_S
        self._begun = self._moved = time.monotonic()
        self._tell_at = 0.0
        self._told = ""

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begun

    @property
    def age_s(self) -> float:
        """Seconds since the loop moved."""
        return time.monotonic() - self._moved

    @property
    def due_s(self) -> float:
        """In how many seconds the manager waits for a sign of life: the loop must not sleep for longer."""
        return max(0.0, self._tell_at - time.monotonic()) if self.stage == "serving" else self._pace_s

    def moved(self) -> None:
        """The loop got on."""
        now = self._moved = time.monotonic()
        if self.stage == "serving" and now >= self._tell_at:
            self._tell_at = now + self._pace_s
            lines = ["WATCHDOG=1"] if self.notifier.watchdog_s else []
            if self.status != self._told:
                self._told = self.status
                lines.append(f"STATUS={self.status}")
            if lines:
                self.notifier.tell(*lines)

    def serve(self) -> None:
        """From now on results can come."""
        self._moved = time.monotonic()
        self.stage = "serving"
        self.notifier.tell("READY=1", f"STATUS={self.status or 'serving'}")

    def reload(self) -> None:
        """Bundles are being exchanged; `serve` when that is over."""
        self.notifier.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stop(self, reason: str) -> None:
        """No more results will come but those that are on their way."""
        self.stage = "stopping"
        self.notifier.tell("STOPPING=1", f"STATUS=stopping: {reason}")

    def dead(self) -> str:
        """Why it does not live, for people; "" if it does. Start and end are judged by whoever waits for them."""
        age = self.age_s
        if self.stage == "serving" and age > self.stall_s:
            return f"the engine has not moved for {age:.1f} s; SIGUSR1 prints where it stands"
        return ""

    def unready(self) -> str:
        """Why no results can be expected, for people; "" if they can."""
        if self.stage != "serving":
            return self.stage
        return self.dead() or self.lacking
