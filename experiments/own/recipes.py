"""Recipes for data of one's own: what a network is, and how long it learns from how many images.

There is no paper to be faithful to, so length, resolution, rate, batch and backbone are options of
scripts.train. Layout, splits, classes and the schedule come from the data; the ones below are
placeholders. ``small`` is the network of the lite scale, so that what learned there can be
fine-tuned. ``demo`` is the mini scale's quarter VGG-16, which learns `make demo`'s rendered scenes
from nothing. All have the KL Loss head of the paper.
"""

from dataclasses import replace

from experiments.kl_loss.runs import r50_fpn_kl, r50_fpn_mask_kl, vgg16_coco_kl, vgg16_voc_kl
from experiments.lite import lite
from experiments.mini import mini
from experiments.own.recipe import OwnRecipe

small = replace(lite(vgg16_voc_kl), name="small", nms_iou=0.5)
small = replace(
    small,
    data=replace(small.data, short_side=320, long_side=533, on_bad_box="skip"),
)
standard = replace(
    r50_fpn_kl,
    name="standard",
    train=replace(r50_fpn_kl.train, batch_size=4, lr=0.005, max_grad_norm=10.0),
    passes=0,
)
mask = replace(
    standard,
    name="mask",
    model=r50_fpn_mask_kl.model,
    data=replace(standard.data, masks=True),
)
demo = replace(mini(vgg16_coco_kl), name="demo", nms_iou=0.5)
demo = replace(demo, data=replace(demo.data, on_bad_box="skip"))

RECIPES = {
    "demo": OwnRecipe(run=demo, epochs=2, least_updates=1),
    "small": OwnRecipe(run=small, epochs=12, least_updates=800),
    "standard": OwnRecipe(run=standard, epochs=12, least_updates=1500, needs_gpu=True),
    "mask": OwnRecipe(run=mask, epochs=12, least_updates=1500, needs_gpu=True),
}
