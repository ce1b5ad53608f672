"""Does objectness know how well a proposal fits? Offsets of good and bad proposals (KL-RPN section
3.2, Figure 3).

Letters: P proposals of one image, G its objects, M sampled proposals of all images. An offset is
what separates a decoded proposal p from its object in the RPN's own coding: |(x - x_p) / w_p|, |(y
- y_p) / h_p|, |ln(w / w_p)|, |ln(h / h_p)|.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.boxes import CenterSizeCoder, box_iou
from data.errors import DataError
from data.records import Proposals, Target

COORDINATES = ("x", "y", "w", "h")
# proposals for each object of an image, from the top and from the bottom (the figure's caption)
PER_OBJECT = 5


def image_offsets(proposals: Proposals, target: Target) -> tuple[Tensor, Tensor]:
    """Absolute offsets of the most and the least promising proposals of one image, (M, 4) each,
    float64.

    Of the proposals that overlap an object at all, the 5 G with the highest objectness and the 5 G
    with the lowest are taken; if there are fewer than 10 G, at most half of them each, so that none
    is taken twice. Equal objectness stays in the given order. A proposal belongs to the object that
    it overlaps most, of several the first. Crowds and difficult objects are left out. (The paper
    does not say to which object a proposal belongs.)
    """
    objects = target.boxes[~(target.crowd | target.difficult)].double()
    boxes = proposals.boxes[proposals.objectness.argsort(descending=True, stable=True)].double()
    if len(objects) == 0:
        return boxes[:0], boxes[:0]
    overlap = box_iou(boxes, objects)
    touching = overlap.amax(dim=1) > 0
    nearest = objects[overlap[touching].argmax(dim=1)]
    offsets = CenterSizeCoder(weights=(1.0, 1.0, 1.0, 1.0)).encode(nearest, boxes[touching]).abs()
    count = min(PER_OBJECT * len(objects), len(offsets) // 2)
    return offsets[:count], offsets[len(offsets) - count :]


def offset_distribution(
    proposals: Sequence[Proposals], targets: Sequence[Target]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The offsets of ``image_offsets`` of all images, (M, 4) for high objectness and (M, 4) for
    low.

    Args:
        proposals, targets: one entry per image, in the same order and the same pixels.

    Raises:
        DataError: the two sequences do not fit.

    Law: scaling an image and its boxes changes nothing.
    """
    if len(proposals) != len(targets):
        raise DataError(
            f"There are proposals of {len(proposals)} images but targets of {len(targets)}; give"
            " one entry per image, in the same order."
        )
    pairs = [image_offsets(*pair) for pair in zip(proposals, targets, strict=True)]
    nothing = torch.zeros(0, 4, dtype=torch.float64)
    high, low = (
        torch.cat([nothing, *(part.cpu() for part in parts)]).numpy()
        for parts in (zip(*pairs, strict=True) if pairs else ((), ()))
    )
    return high, low


def kolmogorov_smirnov(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The largest distance of two samples' distribution functions, max_x |F(x) - G(x)|; nan if a
    sample is empty.

    Law: 0 for equal samples, 1 for samples that do not overlap; a strictly rising function of both
    changes nothing.
    """
    _, distance = _distribution_distance(first, second)
    return float(distance.max(initial=0.0)) if len(first) and len(second) else float("nan")


def wasserstein(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The 1-Wasserstein distance of two samples, integral of |F(x) - G(x)| dx, in their unit; nan
    if one is empty.

    Law: moving one sample past the other by d adds d; for samples of one size it is the mean
    distance in sorted order.
    """
    points, distance = _distribution_distance(first, second)
    return (
        float(np.sum(distance[:-1] * np.diff(points)))
        if len(first) and len(second)
        else float("nan")
    )


def _distribution_distance(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All values in order, and |F - G| at each of them (it stays the same up to the next)."""
    points = np.sort(np.concatenate([first, second]))
    shares = [
        np.searchsorted(np.sort(sample), points, side="right") / max(len(sample), 1)
        for sample in (first, second)
    ]
    return points, np.abs(shares[0] - shares[1])


def separation(high: NDArray[np.float64], low: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """How far apart the offsets of high and low objectness are, for each of x, y, w, h.

    Args:
        high, low: (M, 4) as ``offset_distribution`` gives them.

    Returns:
        {"x": {"median_high", "median_low", "ks", "wasserstein"}, ...}; nan where a sample is empty.
    """
    return {
        name: {
            "median_high": median(high[:, i]),
            "median_low": median(low[:, i]),
            "ks": kolmogorov_smirnov(high[:, i], low[:, i]),
            "wasserstein": wasserstein(high[:, i], low[:, i]),
        }
        for i, name in enumerate(COORDINATES)
    }


def median(values: NDArray[np.float64]) -> float:
    """The median, nan of nothing."""
    return float(np.median(values)) if len(values) else float("nan")
