"""Algorithm 1 end to end: worked examples of the paper's and the released rules, a plain double
loop, and the laws.
"""

from dataclasses import replace

import pytest
import torch

from data.records import Candidates
from postprocess.pipeline import AUTHOR_RELEASE, PostprocessConfig, postprocess, postprocess_class
from tests.postprocess.cases import ALL, COMPARED, HARD, SOFT, SWAPPED, random_candidates
from tests.six_boxes import SIX, SIX_SCORES

# Six boxes of one class with inclusive pixels, computed by an independent float64 script and, for
# the released rules, by the released code itself. PLUS_ONE turns the "+1" IoU into that of
# continuous edges; a vote moves along with its boxes.
PLUS_ONE = torch.tensor([0.0, 0, 1, 1])
BOXES = torch.tensor(
    [
        [100.0, 100, 200, 220],
        [104.0, 98, 206, 214],
        [96.0, 108, 190, 226],
        [120.0, 130, 230, 260],
        [400.0, 300, 460, 380],
        [402.0, 305, 470, 378],
    ]
)
SCORES = torch.tensor([0.9, 0.8, 0.6, 0.55, 0.7, 0.3])
LOG_VARIANCE = torch.tensor(
    [
        [-1.0, 0.0, 1.0, -0.5],
        [0.5, -2.0, -1.5, 0.0],
        [-2.0, 1.0, 0.0, -1.0],
        [0.0, 0.0, 0.5, 0.5],
        [-1.5, 0.5, -0.5, 1.0],
        [0.0, -1.0, -2.5, -1.0],
    ]
)
PROPOSALS = torch.tensor(
    [
        [98.0, 102, 196, 224],
        [110.0, 96, 200, 210],
        [90.0, 110, 200, 230],
        [118.0, 120, 240, 250],
        [398.0, 296, 466, 384],
        [405.0, 300, 465, 380],
    ]
)
# sigma in pixels = exp(log_variance / 2) / 10 * side, side = proposal width for x and height for y,
# inclusive pixels
SIDES = (PROPOSALS[:, 2:] - PROPOSALS[:, :2] + 1).repeat(1, 2)
VARIANCES = LOG_VARIANCE.exp()
PIXEL_VARIANCES = VARIANCES * (SIDES / 10) ** 2


SCORE = {0: 0.9, 4: 0.7, 3: 0.411961, 1: 0.139965, 5: 0.092067, 2: 0.057329}  # after Gaussian decay
FIRST, FIFTH = (
    [99.535079, 98.668508, 204.159529, 219.718627],
    [400.030166, 301.176165, 463.364856, 379.327029],
)
SHARP_FIRST, SHARP_FIFTH = (
    [100.020826, 98.941832, 202.628103, 219.701152],
    [400.0021, 300.168172, 460.206739, 379.932731],
)
B3, B5, B2 = [120.0, 130, 230, 260], [402.0, 305, 470, 378], [96.0, 108, 190, 226]
ALONE_1 = [103.683175, 98.001685, 205.987925, 214.109406]  # box 1 voted by 1 and 2; box 0 has left
ALL_1 = [101.530668, 98.086288, 205.831647, 216.159361]  # box 1 voted by 0 to 3
ALL_5, ALL_2 = (
    [401.529534, 304.924585, 469.907971, 378.018406],
    [96.11961, 106.088691, 190.521621, 225.701006],
)
# name: (config, variances, voted box of each selected index in order of selection)
CASES = {
    "soft": (SOFT, VARIANCES, {0: FIRST, 4: FIFTH, 3: B3, 1: ALONE_1, 5: B5, 2: B2}),
    "hard": (HARD, VARIANCES, {0: FIRST, 4: FIFTH, 3: B3}),
    "released_sigma_t_0.01": (
        replace(AUTHOR_RELEASE, score_threshold=0.0),
        VARIANCES,
        {
            0: SHARP_FIRST,
            4: SHARP_FIFTH,
            3: B3,
            1: [103.998884, 98.000026, 205.999991, 214.000374],
            5: B5,
            2: B2,
        },
    ),
    "released_sigma_t_0.02": (
        SWAPPED,
        VARIANCES,
        {
            0: [99.535079, 98.814003, 204.117471, 219.718627],
            4: [400.030166, 301.682428, 462.352329, 379.327029],
            3: B3,
            1: [103.683175, 98.007547, 205.997304, 214.109406],
            5: B5,
            2: B2,
        },
    ),
    "released_hard_sigma_t_0.01": (
        replace(AUTHOR_RELEASE, suppression="hard", score_threshold=0.0),
        VARIANCES,
        {0: SHARP_FIRST, 4: SHARP_FIFTH, 3: B3},
    ),
    "pixel_variances": (
        replace(SOFT, variance_space="pixel"),
        PIXEL_VARIANCES,
        {
            0: [99.710224, 98.609731, 204.49783, 219.620036],
            4: [400.038435, 301.353947, 463.935224, 379.240505],
            3: B3,
            1: [103.784259, 98.001522, 205.991882, 214.098912],
            5: B5,
            2: B2,
        },
    ),
    "algorithm_1_soft": (ALL, VARIANCES, {0: FIRST, 4: FIFTH, 3: B3, 1: ALL_1, 5: ALL_5, 2: ALL_2}),
    "algorithm_1_hard": (replace(ALL, suppression="hard"), VARIANCES, {0: FIRST, 4: FIFTH, 3: B3}),
    "floor_0.1_remaining": (
        replace(SOFT, score_floor=0.1),
        VARIANCES,
        {0: FIRST, 4: FIFTH, 3: B3, 1: ALONE_1},
    ),
    "floor_0.1_all": (
        replace(ALL, score_floor=0.1),
        VARIANCES,
        {0: FIRST, 4: FIFTH, 3: B3, 1: ALL_1},
    ),
    "no_voting": (
        replace(SOFT, sigma_t=0.0),
        None,
        {index: BOXES[index].tolist() for index in SCORE},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_worked_examples(name):
    config, variances, expected = CASES[name]
    boxes, scores, keep = postprocess_class(BOXES + PLUS_ONE, SCORES, variances, config)
    assert keep.tolist() == list(expected)
    torch.testing.assert_close(
        boxes - PLUS_ONE, torch.tensor(list(expected.values())), atol=1e-4, rtol=0
    )
    decayed = (
        SCORES
        if config.suppression == "hard"
        else torch.tensor([SCORE[index] for index in sorted(SCORE)])
    )
    torch.testing.assert_close(scores, decayed[keep], atol=1e-6, rtol=0)


# Six boxes with continuous edges, computed by an independent script. Box 0 votes with 1, 2 (IoU
# .312) and 4 (.906977); by the released rule box 1 (second of its cluster to be selected) can no
# longer be voted on by box 0.
SIX_VARIANCES = torch.tensor(
    [
        [0.04, 0.01, 0.01, 0.04],
        [0.01, 0.01, 0.04, 0.01],
        [0.01, 0.02, 0.02, 0.01],
        [0.01, 0.01, 0.01, 0.01],
        [0.005, 0.005, 0.005, 0.005],
        [0.02, 0.02, 0.02, 0.02],
    ]
)
SIX_0, SIX_2, SIX_3 = (
    [9.725407, 9.802218, 49.538017, 50.671895],
    [11.0, 30, 51, 72],
    [60.126758, 59.873242, 90.126758, 90.063379],
)
SIX_ALL = {
    1: [11.402165, 11.146262, 50.371567, 50.149667],
    5: [61.573972, 58.426028, 91.573972, 90.786986],
    4: [9.199913, 9.341726, 49.269787, 50.885489],
}
SIX_LEFT = {
    1: [11.514898, 11.514898, 50.693418, 50.161701],
    5: [62.0, 58, 92, 91],
    4: [9.0, 9, 49, 51],
}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ALL, {0: SIX_0, 3: SIX_3, 2: SIX_2, **SIX_ALL}),
        (SOFT, {0: SIX_0, 3: SIX_3, 2: SIX_2, **SIX_LEFT}),
        (replace(ALL, suppression="hard"), {0: SIX_0, 2: SIX_2, 3: SIX_3}),
    ],
)
def test_worked_examples_with_continuous_edges(config, expected):
    boxes, _, keep = postprocess_class(SIX, SIX_SCORES, SIX_VARIANCES, config)
    assert keep.tolist() == list(expected)
    torch.testing.assert_close(boxes, torch.tensor(list(expected.values())), atol=1e-4, rtol=0)


def test_pixel_space_reads_the_pixel_variances():
    config, _, expected = CASES["pixel_variances"]
    labels = torch.ones(6, dtype=torch.int64)
    found = postprocess(
        Candidates(
            boxes=BOXES + PLUS_ONE,
            scores=SCORES,
            labels=labels,
            variances=VARIANCES,
            pixel_variances=PIXEL_VARIANCES,
        ),
        config,
    )
    torch.testing.assert_close(
        found.boxes - PLUS_ONE, torch.tensor(list(expected.values())), atol=1e-4, rtol=0
    )
    # The sigma of a detection is that of its own candidate: exp(-1 / 2) / 10 * 99 = 6.004654 for x1
    # of box 0.
    assert found.sigma[0, 0].item() == pytest.approx(6.004654, abs=1e-5)
    torch.testing.assert_close(found.sigma, PIXEL_VARIANCES[list(expected)].sqrt())
    with pytest.raises(ValueError, match="'pixel' space"):
        postprocess(
            Candidates(boxes=BOXES, scores=SCORES, labels=labels, variances=VARIANCES), config
        )


def test_order_limit_and_ties():
    boxes = torch.tensor(
        [[0.0, 0, 10, 10], [20.0, 0, 30, 10], [40.0, 0, 50, 10], [60.0, 0, 70, 10]]
    )
    image = Candidates(
        boxes=boxes, scores=torch.tensor([0.5, 0.7, 0.5, 0.5]), labels=torch.tensor([3, 2, 1, 3])
    )
    found = postprocess(image, PostprocessConfig(max_detections=3))
    # best first; of equal scores the earlier candidate, whatever its class
    assert found.boxes.equal(boxes[[1, 0, 2]])
    assert found.labels.tolist() == [2, 3, 1]
    assert found.sigma is None


def test_score_threshold_is_exclusive_and_the_sub_threshold_boxes_do_not_vote():
    scores = torch.tensor([0.9, 0.05])
    boxes = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 11, 10]])
    config = PostprocessConfig(sigma_t=1.0)
    voted, _, keep = postprocess_class(boxes, scores, torch.ones(2, 4), config)
    assert keep.tolist() == [0]
    assert voted.equal(boxes[:1])
    voted, _, _ = postprocess_class(
        boxes, scores, torch.ones(2, 4), replace(config, score_threshold=0.049)
    )
    assert voted[0, 2] > 10.4


@pytest.mark.parametrize("config", [PostprocessConfig(), SOFT, ALL, AUTHOR_RELEASE, *COMPARED])
def test_no_candidates_give_no_detections(config):
    empty = Candidates(
        boxes=torch.zeros(0, 4),
        scores=torch.zeros(0),
        labels=torch.zeros(0, dtype=torch.int64),
        variances=torch.zeros(0, 4),
        pixel_variances=torch.zeros(0, 4),
        localization=torch.zeros(0),
    )
    weak = replace(random_candidates(4, 0), scores=torch.zeros(4))
    for found in postprocess([empty, weak], config):
        assert found.boxes.shape == found.sigma.shape == (0, 4)
        assert len(found.scores) == len(found.labels) == 0
    assert postprocess([], config) == []
    boxes, scores, keep = postprocess_class(
        empty.boxes, empty.scores, empty.variances, config, empty.localization
    )
    assert boxes.shape == (0, 4)
    assert len(scores) == len(keep) == 0


# plain, inverted, no area
@pytest.mark.parametrize("box", [[5.0, 5, 20, 30], [50.0, 10, 40, 30], [7.0, 7, 7, 7]])
@pytest.mark.parametrize("log_variance", [-80.0, 0.0, 80.0])
def test_a_single_box_comes_back_unchanged(box, log_variance):
    boxes, scores = torch.tensor([box]), torch.tensor([0.6])
    for config in (SOFT, ALL, HARD):
        voted, kept, _ = postprocess_class(
            boxes, scores, torch.full((1, 4), log_variance).exp(), config
        )
        assert voted.equal(boxes)
        assert kept.equal(scores)


def test_identical_boxes_stay_where_they_are():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 10, 10]])
    voted, scores, _ = postprocess_class(
        boxes, torch.tensor([0.9, 0.8]), torch.rand(2, 4) + 0.1, SOFT
    )
    assert voted.equal(boxes)
    # .8 exp(-1 / .5)
    torch.testing.assert_close(scores, torch.tensor([0.9, 0.108268]), atol=1e-6, rtol=0)


def test_extreme_log_variances_stay_finite():
    image = random_candidates(100, 8)
    spread = torch.linspace(-80, 80, 400)[
        torch.randperm(400, generator=torch.Generator().manual_seed(9))
    ]
    for config in (SOFT, ALL, HARD):
        assert (
            postprocess(replace(image, variances=spread.reshape(100, 4).exp()), config)
            .boxes.isfinite()
            .all()
        )


def test_temperature_to_zero_leaves_boxes_unchanged():
    image = random_candidates(60, 10)
    assert postprocess(image, replace(SOFT, sigma_t=1e-12)).boxes.equal(
        postprocess(image, replace(SOFT, sigma_t=0)).boxes
    )
