"""RoIConfig names what is wrong; the stage samples, learns and bounds its log variances as its
parts say."""

from dataclasses import replace

import pytest
import torch

from losses.kl_loss import kl_loss
from models.draws import image_generators
from models.matching import sample_rois
from models.roi import RoIConfig
from models.roi_losses import hardest_rois, roi_losses
from tests.models.test_detector import KL, batch_of, detector, losses_of, scene
from tests.networks import change

BOX_KL = RoIConfig(box_coding="edges", log_variance=True, box_loss="kl")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"head": "yolo"},
            r"RoIConfig\.head is 'yolo'; choose one of \('mlp', 'conv5', 'rfcn', 'none'\)",
        ),
        (
            {"box_coding": "corners"},
            r"RoIConfig\.box_coding is 'corners'; choose one of \('center_size', 'edges'\)",
        ),
        (
            {"pooling": "avg"},
            r"RoIConfig\.pooling is 'avg'; choose one of \('align', 'max', 'precise'\)",
        ),
        (
            {"rfcn_pooling": "max"},
            r"RoIConfig\.rfcn_pooling is 'max'; choose one of \('align', 'average'\)",
        ),
        (
            {"log_variance": True, "box_loss": "kl"},
            r"RoIConfig\.log_variance needs box_coding='edges'",
        ),
        (
            {"log_variance_limit": -20.0},
            r"RoIConfig\.log_variance_limit is -20\.0; it must be larger than 0, or None",
        ),
        (
            {"head": "rfcn", "sampling_ratio": 0},
            r"RoIConfig\.sampling_ratio is 0; PSRoIAlign needs 1 or more",
        ),
    ],
)
def test_a_wrong_value_is_named_with_the_choices(changed, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(RoIConfig(), **changed)


def test_what_suits_is_taken():
    assert (
        replace(RoIConfig(), head="rfcn", rfcn_pooling="average", sampling_ratio=0).sampling_ratio
        == 0
    )
    assert BOX_KL.log_variance_limit is None


@pytest.mark.parametrize("alpha", [-50.0, 50.0])
def test_a_log_variance_beyond_the_limit_is_pulled_back(alpha):
    """The loss sees the bounded value, and its gradient reaches the layer: with clamp() it would be
    0."""
    network = detector(change(KL, roi_log_variance_limit=2.0))
    torch.nn.init.constant_(network.roi.head.predictor.log_variance.bias, alpha)
    statistics = {}
    losses_of(network, batch_of(scene(0)), statistics=statistics)["roi_box"].backward()
    limit = torch.tensor(2.0 if alpha > 0 else -2.0)
    assert statistics["log_variance_min"] == statistics["log_variance_max"] == limit
    gradient = network.roi.head.predictor.log_variance.bias.grad
    assert gradient.isfinite().all()
    assert gradient.any()
    if alpha > 0:  # 1/2 minus exp(-2) smooth_l1 of each coordinate: descent lowers the log variance
        assert gradient.sum() > 0


def test_within_the_limit_nothing_changes():
    """Every loss and gradient to the last bit."""
    results = []
    for limit in (None, 20.0):
        network = detector(change(KL, roi_log_variance_limit=limit))
        losses = losses_of(network, batch_of(scene(0), scene(1)))
        sum(losses.values()).backward()
        results.append([*losses.values(), *(parameter.grad for parameter in network.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def stage_and_targets(**fields):
    network, batch = detector(change(KL, **fields)), batch_of(scene(0), scene(1))
    features = network.features(batch)
    proposals = [
        torch.tensor([[4.0, 4, 44, 44], [30, 10, 70, 60]]),
        torch.tensor([[0.0, 0, 79, 63]]),
    ]
    batch = replace(batch, draw_seeds=(3, 4))
    return network.roi, features, proposals, batch, network.roi.sample(proposals, batch)


def test_sampled_rois_are_those_of_each_image():
    stage, _, proposals, batch, targets = stage_and_targets()
    generators = image_generators(batch, "rois")
    for i, (boxes, target) in enumerate(zip(proposals, batch.targets, strict=True)):
        expected = sample_rois(
            boxes,
            target,
            stage.coder,
            rois_per_image=24,
            positive_share=0.25,
            positive_iou=0.5,
            generator=generators[i],
        )
        columns = (
            targets.boxes[i],
            targets.labels[i],
            targets.target_offsets[i],
            targets.gt_index[i],
        )
        for column, other in zip(columns, expected, strict=True):
            assert torch.equal(column, other)


@pytest.mark.parametrize("hardest", [None, 3])
def test_losses_are_those_of_the_heads_outputs(hardest):
    stage, features, _, _, targets = stage_and_targets(roi_hardest=hardest)
    losses, _ = stage.losses(features, targets)
    outputs = stage.head(features, targets.boxes)
    if hardest is not None:
        targets = hardest_rois(outputs, targets, hardest, kl_loss)
    by_hand = roi_losses(outputs, targets, kl_loss)
    assert losses.keys() == by_hand.keys() == {"roi_class", "roi_box"}
    assert all(torch.equal(losses[name], value) for name, value in by_hand.items())
