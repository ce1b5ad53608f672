"""Learning rate, linear scaling and parameter groups against the numbers of the published
recipes.
"""

from dataclasses import replace

import pytest
import torch
from torch import nn

from experiments.records import TrainConfig
from scripts.engine.update.optimizer import (
    build_optimizer,
    learning_rate,
    load_optimizer,
    parameter_groups,
    scaled_to_batch,
    set_learning_rate,
    start_momentum,
)

# Detectron's 2x schedule for 16 images: warm-up over 500 updates from a third of the rate
DETECTRON_2X = TrainConfig(
    batch_size=16, iterations=180_000, lr=0.02, lr_drops=(120_000, 160_000), warmup_iterations=500
)
VGG16_COCO = TrainConfig(batch_size=2, iterations=490_000, lr=1e-3, lr_drops=(350_000,))


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.006666667),
        (250, 0.013333333),
        (499, 0.019973333),
        (500, 0.02),
        (119_999, 0.02),
        (120_000, 0.002),
        (160_000, 0.0002),
        (179_999, 0.0002),
    ],
)
def test_detectron_schedule(step, rate):
    assert learning_rate(step, DETECTRON_2X) == pytest.approx(rate, rel=1e-6)


def test_caffe_schedule_has_no_warm_up():
    assert [learning_rate(step, VGG16_COCO) for step in (0, 349_999, 350_000)] == pytest.approx(
        [1e-3, 1e-3, 1e-4]
    )


@pytest.mark.parametrize(
    ("recipe", "batch", "lr", "iterations", "drops"),
    [
        (DETECTRON_2X, 8, 0.01, 360_000, (240_000, 320_000)),
        (DETECTRON_2X, 4, 0.005, 720_000, (480_000, 640_000)),
        (DETECTRON_2X, 2, 0.0025, 1_440_000, (960_000, 1_280_000)),
        (VGG16_COCO, 4, 0.002, 245_000, (175_000,)),
        (VGG16_COCO, 8, 0.004, 122_500, (87_500,)),
        (replace(VGG16_COCO, iterations=70_000, lr_drops=(50_000,)), 8, 0.004, 17_500, (12_500,)),
        (
            replace(VGG16_COCO, batch_size=1, iterations=70_000, lr_drops=(50_000,)),
            4,
            0.004,
            17_500,
            (12_500,),
        ),
    ],
)
def test_linear_scaling(recipe, batch, lr, iterations, drops):
    scaled = scaled_to_batch(recipe, batch)
    assert scaled.lr == pytest.approx(lr)
    assert (scaled.batch_size, scaled.iterations, scaled.lr_drops) == (batch, iterations, drops)
    # the same images
    assert scaled.batch_size * scaled.iterations == recipe.batch_size * recipe.iterations
    assert scaled_to_batch(scaled, recipe.batch_size).lr == pytest.approx(recipe.lr)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adams_rate_grows_with_the_square_root_of_the_batch(optimizer):
    """16 images at 6e-5: 8 at 4.2e-5 (KL-RPN prints 4e-5), 64 at 1.2e-4."""
    recipe = TrainConfig(
        batch_size=16, iterations=1000, lr=6e-5, lr_drops=(800,), optimizer=optimizer
    )
    for batch, lr, iterations in ((8, 4.2426e-5, 2000), (64, 1.2e-4, 250)):
        scaled = scaled_to_batch(recipe, batch)
        assert scaled.lr == pytest.approx(lr, rel=1e-4)
        assert scaled.iterations == iterations
        assert scaled.lr_drops == (0.8 * iterations,)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
        self.backbone[0].requires_grad_(False)
        self.head = nn.Linear(4, 2)


def groups_of(**changed):
    network = Network()
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    train = TrainConfig(
        batch_size=1, iterations=1, lr=0.1, lr_drops=(), weight_decay=5e-4, **changed
    )
    return {
        names[id(parameter)]: (
            group["lr_factor"],
            group["weight_decay"],
            pytest.approx(group["lr"]),
        )
        for group in parameter_groups(network, train)
        for parameter in group["params"]
    }


def test_caffe_groups_biases_learn_twice_as_fast_and_decay_and_frozen_layers_are_left_out():
    assert groups_of() == {
        "backbone.1.weight": (1.0, 5e-4, 0.1),
        "backbone.1.bias": (2.0, 5e-4, 0.2),
        "head.weight": (1.0, 5e-4, 0.1),
        "head.bias": (2.0, 5e-4, 0.2),
    }


def test_detectron_biases_do_not_decay():
    assert groups_of(bias_decay=False)["head.bias"] == (2.0, 0.0, 0.2)
    assert groups_of(bias_decay=False)["head.weight"] == (1.0, 5e-4, 0.1)


def test_backbone_factor():
    found = groups_of(backbone_lr_factor=0.25)
    assert found["backbone.1.weight"][0] == 0.25
    assert found["backbone.1.bias"][0] == 0.5
    assert found["head.weight"][0] == 1.0


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_the_rate_reaches_every_group(name, kind):
    train = TrainConfig(batch_size=1, iterations=1, lr=0.1, lr_drops=(), optimizer=name)
    optimizer = build_optimizer(Network(), train)
    assert type(optimizer) is kind
    set_learning_rate(optimizer, 0.5)
    assert sorted(group["lr"] for group in optimizer.param_groups) == [0.5, 1.0]


def test_sgd_is_caffes():
    """v = 0.9 v + rate (gradient + decay weight); weight -= v, when the rate stays the same."""
    weight = nn.Parameter(torch.tensor([[2.0]]))
    train = TrainConfig(batch_size=1, iterations=1, lr=0.1, lr_drops=(), weight_decay=0.01)
    module = nn.Module()
    module.weight = weight
    optimizer = build_optimizer(module, train)
    expected, velocity = 2.0, 0.0
    for gradient in (1.0, -0.5, 0.25):
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        velocity = 0.9 * velocity + 0.1 * (gradient + 0.01 * expected)
        expected -= velocity
    assert weight.item() == pytest.approx(expected)


def test_an_unknown_optimizer_is_named():
    with pytest.raises(
        ValueError,
        match=r"TrainConfig\.optimizer is 'lamb'; choose one of \('sgd', 'adam', 'adamw'\)",
    ):
        replace(VGG16_COCO, optimizer="lamb")


def test_adam_adds_the_decay_to_the_gradient():
    """Three updates of one weight at 0.5 with gradients 0.2, -0.1, 0.3, rate 6e-5, decay 5e-4
    (KL-RPN's Adam).
    """
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.5)
    network.double()
    train = replace(VGG16_COCO, optimizer="adam", lr=6e-5, weight_decay=5e-4)
    optimizer = build_optimizer(network, train)
    seen = []
    for gradient in (0.2, -0.1, 0.3):
        network.weight.grad = torch.tensor([[gradient]], dtype=torch.float64)
        optimizer.step()
        seen.append(network.weight.item())
    assert seen == pytest.approx(
        [0.49994000000299627, 0.4999239329479739, 0.4998857715900025], abs=1e-12
    )
    assert optimizer.defaults["betas"] == (0.9, 0.999)
    assert optimizer.defaults["eps"] == 1e-8


KINDS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def convolutions():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3))
    return layers.to(memory_format=torch.channels_last)


def make_updates(network, optimizer, steps):
    for step in steps:
        images = torch.randn(2, 3, 6, 7, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        network(images).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("name", KINDS)
def test_one_kernel_a_group_makes_the_steps_of_a_loop_over_parameters(name):
    train = replace(VGG16_COCO, optimizer=name, lr=0.01)
    fused, looped = convolutions(), convolutions()
    momentum = {"momentum": train.momentum} if name == "sgd" else {}
    optimizer = build_optimizer(fused, train)
    make_updates(fused, optimizer, range(4))
    make_updates(
        looped, KINDS[name](parameter_groups(looped, train), foreach=False, **momentum), range(4)
    )
    assert all(group["fused"] for group in optimizer.param_groups)
    for ours, theirs in zip(fused.parameters(), looped.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def saved_without_fused(optimizer):
    """The state as a checkpoint of the loop holds it, its averages in the usual memory format."""
    saved = optimizer.state_dict()
    groups = [{**group, "fused": None, "foreach": None} for group in saved["param_groups"]]
    state = {
        index: {name: value.clone().contiguous() for name, value in values.items()}
        for index, values in saved["state"].items()
    }
    return {"state": state, "param_groups": groups}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("save", [torch.optim.Optimizer.state_dict, saved_without_fused])
def test_a_resumed_optimizer_makes_the_same_bits_whatever_kernels_saved_it(name, save):
    train = replace(VGG16_COCO, optimizer=name, lr=0.01)
    whole, parts = convolutions(), convolutions()
    make_updates(whole, build_optimizer(whole, train), range(5))
    before = build_optimizer(parts, train)
    make_updates(parts, before, range(2))
    after = build_optimizer(parts, train)
    load_optimizer(after, save(before))
    make_updates(parts, after, range(2, 5))
    assert all(group["fused"] and not group["foreach"] for group in after.param_groups)
    assert all(map(torch.equal, whole.parameters(), parts.parameters()))


def test_a_parameter_may_get_its_first_gradient_later_than_the_others():
    """A mask branch without objects, for example; torch's loop says what is expected."""
    results = []
    for fused in (True, False):
        early, late = (nn.Parameter(torch.ones(3)) for _ in range(2))
        optimizer = torch.optim.SGD([early, late], lr=0.1, momentum=0.9, fused=fused)
        if fused:
            start_momentum(optimizer)
        for step in range(4):
            early.grad = torch.full((3,), 1.0 + step)
            late.grad = torch.full((3,), 2.0) if step > 1 else None
            optimizer.step()
        results.append(torch.stack([early.detach(), late.detach()]))
    torch.testing.assert_close(*results)
