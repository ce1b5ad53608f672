"""Both sides of the timed comparison with torchvision do the same work."""

import pytest
import torch

from scripts.engine.speed.torchvision_peer import detection_pair, training_pair

SIZE = (96, 128)  # px


def test_both_detect_the_same_boxes():
    pair = detection_pair(size=SIZE, proposals=60)
    (mine,), (theirs,) = pair.ours(), pair.theirs()
    assert len(mine.boxes) == len(theirs["boxes"]) > 10
    distance = (theirs["boxes"][:, None] - mine.boxes).abs().amax(-1)
    other = theirs["labels"][:, None] != mine.labels
    assert distance.masked_fill(other, torch.inf).amin(1).max() < 0.05


def test_both_train_on_the_same_objects():
    """The sampled anchors and RoIs differ, so the losses are alike, not equal."""
    pair = training_pair(size=SIZE, images=1, rois=16)
    mine, theirs = pair.ours(), pair.theirs()
    assert mine["rpn_objectness"] == pytest.approx(theirs["loss_objectness"], rel=0.2)
    assert mine["rpn_box"] == pytest.approx(theirs["loss_rpn_box_reg"], rel=0.2)
    assert mine["roi_class"] == pytest.approx(theirs["loss_classifier"], rel=0.2)
