"""Times as sources write them, in whole nanoseconds of the source's own clock, whatever it counts from."""

from __future__ import annotations

from decimal import Decimal

SECOND = 1_000_000_000
LARGEST_TIME = 2**61  # either way; the difference of two is still one of 64 bits
DIGITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}


def nanoseconds(time: bytes | str | float, unit: str) -> int:
    """A time as it is written, in whole nanoseconds. Raises ValueError for what is none."""
    text = time.decode("ascii", "replace") if isinstance(time, bytes) else str(time)
    try:
        # By way of a float, a time since 1970 would be good to a quarter of a microsecond only.
        counted = Decimal(text).scaleb(DIGITS[unit])
        whole = int(counted.to_integral_value()) if counted.is_finite() and counted.adjusted() < 20 else LARGEST_TIME
    except ArithmeticError:
        raise ValueError(f"{text!r} is no time") from None
    if "_" in text or abs(whole) >= LARGEST_TIME:
        raise ValueError(f"{text!r} is no time")
    return whole
