"""Which boxes Figure 5 shows, and which voters it draws."""

import torch

from data.records import Candidates
from postprocess.pipeline import PostprocessConfig, postprocess
from scripts.reports import figure5_scenes

VOTE = PostprocessConfig(suppression="hard", iou_threshold=0.5, sigma_t=0.02)


def test_the_most_moved_of_each_image():
    gains = torch.tensor([0.1, 0.3, -0.2, 0.2, 0.2, 0.0, -0.3, -0.1, 0.05, 0.04, 0.03])
    images = torch.tensor([0, 0, 0, 1, 2, 3, 4, 4, 5, 6, 7])
    # image 0 shows its best move and so cannot show its worst; image 3 did not move; a tie: the
    # first
    assert figure5_scenes.most_moved(gains, images) == [1, 3, 4, 8, 6]
    assert figure5_scenes.most_moved(-gains, images)[:2] == [6, 2]
    assert figure5_scenes.most_moved(gains[:0], images[:0]) == []


def test_the_voters_are_those_that_decide():
    """Only near boxes of the class, certain enough, vote: alone they bring the box to the same
    place.
    """
    boxes = torch.tensor(
        [
            [10.0, 10, 50, 50],
            [12.0, 10, 50, 50],
            [11.0, 10, 50, 52],
            [30.0, 30, 60, 60],
            [12.0, 10, 50, 50],
            [12.0, 10, 50, 50],
            [0.0, 0, 5, 5],
        ]
    )
    variances = torch.tensor([1.0, 1, 1, 1, 1e6, 1, 1])[:, None].expand(7, 4)
    candidates = Candidates(
        boxes=boxes,
        scores=torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]),
        variances=variances,
        labels=torch.tensor([1, 1, 1, 1, 1, 2, 1]),
    )
    found = figure5_scenes.voters_of(boxes[0], torch.tensor(1), candidates, VOTE)
    assert found.tolist() == boxes[:3].tolist()
    voted = postprocess(candidates, VOTE).boxes[0]
    alone = postprocess(candidates.select(torch.tensor([0, 1, 2])), VOTE).boxes[0]
    torch.testing.assert_close(voted, alone, atol=1e-3, rtol=0)
