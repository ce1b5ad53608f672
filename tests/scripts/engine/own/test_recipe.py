"""A recipe on someone's data: how long it learns, and what its weights expect."""

from dataclasses import replace

import pytest

from experiments.own.recipe import scheduled, updates_an_epoch
from experiments.own.recipes import RECIPES
from models.build import build_detector
from scripts.engine.own.recipe import (
    find_recipe,
    with_backbone,
    with_conventions,
)
from tests.networks import change


def test_few_images_are_seen_more_often():
    """800 updates of 4 are 3,200 images: 16 epochs of 200, and 12 at least."""
    recipe = RECIPES["small"]
    assert (recipe.epochs, recipe.least_updates) == (12, 800)
    assert recipe.epochs_for(200, 4) == 16
    assert recipe.epochs_for(40, 4) == 80
    assert recipe.epochs_for(5000, 4) == 12
    assert updates_an_epoch(205, 4) == 51
    assert updates_an_epoch(3, 4) == 1


def test_the_rate_drops_at_three_quarters_and_warms_up_for_a_tenth_at_most():
    train = RECIPES["small"].run.train
    assert train.warmup_iterations == 200
    short = scheduled(train, updates=800)
    assert (short.iterations, short.lr_drops, short.warmup_iterations) == (800, (600,), 80)
    assert scheduled(train, updates=10_000).warmup_iterations == 200


def test_small_is_the_network_of_the_lite_scale():
    """So what VOC taught it can be fine-tuned: every tensor but those of the classes fits."""
    small = RECIPES["small"].run
    model = change(small.model, num_classes=3)
    own, lite = (build_detector(m).state_dict() for m in (model, small.model))
    other = {name for name, value in own.items() if value.shape != lite[name].shape}
    assert own.keys() == lite.keys()
    assert all(name.startswith("roi.head.predictor.") for name in other)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_builds_and_votes(name):
    recipe = find_recipe(f"own/{name}")
    assert recipe.run.name == name
    assert recipe.run.model.roi.box_loss == "kl"
    assert recipe.run.nms_iou == 0.5
    assert (recipe.run.model.mask is not None) == recipe.run.data.masks == (name == "mask")
    assert recipe.run.data.on_bad_box == "skip"


def test_another_backbone_has_torchvisions_pixels():
    run = with_backbone(RECIPES["small"].run, "resnet50")
    backbone = run.model.backbone
    assert (backbone.name, backbone.frozen_stages, backbone.tf_padding) == ("resnet50", 2, False)
    assert run.data.pixels == "torchvision"
    pyramid = with_backbone(RECIPES["standard"].run, "mobilenet_v2").model.backbone
    assert (pyramid.pyramid, pyramid.frozen_stages) == (True, 11)


def test_a_fine_tuned_network_keeps_the_rules_of_its_weights():
    run = RECIPES["standard"].run
    theirs = replace(
        run,
        data=replace(run.data, pixels="caffe"),
        model=change(
            run.model,
            backbone_resnet_layout="detectron",
            rpn_anchor_rule="detectron2",
            roi_aligned=True,
            roi_sampling_ratio=0,
        ),
    )
    tuned = with_conventions(run, theirs, start="checkpoint")
    assert tuned.start == "checkpoint"
    assert replace(tuned, start=theirs.start) == theirs
