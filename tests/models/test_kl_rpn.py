"""KL-RPN: which channel is which coordinate, the loss of a batch, objectness and its order, and the
extremes."""

import pytest
import torch

from data.boxes import CenterSizeCoder, box_iou
from models.build import build_detector
from models.kl_rpn import (
    KLRPNHead,
    kl_rpn_loss,
    kl_rpn_statistics,
    log_objectness,
    objectness_score,
)
from models.proposals import propose
from models.rpn_head import AnchorTargets, RPNHead, RPNOutput
from tests.models.test_detector import BASE, NONE, batch_of, losses_of, scene
from tests.networks import change

RULE = {
    "mean_error_weight": 0.5,
    "negative_variance": 1 / 3,
    "log_variance_limit": 20.0,
    "reduce_coordinates": torch.sum,
}
KL_RPN = change(BASE, rpn_kind="kl_rpn")

# Two images of four anchors: labels 1 positive, 0 negative, -1 not sampled
LABELS = [[1, 0, -1, 0], [0, 0, 0, -1]]
MEANS = [
    [[0.1, -0.1, 0.0, 0.2], [0.3, 0.0, -0.2, 0.1], [9.0] * 4, [0.0] * 4],
    [[0.0, 0.5, 0.0, 0.0], [0.1] * 4, [0.0, 0.0, 0.0, -0.4], [5.0] * 4],
]
LOG_VARIANCES = [
    [[-3.0, -2.0, -1.0, -4.0], [0.0, -1.0, 0.5, -0.5], [-9.0] * 4, [-1.0] * 4],
    [[0.0] * 4, [-1.0] * 4, [0.2] * 4, [1.0] * 4],
]
TARGETS = [[[0.2, -0.1, 0.05, 0.0], *[[0.0] * 4] * 3], [[0.0] * 4] * 4]
# Image 1: (-4.402106 + 0.528276 - 0.187812) / 3 sampled anchors; image 2: (0.729167 - 0.160629 +
# 0.978570) / 3
PER_IMAGE = [-1.3538805919975312, 0.5157023675885758]
LOSS, LOSS_OF_MEANS = -0.4190891122044777, -0.10477227805111942
GRADIENT_MEANS = [
    [
        [-0.16737947435989722, 0.0, -0.011326174285246023, 0.9099691672190707],
        [0.025, 0.0, -0.01010884432854389, 0.01373934392250107],
        [0.0] * 4,
        [0.0] * 4,
    ],
    [
        [0.0, 0.041666666666666664, 0.0, 0.0],
        [0.022652348570492045] * 4,
        [0.0, 0.0, 0.0, -0.027291025102599398],
        [0.0] * 4,
    ],
]
GRADIENT_LOG_VARIANCES = [
    [
        [0.07496435961533847, 0.08333333333333333, 0.08305017897620219, -0.00766358338857374],
        [0.051805555555555556, 0.007825504765026525, 0.06547437501957247, 0.03684855306220472],
        [0.0] * 4,
        [0.007825504765026525] * 4,
    ],
    [
        [0.05555555555555556, 0.045138888888888895, 0.05555555555555556, 0.05555555555555556],
        [0.006692887336501928] * 4,
        [0.060590812414500504, 0.060590812414500504, 0.060590812414500504, 0.055132607393980626],
        [0.0] * 4,
    ],
]
# log variances of one anchor, best objectness first, and the score of Eq. 10 in float32
RANKED = [
    ([-31.0] * 4, 999999995904.0),  # saturated: ties with the next
    ([-30.0] * 4, 999999995904.0),
    ([-14.0] * 4, 591212249088.0),
    ([-5.3, -5.0, -4.6, -4.8], 18958.36328125),
    ([-4.6, -5.3, -4.8, -5.0], 18958.36328125),  # the same sum
    ([-5.3, -5.0, -0.5, -4.8], 2440.6025390625),  # one uncertain coordinate
    ([-1.0986122886681098] * 4, 9.000000953674316),  # background at its best: 1 / (1/sqrt(3))^4
    ([0.0] * 4, 1.0),  # at initialization
    ([2.0] * 4, 0.018315639346837997),
]


def example():
    means, log_variances, targets = (
        torch.tensor(values) for values in (MEANS, LOG_VARIANCES, TARGETS)
    )
    labels = torch.tensor(LABELS)
    output = RPNOutput(
        log_objectness(log_variances), means.requires_grad_(), log_variances.requires_grad_()
    )
    return output, labels == 1, labels == 0, targets


def loss_of(*inputs, **changed):
    output, *targets = inputs
    losses, _ = kl_rpn_loss(output, AnchorTargets(*targets), **RULE | changed)
    assert list(losses) == ["rpn_kl"]
    return losses["rpn_kl"]


def test_loss_and_gradients_of_a_batch():
    inputs = example()
    loss = loss_of(*inputs)
    assert loss.item() == pytest.approx(LOSS, abs=1e-6)
    loss.backward()
    torch.testing.assert_close(
        inputs[0].offsets.grad, torch.tensor(GRADIENT_MEANS), atol=1e-6, rtol=1e-5
    )
    torch.testing.assert_close(
        inputs[0].log_variance.grad, torch.tensor(GRADIENT_LOG_VARIANCES), atol=1e-6, rtol=1e-5
    )
    assert loss_of(*example(), reduce_coordinates=torch.mean).item() == pytest.approx(
        LOSS_OF_MEANS, abs=1e-6
    )


def test_means_of_negative_anchors_can_be_left_to_the_positive_ones():
    """The loss and every other gradient stay as they are."""
    inputs = example()
    loss = loss_of(*inputs, train_negative_means=False)
    loss.backward()
    assert loss.item() == pytest.approx(LOSS, abs=1e-6)
    positive_only = torch.tensor(GRADIENT_MEANS) * torch.tensor(LABELS).eq(1)[..., None]
    torch.testing.assert_close(inputs[0].offsets.grad, positive_only, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(
        inputs[0].log_variance.grad, torch.tensor(GRADIENT_LOG_VARIANCES), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("image", [0, 1])
def test_every_image_is_divided_by_its_own_sampled_anchors(image):
    output, *rest = example()
    alone = RPNOutput(*(part[image : image + 1].detach() for part in output))
    assert loss_of(alone, *(part[image : image + 1] for part in rest)).item() == pytest.approx(
        PER_IMAGE[image], abs=1e-6
    )


def test_anchors_that_are_not_sampled_do_not_matter():
    output, positive, negative, targets = example()
    wild = output.log_variance.detach().clone()
    wild[0, 2], wild[1, 3] = -1e30, float("inf")
    means = output.offsets.detach().clone()
    means[0, 2] = float("nan")
    output = RPNOutput(output.objectness, means.requires_grad_(), wild.requires_grad_())
    loss = loss_of(
        output, positive, negative, targets.masked_fill(~positive[..., None], -float("inf"))
    )
    assert loss.item() == pytest.approx(LOSS, abs=1e-6)
    loss.backward()
    assert means.grad.isfinite().all()
    assert wild.grad.isfinite().all()


@pytest.mark.fault("R60")
def test_objectness_and_order():
    log_variances = torch.tensor([values for values, _ in RANKED])
    objectness = log_objectness(log_variances)
    assert objectness.tolist() == pytest.approx(
        [62.0, 60.0, 28.0, 9.85, 9.85, 7.8, 2.1972245773362196, 0.0, -4.0], abs=1e-5
    )
    order = objectness.flip(0).sort(descending=True, stable=True).indices
    assert order.tolist() == [
        8,
        7,
        6,
        4,
        5,
        3,
        2,
        1,
        0,
    ]  # reversed input: only the equal pair stays as it came
    scores = objectness_score(log_variances)
    assert scores.tolist() == pytest.approx([score for _, score in RANKED], rel=1e-5)
    assert scores[0] == scores[1]  # why nothing is ranked by it
    assert objectness[0] > objectness[1]


def test_proposals_are_suppressed_in_the_order_of_the_variances():
    """IoU of the first with the others 0.9238, 0.1429, 0.61: the better of the first two removes
    the other. (Inclusive pixels; with x2 and y2 one larger the overlaps are the same.)"""
    boxes = torch.tensor([[0.0, 0, 99, 99], [2, 2, 101, 101], [50, 50, 149, 149], [0, 0, 99, 60]])
    boxes = boxes + torch.tensor([0.0, 0, 1, 1])
    log_variance = torch.tensor([-4.0, -5.0, -1.0986122886681098, -3.0])[:, None].expand(4, 4)
    kept, objectness = propose(
        boxes,
        log_objectness(log_variance),
        torch.zeros(4, 4),
        (200, 200),
        CenterSizeCoder(weights=(1.0, 1.0, 1.0, 1.0)),
        pre_nms=10,
        post_nms=10,
        nms_iou=0.7,
        min_size=0,
    )
    torch.testing.assert_close(kept, boxes[[1, 3, 2]])
    assert objectness.tolist() == pytest.approx([10.0, 6.0, 2.1972246], abs=1e-5)


def test_layers_of_the_head():
    torch.manual_seed(0)
    head = KLRPNHead(in_channels=8, channels=256, anchors_per_position=12)
    assert {name for name, _ in head.named_children()} == {
        "conv",
        "offsets",
        "log_variance",
    }  # no class layer
    assert head.offsets.weight.shape == head.log_variance.weight.shape == (48, 256, 1, 1)
    assert head.offsets.weight.std().item() == pytest.approx(0.01, rel=0.03)
    assert head.log_variance.weight.std().item() == pytest.approx(1e-5, rel=0.03)
    assert not head.log_variance.bias.any()


@pytest.mark.parametrize(("anchors", "added"), [(9, 9_234), (12, 12_312)])
def test_parameters_beside_the_rpn(anchors, added):
    with torch.device("meta"):
        heads = [
            kind(in_channels=512, channels=512, anchors_per_position=anchors)
            for kind in (KLRPNHead, RPNHead)
        ]
    mine, theirs = (sum(p.numel() for p in head.parameters()) for head in heads)
    assert mine - theirs == added == 1026 * anchors


def test_channel_of_coordinate_c_of_anchor_a_is_4a_plus_c():
    head = KLRPNHead(in_channels=4, channels=6, anchors_per_position=3)
    features = torch.randn(1, 4, 2, 5)
    before = head(features)
    with torch.no_grad():
        head.log_variance.bias[4 * 2 + 1] += 3.0
        head.offsets.bias[4 * 1 + 3] += 2.0
    after = head(features)
    moved = (after.log_variance - before.log_variance).reshape(2, 5, 3, 4)
    assert torch.allclose(moved[..., 2, 1], torch.tensor(3.0))
    assert torch.allclose(moved.sum(), torch.tensor(30.0), atol=1e-4)
    moved = (after.offsets - before.offsets).reshape(2, 5, 3, 4)
    assert torch.allclose(moved[..., 1, 3], torch.tensor(2.0))
    assert torch.allclose(
        after.objectness - before.objectness,
        torch.tensor([0.0, 0.0, -1.5]).repeat(1, 10),
        atol=1e-5,
    )


def extreme(value):
    """A whole detector whose RPN says the same log variance everywhere."""
    torch.manual_seed(0)
    network = build_detector(KL_RPN)
    torch.nn.init.zeros_(network.rpn.head.log_variance.weight)
    torch.nn.init.constant_(network.rpn.head.log_variance.bias, value)
    return network


@pytest.mark.fault("R60")
@pytest.mark.parametrize("value", [-60.0, 0.0, 60.0])
@pytest.mark.parametrize(
    "scenes", [(scene(0),), ((scene(0)[0], NONE),), (scene(1), (scene(0)[0], NONE))]
)
def test_extreme_log_variances_empty_images_and_ties(value, scenes):
    """Finite loss and gradients, proposals in a repeatable order, no crash."""
    network = extreme(value)
    statistics = {}
    losses = losses_of(network, batch_of(*scenes), statistics=statistics)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    assert statistics["rpn/clamped_share"] == (abs(value) > 20)
    found = [network.eval().proposals(batch_of(*scenes, train=False), 30) for _ in range(2)]
    for first, again in zip(*found, strict=True):
        assert torch.equal(first.boxes, again.boxes)
        assert (first.objectness == -2 * value).all()
    assert all(
        c.boxes.isfinite().all() for c in network.candidates(batch_of(*scenes, train=False), 0.0)
    )


@pytest.mark.fault("R61")
def test_no_positive_anchor():
    """Image 1 without its positive: (0.528276 - 0.187812) / 2; image 2 as before."""
    output, positive, negative, targets = example()
    nothing = torch.zeros_like(positive)
    assert loss_of(output, nothing, negative, targets).item() == pytest.approx(
        (0.170232 + PER_IMAGE[1]) / 2, abs=1e-5
    )
    assert loss_of(output, nothing, nothing, targets) == 0


@pytest.mark.fault("R59")
@pytest.mark.parametrize(
    "start",
    [
        -60.0,
        pytest.param(-25.0, marks=pytest.mark.slow_fault),
        pytest.param(25.0, marks=pytest.mark.slow_fault),
        60.0,
    ],
)
def test_a_log_variance_that_ran_away_comes_back(start):
    """The best of a background anchor is ln(1/3); whatever side it starts on, it is soon within the
    bound again."""
    value = torch.full((1, 1, 4), start, requires_grad=True)
    optimizer = torch.optim.Adam([value], lr=1.0)
    yes, no, zero = (
        torch.ones(1, 1, dtype=torch.bool),
        torch.zeros(1, 1, dtype=torch.bool),
        torch.zeros(1, 1, 4),
    )
    for _ in range(200):
        optimizer.zero_grad()
        loss_of(RPNOutput(torch.zeros(1, 1), zero, value), no, yes, zero).backward()
        optimizer.step()
    assert abs(value.mean().item() + 1.0986) < (0.5 if start > 0 else 10)


def test_statistics():
    output, positive, negative, _ = example()
    found = kl_rpn_statistics(output.log_variance, positive, negative, 3.5)
    assert found["rpn/log_variance_positive"].item() == pytest.approx(-2.5)
    assert found["rpn/log_variance_negative"].item() == pytest.approx(
        (-1.0 - 4.0 + 0.0 - 4.0 + 0.8) / 20
    )
    assert found["rpn/clamped_share"].item() == pytest.approx(
        2 / 8
    )  # the first anchor and the one at -9
    assert (found["rpn/log_variance_min"], found["rpn/log_variance_max"]) == (-9.0, 1.0)


def test_every_parameter_learns():
    torch.manual_seed(0)
    network = build_detector(KL_RPN)
    losses = losses_of(network, batch_of(scene(0), scene(1)))
    assert losses.keys() == {"rpn_kl", "roi_class", "roi_box"}
    sum(losses.values()).backward()
    assert all(
        p.grad is not None and p.grad.any() and p.grad.isfinite().all()
        for p in network.parameters()
    )


def test_the_variance_learns_where_the_objects_are():
    """After a few updates on two scenes the variance tells anchors on an object from anchors beside
    it."""
    torch.manual_seed(0)
    network, batch = (
        build_detector(KL_RPN),
        batch_of(scene(0), scene(1, boxes=((20, 10, 60, 50),), labels=(2,))),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(80):
        optimizer.zero_grad()
        statistics = {}
        sum(losses_of(network, batch, statistics=statistics).values()).backward()
        optimizer.step()
    assert statistics["rpn/log_variance_positive"] < statistics["rpn/log_variance_negative"] - 0.3
    anchors, _, output = network.eval().rpn(network.features(batch), batch.padded_size)
    overlap = box_iou(anchors, batch.targets[0].boxes).amax(1)
    on, beside = output.objectness[0][overlap >= 0.5], output.objectness[0][overlap < 0.1]
    assert on.mean() > beside.mean() + 0.5
