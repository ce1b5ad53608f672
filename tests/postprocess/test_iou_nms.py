"""IoU-guided NMS against a worked example, Algorithm 1 as the paper writes it, and the laws."""

from functools import partial

import pytest
import torch

from data.boxes import box_iou
from postprocess.groups import group_rows
from postprocess.iou_nms import iou_guided
from postprocess.pipeline import PostprocessConfig, postprocess_class
from postprocess.suppression import hard_decay, select
from tests.six_boxes import SIX as BOXES
from tests.six_boxes import SIX_SCORES as SCORES

LOCALIZATION = torch.tensor([0.7, 0.92, 0.8, 0.6, 0.95, 0.88])
GUIDED = PostprocessConfig(suppression="iou_guided")


def guided(boxes, scores, localization, threshold=0.5):
    """The selection in one group: slots and scores."""
    valid = torch.ones(1, len(scores), dtype=torch.bool)
    selection = iou_guided(
        boxes[None], scores[None], localization[None], valid, threshold=threshold
    )
    chosen = selection.scores[0].isfinite()
    return selection.slots[0, chosen].tolist(), selection.scores[0, chosen].tolist()


def test_worked_example():
    """Box 4 is located best, .95; it removes 0 and 1 (IoU .906977, .783724) and takes the .9 of box
    0. Box 5, .88, removes 3 (IoU .8) and takes its .55. Box 2 is left."""
    slots, scores = guided(BOXES, SCORES, LOCALIZATION)
    assert slots == [4, 5, 2]
    assert scores == pytest.approx([0.9, 0.55, 0.6])
    boxes, scores, keep = postprocess_class(BOXES, SCORES, None, GUIDED, LOCALIZATION)
    assert keep.tolist() == [4, 2, 5]  # detections are sorted by score
    assert boxes.equal(BOXES[keep])
    torch.testing.assert_close(scores, torch.tensor([0.9, 0.6, 0.55]))


def test_a_box_belongs_to_the_first_kept_box_that_overlaps_it():
    """In a row A B C, B overlaps both; A is located better than C, so B's score goes to A."""
    # IoU 8 / 12, and A-C 6 / 14
    boxes = torch.tensor([[0.0, 0, 10, 10], [2.0, 0, 12, 10], [4.0, 0, 14, 10]])
    assert guided(boxes, torch.tensor([0.3, 0.9, 0.4]), torch.tensor([0.9, 0.5, 0.8])) == (
        [0, 2],
        pytest.approx([0.9, 0.4]),
    )


def algorithm_1(boxes, scores, localization, threshold):
    """The paper's loop: take the best located box, give it the best score of all it overlaps,
    remove these.
    """
    left, found = list(range(len(scores))), []
    while left:
        best = max(left, key=lambda j: (localization[j].item(), -j))
        members = [
            j for j in left if j == best or box_iou(boxes[best], boxes[j]).item() > threshold
        ]
        found.append((best, max(scores[j].item() for j in members)))
        left = [j for j in left if j not in members]
    return found


def random_boxes(count, generator):
    corner = torch.rand(count, 2, generator=generator) * 100
    return torch.cat([corner, corner + 20 + 60 * torch.rand(count, 2, generator=generator)], dim=1)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
def test_equals_algorithm_1_in_every_group(threshold):
    generator = torch.Generator().manual_seed(1)
    boxes = random_boxes(120, generator)
    scores, localization = torch.rand(2, 120, generator=generator)
    labels = torch.randint(1, 6, (120,), generator=generator) ** 2
    groups = group_rows(labels)
    # a confidence may be negative
    columns = (x[groups.members] for x in (boxes, scores, localization - 0.5))
    selection = iou_guided(*columns, groups.valid, threshold=threshold)
    for g, rows in enumerate(groups.members):
        rows = rows[groups.valid[g]]
        expected = algorithm_1(boxes[rows, None], scores[rows], localization[rows], threshold)
        chosen = selection.scores[g].isfinite()
        assert selection.slots[g, chosen].tolist() == [slot for slot, _ in expected]
        assert selection.scores[g, chosen].tolist() == [score for _, score in expected]


def test_with_the_scores_as_confidence_it_is_nms():
    generator = torch.Generator().manual_seed(2)
    boxes, scores = random_boxes(80, generator), torch.rand(80, generator=generator)
    plain = select(
        boxes[None], scores[None], torch.ones(1, 80, dtype=torch.bool),
        decay=partial(hard_decay, threshold=0.5), floor=-torch.inf, max_steps=80,
    )  # fmt: skip
    kept = plain.scores[0].isfinite()
    assert guided(boxes, scores, scores) == (
        plain.slots[0, kept].tolist(),
        plain.scores[0, kept].tolist(),
    )


def test_alone_empty_and_equal():
    empty = torch.zeros(0)
    assert guided(torch.zeros(0, 4), empty, empty) == ([], [])
    for box in ([5.0, 5, 20, 30], [7.0, 7, 7, 7]):
        assert guided(torch.tensor([box]), torch.tensor([0.6]), torch.tensor([0.1]))[0] == [0]
    slots, scores = guided(BOXES[[0, 0]], torch.tensor([0.4, 0.8]), torch.tensor([0.5, 0.5]))
    assert slots == [0]  # of equal confidences the earlier box
    assert scores == pytest.approx([0.8])


def test_permuting_the_boxes_changes_nothing():
    generator = torch.Generator().manual_seed(3)
    boxes = random_boxes(60, generator)
    scores, localization = torch.rand(2, 60, generator=generator)
    order = torch.randperm(60, generator=generator)
    slots, kept = guided(boxes, scores, localization)
    moved, also_kept = guided(boxes[order], scores[order], localization[order])
    assert order[moved].tolist() == slots
    assert also_kept == kept


def test_the_worst_located_box_is_found_however_few_are_wanted():
    """The best score may belong to the cluster that is selected last."""
    boxes = torch.tensor([[20.0 * i, 0, 20.0 * i + 10, 10] for i in range(5)])
    scores, localization = (
        torch.tensor([0.1, 0.2, 0.3, 0.4, 0.9]),
        torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]),
    )
    config = PostprocessConfig(suppression="iou_guided", max_detections=1)
    assert postprocess_class(boxes, scores, None, config, localization)[2].tolist() == [4]


def test_a_network_without_confidence_is_refused():
    with pytest.raises(ValueError, match="no localization confidence"):
        postprocess_class(BOXES, SCORES, None, GUIDED)
    with pytest.raises(ValueError, match="localization values are NaN"):
        postprocess_class(BOXES, SCORES, None, GUIDED, LOCALIZATION.log().fill_(float("nan")))
    with pytest.raises(ValueError, match="shapes"):
        postprocess_class(BOXES, SCORES, None, GUIDED, LOCALIZATION[:3])
