"""docs/reuse.md: torchvision's Faster R-CNN with KL Loss and var voting, as the page prints it."""

import re
from pathlib import Path

import pytest
import torch
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign, box_iou

from losses.kl_loss import kl_loss

PAGE = Path(__file__).parents[1] / "docs" / "reuse.md"
BOX = torch.tensor([[20.0, 12.0, 52.0, 40.0]])
NEAR = torch.tensor([[16.0, 15.0, 54.0, 37.0], [23.0, 10.0, 49.0, 42.0], [18.0, 14.0, 50.0, 38.0]])


class Features(torch.nn.Module):
    """One map at stride 8."""

    out_channels = 8

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 8, 8, stride=8)

    def forward(self, images):
        return self.layer(images)


@pytest.fixture
def model():
    """A small detector, changed by the code of the page."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {}
    exec(compile(block, PAGE.name, "exec"), names)
    torch.manual_seed(0)
    detector = FasterRCNN(
        Features(),
        min_size=64,
        max_size=96,
        rpn_anchor_generator=AnchorGenerator(((16, 32),), ((0.5, 1.0, 2.0),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 3, 2),
        box_head=TwoMLPHead(8 * 3 * 3, 64),
        box_predictor=FastRCNNPredictor(64, 3),
        rpn_pre_nms_top_n_train=100,
        rpn_post_nms_top_n_train=50,
    )
    return names["with_kl_loss"](detector)


def second_stage(model, images, proposals):
    """What the box head makes of given proposals. Smaller parts of the bright box look like it, so
    which one the whole detector scores highest is chance, in torchvision's own as well."""
    scaled, _ = model.transform(images)
    found, _ = model.roi_heads(
        {"0": model.backbone(scaled.tensors)}, [proposals], scaled.image_sizes
    )
    return found


def scene():
    image = torch.full((3, 64, 80), 0.2)
    image[:, 12:40, 20:52] = 0.9
    return [image], [{"boxes": BOX, "labels": torch.tensor([2])}]


def test_it_learns_one_image_and_finds_the_box_with_its_sigmas(model):
    """The rate falls to nothing, because a box loss with small variances is steep."""
    images, targets = scene()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=100)
    box_losses = []
    for _ in range(100):
        losses = model(images, targets)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        schedule.step()
        box_losses.append(losses["loss_box_reg"].item())
    assert sum(box_losses[-10:]) < 0  # it is sure of what it has learned by heart
    model.eval()
    with torch.no_grad():
        (found,) = model(images)
        (near,) = second_stage(model, images, NEAR)
    assert found["labels"][0] == near["labels"][0] == 2
    assert found["sigma"].shape == found["boxes"].shape
    assert (found["sigma"] > 0).all()
    assert (box_iou(near["boxes"], BOX) > 0.6).all()


def test_the_loss_is_that_of_the_foreground_over_all_sampled(model):
    """With log variances of 0 it is smooth L1 of the edges, summed, over the number of RoIs."""
    images, targets = scene()
    torch.nn.init.zeros_(model.roi_heads.log_variance.weight)
    torch.nn.init.zeros_(model.roi_heads.box_predictor.bbox_pred.weight)
    torch.nn.init.zeros_(model.roi_heads.box_predictor.bbox_pred.bias)
    sampled = []
    select = model.roi_heads.select_training_samples

    def kept(*arguments):
        sampled.append(select(*arguments))
        return sampled[-1]

    model.roi_heads.select_training_samples = kept
    losses = model(images, targets)
    ((_, _, labels, offsets),) = sampled
    positive = offsets[0][labels[0] > 0]
    assert len(positive) > 0
    zeros = torch.zeros_like(positive)
    expected = kl_loss(zeros, zeros, positive).sum() / len(labels[0])
    torch.testing.assert_close(losses["loss_box_reg"], expected)


def test_no_object_and_no_candidate_are_fine(model):
    images, _ = scene()
    nothing = [{"boxes": torch.zeros((0, 4)), "labels": torch.zeros(0, dtype=torch.int64)}]
    losses = model(images, nothing)
    assert losses["loss_box_reg"] == 0
    sum(losses.values()).backward()
    model.eval()
    torch.nn.init.constant_(model.roi_heads.box_predictor.cls_score.bias, 0.0)
    model.roi_heads.box_predictor.cls_score.bias.data[0] = 50.0  # all background
    with torch.no_grad():
        (found,) = model(images)
    assert len(found["boxes"]) == len(found["sigma"]) == 0
