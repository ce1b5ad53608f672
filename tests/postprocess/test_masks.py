"""Pasted masks against torchvision's, which pastes one box after the other."""

import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from postprocess import masks as module
from postprocess.masks import paste_masks


def random_masks(detections=60, cells=28, seed=0):
    """Smooth random masks on boxes of all sizes, some of which leave the image of 90 x 120 px."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(detections, 1, 5, 5, generator=generator)
    masks = torch.nn.functional.interpolate(coarse, size=(cells, cells), mode="bilinear")[:, 0]
    corner = torch.rand(detections, 2, generator=generator) * torch.tensor([150.0, 120.0]) - 20
    boxes = torch.cat(
        [corner, corner + 110 * torch.rand(detections, 2, generator=generator)], dim=1
    )
    # torchvision stops at others
    near = (boxes[:, 2:] > 3).all(1) & (boxes[:, :2] < torch.tensor([115.0, 85.0])).all(1)
    return masks[near], boxes[near]


@pytest.mark.parametrize("cells", [28, 14, 1])
@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_same_pixels_as_torchvision(cells, threshold):
    masks, boxes = random_masks(cells=cells)
    ours = paste_masks(masks, boxes, (90, 120), threshold)
    theirs = paste_masks_in_image(masks[:, None], boxes, (90, 120))[:, 0] > threshold
    assert ours.shape == (len(masks), 90, 120)
    assert ours.dtype == torch.bool
    union = (ours | theirs).flatten(1).sum(1)
    iou = (ours & theirs).flatten(1).sum(1) / union.clamp(min=1)
    assert ((iou >= 0.999) | (union == 0)).all()
    assert (ours ^ theirs).sum() <= 3  # pixels on the threshold, up to rounding
    assert (union > 0).sum() >= 10
    assert not paste_masks(masks, boxes + 500, (90, 120)).any()


def test_a_full_mask_fills_its_box():
    """28 px from 10 to 38 become the pixels 9 .. 39 for 30 cells; the border cells take the outer
    ones below one half.
    """
    pasted = paste_masks(torch.ones(1, 28, 28), torch.tensor([[10.0, 20, 38, 48]]), (60, 50))[0]
    rows, columns = pasted.any(1).nonzero().flatten(), pasted.any(0).nonzero().flatten()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 48, 10, 38)
    assert pasted.sum() == 29 * 29


def test_probability_equal_to_the_threshold_is_outside():
    boxes = torch.tensor([[10.0, 10, 30, 30]])
    assert not paste_masks(torch.full((1, 4, 4), 0.5), boxes, (40, 40)).any()
    assert paste_masks(torch.full((1, 4, 4), 0.51), boxes, (40, 40)).any()


def test_nothing_in_nothing_out():
    assert paste_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), (30, 40)).shape == (0, 30, 40)


def test_chunks_change_nothing(monkeypatch):
    masks, boxes = random_masks()
    whole = paste_masks(masks, boxes, (90, 120))
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 90 * 120 * 7)
    assert torch.equal(paste_masks(masks, boxes, (90, 120)), whole)
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 1)
    assert torch.equal(paste_masks(masks, boxes, (90, 120)), whole)


def test_half_precision_masks_are_pasted_in_single_precision():
    masks, boxes = random_masks()
    half = masks.half()
    assert torch.equal(
        paste_masks(half, boxes, (90, 120)), paste_masks(half.float(), boxes, (90, 120))
    )
