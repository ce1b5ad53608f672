"""Inputs that need no data: images of noise, and candidates as a trained network gives them.

Letters: N images, R RoIs, M candidates, K classes, B boxes. Every draw comes from the generator
that is handed in.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from data.boxes import clip
from data.config import DataConfig
from data.records import Batch, Candidates, Target
from data.transforms import PIXELS, normalize, pad
from experiments.records import Run
from models.backbones.resnet import Bottleneck


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def random_boxes(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Boxes (count, 4) px inside an image of ``size``; each side is 10 to 50 % of the image's."""
    image = torch.tensor([size[1], size[0]], dtype=torch.float32)
    sides = uniform((count, 2), 0.1, 0.5, generator) * image
    corner = uniform((count, 2), 0.0, 1.0, generator) * (image - sides)
    return torch.cat([corner, corner + sides], dim=1)


def shrink_residual_branches(detector: nn.Module) -> None:
    """Scales the residual branches of a ResNet with random weights by 0.2, in place.

    With frozen norms that no data went through, the sum of branch and input would double from block
    to block and overflow at 33 of them.
    """
    for layer in detector.modules():
        if isinstance(layer, Bottleneck):
            nn.init.constant_(layer.bn3.weight, 0.2)


def largest_size(data: DataConfig) -> tuple[int, int]:
    """(height, width) px of a wide image at its largest.

    Without a limit on the long side it is that of a 3:5 photo.
    """
    if data.long_side is None:
        return data.short_side, round(data.short_side * 5 / 3)
    return data.short_side, data.long_side


def batch_for(run: Run, *, images: int, size: tuple[int, int], boxes: int = 5) -> Batch:
    """``random_batch`` with all that a run's network is trained on: masks or saved proposals if it
    needs them; the same each time.

    Args:
        run: whose network it is.
        images: in the batch.
        size: (height, width) of each, px.
        boxes: objects in each.
    """
    model, data = run.model, run.data
    return random_batch(
        images=images,
        size=size,
        pixels=data.pixels,
        num_classes=model.num_classes,
        divisor=data.size_divisor,
        boxes=boxes,
        masks=model.mask is not None,
        proposals=data.proposals_test if model.rpn.kind == "saved" else 0,
        generator=torch.Generator().manual_seed(0),
    )


def random_batch(
    *,
    images: int,
    size: tuple[int, int],
    pixels: str,
    num_classes: int,
    generator: torch.Generator,
    boxes: int = 5,
    divisor: int = 1,
    masks: bool = False,
    proposals: int = 0,
) -> Batch:
    """Pictures of noise with random objects.

    Args:
        pixels: a key of data.transforms.PIXELS; the noise has the range of a photo in that
            convention.
        divisor: the pictures are padded up to a multiple of it, px.
        masks: whether the objects have masks; they are ellipses then.
        proposals: saved proposals of each picture, for Fast R-CNN: half of them near an object.
            0: none.
    """
    noise = [
        normalize(uniform((3, *size), 0.0, 255.0, generator), PIXELS[pixels]) for _ in range(images)
    ]
    targets = tuple(
        Target(
            boxes=random_boxes(boxes, size, generator),
            labels=torch.randint(1, num_classes + 1, (boxes,), generator=generator),
        )
        for _ in range(images)
    )
    if masks:
        targets = tuple(replace(target, masks=ellipses(target.boxes, size)) for target in targets)
    saved = tuple(random_proposals(target.boxes, proposals, size, generator) for target in targets)
    return Batch(
        images=pad(noise, divisor),
        image_sizes=(size,) * images,
        original_sizes=(size,) * images,
        image_ids=tuple(f"noise {index}" for index in range(images)),
        targets=targets,
        proposals=saved if proposals else None,
    )


def ellipses(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """The ellipse that fills each box (B, 4): the pixels whose centers lie in it.

    Returns:
        bitmaps (B, H, W) uint8.
    """
    y, x = ((torch.arange(side) + 0.5) for side in size)
    half, center = (boxes[:, 2:] - boxes[:, :2]) / 2, (boxes[:, 2:] + boxes[:, :2]) / 2
    across = (x - center[:, :1]) / half[:, :1]
    down = (y - center[:, 1:]) / half[:, 1:]
    return (across.square()[:, None] + down.square()[:, :, None] <= 1).to(torch.uint8)


def random_proposals(
    objects: Tensor, count: int, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Boxes (count, 4) px as a region proposal network gives them: every other one near an object.

    Args:
        objects: (B, 4) px.
        count: of proposals.
        size: (height, width) px of the image.
        generator: of the random numbers.
    """
    near = torch.randint(len(objects), (count // 2,), generator=generator)
    boxes = torch.cat(
        [
            around(objects[near], 0.1, size, generator),
            random_boxes(count - len(near), size, generator),
        ]
    )
    return boxes[torch.randperm(count, generator=generator)]


def around(
    objects: Tensor, spread: float, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """The boxes (B, 4) with Gaussian noise of ``spread`` of the sides, kept in the image."""
    sides = (objects[:, 2:] - objects[:, :2]).repeat(1, 2)
    return clip(objects + spread * sides * torch.randn(objects.shape, generator=generator), size)


def log_normal(count: int, generator: torch.Generator) -> Tensor:
    """Variances (count, 4) in offset units squared with a median of 0.01, as KL Loss gives them."""
    return 0.01 * torch.randn((count, 4), generator=generator).exp()


def trained_candidates(
    *,
    size: tuple[int, int],
    num_classes: int,
    generator: torch.Generator,
    objects: int = 20,
    rois_each: int = 10,
    background: int = 100,
    score_threshold: float = 0.05,
) -> Candidates:
    """What a trained network leaves of 300 RoIs: clusters around ``objects``, mostly of one class.

    A RoI of an object scores 0 to 1 for the object's class and up to 0.1 for another one; a RoI of
    the background scores up to 0.1 for some class. Of 300 RoIs about 340 candidates are above 0.05,
    190 of them in the clusters.
    """
    truth = random_boxes(objects, size, generator).repeat_interleave(rois_each, dim=0)
    labels = torch.randint(1, num_classes + 1, (objects,), generator=generator).repeat_interleave(
        rois_each
    )
    cluster = around(truth, 0.08, size, generator)
    boxes = torch.cat([cluster, cluster, random_boxes(background, size, generator)])
    others = torch.randint(1, num_classes + 1, (len(cluster) + background,), generator=generator)
    scores = torch.cat(
        [
            uniform((len(cluster),), 0.0, 1.0, generator),
            uniform((len(others),), 0.0, 0.1, generator),
        ]
    )
    variances = log_normal(len(boxes), generator)
    kept = scores > score_threshold
    pixels = variances * (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2).square()
    return Candidates(
        boxes=boxes[kept],
        scores=scores[kept],
        labels=torch.cat([labels, others])[kept],
        variances=variances[kept],
        pixel_variances=pixels[kept],
    )


def dense_candidates(
    *, rois: int, num_classes: int, size: tuple[int, int], generator: torch.Generator
) -> Candidates:
    """The worst case: each of ``rois`` boxes is a candidate of every class; M = rois * K.

    The boxes lie in clusters of 15.
    """
    truth = random_boxes(-(-rois // 15), size, generator).repeat_interleave(15, dim=0)[:rois]
    count = rois * num_classes
    return Candidates(
        boxes=around(truth.repeat(num_classes, 1), 0.08, size, generator),
        scores=uniform((count,), 0.06, 1.0, generator),
        labels=torch.arange(1, num_classes + 1).repeat_interleave(rois),
        variances=log_normal(count, generator),
    )
