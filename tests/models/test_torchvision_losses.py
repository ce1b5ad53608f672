"""The training losses of Mask R-CNN with a feature pyramid, and their gradients, are torchvision's.

torchvision proposes and draws; its proposals and what it drew are replayed in ``Detector.losses``,
which does all the rest. torchvision averages over the sampled boxes of the batch, we over those of
an image and then over images: the same here, as both images have 256 anchors and 16 RoIs. Their
size is the network's, because torchvision resizes bitmaps by another rule. In float64: in float32
the gradients differ by up to 1e-3 where a ReLU's input rounds to the other side of 0.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from data.records import Target
from models import proposals
from models.matching import IGNORED, NEGATIVE, POSITIVE
from models.weights.detectors import from_torchvision
from tests.torchvision_pair import SHORT, batch_of, picture, same_network, torchvision_network

SIZES = ((SHORT, 160), (160, SHORT))
ANCHORS, ROIS = 256, 16  # an image; 16 instead of 512 to be fast
NAMES = {
    "rpn_objectness": "loss_objectness",
    "rpn_box": "loss_rpn_box_reg",
    "roi_class": "loss_classifier",
    "roi_box": "loss_box_reg",
    "roi_mask": "loss_mask",
}


def elliptic_objects(size, seed):
    """The target of an image with four objects of 20 to 90 px."""
    generator = torch.Generator().manual_seed(seed)
    sides = torch.tensor([[20.0, 24], [40, 30], [60, 90], [80, 60]])
    corner = torch.rand(4, 2, generator=generator) * (torch.tensor(size[::-1]) - sides)
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    pixel, center = torch.stack([x, y], dim=-1), (corner + sides / 2)[:, None, None]
    masks = ((pixel - center) / sides[:, None, None] * 2).norm(dim=-1) < 1
    return Target(
        boxes=torch.cat([corner, corner + sides], dim=1),
        masks=masks.to(torch.uint8),
        labels=torch.randint(1, 91, (4,), generator=generator),
    )


class Recorder:
    """A sampler of torchvision that keeps (labels, positives, negatives) of each image."""

    def __init__(self, sampler):
        self.sampler, self.kept = sampler, []

    def __call__(self, labels):
        positive, negative = self.sampler(labels)
        self.kept += zip(
            labels, (p.bool() for p in positive), (n.bool() for n in negative), strict=True
        )
        return positive, negative


class Replay:
    """Our ``sample`` with the choices of a Recorder; keeps the labels that it is given."""

    def __init__(self, recorder):
        self.choices, self.labels = iter(recorder.kept), []

    def __call__(self, labels, **rule):
        self.labels.append(labels)
        return next(self.choices)[1:]


@pytest.fixture(scope="module")
def networks():
    """Both in float64 with fixed norms, torchvision's without its own normalization."""
    theirs = torchvision_network(mask=True, box_batch_size_per_image=ROIS)
    ours = same_network(theirs, roi_rois_per_image=ROIS).double()
    ours.rpn.anchors.float()
    theirs.train().double()
    for norm in theirs.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eval()
    theirs.transform.normalize = lambda image: image
    return theirs, ours


@pytest.fixture(scope="module")
def batch():
    pictures = [picture(size, seed) for seed, size in enumerate(SIZES)]
    batch = batch_of(pictures, [elliptic_objects(size, seed) for seed, size in enumerate(SIZES)])
    assert batch.image_sizes == batch.original_sizes == SIZES
    return replace(batch, images=batch.images.double())


@pytest.fixture(scope="module")
def theirs(networks, batch):
    """torchvision's training step: losses, gradients in our names, proposals, what was drawn."""
    network, _ = networks
    anchors = network.rpn.fg_bg_sampler = Recorder(network.rpn.fg_bg_sampler)
    rois = network.roi_heads.fg_bg_sampler = Recorder(network.roi_heads.fg_bg_sampler)
    proposed = []
    network.rpn.register_forward_hook(lambda rpn, inputs, outputs: proposed.extend(outputs[0]))
    torch.manual_seed(1)
    losses = network(
        [image[:, :h, :w] for image, (h, w) in zip(batch.images, SIZES, strict=True)],
        [{"boxes": t.boxes.double(), "labels": t.labels, "masks": t.masks} for t in batch.targets],
    )
    sum(losses.values()).backward()
    gradients = from_torchvision({name: weight.grad for name, weight in network.named_parameters()})
    return SimpleNamespace(
        losses=losses, gradients=gradients, proposed=proposed, anchors=anchors, rois=rois
    )


@pytest.fixture(scope="module")
def ours(networks, batch, theirs):
    """Our training step with torchvision's proposals and choices: losses, gradients, own proposals,
    labels."""
    _, network = networks
    anchors, rois, proposed = Replay(theirs.anchors), Replay(theirs.rois), []

    def propose(*args, **rule):
        proposed.append(proposals.propose(*args, **rule)[0])
        return theirs.proposed[len(proposed) - 1], None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.rpn_head.sample", anchors)
        patch.setattr("models.matching.sample", rois)
        patch.setattr("models.rpn.propose", propose)
        losses = network.losses(batch)
    sum(losses.values()).backward()
    gradients = {name: weight.grad for name, weight in network.named_parameters()}
    return SimpleNamespace(
        losses=losses, gradients=gradients, proposed=proposed, anchors=anchors, rois=rois
    )


def test_anchors_have_the_same_labels(ours, theirs):
    for (labels, positive, negative), mine in zip(
        theirs.anchors.kept, ours.anchors.labels, strict=True
    ):
        assert mine.tolist() == labels.tolist()
        assert set(mine.tolist()) == {IGNORED, NEGATIVE, POSITIVE}
        assert (positive | negative).sum() == ANCHORS


def test_proposals_are_the_same(ours, theirs):
    for mine, other in zip(ours.proposed, theirs.proposed, strict=True):
        assert len(other) > 500
        torch.testing.assert_close(mine.double(), other, atol=1e-3, rtol=0)


def test_rois_have_the_same_labels(ours, theirs):
    """Foreground and background; which object it is, the losses tell."""
    for (labels, positive, negative), mine in zip(theirs.rois.kept, ours.rois.labels, strict=True):
        assert mine.tolist() == (labels > 0).long().tolist()
        assert positive.sum() == ROIS // 4
        assert (positive | negative).sum() == ROIS


def test_losses_are_the_same(ours, theirs):
    assert ours.losses.keys() == NAMES.keys()
    for mine, other in NAMES.items():
        assert theirs.losses[other] > 0.01
        assert ours.losses[mine].item() == pytest.approx(theirs.losses[other].item(), rel=1e-6), (
            mine
        )


def test_gradients_are_the_same(ours, theirs):
    """Of every weight and bias, including the affine part of the norms."""
    assert ours.gradients.keys() == theirs.gradients.keys()
    for name, gradient in theirs.gradients.items():
        assert gradient.norm() > 0, name
        assert (ours.gradients[name] - gradient).norm() < 1e-5 * gradient.norm(), name
