"""What a sigma says about a detection, if the labeled sides are Gaussian around the predicted ones.

Letters: D detections, K nodes of a Gaussian.
"""

import torch
from torch import Tensor

NODES = 8  # of each side; an even number has none at 0, where an overlap has its kink


def within_probability(sigma: Tensor, px: float) -> Tensor:
    """The probability (D, 4) that the object's side lies at most ``px`` from the predicted one.

    Args:
        sigma: (D, 4) px.
        px: a distance, at least 0.
    """
    return torch.erf(px / sigma / 2**0.5)


def expected_iou(boxes: Tensor, sigma: Tensor, nodes: int = NODES) -> Tensor:
    """The expected IoU (D,) of a box with its object, given that the object is there.

    The four sides of the object are independent Gaussians. Each is replaced by K values of equal
    probability, and the IoU is averaged over the K^4 boxes that they make.

    Args:
        boxes: (D, 4) px.
        sigma: (D, 4) px.
        nodes: K.
    """
    wide, high = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).unbind(1)
    both_x, object_x = overlap_and_length(wide, sigma[:, 0], sigma[:, 2], nodes)
    both_y, object_y = overlap_and_length(high, sigma[:, 1], sigma[:, 3], nodes)
    both = both_x[:, :, None] * both_y[:, None, :]  # (D, K^2, K^2)
    union = (wide * high)[:, None, None] + object_x[:, :, None] * object_y[:, None, :] - both
    return (both / union.clamp(min=1e-12)).mean(dim=(1, 2))


def overlap_and_length(
    length: Tensor, low_sigma: Tensor, high_sigma: Tensor, nodes: int
) -> tuple[Tensor, Tensor]:
    """Along one axis, what box and object share and how long the object is, for K^2 pairs of ends.

    Args:
        length: (D,) px of the box.
        low_sigma, high_sigma: (D,) px of its ends.
        nodes: K.

    Returns:
        two (D, K^2) px, at least 0.
    """
    node = gaussian_nodes(nodes).to(length)
    low = (low_sigma[:, None] * node)[:, :, None]  # how far the object's ends lie to the right
    high = (high_sigma[:, None] * node)[:, None, :]
    span = length[:, None, None]
    shared = span - low.clamp(min=0) - (-high).clamp(min=0)
    return shared.clamp(min=0).flatten(1), (span + high - low).clamp(min=0).flatten(1)


def gaussian_nodes(count: int) -> Tensor:
    """K float64 values for a standard Gaussian: the mean of each K-th part of its probability."""
    ends = torch.special.ndtri(torch.arange(count + 1, dtype=torch.float64) / count)
    density = torch.exp(-0.5 * ends.square()) / (2 * torch.pi) ** 0.5
    return count * (density[:-1] - density[1:])
