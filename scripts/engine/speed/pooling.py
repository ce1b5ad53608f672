"""RoI pooling beside torchvision's operators, forward and with the gradient, over numbers of RoIs.

Our maps are channels last, as our backbones return them, theirs contiguous: each in the layout that
suits it. torchvision has no precise RoI pooling: its peer is RoIAlign with one sample a cell.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torchvision import ops

from models.pooling.multi_level import multi_level_roi_align
from models.pooling.prroi_pool import prroi_pool
from models.pooling.ps_roi_align import ps_roi_align, ps_roi_pool
from models.pooling.roi_align import roi_align, with_image_index
from scripts.engine.speed.work import Work
from scripts.engine.synthetic import uniform
from scripts.engine.timing import Action

PART = "pooling"
MAP, STRIDE = (256, 50, 76), 16  # channels, height and width of one level, and px a cell
PYRAMID_STRIDES = (4, 8, 16, 32)
BINS, SAMPLES = 7, 2
POSITION_SENSITIVE = 21  # output channels of R-FCN on VOC
ROIS = (32, 128, 512, 2048)

Pool = Callable[[Tensor, Tensor], Tensor]  # maps and RoIs (R, 5) to bins


def pooling(device: torch.device) -> Iterator[Work]:
    """All operators, at all numbers of RoIs."""
    channels, height, width = MAP
    generator = torch.Generator().manual_seed(2)
    size = (height * STRIDE, width * STRIDE)
    features = random_map(channels, height, width, generator).to(device)
    bins = random_map(POSITION_SENSITIVE * BINS**2, height, width, generator).to(device)
    scale = 1 / STRIDE
    operators: list[tuple[str, Tensor, Pool, str, Pool]] = [
        (
            "RoIAlign",
            features,
            lambda maps, rois: roi_align(maps, rois, BINS, scale, SAMPLES),
            "torchvision's roi_align",
            lambda maps, rois: ops.roi_align(maps, rois, BINS, scale, SAMPLES),
        ),
        (
            "RoIAlign, adaptive samples",
            features,
            lambda maps, rois: roi_align(maps, rois, BINS, scale, 0),
            "torchvision's roi_align",
            lambda maps, rois: ops.roi_align(maps, rois, BINS, scale, 0),
        ),
        (
            "PSRoIAlign",
            bins,
            lambda maps, rois: ps_roi_align(maps, rois, BINS, scale, SAMPLES),
            "torchvision's ps_roi_align",
            lambda maps, rois: ops.ps_roi_align(maps, rois, BINS, scale, SAMPLES),
        ),
        (
            "PSRoIPool",
            bins,
            lambda maps, rois: ps_roi_pool(maps, rois, BINS, scale),
            "torchvision's ps_roi_pool",
            lambda maps, rois: ops.ps_roi_pool(maps, rois, BINS, scale),
        ),
        (
            "precise RoI pooling",
            features,
            lambda maps, rois: prroi_pool(maps, rois, BINS, scale),
            "torchvision's roi_align, one sample a cell",
            lambda maps, rois: ops.roi_align(maps, rois, BINS, scale, 0),
        ),
    ]
    for name, maps, ours, peer_name, theirs in operators:
        plain = maps.contiguous()
        yield from both_ways(
            name, peer_name, size, generator, device, over([maps], ours), over([plain], theirs)
        )
    yield from on_a_pyramid(generator, device)


def on_a_pyramid(generator: torch.Generator, device: torch.device) -> Iterator[Work]:
    """RoIAlign on the four levels of FPN."""
    channels, (height, width) = MAP[0], (800, 1344)
    maps = [
        random_map(channels, height // stride, width // stride, generator).to(device)
        for stride in PYRAMID_STRIDES
    ]
    plain = [each.contiguous() for each in maps]
    pooler = ops.MultiScaleRoIAlign([str(level) for level in range(4)], BINS, SAMPLES)

    def ours(inputs: list[Tensor], rois: Tensor) -> Tensor:
        return multi_level_roi_align(inputs, rois[None, :, 1:], BINS, PYRAMID_STRIDES, SAMPLES)[0]

    def theirs(inputs: list[Tensor], rois: Tensor) -> Tensor:
        named = {str(level): each for level, each in enumerate(inputs)}
        return pooler(named, [rois[:, 1:]], [(height, width)])

    yield from both_ways(
        "RoIAlign on a pyramid",
        "torchvision's MultiScaleRoIAlign",
        (height, width),
        generator,
        device,
        (maps, ours),
        (plain, theirs),
    )


Side = tuple[list[Tensor], Callable[[list[Tensor], Tensor], Tensor]]


def over(maps: list[Tensor], pool: Pool) -> Side:
    """One map and what pools it, as a list of maps."""
    return maps, lambda inputs, rois: pool(inputs[0], rois)


def both_ways(
    name: str,
    peer_name: str,
    size: tuple[int, int],
    generator: torch.Generator,
    device: torch.device,
    ours: Side,
    theirs: Side,
) -> Iterator[Work]:
    """The forward pass alone, then forward and backward, each at all numbers of RoIs.

    Args:
        name, peer_name: of the operators.
        size: (height, width) of the image, px.
        generator: of the RoIs.
        device: where they work.
        ours, theirs: maps and what pools them.
    """
    rois = {count: rois_of_all_sizes(count, size, generator).to(device) for count in ROIS}
    for way, action in (("forward", forward), ("forward and backward", forward_and_backward)):
        for count, boxes in rois.items():
            yield Work(
                part=PART,
                name=f"{name} {way}",
                grows="RoIs",
                size=count,
                ours=action(*ours, boxes),
                peer_name=peer_name,
                peer=action(*theirs, boxes),
            )


def forward(
    maps: list[Tensor], pool: Callable[[list[Tensor], Tensor], Tensor], rois: Tensor
) -> Action:
    """Pooling without a gradient."""

    def act() -> Tensor:
        with torch.no_grad():
            return pool(maps, rois)

    return act


def forward_and_backward(
    maps: list[Tensor], pool: Callable[[list[Tensor], Tensor], Tensor], rois: Tensor
) -> Action:
    """Pooling, as the rows that fc6 reads, and backward from a dense gradient, as from fc6."""
    inputs = [each.detach().requires_grad_() for each in maps]

    def act() -> tuple[Tensor, ...]:
        pooled = pool(inputs, rois)
        rows = pooled.reshape(-1, BINS**2 * pooled.shape[-3])
        return torch.autograd.grad(rows, inputs, torch.ones_like(rows))

    return act


def random_map(channels: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """A feature map (1, C, H, W) of random numbers, channels last."""
    features = torch.randn(1, channels, height, width, generator=generator)
    return features.contiguous(memory_format=torch.channels_last)


def rois_of_all_sizes(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """RoIs (count, 5) px in one image, whose sides are 16 to 800 px with a uniform logarithm."""
    image = torch.tensor([size[1], size[0]], dtype=torch.float32)
    sides = uniform((count, 2), math.log(16), math.log(800), generator).exp().minimum(image)
    corner = uniform((count, 2), 0.0, 1.0, generator) * (image - sides)
    return with_image_index(torch.cat([corner, corner + sides], dim=1)[None])
