"""The mask branch: its shapes and start, which RoIs it sees, its targets against torchvision's, and
its loss."""

import math

import pytest
import torch
from torch.nn import functional as F
from torchvision import ops
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import maskrcnn_loss, project_masks_on_boxes

from models.mask import MaskHead, foreground_first, mask_losses, mask_targets


def random_masks(seed=0, rois=40):
    """3 bitmaps of 50 x 70 px, and RoIs that may leave the image, be tiny or inverted."""
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(3, 50, 70, generator=generator) < 0.5).to(torch.uint8)
    corner = 90 * torch.rand(rois, 2, generator=generator) - 15
    boxes = torch.cat(
        [corner, corner + 60 * torch.rand(rois, 2, generator=generator) ** 2 - 1], dim=1
    )
    return masks, torch.randint(0, 3, (rois,), generator=generator), boxes


def test_shapes_and_names():
    head = MaskHead(in_channels=6, channels=8, num_classes=3)
    assert head(torch.randn(5, 6, 14, 14)).shape == (5, 4, 28, 28)
    assert head(torch.randn(0, 6, 14, 14)).shape == (0, 4, 28, 28)
    layers = [f"convs.{i}" for i in range(4)] + ["upsample", "logits"]
    assert list(head.state_dict()) == [
        f"{name}.{kind}" for name in layers for kind in ("weight", "bias")
    ]


def test_equals_torchvisions_head_with_the_same_weights():
    ours = MaskHead(in_channels=6, channels=8, num_classes=3)
    body, end = MaskRCNNHeads(6, (8,) * 4, 1), MaskRCNNPredictor(8, 8, 4)
    theirs = [*(block[0] for block in body), end.conv5_mask, end.mask_fcn_logits]
    for mine, other in zip((*ours.convs, ours.upsample, ours.logits), theirs, strict=True):
        other.load_state_dict(mine.state_dict())
    pooled = torch.randn(2, 6, 14, 14)
    torch.testing.assert_close(ours(pooled), end(body(pooled)))


def test_initial_spread_is_msra_by_fan_out():
    """std = sqrt(2 / fan out): 64 maps of 3 x 3 for a convolution, 64 input maps of 2 x 2 for the
    transposed one."""
    torch.manual_seed(0)
    head = MaskHead(in_channels=64, channels=64, num_classes=80)
    for layer, fan_out in ((head.convs[0], 64 * 9), (head.upsample, 64 * 4), (head.logits, 81)):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
        assert not layer.bias.any()


def test_foreground_comes_first_in_its_order_and_at_most_so_many():
    labels = torch.tensor([[0, 3, -1, 2, 1], [0, 0, 4, 0, 0], [0, -1, 0, 0, 0]])
    index, counted = foreground_first(labels, 2)
    assert index[0].tolist() == [1, 3]
    assert index[1, 0] == 2
    assert counted.tolist() == [[True, True], [True, False], [False, False]]
    assert torch.equal(labels.gather(1, index) > 0, counted)


def test_fewer_rois_than_slots_are_filled_up():
    index, counted = foreground_first(torch.tensor([[0, 3]]), 4)
    assert index.shape == counted.shape == (1, 4)
    assert counted.tolist() == [[True, False, False, False]]
    assert index[0, 0] == 1
    assert index.max() < 2


def assert_cut_of(found, values):
    """found: 1 where the values are 0.5 or more, 0 elsewhere; rounding decides close to 0.5."""
    clear = (values - 0.5).abs() > 1e-4
    assert torch.equal(found[clear], (values >= 0.5).float()[clear])
    assert clear.float().mean() > 0.99
    assert 0.1 < found.mean() < 0.9


@pytest.mark.parametrize("size", [28, 7])
def test_binary_targets_are_one_sample_a_bin_of_roi_align(size):
    masks, index, boxes = random_masks()
    rois = torch.cat([index[:, None].float(), boxes], dim=1)
    theirs = ops.roi_align(masks[:, None].float(), rois, size, sampling_ratio=1, aligned=False)[
        :, 0
    ]
    assert_cut_of(mask_targets(masks, index, boxes, size, binary=True), theirs)


def test_half_a_pixel_less_is_the_centered_rule():
    masks, index, boxes = random_masks(rois=200)
    large = (boxes[:, 2:] - boxes[:, :2]).amin(1) >= 1
    index, boxes = index[large], boxes[large]
    theirs = ops.roi_align(
        masks[:, None].float(),
        torch.cat([index[:, None].float(), boxes], dim=1),
        28,
        sampling_ratio=1,
        aligned=True,
    )[:, 0]
    assert_cut_of(mask_targets(masks, index, boxes - 0.5, binary=True), theirs)


@pytest.mark.parametrize("size", [28, 7])
def test_soft_targets_are_torchvisions_own(size):
    """Also of RoIs with several bitmap pixels a bin, which it averages."""
    masks, index, boxes = random_masks()
    assert (boxes[:, 2:] - boxes[:, :2]).max() > 2 * size
    torch.testing.assert_close(
        mask_targets(masks, index, boxes, size, binary=False),
        project_masks_on_boxes(masks, boxes, index, size),
        atol=1e-6,
        rtol=0,
    )


def test_soft_targets_are_means_over_bins():
    """Bins of 2 x 2 px, of which two samples a side are averaged, at pixels 0.5 and 1.5: an object
    in pixel 0 alone has half of the first sample in each direction, so a quarter of a quarter of
    the bin."""
    masks = torch.zeros(1, 8, 8, dtype=torch.uint8)
    masks[0, 0, 0] = 1
    found = mask_targets(masks, torch.tensor([0]), torch.tensor([[0.0, 0, 4, 4]]), 2, binary=False)[
        0
    ]
    assert found.tolist() == [[1 / 16, 0.0], [0.0, 0.0]]


def test_a_rectangle_one_can_check():
    """The left half of a RoI of 56 x 28 px is object: the left 14 of 28 columns, sampled at 1, 3,
    .., 55 px."""
    masks = torch.zeros(1, 40, 80, dtype=torch.uint8)
    masks[:, :, :38] = 1  # the samples lie on pixels 11, 13, .., 65; of those 11 .. 37 are object
    found = mask_targets(masks, torch.tensor([0]), torch.tensor([[10.0, 5, 66, 33]]), binary=True)[
        0
    ]
    assert torch.equal(found, torch.tensor([1.0] * 14 + [0.0] * 14).expand(28, 28))


def test_no_rois_no_objects_and_boxes_that_are_not_finite():
    masks, index, boxes = random_masks()
    assert mask_targets(masks, index[:0], boxes[:0], binary=True).shape == (0, 28, 28)
    none = mask_targets(masks[:0], index, boxes, binary=False)
    assert none.shape == (40, 28, 28)
    assert not none.any()
    mask_targets(
        masks, index[:1], torch.full((1, 4), torch.nan), binary=True
    )  # no crash; the loss is then NaN


def test_loss_is_that_of_the_own_class_map():
    """Two counted RoIs of 2 x 2 pixels: 0 costs ln 2 a pixel, ln 3 costs ln(4/3); the mean over all
    8 pixels."""
    logits = torch.full((4, 3, 2, 2), 99.0)
    logits[0, 2] = 0.0
    logits[1, 1] = math.log(3)
    loss = mask_losses(logits, torch.tensor([2, 1, 0, -1]), torch.ones(4, 2, 2), images=1)
    torch.testing.assert_close(loss, torch.tensor((math.log(2) + math.log(4 / 3)) / 2))


def test_loss_equals_torchvisions():
    masks, index, boxes = random_masks(rois=6)
    boxes[:, 2:] = boxes[:, :2] + 20
    labels = torch.tensor([2, 1, 3])  # of the objects
    logits = torch.randn(6, 4, 28, 28, generator=torch.Generator().manual_seed(1))
    theirs = maskrcnn_loss(logits, [boxes], [masks], [labels], [index])
    torch.testing.assert_close(
        mask_losses(
            logits, labels[index], mask_targets(masks, index, boxes, binary=False), images=1
        ),
        theirs,
    )


def test_uncounted_rois_take_no_part_whatever_they_hold():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(3, 3, 4, 4, generator=generator, dtype=torch.float16).requires_grad_()
    with torch.no_grad():
        logits[1:] = torch.inf
    targets = torch.rand(3, 4, 4, generator=generator)
    loss = mask_losses(logits, torch.tensor([2, 0, -1]), targets, images=1)
    wanted = F.binary_cross_entropy_with_logits(logits[0, 2].float(), targets[0])
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, wanted)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0, 2].any()
    gradient[0, 2] = 0
    assert not gradient.any()


@pytest.mark.parametrize("rois", [3, 0])
def test_without_foreground_loss_and_gradients_are_zero_but_there(rois):
    logits = torch.randn(rois, 3, 4, 4, requires_grad=True)
    loss = mask_losses(
        logits, torch.zeros(rois, dtype=torch.long), torch.zeros(rois, 4, 4), images=1
    )
    assert loss.item() == 0.0
    loss.backward()
    assert logits.grad.shape == logits.shape
    assert not logits.grad.any()
