"""Heart beats of one lead as a stage: where they are, and of each how it stands to those that were before it.

A beat is found where the energy of what is quick in the signal is greatest within 0.2 s either way and above its mean
of the last seconds (after Elgendi 2013, Fast QRS detection with an optimized knowledge-based method). It is told in the
one frame in which it is `wait_ms` old; what is said of it holds until the next beat is told, so that a network need not
remember it for the frames between.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from streamrnn.errors import ConfigError
from streamrnn.memories import sums_of
from streamrnn.recognizer import BeatsConfig
from streamrnn.stage import Inputs, Stage, State

_ABOVE = 1.3  # times the mean energy of the last seconds is a beat
_POINTS, _POINT_MS = 18, 41.7  # of the shape, from 0.3 s before to 0.45 s after
_QRS = slice(4, 13)
_LONGEST_S, _SHORTEST_S = 3.0, 0.15  # between two beats; more than the first is a pause of that length
_LEAST_WEIGHT = 1e-3  # of the beat itself in the mean of those before it: where there were none it is its own mean
_RHYTHM = 17
_FORM, _CHANGES = 14, 6


@dataclass(frozen=True, slots=True)
class _Found:
    """Frame by frame: whether there is a beat, which sample of the frame it is in, its energy, what follows, its shape.

    (batch, frames) each; `ahead` is (batch, frames, samples) of energy from 0.2 s after the beat on, `shape` (batch,
    frames, points) without the baseline. Where there is no beat `told` is 0 and the rest anything.
    """

    told: Tensor
    place: Tensor
    power: Tensor
    ahead: Tensor
    shape: Tensor


class Beats(Stage):
    """Samples of one lead -> frames: whether there is a beat, 17 values of rhythm, 14 of form, 6 of change of shape.

    Rhythm is in logarithms of ratios of the times between beats to their means, also over how irregular they are by
    themselves: in atrial fibrillation every beat is early or late and none is premature. Form compares with the mean
    shape of the beats of the last 50 s.
    """

    def __init__(self, config: BeatsConfig, inputs: Inputs) -> None:
        """Raises ConfigError unless it is given samples of one channel, and a hop in which two beats cannot be."""
        super().__init__()
        if inputs.width != 1 or inputs.rate != inputs.sample_rate:
            raise ConfigError(f"kind: takes samples of one lead, not {inputs.width} values a step; put it first")
        rate = self.rate = float(inputs.rate)
        hop = config.hop_ms * rate / 1000.0
        self.apart, self.hop = round(0.2 * rate), round(hop)
        if abs(hop - self.hop) > 1e-6 or not 1 <= self.hop <= self.apart:
            raise ConfigError(
                f"hop_ms: {config.hop_ms:g} ms are {hop:g} samples at {rate:g} Hz; choose whole ones, 200 ms at most"
            )
        self.short, self.long, self.energy = round(0.025 * rate), round(0.108 * rate), round(0.092 * rate)
        self.base, self.point = round(0.6 * rate), round(_POINT_MS * rate / 1000.0)
        if not 1 <= self.short < self.long:
            raise ConfigError(f"kind: at {rate:g} Hz a beat is too few samples; take a rate of 100 Hz or more")
        self.level = round(math.log2(4.0 * rate))
        late = round(0.094 * rate)  # what the means delay the energy by
        wait = round(config.wait_ms * rate / 1000.0)
        self.lag = wait - late
        self.before = round(0.3 * rate)
        least = max(2 * self.apart, round(0.45 * rate) - late + self.base // 2 + self.point) + 1
        if self.lag < least:
            raise ConfigError(
                f"wait_ms: {config.wait_ms:g} is too short to see a beat; {(least + late) * 1000 / rate:.0f} are enough"
            )
        # Counted back from the place where the energy is greatest.
        self.back = late + self.before
        self.heard = self.lag + self.back + self.base + self.point
        self.kept = max(2**self.level, self.lag + self.apart)
        self.reach = round(_LONGEST_S * rate / self.hop)
        frames_a_second = rate / self.hop
        self.few, self.some, self.many = (
            round(math.log2(seconds * frames_a_second)) for seconds in (12.8, 51.2, 204.8)
        )
        self.delay = wait
        self.width = 1 + _RHYTHM + _FORM + _CHANGES

    def initial_state(self, batch: int) -> State:
        """Nothing was heard, and no beat found."""
        return {
            "origin": torch.zeros(batch, 1),
            "count": torch.zeros(batch, 1),
            "samples": torch.zeros(batch, self.heard),
            "moves": torch.zeros(batch, self.energy - 1),
            "energies": torch.zeros(batch, self.kept),
            "above": torch.zeros(batch, self.kept),
            "places": torch.zeros(batch, self.reach, 5 + _POINTS),
            "beats": torch.zeros(batch, 2**self.some, 6 + _POINTS),
            "rhythms": torch.zeros(batch, 2**self.many, 4),
            "scatter": torch.zeros(batch, 2**self.some, 2),
            "said": torch.zeros(batch, self.reach, self.width),
        }

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, time, 1) -> (batch, time / hop, 38)."""
        time = x.shape[1]
        origin = torch.where(state["count"] > 0, state["origin"], x[:, 0])
        samples = torch.cat([state["samples"], x[..., 0] - origin], dim=1)
        moves = torch.cat([state["moves"], self._moves(samples[:, self.heard - self.long + 1 :], time)], dim=1)
        energies = torch.cat([state["energies"], _means(moves, self.energy)], dim=1)
        order = torch.arange(1, time + 1).to(x)
        count = (state["count"] + order).clamp_max(2**self.level)
        mean = sums_of(energies[:, self.kept - 2**self.level + 1 :, None], self.level)[..., 0] / count
        over = (energies[:, self.kept :] > _ABOVE * mean).to(x)
        above = torch.cat([state["above"], over], dim=1)

        peaks = self._peaks(energies, above, time)
        frames = peaks.shape[1]
        ramp = torch.arange(self.hop).to(x)
        told, place = peaks.sum(dim=2), (peaks * ramp).sum(dim=2)
        at = torch.arange(frames).to(x) * self.hop + place  # since the first new sample, less what it waits
        first = at.long() + self.kept - self.lag
        power = torch.gather(energies, 1, first)
        ahead = first[..., None] + self.apart + torch.arange(self.lag - self.apart, device=x.device)
        ahead = torch.gather(energies, 1, ahead.flatten(1)).reshape(ahead.shape)
        shape = self._shape(samples, at) * told[..., None]

        compared, after = self._compared(state, _Found(told, place, power, ahead, shape))
        said = torch.cat([state["said"], torch.cat([told[..., None], compared * told[..., None]], dim=2)], dim=1)
        after |= {
            "origin": origin,
            "count": count[:, -1:],
            "samples": samples[:, time:],
            "moves": moves[:, time:],
            "energies": energies[:, time:],
            "above": above[:, time:],
            "said": said[:, frames:],
        }
        return _held(said, self.reach), after

    def _moves(self, samples: Tensor, time: int) -> Tensor:
        """How far a mean of a few samples is from that of more about the same middle, (batch, time)."""
        skip = self.long - self.short - (self.long - self.short) // 2
        quick = _means(samples, self.short)[:, skip : skip + time]
        return (quick - _means(samples, self.long)).abs()

    def _peaks(self, energies: Tensor, above: Tensor, time: int) -> Tensor:
        """(batch, frames, hop): 1 where the energy is greatest of all about it, the earliest where several are."""
        first = self.kept - self.lag
        highest = functional.max_pool1d(
            energies[:, None, first - self.apart : first + time + self.apart], self.apart, 1
        )[:, 0]
        here = energies[:, first : first + time]
        peak = (here > highest[:, :time]) & (here >= highest[:, self.apart + 1 : self.apart + 1 + time])
        peaks = peak.to(energies) * above[:, first : first + time]
        return peaks.reshape(peaks.shape[0], -1, self.hop)

    def _shape(self, samples: Tensor, at: Tensor) -> Tensor:
        """(batch, frames, points) about the beats at `at`, without the baseline."""
        half = self.base // 2
        level = samples[:, half : half + samples.shape[1] - self.base + 1] - _means(samples, self.base)
        points = _means(level, self.point)
        first = at.long() + self.heard - self.lag - self.back - half
        places = first[..., None] + torch.arange(_POINTS, device=at.device) * self.point
        return torch.gather(points, 1, places.flatten(1)).reshape(places.shape)

    def _compared(self, state: State, found: _Found) -> tuple[Tensor, State]:
        """Rhythm, form and changes (batch, frames, 37), and the state of it; of frames without a beat anything."""
        told, place, power = found.told, found.place, found.power
        frames, reach = told.shape[1], self.reach
        tail = state["places"]
        order = torch.arange(reach + frames).to(told) * self.hop + 1
        flags = torch.cat([tail[..., 0], told], dim=1)
        places = torch.cat([tail[..., 1], place], dim=1)
        positions = (order + places) * flags
        last = functional.max_pool1d(positions[:, None, :-1], reach, 1)[:, 0]
        known = last > 0
        since = torch.where(known, positions[:, reach:] - last, torch.full_like(last, _LONGEST_S * self.rate))
        beat = (since / self.rate).clamp(_SHORTEST_S, _LONGEST_S)
        back = torch.div(last - 1, self.hop, rounding_mode="floor").clamp_min(0).long()
        lags, kept = [beat], [flags, places]
        for i in range(3):
            line = torch.cat([tail[..., 2 + i], lags[-1]], dim=1)
            kept.append(line)
            lags.append(torch.where(known, torch.gather(line, 1, back), beat))
        logs = [each.log() for each in lags]
        apart = torch.stack([(logs[0] - each).abs() for each in logs[1:]], dim=-1)
        irregular, uneven = apart.amin(dim=-1).clamp_max(0.2), apart[..., 0].clamp_max(0.2)
        same = (apart.amin(dim=-1) < 0.05).to(told)

        own = torch.cat([torch.stack([beat, irregular, uneven, same, power], dim=-1), found.shape], dim=-1)
        own = torch.cat([torch.ones_like(own[..., :1]), own], dim=-1)
        # The first beat has no time since the last one, and one after a long pause none that says anything.
        counts = (told * known.to(told))[..., None]
        beats = torch.cat([state["beats"], own * counts], dim=1)
        rhythms = torch.cat([state["rhythms"], own[..., :4] * counts], dim=1)
        short = _before(beats[:, 2**self.some - 2**self.few :, :2], self.few, own[..., :2])
        middle = _before(beats, self.some, own)
        long = _before(rhythms, self.many, own[..., :4])
        strength = middle[..., 5:6].clamp_min(1e-6)
        # The first place where energy rises again counts most; if there is none, the next beat is as far as one sees.
        left = torch.arange(self.lag - self.apart, 0, -1).to(told)
        coming = (self.lag - ((found.ahead > 0.5 * strength).to(told) * left).amax(dim=2)) / self.rate
        rhythm = _rhythm(logs, coming.log(), _interval(short), middle, long)

        forms = torch.cat([tail[..., 5:], found.shape], dim=1)
        other = torch.gather(forms, 1, back[..., None].expand(-1, -1, _POINTS))
        shape, usual = found.shape / (4 * strength), middle[..., 6:] / (4 * strength)
        change = shape - usual
        size = change.abs().mean(dim=-1, keepdim=True)
        scatter = torch.cat([torch.ones_like(size), size.clamp_max(0.3)], dim=-1)
        scatters = torch.cat([state["scatter"], scatter * counts], dim=1)
        spread = _before(scatters, self.some, scatter)[..., 1:]
        form = _form((shape, usual, other), (power[..., None] / strength).clamp_min(1e-3).log(), size, spread)
        parts = change.reshape(*change.shape[:2], _CHANGES, -1).mean(dim=-1).clamp(-3, 3)
        after = {
            "places": torch.cat([torch.stack(kept, dim=-1), forms], dim=-1)[:, frames:],
            "beats": beats[:, frames:],
            "rhythms": rhythms[:, frames:],
            "scatter": scatters[:, frames:],
        }
        return torch.cat([rhythm, form, parts], dim=-1), after


def _held(said: Tensor, reach: int) -> Tensor:
    """(batch, reach + frames, width) -> (batch, frames, width): of the last beat in `reach` frames, zeros if none is.

    Column 0 says in which frame a beat is told, and stays as it is.
    """
    order = torch.arange(1, said.shape[1] + 1).to(said)
    last = functional.max_pool1d((order * said[..., 0])[:, None, 1:], reach, 1)[:, 0]
    places = (last - 1).clamp_min(0).long()[..., None].expand(-1, -1, said.shape[2] - 1)
    values = torch.gather(said[..., 1:], 1, places) * (last > 0).to(said)[..., None]
    return torch.cat([said[:, reach:, :1], values], dim=2)


def _rhythm(logs: list[Tensor], coming: Tensor, short: Tensor, middle: Tensor, long: Tensor) -> Tensor:
    """What the times between beats say, as logarithms, of this one, the last ones and the one that comes."""
    usual, slow = _interval(middle), _interval(long)
    irregular, uneven = long[..., 2], long[..., 3]
    early = [(logs[0] - mean).clamp(-1.2, 1.2) for mean in (slow, short, usual)]
    later = (coming - usual).clamp(-1.2, 1.2)
    others = [logs[1] - usual, logs[2] - usual, coming - logs[0], logs[0] - logs[1]]
    by_itself = [(each / (irregular + 0.04)).clamp(-8, 8) / 4 for each in (*early, later)]
    values = [*early, later, *(each.clamp(-1.2, 1.2) for each in others), *by_itself]
    levels = [8 * irregular, 8 * uneven, middle[..., 4], slow, coming]
    return torch.stack([*values, *levels], dim=-1)


def _interval(means: Tensor) -> Tensor:
    """The logarithm of the mean time between beats; where no beat was, anything."""
    return means[..., 1].clamp_min(_SHORTEST_S).log()


def _form(shapes: tuple[Tensor, Tensor, Tensor], power: Tensor, size: Tensor, spread: Tensor) -> Tensor:
    """How much a shape is like the usual one and the one before, in all and in parts, how large and how quick it is."""
    shape, usual, other = shapes
    change = shape - usual
    parts = [_log(change[..., part].abs().mean(dim=-1, keepdim=True)) for part in (slice(0, 5), slice(5, 10))]
    parts.append(_log(change[..., 10:].abs().mean(dim=-1, keepdim=True)))
    area, theirs = (_log(each[..., 5:13].abs().sum(dim=-1, keepdim=True)) for each in (shape, usual))
    quick = (shape[..., 5:13] - shape[..., 4:12]).abs().sum(dim=-1, keepdim=True)
    alike = [_alike(shape, usual), *(_alike(shape[..., _QRS], each[..., _QRS]) for each in (usual, other))]
    of_spread = (size / (spread + 0.02) + 1e-3).log()
    values = [*alike, 2 * power, _log(size), *parts, area, theirs, area - theirs, _log(quick) - area, 5 * spread]
    return torch.cat([*values, of_spread], dim=-1)


def _log(x: Tensor) -> Tensor:
    return (x + 0.02).log().clamp(-4, 4)


def _alike(one: Tensor, other: Tensor) -> Tensor:
    """The correlation of two shapes, (..., 1)."""
    one, other = (each - each.mean(dim=-1, keepdim=True) for each in (one, other))
    square = (one * one).sum(dim=-1, keepdim=True) * (other * other).sum(dim=-1, keepdim=True)
    # A bound, not a small number to add: the exporter takes 1e-8 for zero and leaves it out.
    return (one * other).sum(dim=-1, keepdim=True) / square.clamp_min(1e-8).sqrt()


def _means(x: Tensor, count: int) -> Tensor:
    """(batch, time) -> (batch, time - count + 1): the mean of each and the ones after it, so many in all."""
    return functional.avg_pool1d(x[:, None], count, 1)[:, 0]


def _before(joined: Tensor, doublings: int, own: Tensor) -> Tensor:
    """Means over the beats of the frames before each; column 0 counts them."""
    sums = sums_of(joined[:, :-1], doublings) + _LEAST_WEIGHT * own
    return sums / sums[..., :1]
