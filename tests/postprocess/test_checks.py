"""What is refused before anything is suppressed."""

from dataclasses import replace

import pytest
import torch

from postprocess.pipeline import PostprocessConfig, postprocess, postprocess_class
from tests.postprocess.cases import GUIDED, HARD, SOFT, random_candidates
from tests.postprocess.test_pipeline import BOXES, SCORES, VARIANCES


@pytest.mark.parametrize(
    "name", ["boxes", "scores", "variances", "pixel_variances", "localization"]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_named(name, value):
    image = random_candidates(5, 0)
    broken = getattr(image, name).clone()
    broken[[1, 3]] = value
    with pytest.raises(ValueError, match=r"image 1: 2 of 5 (boxes|scores|variances|localization)"):
        postprocess([image, replace(image, **{name: broken})], PostprocessConfig())


def test_a_coordinate_whose_area_float32_cannot_hold_is_named():
    image = random_candidates(5, 0)
    large = image.boxes.clone()
    large[2] = torch.tensor([-9e17, -9e17, 9e17, 9e17])
    assert len(postprocess(replace(image, boxes=large), PostprocessConfig()).boxes) > 0
    large[2, 2] = 1e18
    with pytest.raises(ValueError, match=r"1 of 5 boxes are NaN, infinite or 1e\+18 px or more"):
        postprocess(replace(image, boxes=large), PostprocessConfig())


def test_a_label_that_is_no_class_is_named():
    """With the key image * (K + 1) + label, -1 would fall into the group of another image."""
    image = random_candidates(5, 0)
    labels = image.labels.clone()
    labels[[0, 4]] = torch.tensor([-1, -3])
    with pytest.raises(ValueError, match="image 1: 2 of 5 labels are negative; give each box"):
        postprocess([image, replace(image, labels=labels)], PostprocessConfig())
    background = replace(image, labels=torch.zeros_like(labels))
    assert (postprocess(background, PostprocessConfig()).labels == 0).all()


@pytest.mark.parametrize("count", [0, 1, 4, 6])
def test_each_box_has_one_label(count):
    image = random_candidates(5, 0)
    wrong = replace(image, labels=torch.ones(count, dtype=torch.int64))
    with pytest.raises(ValueError, match=rf"\(5,\), \({count},\).*labels \(M,\)"):
        postprocess(wrong, PostprocessConfig())


def test_the_largest_label_of_a_small_type_keeps_images_apart():
    """255 + 1 is 0 in uint8, and all images would have the same keys."""
    image = replace(random_candidates(5, 0), labels=torch.full((5,), 255, dtype=torch.uint8))
    (alone,) = postprocess([image], PostprocessConfig())
    for found in postprocess([image, image], PostprocessConfig()):
        assert torch.equal(found.scores, alone.scores)


def test_a_vote_without_variances_is_refused():
    with pytest.raises(ValueError, match="no variances"):
        postprocess_class(BOXES, SCORES, None, SOFT)
    with pytest.raises(ValueError, match="negative"):
        postprocess_class(BOXES, SCORES, -VARIANCES, SOFT)
    with pytest.raises(ValueError, match="shapes"):
        postprocess_class(BOXES[:2], SCORES, None, HARD)


def test_images_without_confidence_are_named():
    images = [random_candidates(5, 0), replace(random_candidates(5, 1), localization=None)]
    with pytest.raises(
        ValueError, match="image 1: suppression is 'iou_guided', but there is no localization"
    ):
        postprocess(images, GUIDED)
    assert len(postprocess(images, PostprocessConfig())) == 2
