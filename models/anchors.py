"""Anchors: the boxes that the region proposal network starts from (Faster R-CNN, section 3.1.1).

The rule is py-faster-rcnn's: ratio anchors of a 16 x 16 cell with rounded sides, multiplied by the scales, centred at
the cell's middle pixel. Its inclusive (x1, y1, x2, y2) become continuous edges here, so x2 and y2 are one larger.
Order: position row by row, then ratio, then size; A = H * W * ratios * sizes.
"""

import torch
from torch import Tensor, nn

BASE = 16  # px, the cell from which py-faster-rcnn derives all anchors


def cell_anchors(sizes: tuple[float, ...], ratios: tuple[float, ...]) -> Tensor:
    """The anchors (ratios * sizes, 4) of the first cell, px, continuous edges.

    Args:
        sizes: side of the square anchor, px (128 is the old "scale 8").
        ratios: height / width.
    """
    boxes = []
    for ratio in ratios:
        width = round((BASE * BASE / ratio) ** 0.5)
        height = round(width * ratio)
        for size in sizes:
            half_w, half_h = width * size / BASE / 2, height * size / BASE / 2
            boxes.append([BASE / 2 - half_w, BASE / 2 - half_h, BASE / 2 + half_w, BASE / 2 + half_h])
    return torch.tensor(boxes)


class AnchorGenerator(nn.Module):
    """Anchors (A, 4) of a feature map: the cell's anchors at every position."""

    cell: Tensor

    def __init__(self, *, sizes: tuple[float, ...], ratios: tuple[float, ...], stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.register_buffer("cell", cell_anchors(sizes, ratios), persistent=False)

    @property
    def per_position(self) -> int:
        return len(self.cell)

    def forward(self, features: Tensor) -> Tensor:
        """Anchors (H * W * per_position, 4) in network px for features (N, C, H, W)."""
        height, width = features.shape[-2:]
        x = torch.arange(width, device=features.device) * self.stride
        y = torch.arange(height, device=features.device) * self.stride
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        shift = torch.stack([columns, rows, columns, rows], dim=-1).reshape(-1, 1, 4)
        return (shift + self.cell).reshape(-1, 4)
