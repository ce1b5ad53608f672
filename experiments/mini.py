"""The mini scale: the paper's networks at a quarter of their width on synthetic scenes."""

from dataclasses import replace

from data.config import DataConfig
from experiments.records import Run, TrainConfig
from experiments.shrink import pooled_smoothly, same_for_all, shrunk_sample, shrunk_sides
from models.build import ModelConfig
from models.roi import RoIConfig
from models.rpn import RPNConfig

MINI_TRAIN = TrainConfig(
    batch_size=8,
    iterations=900,
    lr=1e-3,
    lr_drops=(700,),
    warmup_iterations=50,
    warmup_factor=0.1,
    optimizer="adamw",
    weight_decay=1e-4,
    bias_lr_factor=1.0,
    max_grad_norm=10.0,
)

MINI_SHORT_TRAIN = replace(MINI_TRAIN, batch_size=4, iterations=650, lr_drops=(500,))

# One pass of Detectron's schedules; "2x" is twice as long in every respect but the warm-up.
MINI_1X_TRAIN = replace(MINI_TRAIN, batch_size=4, iterations=500, lr_drops=(375,))

MINI_WIDTH = 0.25  # of the paper's channels


def thin(channels: int) -> int:
    """The paper's ``channels`` at the mini scale."""
    return max(8, round(channels * MINI_WIDTH))


def mini(run: Run) -> Run:
    """The synthetic scenes of data/mini/, and the paper's layers at a quarter of their width."""
    recipe = MINI_SHORT_TRAIN if run.short_mini else MINI_TRAIN
    if run.passes:
        recipe = MINI_1X_TRAIN
    return replace(
        run,
        model=mini_model(run.model),
        data=mini_data(run.data),
        train=same_for_all(recipe, run),
        start="scratch" if run.start == "imagenet" else run.start,
    )


def mini_data(data: DataConfig) -> DataConfig:
    """The scenes in the layout of ``data``, at a short side of 160 px."""
    coco = data.layout == "coco"
    return DataConfig(
        layout=data.layout,
        train=("train",) if coco else ("trainval",),
        test="val" if coco else "test",
        short_side=160,
        long_side=224,
        pixels="torchvision",
        train_short_sides=shrunk_sides(data, 160),
        masks=data.masks,
    )


def mini_model(model: ModelConfig) -> ModelConfig:
    """The network at a quarter of its width, for objects of a fifth of their size."""
    backbone = replace(
        model.backbone,
        width=MINI_WIDTH,
        frozen_stages=0,
        resnet_blocks=(1, 2, 2, 1),
        pyramid_channels=thin(model.backbone.pyramid_channels),
    )
    mask = model.mask
    if mask is not None:
        mask = replace(mask, channels=thin(mask.channels))
    return replace(
        model,
        num_classes=6,
        backbone=backbone,
        rpn=mini_rpn(model.rpn, pyramid=backbone.pyramid),
        roi=mini_roi(model.roi, pyramid=backbone.pyramid),
        mask=mask,
        iou=None if model.iou is None else replace(model.iou, rois=64),
    )


def mini_rpn(rpn: RPNConfig, *, pyramid: bool) -> RPNConfig:
    """Anchors of a fifth of their size, as many of them positive as at full size, and fewer
    proposals.

    Of 26 sampled anchors a fifth is positive, as of the paper's 256 on COCO; of 128 it would be a
    twenty-fifth (docs/scales.md).
    """
    pre_nms = 500 if pyramid else 1000
    sizes = (16.0, 32.0, 64.0, 128.0)
    return replace(
        rpn,
        channels=thin(rpn.channels),
        anchor_sizes=(8.0, *sizes) if pyramid else sizes,
        anchors_per_image=shrunk_sample(rpn, 26),
        min_size=4.0,
        pre_nms_train=pre_nms,
        post_nms_train=300,
        pre_nms_test=pre_nms,
        post_nms_test=150,
    )


def mini_roi(roi: RoIConfig, *, pyramid: bool) -> RoIConfig:
    """Narrow layers, and half as many RoIs as py-faster-rcnn learns from."""
    return replace(
        roi,
        fc_dims=(256, 256),
        dropout=0.0,
        rfcn_channels=thin(roi.rfcn_channels),
        rois_per_image=64,
        pooling=pooled_smoothly(roi.pooling),
        pool_size=min(roi.pool_size, 7),
        canonical_size=56.0 if pyramid else roi.canonical_size,
    )
