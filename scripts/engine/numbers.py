"""The numbers that an option takes, for ``type`` of ``add_argument``: -1 or nan is refused with the
name of the option, before anything is read.
"""

import argparse
import math
from collections.abc import Callable


def whole(least: int) -> Callable[[str], int]:
    """A whole number of at least ``least``."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
        return value

    return number


def real(
    least: float = 0.0,
    most: float = math.inf,
    *,
    open_below: bool = False,
    open_above: bool = False,
) -> Callable[[str], float]:
    """A finite number from ``least`` (itself excluded if ``open_below``) to ``most`` (itself
    excluded if ``open_above``).
    """
    bounds = f"above {least:g}" if open_below else f"of at least {least:g}"
    if most < math.inf:
        bounds += f" and below {most:g}" if open_above else f" and at most {most:g}"

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        inside = least < value if open_below else least <= value
        inside &= value < most if open_above else value <= most
        if not (inside and math.isfinite(value)):
            raise argparse.ArgumentTypeError(f"{text!r} is no number {bounds}")
        return value

    return number


at_least_one = whole(1)
at_least_zero = whole(0)
share = real(0.0, 1.0)
level = real(0.0, 1.0, open_below=True, open_above=True)
not_negative = real()
positive = real(open_below=True)
