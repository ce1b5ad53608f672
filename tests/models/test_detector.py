"""The whole network, thin: what it learns from, what it gives back, and what it refuses."""

from dataclasses import replace

import pytest
import torch

from data.records import Batch, Target
from models.build import build_detector
from tests import networks
from tests.networks import TINY_RESNET, change, model_config

BASE = model_config(
    backbone_name="vgg16",
    num_classes=3,
    backbone_width=1 / 16,
    roi_fc_dims=(24, 24),
    rpn_anchor_sizes=(16.0, 32.0),
    rpn_anchors_per_image=32,
    rpn_pre_nms_train=200,
    rpn_post_nms_train=40,
    rpn_pre_nms_test=200,
    rpn_post_nms_test=30,
    rpn_min_size=4.0,
    roi_rois_per_image=24,
    roi_pool_size=3,
    rpn_channels=8,
    roi_rfcn_channels=64,
)
KL = change(BASE, **networks.KL)
EDGES = change(BASE, **networks.EDGES)
SIZE = (64, 80)
NONE = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
TERMS = {"rpn_objectness", "rpn_box", "roi_class", "roi_box"}


def detector(config, seed=0):
    torch.manual_seed(seed)
    return build_detector(config)


def scene(seed, boxes=((8, 8, 40, 40), (44, 20, 76, 60)), labels=(1, 3)):
    """Noise with a bright rectangle for each object."""
    image = 0.3 * torch.randn(3, *SIZE, generator=torch.Generator().manual_seed(seed))
    for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True):
        image[label - 1, y1:y2, x1:x2] += 2
    return image, Target(
        boxes=torch.tensor(boxes, dtype=torch.float32), labels=torch.tensor(labels)
    )


def batch_of(*scenes, train=True, original=SIZE):
    images, targets = zip(*scenes, strict=True)
    count = len(images)
    return Batch(
        images=torch.stack(images),
        image_sizes=(SIZE,) * count,
        original_sizes=(original,) * count,
        image_ids=tuple(f"image{i}" for i in range(count)),
        targets=targets if train else None,
    )


def losses_of(network, batch, seed=0, statistics=None):
    """``Detector.losses`` with its draws from ``seed``."""
    torch.manual_seed(seed)
    return network.losses(batch, statistics)


@pytest.mark.parametrize(
    "config",
    [
        BASE,
        KL,
        change(KL, roi_pooling="max", roi_sampling_ratio=0),
        change(BASE, backbone_name="vgg_cnn_m_1024"),
        change(BASE, **TINY_RESNET, roi_head="conv5"),
        change(KL, **TINY_RESNET, roi_head="rfcn"),
        change(BASE, roi_head="rfcn", roi_rfcn_pooling="average", roi_class_agnostic=True),
        change(KL, roi_hardest=8),
    ],
)
def test_every_parameter_learns(config):
    network = detector(config)
    losses = losses_of(network, batch_of(scene(0), scene(1)))
    assert losses.keys() == TERMS
    assert all(loss.isfinite() and loss.shape == () for loss in losses.values())
    sum(losses.values()).backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize(
    "config", [BASE, KL, change(KL, rpn_kind="kl_rpn", rpn_box_coding="center_size")]
)
def test_losses_are_those_of_the_parts_called_by_hand(config):
    network, batch = detector(config), batch_of(scene(0), scene(1))
    losses = losses_of(network, batch)
    torch.manual_seed(0)
    features = network.features(batch)
    predictions = network.rpn(features, batch.padded_size)
    rpn_losses, _ = network.rpn.losses(predictions, batch)
    proposals, _ = network.rpn.propose(predictions, batch, (200, 40))
    targets = network.roi.sample(proposals, batch)
    roi_losses, _ = network.roi.losses(features, targets)
    by_hand = rpn_losses | roi_losses
    assert list(losses) == list(by_hand)
    assert all(torch.equal(losses[name], value) for name, value in by_hand.items())


def test_kl_loss_at_log_variance_zero_is_smooth_l1():
    with_variance, without = detector(KL), detector(EDGES)
    without.load_state_dict(with_variance.state_dict(), strict=False)
    torch.nn.init.zeros_(with_variance.roi.head.predictor.log_variance.weight)
    batch = batch_of(scene(0), scene(1))
    torch.testing.assert_close(losses_of(with_variance, batch), losses_of(without, batch))


def test_losses_are_a_function_of_the_seed():
    network, batch = detector(KL), batch_of(scene(0))
    first, again, other = (losses_of(network, batch, seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in TERMS)
    assert not torch.equal(first["rpn_objectness"], other["rpn_objectness"])


def test_statistics_are_filled_and_carry_no_gradient():
    statistics = {}
    losses_of(detector(KL), batch_of(scene(0)), statistics=statistics)
    assert {
        "foreground_share",
        "kl_data_term",
        "kl_log_term",
        "log_variance_p50",
    } <= statistics.keys()
    assert not any(value.requires_grad for value in statistics.values())


@pytest.mark.fault("R61")
@pytest.mark.parametrize("config", [BASE, KL])
def test_an_image_without_objects_is_all_background(config):
    network = detector(config)
    losses = losses_of(network, batch_of((scene(0)[0], NONE)))
    sum(losses.values()).backward()
    assert losses["roi_box"] == 0
    assert losses["rpn_box"] == 0
    assert losses["rpn_objectness"] > 0
    assert losses["roi_class"] > 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.fault("R65")
@pytest.mark.parametrize("config", [KL, change(BASE, rpn_kind="kl_rpn")])
def test_a_batch_without_objects_has_statistics(config):
    """Those of the foreground are NaN, which the log leaves out."""
    statistics = {}
    losses_of(detector(config), batch_of((scene(0)[0], NONE)), statistics=statistics)
    assert float(statistics["foreground_share"]) == 0
    assert all(isinstance(float(value), float) for value in statistics.values())


def test_a_few_steps_on_one_image_make_the_loss_fall():
    network, batch = detector(KL), batch_of(scene(0))
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    history = []
    for _ in range(40):
        loss = sum(losses_of(network, batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert sum(history[-5:]) / 5 < 0.5 * history[0]


@pytest.mark.parametrize("config", [BASE, change(BASE, rpn_kind="kl_rpn")])
def test_proposals_are_the_first_stage_alone(config):
    """In original px, best first, at most as many as asked for; a longer list begins with the
    shorter."""
    network = detector(config).eval()
    batch = batch_of(scene(0), scene(1), train=False, original=(128, 160))
    found = network.proposals(batch, 12)
    assert [len(image.boxes) for image in found] == [12, 12]
    for image, longer in zip(found, network.proposals(batch, 25), strict=True):
        assert torch.equal(image.boxes, longer.boxes[:12])
        assert image.objectness.tolist() == sorted(image.objectness.tolist(), reverse=True)
        assert (image.boxes >= 0).all()
        assert (image.boxes <= torch.tensor([160.0, 128, 160, 128])).all()
        assert image.boxes.max() > 100


def test_freezing_is_of_the_first_stages_and_of_every_norm():
    network = detector(change(BASE, **TINY_RESNET, roi_head="conv5"))
    network.freeze(2)
    network.train()
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert all(
        name.startswith(("backbone.features.0", "backbone.features.1", "backbone.features.4"))
        or "bn" in name
        or "downsample.1" in name
        for name in frozen
    )
    assert {
        "backbone.features.0.weight",
        "backbone.features.4.0.conv2.weight",
        "roi.head.box_head.layer4.0.bn3.weight",
    } <= frozen
    before = {name: value.clone() for name, value in network.named_buffers()}
    losses_of(network, batch_of(scene(0)))
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())


def test_losses_without_targets_are_refused_and_forward_chooses():
    network = detector(BASE)
    with pytest.raises(ValueError, match=r"Detector\.losses needs a batch with targets"):
        network.losses(batch_of(scene(0), train=False))
    assert network(batch_of(scene(0))).keys() == TERMS
    assert len(network.eval()(batch_of(scene(0), train=False))) == 1


@pytest.mark.parametrize("config", [BASE, EDGES, KL, change(KL, roi_pooling="max")])
def test_candidates_are_in_original_pixels_and_inside_the_image(config):
    network = detector(config).eval()
    torch.nn.init.normal_(
        network.roi.head.predictor.offsets.weight, std=2.0
    )  # wild boxes, some of them inverted
    original = (130, 155)
    for found in network.candidates(
        batch_of(scene(0), scene(1), train=False, original=original), 0.1
    ):
        count = len(found.scores)
        assert count > 0
        assert found.boxes.shape == (count, 4)
        assert found.labels.shape == (count,)
        assert set(found.labels.tolist()) <= {1, 2, 3}
        assert (found.scores > 0.1).all()
        assert (found.boxes >= 0).all()
        assert (found.boxes <= torch.tensor([155.0, 130, 155, 130])).all()
        assert (found.boxes[:, 2:] >= found.boxes[:, :2]).all()
        assert found.boxes[:, 2].max() > SIZE[1]  # not network pixels
        assert (found.variances is None) == (not config.roi.log_variance)
        if config.roi.log_variance:
            assert found.variances.shape == found.pixel_variances.shape == (count, 4)
            assert (found.pixel_variances > 0).all()


def with_constant_outputs(offsets=0.0, log_variance=0.0, **changed):
    """A network whose box offsets and log variances are ``constant * label``, whatever the
    image."""
    network = detector(change(KL, **changed)).eval()
    slots = torch.arange(4.0).repeat_interleave(4)
    with torch.no_grad():
        for layer, constant in (
            (network.roi.head.predictor.offsets, offsets),
            (network.roi.head.predictor.log_variance, log_variance),
        ):
            layer.weight.zero_()
            layer.bias.copy_(constant * slots)
    return network


def test_candidates_scale_with_the_original_image():
    network = with_constant_outputs(rpn_min_size=0.0)
    batch = batch_of(scene(0), train=False)
    (small,) = network.candidates(batch, 0.0)
    (large,) = network.candidates(replace(batch, original_sizes=((3 * SIZE[0], 2 * SIZE[1]),)), 0.0)
    torch.testing.assert_close(large.boxes, small.boxes * torch.tensor([2.0, 3, 2, 3]))
    torch.testing.assert_close(
        large.pixel_variances, small.pixel_variances * torch.tensor([4.0, 9, 4, 9])
    )
    torch.testing.assert_close(large.variances, small.variances)


def test_each_class_has_its_own_offsets_and_variances():
    batch = batch_of(scene(0), train=False)
    (still,) = with_constant_outputs().candidates(batch, 0.0)
    (moved,) = with_constant_outputs(offsets=0.1, log_variance=0.5).candidates(batch, 0.0)
    label = moved.labels[:, None].float()
    torch.testing.assert_close(moved.variances, (0.5 * label).exp().expand(-1, 4))
    sides = (still.boxes[:, 2:] - still.boxes[:, :2]).repeat(1, 2)
    limit = torch.tensor([80.0, 64, 80, 64])  # every side moves by 0.1 * label / 10 of its length
    torch.testing.assert_close(
        moved.boxes, torch.minimum(still.boxes + 0.01 * label * sides, limit)
    )
    torch.testing.assert_close(moved.pixel_variances, moved.variances * (sides / 10) ** 2)


def test_the_least_size_of_a_proposal_is_meant_in_original_pixels():
    network = with_constant_outputs(rpn_min_size=30.0)
    small = batch_of(scene(0), train=False)
    large = replace(small, original_sizes=((2 * SIZE[0], 2 * SIZE[1]),))
    shortest = [
        (found.boxes[:, 2:] - found.boxes[:, :2]).min()
        for batch in (small, large)
        for found in network.candidates(batch, 0.0)
    ]
    assert shortest[0] >= 30
    assert 30 <= shortest[1] < 60  # 15 px in the network


def test_threshold_above_one_gives_empty_candidates():
    (found,) = detector(KL).eval().candidates(batch_of(scene(0), train=False), 1.0)
    assert found.boxes.shape == found.variances.shape == found.pixel_variances.shape == (0, 4)
    assert found.scores.shape == found.labels.shape == (0,)


@pytest.mark.parametrize("config", [BASE, KL, change(KL, roi_pooling="max")])
def test_candidates_of_an_image_do_not_depend_on_the_rest_of_the_batch(config):
    """A known slip of other implementations: the variances of a batch were not split by image."""
    network = detector(change(config, rpn_post_nms_test=200)).eval()
    torch.nn.init.normal_(network.rpn.head.offsets.weight, std=0.3)
    torch.nn.init.normal_(network.roi.head.predictor.offsets.weight, std=0.5)
    if config.roi.log_variance:
        torch.nn.init.normal_(network.roi.head.predictor.log_variance.weight, std=1.0)
    scenes = scene(0), scene(1)
    together = network.candidates(batch_of(*scenes, train=False), 0.1)
    alone = [network.candidates(batch_of(one, train=False), 0.1)[0] for one in scenes]
    assert len(alone[0].scores) != len(alone[1].scores)  # so one of them is padded
    for both, single in zip(together, alone, strict=True):
        for name in ("boxes", "scores", "labels", "variances", "pixel_variances"):
            torch.testing.assert_close(
                getattr(both, name), getattr(single, name), atol=1e-4, rtol=1e-4
            )


@pytest.mark.fault("R61")
@pytest.mark.parametrize("pooling", ["align", "max"])
def test_no_proposals_in_any_image(pooling):
    network = detector(change(KL, rpn_min_size=1000.0, roi_pooling=pooling)).eval()
    for found in network.candidates(batch_of(scene(0), scene(1), train=False), 0.0):
        assert found.boxes.shape == found.variances.shape == (0, 4)
    losses = losses_of(
        network.train(), batch_of(scene(0), (scene(1)[0], NONE))
    )  # the ground truth remains
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.fault("R55")
@pytest.mark.parametrize(
    "layer",
    [
        "backbone.features.0.weight",
        "rpn.head.objectness.bias",
        "rpn.head.offsets.weight",
        "roi.head.box_head.fc6.weight",
        "roi.head.predictor.class_logits.bias",
        "roi.head.predictor.offsets.weight",
        "roi.head.predictor.log_variance.bias",
    ],
)
def test_a_nan_weight_is_a_sentence_that_names_the_image(layer):
    network = detector(KL).eval()
    with torch.no_grad():
        network.get_parameter(layer).fill_(float("nan"))
    with pytest.raises(
        ValueError,
        match="of image image0 are not finite: a weight is NaN or the network has diverged",
    ):
        network.candidates(batch_of(scene(0), train=False), 0.0)


def test_the_limit_on_log_variances_acts():
    network = detector(change(KL, roi_log_variance_limit=2.0)).eval()
    torch.nn.init.constant_(network.roi.head.predictor.log_variance.bias, 50.0)
    (found,) = network.candidates(batch_of(scene(0), train=False), 0.0)
    torch.testing.assert_close(found.variances, torch.full_like(found.variances, 2.0).exp())


def test_frozen_stages_stay_as_they_are():
    network = detector(BASE)
    network.backbone.freeze(2)
    sum(losses_of(network, batch_of(scene(0))).values()).backward()
    frozen = [name for name, p in network.named_parameters() if p.grad is None]
    assert frozen == [
        f"backbone.features.{i}.{kind}" for i in (0, 2, 5, 7) for kind in ("weight", "bias")
    ]
