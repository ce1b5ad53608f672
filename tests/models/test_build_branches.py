"""MaskConfig and IoUConfig -> the branches beside the box head, and the pooling that they share
with it."""

import torch

from models.build_branches import build_iou_branch, build_mask_branch, build_roi_pool
from models.iou_net import IoUConfig
from models.mask import MaskConfig
from models.pooling.prroi_pool import multi_level_prroi
from models.pooling.roi_align import roi_align_batched
from models.roi import RoIConfig

ROI = RoIConfig(pool_size=3, fc_dims=(8, 8), rois_per_image=50)
FEATURES = (torch.arange(2 * 4 * 6 * 8.0).reshape(2, 4, 6, 8),)
BOXES = torch.tensor([[[0.0, 0, 64, 48]], [[16.0, 16, 100, 90]]])


def test_no_config_is_no_branch():
    assert build_mask_branch(None, ROI, 3, 4, (16,)) is None
    assert build_iou_branch(None, ROI, 3, 4, (16,)) is None


def test_the_pooling_is_that_of_the_box_head_or_the_one_asked_for():
    pooled = build_roi_pool(ROI, (16,), 3)(FEATURES, BOXES)
    aligned = roi_align_batched(
        FEATURES[0], BOXES, output_size=3, spatial_scale=1 / 16, sampling_ratio=2, aligned=False
    )
    assert torch.equal(pooled, aligned)
    assert build_roi_pool(ROI, (16,), 3, pooling="precise").func is multi_level_prroi


def test_the_mask_branch_learns_from_as_many_rois_as_may_be_foreground():
    branch = build_mask_branch(MaskConfig(channels=8, pool_size=5), ROI, 3, 4, (16,))
    assert branch.slots == 12  # a quarter of 50, rounded down
    assert branch.binary_targets
    assert branch.pool(FEATURES, BOXES).shape == (2, 1, 4, 5, 5)
    assert branch.head(branch.pool(FEATURES, BOXES).flatten(0, 1)).shape == (2, 4, 10, 10)
    assert not build_mask_branch(MaskConfig(soft_targets=True), ROI, 3, 4, (16,)).binary_targets


def test_the_iou_branch_pools_precisely_whatever_the_box_head_does():
    branch = build_iou_branch(IoUConfig(rois=7, loss_weight=2.0), ROI, 3, 4, (16,))
    assert branch.pool.func is multi_level_prroi
    assert (branch.rois, branch.loss_weight) == (7, 2.0)
    assert branch.head(branch.pool(FEATURES, BOXES).flatten(0, 1)).shape == (2, 4)
