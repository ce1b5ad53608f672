"""KL Loss against numbers computed independently in float64 (Eq. 9, 10), and against the released
two-part form.
"""

import math

import pytest
import torch

from losses.kl_loss import kl_loss, kl_loss_terms
from losses.smooth_l1 import smooth_l1
from models.matching import RoITargets
from models.roi_losses import roi_losses, roi_statistics

# Four RoIs of one image: two foreground, two background. d of the first: 0.2, -0.3, 1.3, 0.05.
PREDICTED = [
    [0.3, -0.2, 1.5, 0.05],
    [-0.4, 2.0, 0.1, -1.0],
    [0.9, 0.9, 0.9, 0.9],
    [0.0, 0.0, 0.0, 0.0],
]
TARGET = [[0.1, 0.1, 0.2, 0.0], [0.2, 0.5, 0.05, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
ALPHA = [[0.0, -1.0, 0.5, -3.0], [1.0, 0.2, -2.0, 0.0], [5.0, 5.0, 5.0, 5.0], [0.0, 0.0, 0.0, 0.0]]
FOREGROUND = [True, True, False, False]
# sums over the foreground, divided by all four RoIs
DATA_TERM, LOG_TERM, LOSS = 0.51171, -0.5375, -0.02579
# e^-alpha clamp(d) / 4: first 0.2 / 4; and (1/2 - e^-alpha s) / 4: first (0.5 - 0.02) / 4
GRAD_OFFSETS = [
    [0.05, -0.203871, 0.151633, 0.251069],
    [-0.055182, 0.204683, 0.092363, -0.25],
    [0.0] * 4,
    [0.0] * 4,
]
GRAD_ALPHA = [
    [0.12, 0.094419, 0.003694, 0.118723],
    [0.108445, -0.079683, 0.122691, 0.0],
    [0.0] * 4,
    [0.0] * 4,
]
# e^-alpha s + alpha / 2: first 0.5 * 0.2^2 = 0.02
ELEMENTS = [[0.02, -0.377677, 0.735225, -1.474893], [0.566218, 0.918731, -0.990764, 0.5]]


def parts(rows=4):
    return (
        torch.tensor(values[:rows], dtype=torch.float32) for values in (PREDICTED, ALPHA, TARGET)
    )


def through_roi_losses(labels=(2, 1, 0, 0), junk=1000.0, zero_alpha=False):
    """The example as the box head sees it: K = 3, the numbers in the slots of the true classes,
    junk in the others.
    """
    predicted, alpha, target = parts()
    labels = torch.tensor([labels])
    offsets, log_variance = torch.full((4, 4, 4), junk), torch.full((4, 4, 4), -junk)
    for row, label in enumerate(labels[0].tolist()):
        offsets[row, label], log_variance[row, label] = (
            predicted[row],
            alpha[row] * (not zero_alpha),
        )
    offsets.requires_grad_()
    log_variance.requires_grad_()
    targets = RoITargets(boxes=torch.zeros(1, 4, 4), labels=labels, target_offsets=target[None])
    outputs = torch.zeros(4, 4), offsets, log_variance
    losses, statistics = (
        roi_losses(outputs, targets, kl_loss),
        roi_statistics(outputs, targets, kl_loss_terms),
    )
    return losses, statistics, offsets, log_variance, labels[0]


def test_elements():
    offsets, alpha, target = parts(2)
    torch.testing.assert_close(
        kl_loss(offsets, alpha, target), torch.tensor(ELEMENTS), atol=1e-5, rtol=1e-5
    )


def test_example_through_the_box_head():
    losses, statistics, offsets, log_variance, labels = through_roi_losses()
    assert losses["roi_box"].item() == pytest.approx(LOSS, abs=1e-5)
    assert statistics["kl_data_term"].item() == pytest.approx(DATA_TERM, abs=1e-5)
    assert statistics["kl_log_term"].item() == pytest.approx(LOG_TERM, abs=1e-5)
    assert losses["roi_class"].item() == pytest.approx(math.log(4))  # four equal logits
    losses["roi_box"].backward()
    rows = torch.arange(4)
    torch.testing.assert_close(
        offsets.grad[rows, labels], torch.tensor(GRAD_OFFSETS), atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(
        log_variance.grad[rows, labels], torch.tensor(GRAD_ALPHA), atol=1e-5, rtol=1e-5
    )
    for gradient in (offsets.grad, log_variance.grad):  # no other class slot learns
        gradient[rows, labels] = 0
        assert not gradient.any()


@pytest.mark.parametrize("junk", [1e3, float("inf")])
def test_what_other_slots_and_background_hold_does_not_matter(junk):
    """In the released code e^-alpha of any slot below -88 gave inf * 0 = NaN."""
    losses, _, offsets, log_variance, _ = through_roi_losses(junk=junk)
    losses["roi_box"].backward()
    assert losses["roi_box"].item() == pytest.approx(LOSS, abs=1e-5)
    assert offsets.grad.isfinite().all()
    assert log_variance.grad.isfinite().all()


def test_released_logs_count_the_data_term_twice():
    _, statistics, *_ = through_roi_losses()
    assert (2 * statistics["kl_data_term"] + statistics["kl_log_term"]).item() == pytest.approx(
        0.48592, abs=1e-5
    )


def test_no_foreground_gives_zero_loss_and_gradient():
    losses, statistics, offsets, log_variance, _ = through_roi_losses(labels=(0, 0, 0, 0))
    losses["roi_box"].backward()
    assert losses["roi_box"].item() == 0
    assert not offsets.grad.any()
    assert not log_variance.grad.any()
    assert statistics["foreground_share"] == 0


def test_alpha_zero_is_smooth_l1():
    offsets, _, target = parts()
    torch.testing.assert_close(
        kl_loss(offsets, torch.zeros_like(offsets), target), smooth_l1(offsets - target)
    )
    losses, *_ = through_roi_losses(zero_alpha=True)
    assert losses["roi_box"].item() == pytest.approx(0.636875, abs=1e-6)


def test_gradients_equal_the_released_split_form():
    """The released code adds e^-alpha' s(d), e^-alpha s(d') and alpha / 2, where ' stops the
    gradient: the same gradients.
    """

    def gradients(split):
        offsets, alpha, target = parts(2)
        offsets.requires_grad_()
        alpha.requires_grad_()
        if split:
            loss = (
                torch.exp(-alpha.detach()) * smooth_l1(offsets - target)
                + torch.exp(-alpha) * smooth_l1(offsets - target).detach()
                + alpha / 2
            )
        else:
            loss = kl_loss(offsets, alpha, target)
        return torch.autograd.grad(loss.sum(), (offsets, alpha))

    for ours, released in zip(gradients(False), gradients(True), strict=True):
        torch.testing.assert_close(ours, released)


# residual d, best alpha = ln(2 s), loss there = 1/2 + ln(2 s) / 2, |dL/doffset| there
OPTIMUM = [
    (0.01, -9.21034, -4.10517, 100.0),
    (0.1, -4.60517, -1.802585, 10.0),
    (0.3, -2.407946, -0.703973, 3.333333),
    (0.606531, -1.0, 0.0, 1.648721),
    (1.0, 0.0, 0.5, 1.0),
    (2.0, 1.098612, 1.049306, 0.333333),
]


@pytest.mark.parametrize(("residual", "best", "value", "slope"), OPTIMUM)
def test_optimum(residual, best, value, slope):
    offset, alpha = (
        torch.tensor([residual], requires_grad=True),
        torch.tensor([best], requires_grad=True),
    )
    loss = kl_loss(offset, alpha, torch.zeros(1))
    assert loss.item() == pytest.approx(value, abs=1e-4)
    by_offset, by_alpha = torch.autograd.grad(loss.sum(), (offset, alpha))
    assert by_alpha.item() == pytest.approx(0, abs=1e-5)
    assert by_offset.item() == pytest.approx(slope, rel=1e-4)
    for other in (best - 0.3, best + 0.3):
        assert kl_loss(offset, torch.tensor([other]), torch.zeros(1)) > loss


@pytest.mark.fault("R59")
@pytest.mark.parametrize("alpha", [-60.0, 60.0])
@pytest.mark.parametrize("residual", [0.0, 0.5, 100.0])
def test_extreme_log_variances_stay_finite(alpha, residual):
    offset, alpha = (
        torch.tensor([residual], requires_grad=True),
        torch.tensor([alpha], requires_grad=True),
    )
    loss = kl_loss(offset, alpha, torch.zeros(1))
    assert loss.isfinite().all()
    assert all(
        gradient.isfinite().all() for gradient in torch.autograd.grad(loss.sum(), (offset, alpha))
    )


@pytest.mark.fault("R59")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    # exp(20) overflows float16
    offset, alpha = torch.tensor([0.5], dtype=dtype), torch.tensor([-20.0], dtype=dtype)
    loss = kl_loss(offset, alpha, torch.zeros(1, dtype=dtype))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, kl_loss(offset.float(), alpha.float(), torch.zeros(1)))
    assert loss.item() == pytest.approx(math.exp(20) * 0.125 - 10, rel=1e-6)


def test_terms_add_up_and_empty_is_normal():
    offsets, alpha, target = parts()
    torch.testing.assert_close(
        sum(kl_loss_terms(offsets, alpha, target)), kl_loss(offsets, alpha, target)
    )
    none = torch.zeros(0, 4)
    assert kl_loss(none, none, none).shape == (0, 4)
