"""Settings that contradict each other or have no meaning."""

import pytest

from postprocess.box_voting import MR_CNN, BoxVoting
from postprocess.pipeline import PostprocessConfig


@pytest.mark.parametrize(
    "how",
    [
        {"suppression": "soft_linear"},
        {"suppression": "soft_gaussian"},
        {"box_voting": BoxVoting(iou=0.5)},
    ],
)
def test_negative_scores_are_refused_where_they_are_factors_or_weights(how):
    """Soft-NMS took each of them for 0; as a weight it moves a box away from the voter."""
    with pytest.raises(ValueError, match=r"score_threshold is -1\.0; soft-NMS"):
        PostprocessConfig(**how, score_threshold=-1.0)


def test_negative_scores_are_taken_where_only_their_order_counts():
    for voting in (None, MR_CNN):
        assert PostprocessConfig(box_voting=voting, score_threshold=-1.0).score_threshold == -1.0


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
