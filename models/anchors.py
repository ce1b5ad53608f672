"""Anchors: the boxes that the region proposal network starts from (Faster R-CNN, section 3.1.1;
FPN, section 4.1).

Three rules for the anchors of a cell, each from a code base whose weights can be loaded:
"caffe" (py-faster-rcnn, Detectron; the default): ratio anchors of a stride x stride cell with
rounded sides, multiplied by the scales, centered at the middle pixel. Their inclusive (x1, y1, x2,
y2) become continuous edges here, so x2 and y2 are one larger. "torchvision": centered at the corner
of the cell, corners rounded. "detectron2": centered at the corner, not rounded.
Order: level, position row by row, then ratio, then size; A is the sum over levels of H * W * ratios
* sizes.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

# (sizes, ratios, stride) -> (ratios * sizes, 4)
CellRule = Callable[[Sequence[float], Sequence[float], int], Tensor]


def cell_anchors(sizes: Sequence[float], ratios: Sequence[float], stride: int = 16) -> Tensor:
    """The anchors (ratios * sizes, 4) of the first cell, px, continuous edges, by py-faster-rcnn's
    rule.

    Args:
        sizes: side of the square anchor, px (128 is the old "scale 8").
        ratios: height / width.
        stride: px, the cell from which all anchors are derived.
    """
    boxes = []
    for ratio in ratios:
        width = round((stride * stride / ratio) ** 0.5)
        height = round(width * ratio)
        for size in sizes:
            half_w, half_h = width * size / stride / 2, height * size / stride / 2
            boxes.append(
                [stride / 2 - half_w, stride / 2 - half_h, stride / 2 + half_w, stride / 2 + half_h]
            )
    return torch.tensor(boxes)


def corner_anchors(sizes: Sequence[float], ratios: Sequence[float], stride: int) -> Tensor:
    """The same around the cell's corner and of exactly the area size^2: Detectron2's rule."""
    root, side = torch.tensor(ratios).sqrt()[:, None], torch.tensor(sizes)
    half = torch.stack([side / root, side * root], dim=-1).reshape(-1, 2) / 2
    return torch.cat([-half, half], dim=1)


def rounded_corner_anchors(sizes: Sequence[float], ratios: Sequence[float], stride: int) -> Tensor:
    """``corner_anchors`` with each corner rounded to a pixel: torchvision's rule."""
    return corner_anchors(sizes, ratios, stride).round()


class AnchorGenerator(nn.Module):
    """Anchors (A, 4) of the feature maps: each level's cell anchors at every position.

    sizes: one tuple a level. fit_strides: torchvision takes as stride the padded image's side
    divided by the map's, rounded down, which differs from the level's stride where a map's size was
    rounded up.
    """

    cell: Tensor

    def __init__(
        self,
        *,
        sizes: Sequence[Sequence[float]],
        ratios: Sequence[float],
        strides: Sequence[int],
        rule: CellRule = cell_anchors,
        fit_strides: bool = False,
    ) -> None:
        super().__init__()
        self.strides, self.fit_strides = tuple(strides), fit_strides
        cells = [
            rule(of_level, ratios, stride) for of_level, stride in zip(sizes, strides, strict=True)
        ]
        # (levels, per_position, 4)
        self.register_buffer("cell", torch.stack(cells), persistent=False)

    @property
    def per_position(self) -> int:
        """Anchors of a position of a map."""
        return self.cell.shape[1]

    def forward(
        self, features: Sequence[Tensor], padded_size: tuple[int, int]
    ) -> tuple[Tensor, ...]:
        """Anchors (H * W * per_position, 4) of each level in network px for features (N, C, H, W)
        of images that were padded to (height, width) px."""
        return tuple(
            self.of_level(index, (m.shape[-2], m.shape[-1]), padded_size)
            for index, m in enumerate(features)
        )

    def of_level(self, index: int, size: tuple[int, int], padded_size: tuple[int, int]) -> Tensor:
        """Anchors (H * W * per_position, 4) of level ``index`` with a map of ``size`` (H, W)."""
        down = across = self.strides[index]
        if self.fit_strides:
            down, across = padded_size[0] // size[0], padded_size[1] // size[1]
        y = torch.arange(size[0], device=self.cell.device) * down
        x = torch.arange(size[1], device=self.cell.device) * across
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        shift = torch.stack([columns, rows, columns, rows], dim=-1).reshape(-1, 1, 4)
        return (shift + self.cell[index]).reshape(-1, 4)
