"""Settings that contradict each other or have no meaning."""

import pytest

from postprocess.box_voting import BoxVoting
from postprocess.pipeline import PostprocessConfig


@pytest.mark.parametrize("suppression", ["soft_linear", "soft_gaussian"])
def test_soft_nms_of_negative_scores_is_refused(suppression):
    """It took each of them for 0, and a factor would have raised it."""
    with pytest.raises(ValueError, match=r"score_threshold is -1\.0; soft-NMS"):
        PostprocessConfig(suppression=suppression, score_threshold=-1.0)
    assert PostprocessConfig(suppression="hard", score_threshold=-1.0).score_threshold == -1.0


def test_two_votes_are_refused():
    with pytest.raises(ValueError, match="one vote only"):
        PostprocessConfig(box_voting=BoxVoting(), sigma_t=0.02)


@pytest.mark.parametrize(
    "wrong",
    [
        {"suppression": "medium"},
        {"voters": "some"},
        {"variance_space": "log"},
        {"iou_threshold": 1.5},
        {"soft_nms_sigma": 0.0},
        {"sigma_t": -0.1},
        {"voter_iou": 1.0},
        {"score_floor": -1.0},
        {"max_detections": 0},
    ],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PostprocessConfig(**wrong)
