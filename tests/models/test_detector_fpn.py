"""The detector on a pyramid, with masks, with an IoU head, without its own region proposal network,
or with nothing else."""

from dataclasses import replace

import pytest
import torch

from data.boxes import clip
from data.records import Batch, Detections, Target
from models.build import build_detector
from models.iou_net import IoUConfig
from models.mask import MaskConfig
from tests import networks
from tests.networks import TINY_RESNET, change, model_config

SIZE = (64, 80)
FPN = model_config(
    **TINY_RESNET,
    num_classes=3,
    backbone_pyramid=True,
    backbone_width=1 / 16,
    roi_fc_dims=(24, 24),
    rpn_anchor_sizes=(4.0, 8.0, 16.0, 32.0, 64.0),
    rpn_straddling_anchors=True,
    roi_canonical_size=20.0,
    rpn_softmax=False,
    rpn_anchors_per_image=256,
    rpn_pre_nms_train=100,
    rpn_post_nms_train=40,
    rpn_pre_nms_test=100,
    rpn_post_nms_test=30,
    rpn_min_size=0.0,
    roi_rois_per_image=24,
    roi_pool_size=3,
    rpn_channels=32,
    backbone_pyramid_channels=16,
)
KL = change(FPN, **networks.KL)
MASK = MaskConfig(channels=16, pool_size=4)
IOU = IoUConfig(rois=16)
C4 = change(
    FPN,
    backbone_pyramid=False,
    roi_head="conv5",
    rpn_anchor_sizes=(16.0, 32.0),
    roi_pool_size=4,
    roi_sampling_ratio=0,
)
TERMS = {"rpn_objectness", "rpn_box", "roi_class", "roi_box"}
CASES = {
    "fpn": (FPN, TERMS),
    "fpn, KL Loss": (KL, TERMS),
    "c4": (change(C4, **networks.KL), TERMS),
    "mask": (change(KL, mask=MASK), TERMS | {"roi_mask"}),
    "c4 mask": (change(C4, mask=MASK), TERMS | {"roi_mask"}),
    "iou": (change(FPN, iou=IOU, roi_pooling="precise"), TERMS | {"roi_iou"}),
    "saved": (change(KL, rpn_kind="saved"), {"roi_class", "roi_box"}),
    "rpn": (change(FPN, roi_head="none"), {"rpn_objectness", "rpn_box"}),
    "mobilenet": (change(FPN, backbone_name="mobilenet_v2", backbone_mobilenet_blocks=18), TERMS),
    "mobilenet c4": (change(C4, backbone_name="mobilenet_v2", backbone_mobilenet_blocks=18), TERMS),
}


def detector(config, seed=0):
    torch.manual_seed(seed)
    return build_detector(config)


def losses_of(network, batch, seed=0, statistics=None):
    """``Detector.losses`` with its draws from ``seed``."""
    torch.manual_seed(seed)
    return network.losses(batch, statistics)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def batch_of(count=2, train=True, original=SIZE):
    images = torch.randn(count, 3, *SIZE, generator=seeded(1))
    boxes = torch.tensor([[8.0, 8, 40, 40], [44, 20, 76, 60]])
    masks = torch.zeros(2, *SIZE, dtype=torch.uint8)
    masks[0, 8:40, 8:24] = 1
    masks[1, 20:60, 44:76] = 1
    target = Target(boxes=boxes, labels=torch.tensor([1, 3]), masks=masks)
    jitter = torch.randn(20, 4, generator=seeded(2)) * 4
    apart = torch.tensor(
        [[0.0, 0, 5, 5], [0, 0, 12, 12], [0, 0, 20, 20], [10, 5, 70, 60]]
    )  # one a level
    proposals = torch.cat([apart, boxes.repeat(10, 1) + jitter])
    return Batch(
        images=images,
        image_sizes=(SIZE,) * count,
        original_sizes=(original,) * count,
        image_ids=tuple(f"image{i}" for i in range(count)),
        targets=(target,) * count if train else None,
        proposals=tuple(clip(proposals[: 15 + i], SIZE) for i in range(count)),
    )


@pytest.mark.parametrize("case", CASES)
def test_every_parameter_learns(case):
    config, terms = CASES[case]
    network = detector(config)
    losses = losses_of(network, batch_of())
    assert losses.keys() == terms
    assert all(loss.isfinite() and loss.shape == () for loss in losses.values())
    sum(losses.values()).backward()
    learning = {
        name: p.grad for name, p in network.named_parameters() if p.requires_grad
    }  # folded norms do not learn
    assert not [
        name for name, gradient in learning.items() if gradient is None or not gradient.any()
    ]
    assert all(gradient.isfinite().all() for gradient in learning.values())


@pytest.mark.parametrize("case", [case for case in CASES if case != "rpn"])
def test_an_image_alone_is_the_image_in_a_batch(case):
    """Also with another number of proposals: slots that only fill up the batch give no
    candidate."""
    network = detector(CASES[case][0]).eval()
    whole = batch_of(3, train=False, original=(128, 160))
    together = network.candidates(whole, 0.2)
    assert all(len(image.scores) for image in together)
    for one, image in zip(whole.split(3), together, strict=True):
        (alone,) = network.candidates(one, 0.2)
        torch.testing.assert_close(alone.boxes, image.boxes, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(alone.scores, image.scores, atol=1e-5, rtol=1e-4)
        assert (alone.localization is None) == (CASES[case][0].iou is None)
        if alone.localization is not None:
            torch.testing.assert_close(alone.localization, image.localization, atol=1e-4, rtol=1e-3)


def test_iterative_localization_scores_a_box_where_it_arrived():
    """The second round's RoI is the first round's box, and only its own class's score and offsets
    count."""
    network = detector(FPN).eval()
    with torch.no_grad():
        network.roi.head.predictor.class_logits.weight.mul_(20)
        network.roi.head.predictor.offsets.weight.mul_(50)
    batch = batch_of(1, train=False)
    (once,), (twice,) = network.candidates(batch, 0.2), network.candidates(batch, 0.2, rounds=2)
    first = len(once.scores)
    assert torch.equal(twice.boxes[:first], once.boxes)
    features = network.features(batch)
    logits, offsets, _ = network.roi.head(features, once.boxes[None])
    rows = torch.arange(first)
    scores = logits.softmax(-1)[rows, once.labels]
    kept = scores > 0.2
    assert 0 < kept.sum() == len(twice.scores) - first
    torch.testing.assert_close(twice.scores[first:], scores[kept])
    assert torch.equal(twice.labels[first:], once.labels[kept])
    moved = clip(network.roi.coder.decode(offsets[rows, once.labels], once.boxes), SIZE)
    torch.testing.assert_close(twice.boxes[first:], moved[kept])


def found_in(boxes, labels):
    return Detections(
        boxes=torch.tensor(boxes),
        scores=torch.full((len(boxes),), 0.9),
        labels=torch.tensor(labels),
    )


def masks_of(network, batch, detections):
    return network.mask.masks(network.features(batch), batch, detections)


def test_masks_are_of_the_class_and_the_box_that_they_are_asked_for():
    network = detector(change(FPN, mask=MASK)).eval()
    batch = batch_of(2, train=False, original=(128, 160))
    boxes = [[16.0, 16, 80, 80], [16.0, 16, 80, 80], [88.0, 40, 150, 120]]
    none = Detections(
        boxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.long)
    )
    first, second = masks_of(network, batch, [found_in(boxes, [1, 3, 3]), none])
    assert first.masks.shape == (3, 8, 8)
    assert second.masks.shape == (0, 8, 8)
    assert 0 < first.masks.min() <= first.masks.max() < 1
    assert not torch.equal(first.masks[0], first.masks[1])
    (alone,) = masks_of(network, batch.split(2)[0], [found_in(boxes[2:], [3])])
    torch.testing.assert_close(alone.masks[0], first.masks[2], atol=1e-5, rtol=1e-4)
    assert detector(FPN).mask is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_masks_that_are_not_finite_are_a_sentence_that_names_the_image(value):
    network = detector(change(FPN, mask=MASK)).eval()
    with torch.no_grad():
        network.mask.head.logits.bias[3] = value
    batch = batch_of(2, train=False)
    box = [[16.0, 16, 40, 40]]
    masks_of(network, batch, [found_in(box, [1]), found_in(box, [2])])
    with pytest.raises(ValueError, match="The mask logits of image image1 are not finite"):
        masks_of(network, batch, [found_in(box, [1]), found_in(box, [3])])


def test_predicted_iou_has_a_gradient_in_original_pixels():
    network = detector(change(FPN, iou=IOU)).double().eval().requires_grad_(False)
    single = batch_of(1, train=False, original=(128, 160))
    batch = replace(single, images=single.images.double())
    features = network.features(batch)
    boxes = torch.tensor(
        [[17.0, 15.0, 83.0, 79.0], [60.0, 30.0, 151.0, 118.0]],
        dtype=torch.float64,
        requires_grad=True,
    )
    labels = torch.tensor([1, 2])
    iou = network.iou.predict(features, batch, 0, boxes, labels)
    (slope,) = torch.autograd.grad(iou.sum(), boxes)
    for row in range(2):
        step = torch.zeros_like(boxes)
        step[row, 2] = 0.02
        after, before = (
            network.iou.predict(features, batch, 0, moved, labels)
            for moved in (boxes + step, boxes - step)
        )
        assert ((after - before)[row] / 0.04).item() == pytest.approx(
            slope[row, 2].item(), rel=0.02
        )


def test_a_head_that_learns_alone_is_all_there_is_to_pay_for():
    network = detector(change(FPN, iou=IOU))
    network.requires_grad_(False)
    network.iou.head.requires_grad_(True)
    losses = losses_of(network, batch_of())
    assert losses.keys() == {"roi_iou"}
    losses["roi_iou"].backward()
    assert all(
        (p.grad is not None) == name.startswith("iou.head.")
        for name, p in network.named_parameters()
    )


def test_what_a_network_lacks_is_said():
    batch = batch_of()
    with pytest.raises(
        ValueError, match="region proposal network alone has proposals, but no candidates"
    ):
        detector(CASES["rpn"][0]).candidates(batch)
    saved = detector(CASES["saved"][0])
    with pytest.raises(ValueError, match="the batch brings no proposals"):
        saved.losses(replace(batch, proposals=None))
    with pytest.raises(ValueError, match="they come from a file"):
        saved.proposals(batch, 5)
    bare = tuple(replace(target, masks=None) for target in batch.targets)
    with pytest.raises(ValueError, match=r"a target has none; set DataConfig\.masks"):
        losses_of(detector(CASES["mask"][0]), replace(batch, targets=bare))
    assert saved.rpn is saved.mask is saved.iou is None


@pytest.mark.fault("R61")
def test_images_without_objects():
    none = Target(
        boxes=torch.zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.long),
        masks=torch.zeros(0, *SIZE, dtype=torch.uint8),
    )
    batch = replace(batch_of(), targets=(none, none))
    losses = losses_of(detector(change(FPN, mask=MASK, iou=IOU)), batch)
    sum(losses.values()).backward()
    assert losses["roi_mask"] == losses["roi_iou"] == losses["roi_box"] == 0
