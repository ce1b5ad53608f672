"""Operations of a training step: counted by hand from the shapes of a small network's layers."""

from dataclasses import replace

import pytest
from torch import nn

from experiments.scales import mini
from scripts.engine.full_size import training_flops
from scripts.engine.full_size.training_flops import (
    same_cost,
    step_flops,
    typical_image,
    typical_size,
)
from scripts.engine.places import find_run


def small(name, frozen_stages):
    """A run with a fiftieth of the width, on 48 x 64 px, and max pooling, which has no products."""
    run = mini(find_run(name))
    backbone = replace(run.model.backbone, width=0.02, frozen_stages=frozen_stages)
    roi = replace(run.model.roi, fc_dims=(8, 8), rois_per_image=8, pooling="max")
    rpn = replace(run.model.rpn, channels=10, anchor_sizes=(32.0,))
    return replace(
        run,
        start="imagenet",
        model=replace(run.model, backbone=backbone, roi=roi, rpn=rpn),
        data=replace(run.data, short_side=48, long_side=64),
    )


@pytest.mark.parametrize("frozen_stages", [0, 2])
def test_a_step_is_three_forward_passes_without_what_is_frozen(frozen_stages, monkeypatch):
    """Forward, gradient of the weights, gradient of the input; the first trained layer needs no
    gradient of its input, and frozen layers none at all.
    """
    passes = []  # (forward operations, whether weights are trained) of each layer, in order

    def note(layer, inputs, output):
        each = layer.weight[0].numel()  # multiplications for a number of the output
        passes.append((2 * each * output.numel(), layer.weight.requires_grad))

    build = training_flops.build_detector

    def watched(config):
        detector = build(config)
        for layer in detector.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(note)
        return detector

    monkeypatch.setattr(training_flops, "build_detector", watched)
    counted = step_flops(small("kl_loss/vgg16_coco_kl", frozen_stages))
    first = next(operations for operations, is_trained in passes if is_trained)
    expected = sum(operations * (3 if is_trained else 1) for operations, is_trained in passes)
    assert counted == expected - first
    assert len([trained for _, trained in passes if not trained]) == (0, 2, 4)[frozen_stages]


def test_an_image_is_a_photo_of_4_to_3_with_all_that_the_network_learns_from():
    mask = find_run("kl_loss/r50_fpn_mask")
    batch = typical_image(replace(mask, data=replace(mask.data, short_side=60)))
    assert batch.image_sizes == ((60, 80),)
    assert len(batch.targets[0].masks) == len(batch.targets[0].boxes) == 128
    assert typical_size(find_run("kl_rpn/vgg16_coco")) == (600, 800)
    # root mean square of 400, 500, .. 800
    assert typical_size(find_run("kl_rpn/rfcn_r101_coco")) == (616, 822)


def test_losses_and_log_variances_cost_nothing_and_other_layers_do():
    names = ("vgg16_coco", "vgg16_coco_kl", "vgg16_voc", "r50_fpn_1x", "r50_fpn_kl", "r50_fpn_rpn")
    keys = {name: same_cost(find_run(f"kl_loss/{name}")) for name in names}
    assert keys["vgg16_coco"] == keys["vgg16_coco_kl"]
    assert keys["r50_fpn_1x"] == keys["r50_fpn_kl"]
    assert len(set(keys.values())) == 4
