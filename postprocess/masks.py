"""Masks of detections, which live on a grid over their box, pasted into the image (Mask R-CNN
section 3.2).

Letters: D detections, M x M cells of a mask, H x W pixels of the image.
Sources: Detectron's segm_results; torchvision's paste_masks_in_image.
"""

import torch
from torch import Tensor

PIXELS_AT_ONCE = 2**25  # at most this many float values of pasted masks at a time


def paste_masks(
    masks: Tensor, boxes: Tensor, image_size: tuple[int, int], threshold: float = 0.5
) -> Tensor:
    """Which pixels of the image belong to each detection: bitmaps (D, H, W) bool.

    A mask gets a border of one empty cell, its box grows by the same share, its corners are cut to
    whole pixels, and the mask is resized bilinearly to all pixels from one corner to the other,
    both included. Bilinear resizing is separable: a pasted mask is  rows @ mask @ columns^T,  where
    ``rows`` (H x M) and ``columns`` (W x M) hold the weights.

    Args:
        masks: (D, M, M) probabilities.
        boxes: (D, 4) px of the image; they may leave it.
        image_size: (height, width) px.
        threshold: a pixel belongs to the detection if its probability is larger.

    Law: the pixels of torchvision's paste_masks_in_image(...) > threshold.
    """
    height, width = image_size
    cells = masks.shape[-1]
    half = 0.5 * (boxes[:, 2:] - boxes[:, :2]) * ((cells + 2) / cells)
    center = 0.5 * (boxes[:, 2:] + boxes[:, :2])
    first, last = (center - half).long(), (center + half).long()
    at_once = max(1, PIXELS_AT_ONCE // max(1, height * width))
    pasted = [masks.new_zeros(0, height, width, dtype=torch.bool)]
    for part, start, end in zip(
        masks.split(at_once), first.split(at_once), last.split(at_once), strict=True
    ):
        rows = _resize_weights(start[:, 1], end[:, 1], cells, height)
        columns = _resize_weights(start[:, 0], end[:, 0], cells, width)
        pasted.append(rows @ part.float() @ columns.transpose(1, 2) > threshold)
    return torch.cat(pasted)


def _resize_weights(first: Tensor, last: Tensor, cells: int, length: int) -> Tensor:
    """Weights (D, L, M) with which the M cells of a mask enter each of the L pixels of one axis of
    the image.

    The pixels first .. last (D,) i64 show cells + 2 cells; the two of the border are 0 and need no
    weight.
    """
    pixel = torch.arange(length, device=first.device)
    count = (last - first + 1).clamp(min=1)[:, None]
    inside = (pixel >= first[:, None]) & (pixel < first[:, None] + count)
    position = (pixel - first[:, None] + 0.5) * ((cells + 2) / count) - 0.5
    cell = torch.arange(1, cells + 1, device=first.device)
    return (1 - (position[..., None] - cell).abs()).clamp(min=0) * inside[..., None]
