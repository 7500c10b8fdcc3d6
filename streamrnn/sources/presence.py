"""Whether a device is there: what it brings goes in, and what is to be said of its stream comes out. No I/O here."""

from __future__ import annotations

import numpy as np

from streamrnn.chunk import NO_TIMES, Chunk, Gap, Item, Note, Samples, Times

AWAY = "the device was away"
ANOTHER = "the sound system looked for another device"
TOO_SLOW = "the computer was too slow for the device"
FIRST_S, LONGEST_S = 0.5, 30.0  # between attempts to have it back


class Presence:
    """One device and its stream, which goes on over absences: what they cost is a gap, measured by the clock.

    All times are seconds of one clock that never goes back. Items come in the order in which they are to be told.
    """

    def __init__(self, stream: str, rate: int, now: float, stall_s: float, silence_s: float = np.inf) -> None:
        """A device that says nothing for `stall_s` is away; one constant value for `silence_s` is told of."""
        self.offline = False  # and told so
        self.waiting = False  # for the device: it is not open, or of no use as it is
        self.silent = False
        self.expected = 0  # the next sample of the stream
        self._stream, self._rate = stream, rate
        self._stall_s, self._silence = stall_s, silence_s * rate
        self._told_at = now  # up to here all is told, as samples or as lost
        self._base = 0  # what is added to the device's own count
        self._anew = True  # the device's count, or the time, is not continued by what comes next
        self._why = AWAY  # it is not continued
        self._quiet_s = 0.0
        self._constant = 0  # samples that were all the same
        self._last = np.zeros(0, np.float32)
        self._pause_s, self._due = FIRST_S, now

    @property
    def condition(self) -> str:
        """`offline`, `silent`, or "" for one that is heard."""
        return "offline" if self.offline else "silent" if self.silent else ""

    def due(self, now: float) -> float:
        """In how many seconds it is time to try again whether a device that is away is back."""
        return max(0.0, self._due - now)

    def opened(self, now: float) -> None:
        """The device is open, and counts its samples from 0; whether it brings any is to be seen."""
        self._anew, self.waiting, self._quiet_s = True, False, 0.0

    def heard(self, at: float, start: int, samples: Samples, times: Times = NO_TIMES) -> list[Item]:
        """Samples `(time, channels)`, of which the last was taken at `at`; `start` is the device's own count.

        Where rows carry `times`, those tell what is lost, and the clock of the computer only that the device is away.
        """
        items: list[Item] = []
        if self._anew:
            lost = round((at - len(samples) / self._rate - self._told_at) * self._rate)
            # Before the first sample of all nothing is lost.
            if self.expected and lost > 0:
                items += self.lose(lost, self._why)
            self._base = self.expected - start
        if self.offline:
            items.append(Note(self._stream, "online", "it is back"))
        self.offline = self.waiting = self._anew = False
        self._quiet_s, self._pause_s = 0.0, FIRST_S
        if self._base + start > self.expected:
            items += self.lose(self._base + start - self.expected, TOO_SLOW)
        items += self._listen(samples)
        items.append(Chunk(self._stream, self.expected, samples, times))
        self.expected += len(samples)
        self._told_at = at
        return items

    def quiet(self, at: float, waited_s: float) -> list[Item]:
        """Nothing came, though it was waited for so long.

        Waits are added up: after a process was stopped for a while, the clock alone would call every device away.
        """
        self._quiet_s += waited_s
        return self.gone(at, f"no samples for {self._quiet_s:.1f} s") if self._quiet_s >= self._stall_s else []

    def gone(self, at: float, reason: str) -> list[Item]:
        """The device is away, or could not be had back: the first time that is told, and what is lost up to now."""
        self._due = at + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_S)
        self._anew, self.waiting, self._why = True, True, AWAY
        if self.offline:
            return []
        self.offline = True
        items: list[Item] = [Note(self._stream, "offline", reason)]
        if self.expected:
            items += self.lose(max(1, round((at - self._told_at) * self._rate)), AWAY)
            self._told_at = at
        return items

    def paused(self, reason: str) -> list[Item]:
        """What the device brings is not heard for a moment, though it is there: at least one sample is lost."""
        self._anew, self._why = True, reason
        if not self.expected:
            return []
        self._told_at += 1 / self._rate
        return self.lose(1, reason)

    def spoiled(self, at: float, n: int, reason: str) -> list[Item]:
        """What was to be `n` samples came, and cannot be read."""
        self._quiet_s = 0.0
        # What comes right after an absence is part of it.
        if self._anew:
            return []
        self._told_at = at
        return self.lose(n, reason)

    def lose(self, n: int, reason: str) -> list[Item]:
        """So many samples will not come."""
        gap = Gap(self._stream, self.expected, self.expected + n, reason)
        self.expected += n
        return [gap]

    def _listen(self, samples: Samples) -> list[Item]:
        """Whether anything moves: a device that is muted or broken brings the same value for ever."""
        same = bool((samples == samples[0]).all()) and (not self._constant or np.array_equal(samples[0], self._last))
        self._last = samples[-1]
        self._constant = self._constant + len(samples) if same else 0
        if not self.silent and self._constant >= self._silence:
            self.silent = True
            value = "zeros" if not self._last.any() else "one value"
            seconds = self._constant / self._rate
            return [Note(self._stream, "silent", f"nothing but {value} for {seconds:.1f} s; is it muted?")]
        if self.silent and not same:
            self.silent = False
            return [Note(self._stream, "heard", "it is no longer silent")]
        return []
