"""The region proposal network: which channel belongs to which anchor, and its losses as written in
the paper."""

import pytest
import torch
from torch.nn import functional as F

from data.boxes import CenterSizeCoder, EdgeCoder
from data.records import Target
from losses.smooth_l1 import smooth_l1
from models.anchors import AnchorGenerator
from models.matching import label_anchors
from models.rpn_head import (
    AnchorTargets,
    RPNHead,
    RPNOutput,
    anchor_targets,
    join_levels,
    per_anchor,
    rpn_loss,
    usable_anchors,
)


def targets_of(anchors, target, image_size, coder):
    usable = usable_anchors(anchors, image_size, straddling=False)
    labels = label_anchors(anchors, target.boxes, usable, positive_iou=0.7, negative_iou=0.3)
    return anchor_targets(anchors, target, *labels, coder, anchors_per_image=8, positive_share=0.5)


def head(**how):
    torch.manual_seed(0)
    return RPNHead(in_channels=6, channels=8, anchors_per_position=3, **how)


def test_per_anchor_is_row_column_anchor():
    n, anchors, values, height, width = 2, 3, 4, 5, 6
    outputs = torch.arange(n * anchors * values * height * width).reshape(
        n, anchors * values, height, width
    )
    found = per_anchor(outputs, values).reshape(n, height, width, anchors, values)
    for place in [(0, 0, 0, 0, 0), (1, 4, 5, 2, 3), (0, 2, 3, 1, 2)]:
        image, row, column, anchor, value = place
        assert found[place] == outputs[image, anchor * values + value, row, column]


def test_outputs_are_in_the_order_of_the_anchors():
    """A network that only looks at one position moves the anchors of that position only."""
    network, features = head(), torch.randn(1, 6, 4, 5)
    (anchors,) = AnchorGenerator(sizes=[(32.0,)], ratios=(0.5, 1.0, 2.0), strides=(16,))(
        [features], (64, 80)
    )
    objectness, offsets, log_variance = network(features)
    assert log_variance is None
    assert objectness.shape == (1, len(anchors))
    assert offsets.shape == (1, len(anchors), 4)
    changed = features.clone()
    changed[..., 0, 4] += 10  # top right corner: a 3x3 convolution reaches two rows and two columns
    moved = (network(changed).offsets - offsets).abs().amax(-1)[0] > 1e-6
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert moved.any()
    assert (centers[moved] >= torch.tensor([56.0, 8.0])).all()
    assert (centers[moved][:, 1] <= 24).all()


def test_two_way_softmax_is_the_logistic_of_the_difference():
    network, features = head(), torch.randn(2, 6, 3, 4)
    objectness = network(features).objectness
    two = per_anchor(network.objectness(F.relu(network.conv(features))), 2)
    torch.testing.assert_close(objectness.sigmoid(), two.softmax(-1)[..., 1])
    assert head(softmax=False)(features)[0].shape == objectness.shape


def example(images=2, anchors=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, 2, (images, anchors), generator=generator)
    objectness = torch.randn(images, anchors, generator=generator)
    offsets, targets = torch.randn(2, images, anchors, 4, generator=generator)
    return objectness, offsets, labels == 1, labels == 0, targets


def losses(objectness, offsets, positive, negative, targets):
    found, statistics = rpn_loss(
        RPNOutput(objectness, offsets), AnchorTargets(positive, negative, targets)
    )
    assert not statistics
    assert list(found) == ["rpn_objectness", "rpn_box"]
    return tuple(found.values())


def test_losses_are_the_formulas():
    objectness, offsets, positive, negative, targets = example(images=1)
    by_class, by_box = losses(objectness, offsets, positive, negative, targets)
    count = int((positive | negative).sum())
    likelihood = torch.where(positive, objectness.sigmoid(), 1 - objectness.sigmoid())[
        positive | negative
    ]
    torch.testing.assert_close(by_class, -likelihood.log().sum() / count)
    torch.testing.assert_close(by_box, smooth_l1(offsets - targets, 1 / 9)[positive].sum() / count)


def test_a_batch_of_two_is_the_mean_of_two_singles():
    inputs = example()
    singles = [losses(*(part[i : i + 1] for part in inputs)) for i in range(2)]
    for batch, first, second in zip(losses(*inputs), *singles, strict=True):
        torch.testing.assert_close(batch, (first + second) / 2)


def test_no_sampled_anchor_is_no_loss_and_bad_targets_of_others_do_not_matter():
    objectness, offsets, positive, negative, targets = example()
    offsets.requires_grad_()
    nothing = torch.zeros_like(positive)
    assert [loss.item() for loss in losses(objectness, offsets, nothing, nothing, targets)] == [
        0.0,
        0.0,
    ]
    targets = targets.masked_fill(~positive[..., None], -float("inf"))  # ln of a box without extent
    _, by_box = losses(objectness, offsets, positive, negative, targets)
    by_box.backward()
    assert by_box.isfinite()
    assert offsets.grad.isfinite().all()


@pytest.mark.parametrize(
    "coder", [EdgeCoder(weight=1.0), CenterSizeCoder(weights=(1.0, 1.0, 1.0, 1.0))]
)
def test_targets_of_an_image(coder):
    anchors = torch.tensor(
        [[0.0, 0, 40, 40], [-8, 0, 32, 40], [48, 48, 88, 88], [60, 60, 100, 100], [0, 0, 40, 38]]
    )
    target = Target(boxes=torch.tensor([[0.0, 0, 40, 36]]), labels=torch.tensor([3]))
    positive, negative, offsets = targets_of(anchors, target, (96, 100), coder)
    # the second crosses the left, the fourth the lower border: neither is learned from
    assert positive.tolist() == [True, False, False, False, True]
    assert negative.tolist() == [False, False, True, False, False]
    wanted = target.boxes.expand(2, 4)
    torch.testing.assert_close(coder.decode(offsets[positive], anchors[positive]), wanted)


def test_targets_without_objects_are_all_negative():
    anchors = torch.tensor([[0.0, 0, 40, 40], [8, 8, 40, 40]])
    none = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    positive, negative, offsets = targets_of(anchors, none, (96, 96), EdgeCoder())
    assert not positive.any()
    assert negative.all()
    assert not offsets.any()


def test_levels_are_joined_one_after_the_other():
    network, maps = head(), [torch.randn(2, 6, 4, 5), torch.randn(2, 6, 2, 3)]
    apart = [network(level) for level in maps]
    together = join_levels(apart)
    assert together.objectness.shape == (2, 3 * (20 + 6))
    assert torch.equal(together.offsets, torch.cat([part.offsets for part in apart], dim=1))
    assert together.log_variance is None
    assert join_levels(apart[:1]) is apart[0]
