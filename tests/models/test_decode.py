"""From head outputs to candidates, on numbers a person can check, and the two kinds of pixels."""

import pytest
import torch

from data.boxes import CenterSizeCoder, EdgeCoder
from data.records import Batch, Candidates
from models.decode import decode_all, decode_own, join, to_network, to_original

ROIS = torch.tensor([[10.0, 10, 30, 50], [0, 0, 100, 100]])
LOGITS = torch.tensor([[0.0, 2, 1], [0, 0, 3]])  # softmax .090 .665 .245 and .045 .045 .909
OFFSETS = torch.zeros(2, 3, 4)
OFFSETS[0, 1] = torch.tensor([1.0, 0, -1, 2])  # 10 % of 20 px and 20 % of 40 px
LOG_VARIANCE = torch.zeros(2, 3, 4)
LOG_VARIANCE[0, 1] = torch.tensor([0.0, 1, 2, 3])
CODER = EdgeCoder()
SIZE = (200, 200)


def test_one_candidate_for_each_roi_and_class_above_the_threshold():
    found = decode_all(ROIS, (LOGITS, OFFSETS, LOG_VARIANCE), CODER, SIZE, 0.2, "one")
    assert found.labels.tolist() == [1, 2, 2]
    torch.testing.assert_close(
        found.scores, torch.tensor([0.6652, 0.2447, 0.9094]), atol=1e-4, rtol=0
    )
    assert found.boxes.tolist() == [[12, 10, 28, 58], [10, 10, 30, 50], [0, 0, 100, 100]]
    torch.testing.assert_close(found.variances[0], torch.tensor([0.0, 1, 2, 3]).exp())
    torch.testing.assert_close(
        found.pixel_variances[0],
        torch.tensor([0.0, 1, 2, 3]).exp() * torch.tensor([4.0, 16, 4, 16]),
    )
    assert found.localization is None
    assert found.probabilities is None


def test_on_request_a_candidate_has_the_probabilities_of_its_roi():
    outputs = (LOGITS, OFFSETS, LOG_VARIANCE)
    found = decode_all(ROIS, outputs, CODER, SIZE, 0.2, "one", with_probabilities=True)
    assert torch.equal(found.probabilities, LOGITS.softmax(-1)[[0, 0, 1]])
    own = found.probabilities.gather(1, found.labels[:, None])[:, 0]
    assert torch.equal(own, found.scores)
    before = Candidates(boxes=ROIS, scores=torch.tensor([0.9, 0.8]), labels=torch.tensor([1, 1]))
    after = decode_own(before, outputs, CODER, SIZE, 0.2, "one", with_probabilities=True)
    assert torch.equal(after.probabilities, LOGITS.softmax(-1)[:1])
    assert join(found, after).probabilities.shape == (4, 3)


def test_boxes_are_sorted_and_clipped_and_a_variance_stays_finite():
    offsets, wild = OFFSETS.clone(), torch.full((2, 3, 4), 500.0)
    offsets[0, 1] = torch.tensor([20.0, -10, 0, 0])  # x1 beyond x2; y1 above the image
    found = decode_all(ROIS, (LOGITS, offsets, wild), CODER, (45, 40), 0.5, "one")
    assert found.boxes[0].tolist() == [30, 0, 40, 45]
    assert found.pixel_variances.isfinite().all()


def test_another_round_keeps_the_class_and_takes_the_new_score():
    before = Candidates(boxes=ROIS, scores=torch.tensor([0.9, 0.8]), labels=torch.tensor([1, 1]))
    after = decode_own(before, (LOGITS, OFFSETS, None), CODER, SIZE, 0.2, "one")
    assert after.labels.tolist() == [1]  # the second box's own class has fallen to .045
    torch.testing.assert_close(after.scores, torch.tensor([0.6652]), atol=1e-4, rtol=0)
    assert after.boxes.tolist() == [[12, 10, 28, 58]]
    assert after.variances is None


def test_joined_candidates_have_what_both_have():
    first = decode_all(ROIS, (LOGITS, OFFSETS, LOG_VARIANCE), CODER, SIZE, 0.2, "one")
    second = decode_all(ROIS, (LOGITS, OFFSETS, None), CODER, SIZE, 0.5, "one")
    both = join(first, second)
    assert len(both.scores) == len(first.scores) + len(second.scores)
    assert torch.equal(both.boxes, torch.cat([first.boxes, second.boxes]))
    assert both.variances is None
    assert torch.equal(join(first, first).variances, first.variances.repeat(2, 1))


def test_nothing_in_nothing_out():
    none = decode_all(
        ROIS[:0], (LOGITS[:0], OFFSETS[:0], LOG_VARIANCE[:0]), CODER, SIZE, 0.05, "one"
    )
    assert (none.boxes.shape, none.scores.shape, none.variances.shape) == ((0, 4), (0,), (0, 4))
    again = decode_own(none, (LOGITS[:0], OFFSETS[:0], LOG_VARIANCE[:0]), CODER, SIZE, 0.05, "one")
    assert again.boxes.shape == (0, 4)


def test_a_center_size_network_has_no_pixel_variances():
    found = decode_all(ROIS, (LOGITS, OFFSETS * 0, None), CenterSizeCoder(), SIZE, 0.2, "one")
    torch.testing.assert_close(found.boxes[0], ROIS[0])
    assert found.pixel_variances is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_an_output_that_is_not_finite_is_named(part, value):
    """Softmax makes 0 of a logit of -inf, and limits make numbers of infinite offsets and log
    variances."""
    outputs = [LOGITS.clone(), OFFSETS.clone(), LOG_VARIANCE.clone()]
    outputs[part][0, 1] = value
    name = ("class logits", "offsets", "log variances")[part]
    before = Candidates(boxes=ROIS, scores=torch.tensor([0.9, 0.8]), labels=torch.tensor([1, 1]))
    for decoded, rois in ((decode_all, ROIS), (decode_own, before)):
        with pytest.raises(ValueError, match=rf"The {name} of image photo\.jpg are not finite"):
            decoded(rois, tuple(outputs), CODER, SIZE, 0.01, "photo.jpg")


def test_a_box_that_is_not_finite_is_named():
    with pytest.raises(ValueError, match=r"The boxes of image photo\.jpg are not finite"):
        decode_all(ROIS * torch.nan, (LOGITS, OFFSETS, None), CODER, SIZE, 0.2, "photo.jpg")


def test_original_and_network_pixels_are_inverse():
    """400 x 300 px in the file, 200 x 225 px in the network: each axis by its own ratio."""
    batch = Batch(
        images=torch.zeros(1, 3, 224, 256),
        image_sizes=((200, 225),),
        original_sizes=((400, 300),),
        image_ids=(7,),
    )
    boxes = torch.tensor([[30.0, 40, 300, 400]])
    assert to_network(boxes, batch, 0).tolist() == [[22.5, 20, 225, 200]]
    torch.testing.assert_close(to_original(to_network(boxes, batch, 0), batch, 0), boxes)
