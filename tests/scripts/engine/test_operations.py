"""The operations that are timed compute the same, and are called in turn."""

import numpy as np
import pytest
import torch

from models.pooling.multi_level import level_of
from postprocess.pipeline import PostprocessConfig, postprocess
from scripts.engine import operations, timing
from scripts.engine.operations import loop_soft_nms_and_vote
from scripts.engine.synthetic import dense_candidates, trained_candidates
from scripts.engine.timing import interleaved

CPU = torch.device("cpu")


def test_actions_are_called_in_turn(monkeypatch):
    monkeypatch.setattr(timing, "WARM_UP", {"cpu": 1})
    calls = []
    times = interleaved([lambda: calls.append("A"), lambda: calls.append("B")], 3, CPU)
    assert "".join(calls) == "AB" + "ABABAB"
    assert len(times) == 2
    assert all(0 <= t.q1 <= t.median <= t.q3 for t in times)


@pytest.mark.parametrize(
    "config",
    [
        PostprocessConfig(suppression="soft_gaussian", sigma_t=0.02),
        PostprocessConfig(
            suppression="soft_gaussian", sigma_t=0.02, voter_iou=0.01, max_detections=20
        ),
    ],
)
def test_the_loop_that_is_timed_beside_ours_computes_the_same(config):
    for found in (
        trained_candidates(
            size=(60, 100), num_classes=4, generator=torch.Generator().manual_seed(0)
        ),
        dense_candidates(
            rois=30, num_classes=3, size=(60, 100), generator=torch.Generator().manual_seed(1)
        ),
    ):
        ours = postprocess(found, config)
        boxes, scores = loop_soft_nms_and_vote(found, config)
        np.testing.assert_allclose(scores, ours.scores.numpy(), rtol=1e-4)
        np.testing.assert_allclose(boxes, ours.boxes.numpy(), atol=1e-2)


def test_roi_align_on_a_pyramid_and_torchvisions_compute_the_same(monkeypatch):
    monkeypatch.setattr(operations, "PYRAMID_IMAGE", (128, 192))
    monkeypatch.setattr(operations, "PYRAMID_CHANNELS", 3)
    monkeypatch.setattr(operations, "PYRAMID_ROIS", 40)
    (_, ours, _, theirs), (_, precise, _, _) = operations.pyramid_pairs(
        torch.Generator().manual_seed(0), CPU
    )
    for mine, other in zip(ours(), theirs(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)
    assert all(bool(gradient.isfinite().all()) for gradient in precise())


def test_rois_of_all_sizes_are_on_every_level_and_in_the_image():
    (boxes,) = operations.rois_of_all_sizes(
        512, operations.PYRAMID_IMAGE, torch.Generator().manual_seed(0)
    )
    counts = level_of(boxes, levels=4).bincount(minlength=4)
    assert counts.min() >= 10
    assert boxes.min() >= 0
    assert (boxes <= torch.tensor([1344, 800, 1344, 800]) + 1e-3).all()
    assert (boxes[:, 2:] - boxes[:, :2]).min() >= 16 - 1e-3
