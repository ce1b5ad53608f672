"""RPNConfig names what is wrong; the network's targets, losses and proposals are those of its
parts."""

from dataclasses import replace

import pytest
import torch

from models.draws import image_generators
from models.matching import NEGATIVE, POSITIVE, label_anchors
from models.proposals import propose
from models.rpn import RPNConfig
from models.rpn_head import anchor_targets, join_levels, rpn_loss, usable_anchors
from tests.models.test_detector import BASE, batch_of, detector, scene
from tests.networks import change


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"kind": "none"},
            r"RPNConfig\.kind is 'none'; choose one of \('rpn', 'kl_rpn', 'saved'\)",
        ),
        (
            {"box_coding": "corners"},
            r"RPNConfig\.box_coding is 'corners'; choose one of \('center_size', 'edges'\)",
        ),
        (
            {"anchor_rule": "fpn"},
            r"RPNConfig\.anchor_rule is 'fpn'; choose one of "
            r"\('caffe', 'torchvision', 'detectron2'\)",
        ),
        (
            {"coordinate_reduction": "max"},
            r"RPNConfig\.coordinate_reduction is 'max'; choose one of \('sum', 'mean'\)",
        ),
        (
            {"kind": "kl_rpn", "box_coding": "edges"},
            r"RPNConfig\.box_coding must be 'center_size' with kind='kl_rpn'",
        ),
        (
            {"log_variance_limit": 0.0},
            r"RPNConfig\.log_variance_limit is 0\.0; it must be larger than 0, or None",
        ),
    ],
)
def test_a_wrong_value_is_named_with_the_choices(changed, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(RPNConfig(), **changed)


@pytest.fixture(scope="module")
def parts():
    """A region proposal network, its outputs for two images, and the batch."""
    network, batch = detector(BASE), batch_of(scene(0), scene(1))
    features = network.features(batch)
    return network.rpn, features, network.rpn(features, batch.padded_size), batch


def test_predictions_are_the_heads_for_all_anchors(parts):
    rpn, features, predictions, batch = parts
    anchors = rpn.anchors(features, batch.padded_size)
    assert torch.equal(predictions.anchors, torch.cat(anchors))
    assert predictions.levels == tuple(len(level) for level in anchors)
    expected = join_levels([rpn.head(level) for level in features])
    assert torch.equal(predictions.output.objectness, expected.objectness)
    assert torch.equal(predictions.output.offsets, expected.offsets)


def test_targets_and_losses_are_those_of_each_image(parts):
    rpn, _, predictions, batch = parts
    batch = replace(batch, draw_seeds=tuple(range(4, 4 + len(batch.images))))
    losses, statistics = rpn.losses(predictions, batch)
    images = [
        anchor_targets(
            predictions.anchors,
            target,
            *label_anchors(
                predictions.anchors,
                target.boxes,
                usable_anchors(predictions.anchors, size, straddling=False),
                positive_iou=0.7,
                negative_iou=0.3,
            ),
            rpn.coder,
            anchors_per_image=32,
            positive_share=0.5,
            generator=generator,
        )
        for target, size, generator in zip(
            batch.targets, batch.image_sizes, image_generators(batch, "anchors"), strict=True
        )
    ]
    targets = rpn.targets(predictions, batch)
    for column, stacked in zip(zip(*images, strict=True), targets, strict=True):
        assert torch.equal(torch.stack(column), stacked)
    assert not statistics
    by_hand, _ = rpn_loss(predictions.output, targets)
    assert all(torch.equal(losses[name], value) for name, value in by_hand.items())


@pytest.mark.parametrize("straddling", [False, True])
def test_training_samples_from_the_labels_that_are_measured(straddling):
    """Where every anchor is sampled, the targets are the labels of ``labels``."""
    network = detector(
        change(BASE, rpn_straddling_anchors=straddling, rpn_anchors_per_image=100_000)
    )
    batch = batch_of(scene(0))
    predictions = network.rpn(network.features(batch), batch.padded_size)
    size = batch.image_sizes[0]
    labels, _ = network.rpn.labels(predictions.anchors, batch.targets[0].boxes, size)
    targets = network.rpn.targets(predictions, batch)
    assert torch.equal(targets.positive[0], labels == POSITIVE)
    assert torch.equal(targets.negative[0], labels == NEGATIVE)
    usable = network.rpn.usable(predictions.anchors, size)
    assert bool(usable.all()) == straddling
    assert not (targets.positive[0] | targets.negative[0])[~usable].any()


def test_proposals_are_those_of_each_image(parts):
    rpn, _, predictions, batch = parts
    boxes, objectness = rpn.propose(predictions, batch, (200, 25))
    for i, size in enumerate(batch.image_sizes):
        expected = propose(
            predictions.anchors,
            predictions.output.objectness[i],
            predictions.output.offsets[i],
            size,
            rpn.coder,
            pre_nms=200,
            post_nms=25,
            nms_iou=0.7,
            min_size=4.0,
        )
        assert torch.equal(boxes[i], expected[0])
        assert torch.equal(objectness[i], expected[1])


def test_detection_has_its_own_counts(parts):
    rpn, features, _, batch = parts
    boxes, _ = rpn.detect(features, batch)
    assert [len(image) for image in boxes] == [30, 30]
    boxes, _ = rpn.detect(features, batch, 7)
    assert [len(image) for image in boxes] == [7, 7]


def test_outputs_that_are_not_finite_are_named():
    network = detector(change(BASE, rpn_kind="kl_rpn"))
    torch.nn.init.constant_(network.rpn.head.offsets.bias, torch.nan)
    batch = batch_of(scene(0), train=False)
    with pytest.raises(ValueError, match="The proposal offsets of image image0 are not finite"):
        network.rpn.detect(network.features(batch), batch)
