"""How the losses of the box head are normalized, and which RoIs are mined (the KL numbers are in
test_kl_loss.py)."""

import pytest
import torch
from torch.nn import functional as F

from losses.kl_loss import kl_loss, kl_loss_terms
from losses.smooth_l1 import smooth_l1, smooth_l1_loss
from models.matching import RoITargets
from models.roi_losses import hardest_rois, log_variance_statistics, roi_losses, roi_statistics


def losses_of(logits, offsets, log_variance, targets, hardest=None):
    """Losses and statistics of a RoIStage for outputs of its head: KL Loss with log variances,
    smooth L1 without."""
    box_loss = smooth_l1_loss if log_variance is None else kl_loss
    outputs = logits, offsets, log_variance
    if hardest is not None:
        targets = hardest_rois(outputs, targets, hardest, box_loss)
    terms = None if log_variance is None else kl_loss_terms
    return roi_losses(outputs, targets, box_loss), roi_statistics(outputs, targets, terms)


def batch(labels, seed=0, classes=3):
    """Random outputs of the head for labels (N, P), and targets."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor(labels)
    rows = labels.numel()
    logits = torch.randn(rows, classes + 1, generator=generator)
    offsets, log_variance = torch.randn(2, rows, classes + 1, 4, generator=generator)
    wanted = torch.randn(*labels.shape, 4, generator=generator)
    return (
        logits,
        offsets,
        log_variance,
        RoITargets(boxes=wanted, labels=labels, target_offsets=wanted),
    )


def test_losses_are_divided_by_all_rois_foreground_or_not():
    logits, offsets, _, targets = batch([[2, 0, 1, 0]])
    losses, statistics = losses_of(logits, offsets, None, targets)
    torch.testing.assert_close(losses["roi_class"], F.cross_entropy(logits, targets.labels[0]))
    d = torch.stack(
        [offsets[0, 2] - targets.target_offsets[0, 0], offsets[2, 1] - targets.target_offsets[0, 2]]
    )
    torch.testing.assert_close(losses["roi_box"], smooth_l1(d).sum() / 4)
    assert statistics["foreground_share"] == 0.5


def test_unfilled_slots_do_not_count():
    logits, offsets, log_variance, targets = batch([[2, 0, 1, -1, -1]])
    shorter = RoITargets(
        boxes=targets.boxes[:, :3],
        labels=targets.labels[:, :3],
        target_offsets=targets.target_offsets[:, :3],
    )
    for alpha in (None, log_variance):
        found, _ = losses_of(logits, offsets, alpha, targets)
        wanted, _ = losses_of(
            logits[:3], offsets[:3], None if alpha is None else alpha[:3], shorter
        )
        torch.testing.assert_close(found, wanted)


def test_all_slots_unfilled_is_no_loss():
    logits, offsets, log_variance, targets = batch([[-1, -1]])
    losses, _ = losses_of(logits, offsets, log_variance, targets)
    assert [loss.item() for loss in losses.values()] == [0.0, 0.0]


@pytest.mark.parametrize("with_variance", [False, True])
def test_a_batch_of_two_is_the_mean_of_two_singles(with_variance):
    logits, offsets, log_variance, targets = batch([[2, 0, 1, 0], [3, 3, 0, -1]])

    def losses(rows, images):
        part = RoITargets(
            boxes=targets.boxes[images],
            labels=targets.labels[images],
            target_offsets=targets.target_offsets[images],
        )
        return losses_of(
            logits[rows], offsets[rows], log_variance[rows] if with_variance else None, part
        )[0]

    both, first, second = (
        losses(slice(0, 8), slice(0, 2)),
        losses(slice(0, 4), slice(0, 1)),
        losses(slice(4, 8), slice(1, 2)),
    )
    for name, value in both.items():
        torch.testing.assert_close(value, (first[name] + second[name]) / 2)


@pytest.mark.parametrize("with_variance", [False, True])
def test_a_background_target_that_is_not_finite_does_not_reach_the_gradient(with_variance):
    """A ground truth without extent has the target ln 0; its RoIs are background."""
    logits, offsets, log_variance, targets = batch([[2, 0, 0, -1]])
    targets.target_offsets[:, 1:] = torch.tensor([-float("inf"), float("nan"), 0, 1])
    offsets.requires_grad_()
    losses, _ = losses_of(logits, offsets, log_variance if with_variance else None, targets)
    losses["roi_box"].backward()
    assert losses["roi_box"].isfinite()
    assert offsets.grad.isfinite().all()


def test_log_variance_statistics_are_of_the_foreground():
    values = torch.tensor([[0.0, 1, 2, 3], [100.0] * 4, [4.0, 5, 6, 7]])
    found = log_variance_statistics(values, torch.tensor([True, False, True]))
    assert (found["log_variance_min"], found["log_variance_max"], found["log_variance_mean"]) == (
        0.0,
        7.0,
        3.5,
    )
    assert found["log_variance_p50"] == 3.5
    nothing = log_variance_statistics(values, torch.tensor([False] * 3))
    assert all(value.isnan() for value in nothing.values())


def gradients(logits, offsets, log_variance, targets, hardest):
    """Losses and the gradients of their sum with respect to the head's outputs, each (R, -1)."""
    outputs = [
        output if output is None else output.clone().requires_grad_()
        for output in (logits, offsets, log_variance)
    ]
    losses, statistics = losses_of(*outputs, targets, hardest=hardest)
    sum(losses.values()).backward()
    return losses, statistics, [output.grad.flatten(1) for output in outputs if output is not None]


def loss_of_each(logits, offsets, log_variance, targets):
    """Class plus box loss of each RoI (N, P), each as a batch of its own."""
    flat = targets.labels.flatten()
    found = [
        sum(
            losses_of(
                logits[r : r + 1],
                offsets[r : r + 1],
                None if log_variance is None else log_variance[r : r + 1],
                RoITargets(
                    boxes=targets.boxes.flatten(0, 1)[None, r : r + 1],
                    labels=flat[None, r : r + 1],
                    target_offsets=targets.target_offsets.flatten(0, 1)[None, r : r + 1],
                ),
            )[0].values()
        )
        for r in range(len(flat))
    ]
    return torch.stack(found).view_as(targets.labels)


@pytest.mark.parametrize("with_variance", [False, True])
def test_only_the_hardest_of_each_image_count(with_variance):
    logits, offsets, log_variance, targets = batch(
        [[2, 0, 1, 0, 3, 0], [3, 0, 0, 1, -1, -1]], seed=4
    )
    log_variance = log_variance if with_variance else None
    each = loss_of_each(logits, offsets, log_variance, targets)
    each[targets.labels == -1] = -torch.inf
    losses, statistics, found = gradients(logits, offsets, log_variance, targets, hardest=2)
    top = each.topk(2)
    torch.testing.assert_close(sum(losses.values()), top.values.mean())
    kept = torch.zeros_like(each, dtype=torch.bool).scatter(1, top.indices, True)
    assert torch.equal(found[0].any(1), kept.flatten())
    for gradient in found[1:]:
        assert torch.equal(gradient.any(1), (kept & (targets.labels > 0)).flatten())
    assert statistics["foreground_share"] == (kept & (targets.labels > 0)).sum() / 4


@pytest.mark.parametrize("hardest", [4, 6, 100])
@pytest.mark.parametrize("with_variance", [False, True])
def test_as_many_hardest_as_rois_is_the_plain_loss(hardest, with_variance):
    logits, offsets, log_variance, targets = batch([[2, 0, 1, 0, -1, -1], [3, 3, 0, -1, -1, -1]])
    outputs = (logits, offsets, log_variance if with_variance else None, targets)
    mined, plain = gradients(*outputs, hardest=hardest), gradients(*outputs, hardest=None)
    for name, value in plain[0].items():
        assert torch.equal(mined[0][name], value)
    for one, other in zip(mined[2], plain[2], strict=True):
        assert torch.equal(one, other)


def test_of_equally_hard_rois_the_first_count():
    logits, offsets = torch.zeros(40, 4), torch.zeros(40, 4, 4)
    labels = torch.zeros(1, 40, dtype=torch.long)
    labels[0, 0] = -1  # an unfilled slot does not take a place
    nothing = torch.zeros(1, 40, 4)
    found = gradients(
        logits,
        offsets,
        None,
        RoITargets(boxes=nothing, labels=labels, target_offsets=nothing),
        hardest=3,
    )[2]
    assert found[0].any(1).nonzero().flatten().tolist() == [1, 2, 3]


def test_hardness_is_class_and_box_loss_together():
    logits = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])  # cross-entropy 0.69, 0.13, 0.13
    offsets = torch.zeros(3, 2, 4)
    wanted = torch.tensor([[[0.0] * 4, [0.0] * 4, [1.0] * 4]])  # box loss 0, 0, 2
    targets = RoITargets(boxes=wanted, labels=torch.tensor([[0, 0, 1]]), target_offsets=wanted)
    losses, _ = losses_of(logits, offsets, None, targets, hardest=1)
    assert losses["roi_box"] == 2.0
    torch.testing.assert_close(losses["roi_class"], F.cross_entropy(logits[2:], torch.tensor([1])))


def test_mining_nothing_or_among_nothing():
    logits, offsets, log_variance, targets = batch([[-1, -1]])
    losses, _ = losses_of(logits, offsets, log_variance, targets, hardest=1)
    assert [loss.item() for loss in losses.values()] == [0.0, 0.0]
    with pytest.raises(ValueError, match="keeps at least 1 RoI an image, not 0; None keeps all"):
        losses_of(logits, offsets, log_variance, targets, hardest=0)
