"""Which anchor or RoI answers for which ground truth, on boxes whose IoU can be read off, and how they are drawn."""

import torch

from models.matching import IGNORED, NEGATIVE, POSITIVE, label_anchors, match, rank_at_random, sample, sampled_indices

RULE = {"positive_iou": 0.7, "negative_iou": 0.3}


def strips(*widths):
    """Boxes from x = 0, 10 px high: the IoU of two is the smaller width over the larger."""
    return torch.tensor([[0.0, 0.0, float(width), 10.0] for width in widths])


def label(anchors, gt_boxes, inside=None):
    inside = torch.ones(len(anchors), dtype=torch.bool) if inside is None else torch.tensor(inside)
    labels, index = label_anchors(anchors, gt_boxes, inside, **RULE)
    return labels.tolist(), index.tolist()


def draw(positives, negatives, ignored=0, *, size, share=0.5, seed=0):
    labels = torch.tensor([POSITIVE] * positives + [NEGATIVE] * negatives + [IGNORED] * ignored)
    return labels, *sample(labels, size=size, positive_share=share, generator=torch.Generator().manual_seed(seed))


def test_match_takes_the_best_ground_truth():
    iou, index = match(strips(90, 50, 20), strips(100, 40))
    torch.testing.assert_close(iou, torch.tensor([0.9, 0.8, 0.5]))
    assert index.tolist() == [0, 1, 1]


def test_match_without_ground_truth_or_boxes():
    iou, index = match(strips(90, 50), torch.zeros(0, 4))
    assert iou.tolist() == [0.0, 0.0]
    assert index.tolist() == [0, 0]
    assert match(torch.zeros(0, 4), strips(3))[0].shape == (0,)
    assert match(torch.zeros(0, 4), torch.zeros(0, 4))[1].shape == (0,)


def test_anchor_thresholds():
    labels, _ = label(strips(100, 70, 69, 30, 29), strips(100))
    assert labels == [POSITIVE, POSITIVE, IGNORED, IGNORED, NEGATIVE]


def test_best_anchor_of_a_ground_truth_is_positive_even_below_the_negative_threshold():
    labels, index = label(strips(100, 20, 10), strips(100, 2))  # the second ground truth: IoU .02, .1, .2
    assert labels == [POSITIVE, NEGATIVE, POSITIVE]
    assert index == [0, 0, 1]


def test_best_anchors_that_tie_are_all_positive():
    labels, _ = label(strips(50, 50, 40), strips(100))
    assert labels == [POSITIVE, POSITIVE, IGNORED]


def test_ground_truth_that_touches_no_anchor_makes_none_positive():
    far = torch.tensor([[500.0, 500, 510, 510]])
    assert label(strips(50, 40), far)[0] == [NEGATIVE, NEGATIVE]


def test_anchors_outside_are_ignored_and_do_not_compete():
    labels, _ = label(strips(100, 50, 20), strips(100), inside=[False, True, False])
    assert labels == [IGNORED, POSITIVE, IGNORED]  # 50 is now the best of the ground truth
    assert label(strips(100, 50), torch.zeros(0, 4), inside=[False, True])[0] == [IGNORED, NEGATIVE]


def test_without_ground_truth_all_are_negative():
    assert label(strips(100, 50), torch.zeros(0, 4)) == ([NEGATIVE, NEGATIVE], [0, 0])


def test_ranks_are_a_permutation_with_the_eligible_first():
    eligible = torch.tensor([True, False] * 10)
    rank = rank_at_random(eligible, torch.Generator().manual_seed(0))
    assert sorted(rank.tolist()) == list(range(20))
    assert rank[eligible].max() == 9


def test_sample_draws_the_share_and_fills_with_negatives():
    labels, positive, negative = draw(100, 200, 50, size=64, share=0.25)
    assert (positive.sum(), negative.sum()) == (16, 48)
    assert (labels[positive] == POSITIVE).all()
    assert (labels[negative] == NEGATIVE).all()


def test_few_positives_make_room_for_negatives_and_few_boxes_give_few():
    _, positive, negative = draw(3, 200, size=64)
    assert (positive.sum(), negative.sum()) == (3, 61)
    _, positive, negative = draw(3, 4, 9, size=64)
    assert (positive.sum(), negative.sum()) == (3, 4)
    _, positive, negative = draw(0, 0, 5, size=64)
    assert not (positive | negative).any()


def test_sample_is_a_function_of_the_generator():
    first, again, other = (torch.cat(draw(50, 50, size=20, seed=seed)[1:]) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_box_is_drawn_about_equally_often():
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([POSITIVE] * 10 + [NEGATIVE] * 30)
    counts = sum(torch.stack(sample(labels, size=10, positive_share=0.5, generator=generator)).sum(0) for _ in range(400))
    # positives 5 of 10: 200 expected, sd 10; negatives 5 of 30: 67 expected, sd 7.5
    assert (counts[:10] - 200).abs().max() < 50
    assert (counts[10:] - 400 / 6).abs().max() < 38


def test_indices_are_unique_positives_first_and_the_mask_tells_the_real_ones():
    labels, positive, negative = draw(5, 50, 5, size=16)
    index, real = sampled_indices(positive, negative, 16)
    assert real.all()
    assert len(set(index.tolist())) == 16
    assert labels[index].tolist() == [POSITIVE] * 5 + [NEGATIVE] * 11


def test_indices_have_a_fixed_length_when_there_are_fewer_boxes():
    _, positive, negative = draw(1, 2, 1, size=8)
    index, real = sampled_indices(positive, negative, 8)
    assert index.shape == real.shape == (8,)
    assert real.tolist() == [True] * 3 + [False] * 5
    assert sorted(index[real].tolist()) == [0, 1, 2]
    assert index.max() < 4
