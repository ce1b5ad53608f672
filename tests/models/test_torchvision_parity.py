"""Faster and Mask R-CNN with a feature pyramid are torchvision's, from the stored image to the
detections.

Both networks compute in float32 and round differently, by about 1e-5 of what varies from place to
place. Where a box is 0.7 or 0.5 IoU from a better one, or the last of the best 1000, within that,
the two may differ, which the seeds here avoid. Scores within it may come in either order, so
detections are paired by label and place.
"""

import pytest
import torch

from postprocess.masks import paste_masks
from postprocess.pipeline import PostprocessConfig, postprocess
from tests.torchvision_pair import batch_of, picture, same_network, torchvision_network

# torchvision rounds resized sides down, we to the nearest px: (height, width) at which both give
# the same.
SIZES = [(333, 500), (355, 200), (240, 321), (100, 137), (310, 403)]
PROPOSALS = 300  # of the 1000, to be fast
MOST = 300  # detections an image; torchvision's limit is 100
MOST_MASKS = 30  # with masks


@pytest.fixture(scope="module")
def pictures():
    return [picture(size, seed) for seed, size in enumerate(SIZES)]


@pytest.fixture(scope="module")
def faster():
    theirs = torchvision_network(rpn_post_nms_top_n_test=PROPOSALS, box_detections_per_img=MOST)
    return theirs, same_network(theirs, rpn_post_nms_test=PROPOSALS)


@pytest.fixture(scope="module")
def mask():
    theirs = torchvision_network(
        mask=True, rpn_post_nms_top_n_test=PROPOSALS, box_detections_per_img=MOST_MASKS
    )
    return theirs, same_network(theirs, rpn_post_nms_test=PROPOSALS)


def assert_detects_the_same(pair, pictures, most):
    """Both networks on the pictures as one batch; ``most`` detections an image, all of them
    used."""
    theirs, ours = pair
    batch = batch_of(pictures)
    assert batch.image_sizes == tuple(
        theirs.transform([image / 255 for image in pictures])[0].image_sizes
    )
    with torch.no_grad():
        expected = theirs([image / 255 for image in pictures])
        features = ours.features(batch)
        found = postprocess(
            ours.candidates(batch, features=features), PostprocessConfig(max_detections=most)
        )
        if ours.mask is not None:
            found = ours.mask.masks(features, batch, found)
    for mine, other, size in zip(found, expected, batch.original_sizes, strict=True):
        assert len(other["labels"]) == most
        assert len(other["labels"].unique()) > 5
        assert_same(mine, other, size)


def assert_same(found, expected, size):
    """Boxes to 0.01 px, scores to 1e-4, labels; masks in the image to an IoU of 0.999 or to one
    pixel."""
    rows = paired(found, expected)
    torch.testing.assert_close(found.boxes[rows], expected["boxes"], atol=0.01, rtol=0)
    torch.testing.assert_close(found.scores[rows], expected["scores"], atol=1e-4, rtol=0)
    assert found.scores.diff().max() <= 0
    if "masks" in expected:
        theirs, ours = (
            expected["masks"][:, 0] > 0.5,
            paste_masks(found.masks[rows], found.boxes[rows], size),
        )
        union, differing = (theirs | ours).sum((1, 2)), (theirs ^ ours).sum((1, 2))
        assert union.count_nonzero() > 0.8 * len(rows)  # few masks are empty
        assert (differing <= (0.001 * union).clamp(min=1)).all()


def paired(found, expected):
    """The row of ``found`` for each expected detection: of the same label, the nearest box. One to
    one."""
    distance = (expected["boxes"][:, None] - found.boxes).abs().amax(-1)
    rows = distance.masked_fill(expected["labels"][:, None] != found.labels, torch.inf).argmin(1)
    assert sorted(rows.tolist()) == list(range(len(found.labels)))
    assert found.labels[rows].tolist() == expected["labels"].tolist()
    return rows


def test_faster_rcnn_image_by_image(faster, pictures):
    for image in pictures:
        assert_detects_the_same(faster, [image], MOST)


def test_faster_rcnn_in_a_padded_batch(faster, pictures):
    """There are anchors in the padding, and the 4 rows of the coarsest level are 224 // 4 = 56 px
    apart, not 64."""
    assert batch_of(pictures).images.shape == (5, 3, 224, 192)
    assert_detects_the_same(faster, pictures, MOST)


def test_mask_rcnn_in_a_padded_batch(mask, pictures):
    assert_detects_the_same(mask, pictures, MOST_MASKS)
