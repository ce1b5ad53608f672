"""KL-RPN's losses against numbers computed independently in float64 (Eq. 4 and 7), and their
laws.
"""

import math

import pytest
import torch

from losses.kl_rpn_loss import (
    negative_anchor_loss,
    positive_anchor_loss,
    positive_anchor_loss_exponent,
)

LN3 = math.log(3)
# (offset, log variance, target): loss, its derivatives by offset and by log variance. The first
# with an error by hand: 1/2 * 1/2 * 0.2^2 = 0.01; 1/2 * -0.2 = -0.1; 1/2 - 1/2 * 1/2 * 0.04 = 0.49
POSITIVE = [
    ((0.0, 0.0, 0.0), (0.0, 0.0, 0.5)),
    ((0.1, 0.0, 0.3), (0.01, -0.1, 0.49)),
    ((0.1, -4.0, 0.3), (-1.4540184996685577, -5.459815003314423, -0.045981500331442327)),
    ((0.1, -4.0, 0.1), (-2.0, 0.0, 0.5)),
    ((-0.25, -2.0, 0.5), (0.03908601391212274, -2.7708960370989937, -0.5390860139121227)),
    ((1.5, 1.0, -0.5), (0.8678794411714423, 0.36787944117144233, 0.13212055882855767)),
    ((0.05, -8.0, 0.0), (-2.1369012580989195, 74.52394967604322, -1.3630987419010805)),
    ((0.3, -3.912023005428146, 0.1), (-1.4560115027140732, 5.0, 0.0)),  # the least: ln(1/2 * 0.2^2)
]
# (offset, log variance): the same. At 0, 0: 1/2 * 1/3 = 1/6 and 1/2 - 1/6 = 1/3
NEGATIVE = [
    ((0.0, 0.0), (1 / 6, 0.0, 1 / 3)),
    ((0.0, -LN3), (-0.04930614433405489, 0.0, 0.0)),
    ((0.4, 0.0), (0.20666666666666667, 0.2, 0.29333333333333333)),
    ((0.4, -1.0), (0.06177824454820269, 0.5436563656918091, -0.06177824454820269)),
    ((-1.2, 0.5), (0.5694394807819869, -0.36391839582758007, 0.18056051921801308)),
    ((0.0, -6.0), (64.23813224878919, 0.0, -66.73813224878919)),
    ((2.0, 0.8472978603872037), (0.9236489301936018, 0.42857142857142855, 0.0)),
]


def with_gradients(function, *values):
    inputs = [
        torch.tensor([value] * 4, requires_grad=index < 2) for index, value in enumerate(values)
    ]
    loss = function(*inputs)
    assert loss.shape == (4,)
    assert loss.dtype == torch.float32
    loss.sum().backward()
    return [loss[0].item(), inputs[0].grad[0].item(), inputs[1].grad[0].item()]


@pytest.mark.parametrize(("inputs", "expected"), POSITIVE)
def test_positive_anchor(inputs, expected):
    assert with_gradients(positive_anchor_loss, *inputs) == pytest.approx(
        expected, rel=1e-5, abs=1e-6
    )


@pytest.mark.parametrize(("inputs", "expected"), NEGATIVE)
def test_negative_anchor(inputs, expected):
    assert with_gradients(negative_anchor_loss, *inputs) == pytest.approx(
        expected, rel=1e-5, abs=1e-6
    )


def test_which_reading_of_the_equations_is_meant():
    """At offset 0.4, log variance -1, target 0.1. Other readings: gamma on the whole bracket
    -0.1647, none 0.1705, sigma_1 = 1/3 instead of sigma_1^2 -0.2403; gamma in the exponent -0.4258,
    none -0.3777."""
    offset, log_variance, target = (torch.tensor([value]) for value in (0.4, -1.0, 0.1))
    assert negative_anchor_loss(offset, log_variance).item() == pytest.approx(
        0.0617782445, abs=1e-6
    )
    assert positive_anchor_loss(offset, log_variance, target).item() == pytest.approx(
        -0.4388386589, abs=1e-6
    )
    assert negative_anchor_loss(offset, log_variance, mean_error_weight=1).item() == pytest.approx(
        0.1705095177, abs=1e-6
    )
    assert positive_anchor_loss(offset, log_variance, target, 1).item() == pytest.approx(
        -0.3776773177, abs=1e-6
    )
    narrow = negative_anchor_loss(
        offset, log_variance, negative_variance=1 / 9, mean_error_weight=0.5
    )
    assert narrow.item() == pytest.approx(-0.2402530697, abs=1e-6)
    whole_bracket = 0.5 * math.exp(1.0) * 0.5 * (0.4**2 + 1 / 3) - 0.5
    in_the_exponent = 0.5 * math.exp(0.5) * 0.3**2 - 0.5
    assert (whole_bracket, in_the_exponent) == pytest.approx((-0.1647452412, -0.4258075428))
    assert negative_anchor_loss(offset, log_variance).item() - whole_bracket == pytest.approx(
        math.exp(1.0) / 12, abs=1e-6
    )
    assert positive_anchor_loss(offset, log_variance, target).item() != pytest.approx(
        in_the_exponent, abs=1e-3
    )


def test_gradients_in_double_precision():
    generator = torch.Generator().manual_seed(0)
    values = [
        torch.randn(3, 4, dtype=torch.float64, generator=generator).requires_grad_()
        for _ in range(3)
    ]
    assert torch.autograd.gradcheck(positive_anchor_loss, values)
    assert torch.autograd.gradcheck(negative_anchor_loss, values[:2])


@pytest.mark.parametrize(
    ("offset", "log_variance", "divergence"),
    [
        (0.0, 0.0, 0.21597281100072152),
        (0.4, -1.0, 0.21981566202061942),
        (-1.2, 0.5, 0.83709666261259),
        (0.0, -LN3, 0.0),
    ],
)
def test_with_weight_one_it_is_the_divergence_of_two_gaussians(offset, log_variance, divergence):
    """KL(N(0, 1/3) || N(offset, exp(log_variance))) by torch.distributions, up to the constant
    ln(3) / 2 - 1/2.
    """
    mine = negative_anchor_loss(
        torch.tensor([offset]), torch.tensor([log_variance]), mean_error_weight=1.0
    ).item()
    assert mine + LN3 / 2 - 0.5 == pytest.approx(divergence, abs=1e-6)
    target = torch.distributions.Normal(0.0, 3**-0.5)
    predicted = torch.distributions.Normal(offset, math.exp(log_variance / 2))
    assert torch.distributions.kl_divergence(target, predicted).item() == pytest.approx(
        divergence, abs=1e-6
    )
    dirac = positive_anchor_loss(
        torch.tensor([offset]), torch.tensor([log_variance]), torch.tensor([0.3]), 1.0
    ).item()
    likelihood = predicted.log_prob(torch.tensor(0.3)).item()
    assert dirac == pytest.approx(-likelihood - 0.5 * math.log(2 * math.pi), abs=1e-6)


@pytest.mark.parametrize(
    ("error", "variance", "least"),
    [
        (0.02, 2e-4, -3.7585965957081187),
        (0.1, 5e-3, -2.149158683274018),
        (0.2, 2e-2, -1.456011502714073),
        (1.0, 0.5, 0.15342640972002736),
    ],
)
def test_best_variance_of_a_positive_anchor_is_half_its_squared_error(error, variance, least):
    grid = math.log(variance) + torch.linspace(-2, 2, 401)
    losses = positive_anchor_loss(torch.full_like(grid, error), grid, torch.zeros_like(grid))
    assert grid[losses.argmin()].item() == pytest.approx(math.log(variance), abs=0.011)
    assert losses.min().item() == pytest.approx(least, abs=1e-4)


@pytest.mark.parametrize(
    ("offset", "variance", "least"),
    [
        (0.0, 1 / 3, -0.04930614433405489),
        (0.3, 0.3783333333333333, 0.014010181132628197),
        (1.0, 0.8333333333333333, 0.40883922160302266),
    ],
)
def test_best_variance_of_a_negative_anchor_is_a_third_and_half_its_squared_offset(
    offset, variance, least
):
    grid = math.log(variance) + torch.linspace(-2, 2, 401)
    losses = negative_anchor_loss(torch.full_like(grid, offset), grid)
    assert grid[losses.argmin()].item() == pytest.approx(math.log(variance), abs=0.011)
    assert losses.min().item() == pytest.approx(least, abs=1e-4)


@pytest.mark.parametrize(
    ("p", "target", "mean", "variance"),
    [
        (0.9, 0.1, 0.09, 0.033783333333333325),
        (0.5, 0.2, 0.1, 0.17166666666666666),
        (0.1, 0.2, 0.02, 0.3018),
        (0.0, 0.2, 0.0, 1 / 3),
    ],
)
def test_an_anchor_that_is_positive_with_probability_p(p, target, mean, variance):
    """mean = p t, variance = (1 - p)(gamma p t^2 + 1/3): the less sure, the wider, so variance can
    rank anchors.
    """
    values = torch.tensor([mean, math.log(variance)], dtype=torch.float64, requires_grad=True)
    offset, log_variance = values[:1].float(), values[1:].float()
    loss = p * positive_anchor_loss(offset, log_variance, torch.tensor([target])) + (
        (1 - p) * negative_anchor_loss(offset, log_variance)
    )
    (gradient,) = torch.autograd.grad(loss.sum(), values)
    assert gradient.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("log_variance", [-60.0, 60.0])
def test_extreme_log_variances_are_finite_in_float32(log_variance):
    for loss in (
        positive_anchor_loss(*(torch.tensor([v]) for v in (0.3, log_variance, 0.1))),
        negative_anchor_loss(*(torch.tensor([v]) for v in (0.3, log_variance))),
    ):
        assert loss.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_inputs_are_computed_in_float32(dtype):
    """exp(12) is infinite in float16."""
    offset, log_variance, target = (
        torch.tensor([value], dtype=dtype) for value in (0.5, -12.0, 0.25)
    )
    loss = positive_anchor_loss(offset, log_variance, target)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.25 * math.exp(12) * 0.0625 - 6, rel=1e-5)
    assert negative_anchor_loss(offset, log_variance).isfinite().all()


def test_nothing_in_nothing_out():
    none = torch.zeros(0, 4)
    assert (
        positive_anchor_loss(none, none, none).shape
        == negative_anchor_loss(none, none).shape
        == (0, 4)
    )


# the same as POSITIVE with gamma in the exponent: exp(-log_variance / 2) error^2 / 2 +
# log_variance / 2
EXPONENT = [
    ((0.1, 0.0, 0.3), (0.02, -0.2, 0.49)),
    ((0.1, -4.0, 0.3), (-1.8522188780213868, -1.4778112197861302, 0.42610943901069350)),
    ((0.5, -2.772588722239781, 0.0), (-0.886294361119891, 2.0, 0.25)),  # exp(ln 4) = 4
    ((0.5, -5.545177444479562, 0.0), (-0.772588722239781, 8.0, -0.5)),
]


@pytest.mark.parametrize(("inputs", "expected"), EXPONENT)
def test_positive_anchor_with_gamma_in_the_exponent(inputs, expected):
    assert with_gradients(positive_anchor_loss_exponent, *inputs) == pytest.approx(
        expected, rel=1e-5, abs=1e-6
    )


def test_gamma_1_is_the_same_as_factor_and_as_exponent():
    values = torch.tensor([0.3, -0.2]), torch.tensor([-1.0, 2.0]), torch.tensor([0.1, 0.4])
    torch.testing.assert_close(
        positive_anchor_loss_exponent(*values, 1.0), positive_anchor_loss(*values, 1.0)
    )
