"""Which images are held back to validate on where a data set has no split for it."""

import hashlib
from collections.abc import Iterable

from data.image_files import same_text


def held_back(names: Iterable[str], fraction: float) -> set[str]:
    """The images that are not trained on: a function of each image's own name.

    Whether an image is held back changes neither with the order nor with the other images, so
    photos that are added later never move an old one from training to validation. The one
    exception keeps both sides from being empty: if no name or every name would be held back, the
    name with the lowest number is, or the one with the highest is not.

    Args:
        names: of the images, without their folder on this machine.
        fraction: the share that is held back on average, above 0 and below 1.

    Returns:
        the names that are held back.

    Raises:
        ValueError: a fraction outside (0, 1), or fewer than two names.
    """
    numbers = {name: number_of(name) for name in names}
    if not 0 < fraction < 1:
        raise ValueError(f"The share of images to hold back is {fraction}; give 0.1, for example.")
    if len(numbers) < 2:
        raise ValueError(
            f"There are {len(numbers)} images, of which none can be held back to validate on; label"
            " at least two."
        )
    chosen = {name for name, number in numbers.items() if number < fraction}
    if not chosen:
        return {min(numbers, key=numbers.__getitem__)}
    if len(chosen) == len(numbers):
        return chosen - {max(numbers, key=numbers.__getitem__)}
    return chosen


def number_of(name: str) -> float:
    """A number in [0, 1) from the SHA-256 of a name: evenly spread, and the same everywhere."""
    digest = hashlib.sha256(same_text(name).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
