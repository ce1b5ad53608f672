"""The three sizes at which every experiment runs: ``paper`` as published, ``lite`` on real photos, ``mini`` anywhere.

A scale is a function Run -> Run. What it keeps is what the experiment is about: the box coding, the log variance, the
losses; what it replaces is size: backbone, resolution, data, schedule. Both sides of a comparison get the same.
How the numbers below were found is written in docs/scales.md.
"""

from collections.abc import Callable
from dataclasses import replace

from data.loader import DataConfig
from experiments.records import Run, TrainConfig

MINI_TRAIN = TrainConfig(
    batch_size=8, iterations=900, lr=1e-3, lr_drops=(700,), warmup_iterations=50, warmup_factor=0.1,
    optimizer="adamw", weight_decay=1e-4, bias_lr_factor=1.0, max_grad_norm=10.0)

MINI_SHORT_TRAIN = replace(MINI_TRAIN, batch_size=4, iterations=650, lr_drops=(500,))

# One pass of Detectron's schedules; "2x" is twice as long in every respect but the warm-up.
MINI_1X_TRAIN = replace(MINI_TRAIN, batch_size=4, iterations=500, lr_drops=(375,))

LITE_TRAIN = TrainConfig(
    batch_size=4, iterations=2360, lr=4e-4, lr_drops=(1770,), warmup_iterations=200, warmup_factor=0.001,
    optimizer="adamw", weight_decay=1e-4, bias_lr_factor=1.0, backbone_lr_factor=0.25, max_grad_norm=10.0)

LITE_1X_TRAIN = replace(LITE_TRAIN, iterations=1180, lr_drops=(885,))


def paper(run: Run) -> Run:
    """The published recipe: nothing changes."""
    return run


def mini(run: Run) -> Run:
    """The synthetic scenes of data/mini/ambiguous.py, the paper's layers at a quarter of their width, from scratch."""
    pyramid, c4 = run.model.pyramid, run.model.pool_size == 14
    model = replace(
        run.model, num_classes=6, width=0.25, fc_dims=(256, 256), dropout=0.0, frozen_stages=0,
        pooling="precise" if run.model.pooling == "precise" else "align", pool_size=7 if c4 else run.model.pool_size,
        resnet_blocks=(1, 2, 2, 1), canonical_size=56.0 if pyramid else run.model.canonical_size,
        anchor_sizes=(8.0, 16.0, 32.0, 64.0, 128.0) if pyramid else (16.0, 32.0, 64.0, 128.0),
        rpn_batch=128, pre_nms_train=500 if pyramid else 1000, post_nms_train=300,
        pre_nms_test=500 if pyramid else 1000, post_nms_test=150, min_size=4.0, rois_per_image=64,
        iou_rois=64 if run.model.iou_head else run.model.iou_rois)
    layout = run.data.layout
    data = DataConfig(
        layout=layout, train=("train",) if layout == "coco" else ("trainval",),
        test="val" if layout == "coco" else "test", short_side=160, long_side=224, pixels="torchvision",
        train_short_sides=shrunk_sides(run.data, 160), masks=run.data.masks)
    recipe = MINI_1X_TRAIN if run.passes else MINI_SHORT_TRAIN if run.short_mini else MINI_TRAIN
    return replace(run, model=model, data=data, train=same_for_all(recipe, run),
                   start="scratch" if run.start == "imagenet" else run.start)


def lite(run: Run) -> Run:
    """Pascal VOC 2007 at a short side of 300 px with MobileNetV2, about half an hour a network on two cores.

    All backbones of a table become the same network, so runs that differ in nothing else get one name and are
    trained once. Mask R-CNN learns from COCO, because VOC's boxes have no masks.
    """
    pyramid, c4 = run.model.pyramid, run.model.pool_size == 14
    model = replace(
        run.model, backbone="mobilenet_v2", num_classes=80 if run.model.mask else 20, width=1.0, fc_dims=(1024, 1024),
        dropout=0.0, frozen_stages=11, mobilenet_blocks=18, conv5_head=c4, tf_padding=True,
        pooling="precise" if run.model.pooling == "precise" else "align", pool_size=7, rpn_dim=256,
        pyramid_dim=128 if pyramid else run.model.pyramid_dim, mask_dim=128 if run.model.mask else run.model.mask_dim,
        canonical_size=84.0 if pyramid else run.model.canonical_size,
        anchor_sizes=(16.0, 32.0, 64.0, 128.0, 256.0) if pyramid else (32.0, 64.0, 128.0, 256.0), rois_per_image=64,
        iou_rois=64 if run.model.iou_head else run.model.iou_rois, pre_nms_train=1000 if pyramid else 2000,
        post_nms_train=500, pre_nms_test=500 if pyramid else 1000, post_nms_test=300, min_size=4.0)
    data = DataConfig(layout="voc", train=("2007_trainval",), test="2007_test", short_side=300, long_side=500,
                      pixels="tf", train_short_sides=shrunk_sides(run.data, 300))
    if run.model.mask:
        data = replace(data, layout="coco", train=("train2017",), test="val2017", masks=True, on_bad_box="skip")
    recipe = LITE_1X_TRAIN if run.passes else LITE_TRAIN
    return replace(run, name=lite_name(run), model=model, data=data, train=same_for_all(recipe, run), short_mini=False)


def lite_name(run: Run) -> str:
    """What the network is called whose backbone is MobileNetV2."""
    if run.passes:
        return run.name.replace("r50", "mobilenet")
    rfcn, kl_rpn = run.model.second_stage == "rfcn", run.model.region_proposal == "kl_rpn"
    weight = run.train.roi_loss_weight
    return ("mobilenet" + ("_rfcn" if rfcn else "") + "_voc" + ("_klrpn" if kl_rpn else "")
            + ("_kl" if run.model.log_variance else "")
            + ("" if weight == (10 if kl_rpn else 1) else f"_weight{weight:g}"))


def same_for_all(train: TrainConfig, run: Run) -> TrainConfig:
    """The scale's recipe with what belongs to the method: the weight of the second stage's losses, which part learns,
    and for how many passes. The gradient norm is clipped in units of that weight, since Adam does not see a factor on
    the whole loss but clipping does."""
    assert train.max_grad_norm is not None
    weight, passes = run.train.roi_loss_weight, max(1, run.passes)
    return replace(train, roi_loss_weight=weight, max_grad_norm=train.max_grad_norm * weight, only=run.train.only,
                   iterations=train.iterations * passes, lr_drops=tuple(drop * passes for drop in train.lr_drops))


def shrunk_sides(data: DataConfig, short_side: int) -> tuple[int, ...] | None:
    """The short sides of multi-scale training when the test images' becomes ``short_side`` px."""
    if data.train_short_sides is None:
        return None
    return tuple(round(side * short_side / data.short_side) for side in data.train_short_sides)


SCALES: dict[str, Callable[[Run], Run]] = {"mini": mini, "lite": lite, "paper": paper}
TITLES = {
    "mini": "mini (synthetic scenes): trend only, not comparable with the paper's numbers",
    "lite": "lite (subset of real VOC photos, small backbone): real, not comparable with the paper's numbers",
    "paper": "paper (published recipe)",
}
