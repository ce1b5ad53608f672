"""A number that changes when the code changes results, so that older ones are known as such.

Checkpoints, kept candidates and results have it; what has none is of version 1.
"""

from typing import Any

CHANGES = {  # version -> what it changed in trainings
    2: "random draws of a training step are keyed by image (seed, batch, place in the batch) "
    "instead of by step",
}
RESULTS_VERSION = max(CHANGES)
# of a network's output on an image: what was kept under another number is computed again
INFERENCE_VERSION = 1


def version_of(saved: dict[str, Any]) -> int:
    """The version of the code that wrote something."""
    number = saved.get("results_version", 1)
    return number if isinstance(number, int) else 1


def inference_key() -> dict[str, int]:
    """What the key of a network's kept output says of the version; nothing of the first one."""
    return {} if INFERENCE_VERSION == 1 else {"inference_version": INFERENCE_VERSION}


def version_note(saved: dict[str, Any]) -> str | None:
    """A sentence about a training that another version of the code began; None if it is the same.

    Args:
        saved: a checkpoint's state.
    """
    before = version_of(saved)
    if before == RESULTS_VERSION:
        return None
    changes = [text for number, text in CHANGES.items() if number > before]
    what = "; ".join(changes) or "this code does not know what it changed"
    return (
        f"note: results version {before} of the code began this training and {RESULTS_VERSION} "
        f"goes on with it ({what}): the network is not equal, bit by bit, to one that was never "
        "stopped"
    )
