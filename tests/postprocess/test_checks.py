"""What is refused before anything is suppressed."""

from dataclasses import replace

import pytest

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
