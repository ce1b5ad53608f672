"""Numbers that belong to the whole batch when several processes share it.

Almost every loss is normalized within an image, so that the mean over processes is that over all
images. What is not is here: counts of RoIs, and the statistics of batch norms that are trained.
"""

import torch
import torch.distributed as dist
from torch import Tensor


def batch_is_shared() -> bool:
    """Whether other processes train the same network on other images of the batch."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def share_of_count(count: Tensor, images: int) -> Tensor:
    """What the sum over this process's RoIs is divided by, so that the mean of the processes'
    losses, weighted by their images, is the mean over the RoIs of all processes; at least 1 RoI.

    Args:
        count: a scalar, the RoIs of this process that count.
        images: of this process; 0 for those that stand in, whose RoIs do not count.

    Returns:
        A scalar: all counted RoIs times this process's share of the images. Alone: the count.
    """
    if not batch_is_shared():
        return count.clamp(min=1)
    total = torch.stack([count.float() * (images > 0), count.new_full((), images).float()])
    dist.all_reduce(total)
    rois, all_images = total.clamp(min=1)
    return rois * max(images, 1) / all_images


class Sum(torch.autograd.Function):
    """The sum of a tensor over all processes. Each of them has it in its loss, so the gradients of
    all processes are added as well.
    """

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def shared_moments(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,) and biased variance (C,) of maps (N, C, H, W) over the images of all processes, and
    over how many values; in float32 at least, with gradients to the maps of all processes.
    """
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    count = maps.new_full((), maps.numel() / maps.shape[1])
    dist.all_reduce(count)
    mean = Sum.apply(maps.sum((0, 2, 3))) / count
    deviations = (maps - mean[:, None, None]).square().sum((0, 2, 3))
    return mean, Sum.apply(deviations) / count, count
