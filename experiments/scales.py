"""The three sizes at which every experiment runs: ``paper`` as published, ``lite`` on real photos,
``mini`` anywhere.

A scale is a function Run -> Run. What it keeps is what the experiment is about: the box coding, the
log variance, the losses; what it replaces is size: backbone, resolution, data, schedule. Both sides
of a comparison get the same.
How the numbers below were found is written in experiments/README.md.
"""

from collections.abc import Callable
from dataclasses import replace

from data.loader import DataConfig
from experiments.records import Run, TrainConfig
from models.build import ModelConfig
from models.iou_net import IoUConfig
from models.mask import MaskConfig
from models.pooling.pool import Pooling
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

LITE_TRAIN = TrainConfig(
    batch_size=4,
    iterations=2360,
    lr=4e-4,
    lr_drops=(1770,),
    warmup_iterations=200,
    warmup_factor=0.001,
    optimizer="adamw",
    weight_decay=1e-4,
    bias_lr_factor=1.0,
    backbone_lr_factor=0.25,
    max_grad_norm=10.0,
)

LITE_1X_TRAIN = replace(LITE_TRAIN, iterations=1180, lr_drops=(885,))


def paper(run: Run) -> Run:
    """The published recipe: nothing changes."""
    return run


MINI_WIDTH = 0.25  # of the paper's channels


def thin(channels: int) -> int:
    """The paper's ``channels`` at the mini scale."""
    return max(8, round(channels * MINI_WIDTH))


def mini(run: Run) -> Run:
    """The synthetic scenes of data/mini/, the paper's layers at a quarter of their width, from
    scratch."""
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
    return replace(
        model,
        num_classes=6,
        backbone=backbone,
        rpn=mini_rpn(model.rpn, pyramid=backbone.pyramid),
        roi=mini_roi(model.roi, pyramid=backbone.pyramid),
        mask=None
        if model.mask is None
        else replace(model.mask, channels=thin(model.mask.channels)),
        iou=iou_with(model.iou, rois=64),
    )


def mini_rpn(rpn: RPNConfig, *, pyramid: bool) -> RPNConfig:
    """Anchors of a fifth of their size, and fewer proposals."""
    pre_nms = 500 if pyramid else 1000
    sizes = (16.0, 32.0, 64.0, 128.0)
    return replace(
        rpn,
        channels=thin(rpn.channels),
        anchor_sizes=(8.0, *sizes) if pyramid else sizes,
        anchors_per_image=128,
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


def mask_with(mask: MaskConfig | None, *, channels: int) -> MaskConfig | None:
    """The mask branch, if there is one, with ``channels``."""
    return None if mask is None else replace(mask, channels=channels)


def iou_with(iou: IoUConfig | None, *, rois: int) -> IoUConfig | None:
    """The IoU branch, if there is one, that learns from ``rois`` boxes an image."""
    return None if iou is None else replace(iou, rois=rois)


def pooled_smoothly(pooling: Pooling) -> Pooling:
    """RoIAlign instead of the paper's max pooling, at the scales where objects are few cells
    wide."""
    return "precise" if pooling == "precise" else "align"


def lite(run: Run) -> Run:
    """Pascal VOC 2007 at a short side of 300 px with MobileNetV2, about half an hour a network on
    two cores.

    All backbones of a table become the same network, so runs that differ in nothing else get one
    name and are trained once; Detectron's networks keep their heads, which KL Loss Table 3
    compares. Mask R-CNN learns from
    COCO, because VOC's boxes have no masks.
    """
    recipe = LITE_1X_TRAIN if run.passes else LITE_TRAIN
    return replace(
        run,
        name=lite_name(run),
        model=lite_model(run),
        data=lite_data(run),
        train=same_for_all(recipe, run),
        short_mini=False,
    )


def lite_data(run: Run) -> DataConfig:
    """VOC 2007, or COCO 2017 for Mask R-CNN."""
    voc = DataConfig(
        layout="voc",
        train=("2007_trainval",),
        test="2007_test",
        short_side=300,
        long_side=500,
        pixels="tf",
        train_short_sides=shrunk_sides(run.data, 300),
    )
    if run.model.mask is None:
        return voc
    return replace(
        voc, layout="coco", train=("train2017",), test="val2017", masks=True, on_bad_box="skip"
    )


def lite_model(run: Run) -> ModelConfig:
    """MobileNetV2 at stride 16, under a pyramid, or with its last blocks as conv5 head."""
    model, pyramid = run.model, run.model.backbone.pyramid
    backbone = replace(
        model.backbone,
        name="mobilenet_v2",
        width=1.0,
        frozen_stages=11,
        mobilenet_blocks=18,
        tf_padding=True,
        pyramid_channels=128 if pyramid else model.backbone.pyramid_channels,
    )
    keeps_conv5 = run.passes > 0
    return replace(
        model,
        num_classes=20 if model.mask is None else 80,
        backbone=backbone,
        rpn=lite_rpn(model.rpn, pyramid=pyramid),
        roi=lite_roi(model.roi, pyramid=pyramid, keeps_conv5=keeps_conv5),
        mask=mask_with(model.mask, channels=128),
        iou=iou_with(model.iou, rois=64),
    )


def lite_rpn(rpn: RPNConfig, *, pyramid: bool) -> RPNConfig:
    """Anchors of half their size, and fewer proposals."""
    sizes = (32.0, 64.0, 128.0, 256.0)
    return replace(
        rpn,
        channels=256,
        anchor_sizes=(16.0, *sizes) if pyramid else sizes,
        min_size=4.0,
        pre_nms_train=1000 if pyramid else 2000,
        post_nms_train=500,
        pre_nms_test=500 if pyramid else 1000,
        post_nms_test=300,
    )


def lite_roi(roi: RoIConfig, *, pyramid: bool, keeps_conv5: bool) -> RoIConfig:
    """1024 units in fc6 and fc7, which replace conv5 unless it is what a table compares."""
    return replace(
        roi,
        head="mlp" if roi.head == "conv5" and not keeps_conv5 else roi.head,
        fc_dims=(1024, 1024),
        dropout=0.0,
        rois_per_image=64,
        pooling=pooled_smoothly(roi.pooling),
        pool_size=7,
        canonical_size=84.0 if pyramid else roi.canonical_size,
    )


def lite_name(run: Run) -> str:
    """What the network is called whose backbone is MobileNetV2."""
    if run.passes:
        return run.name.replace("r50", "mobilenet")
    kl_rpn, weight = run.model.rpn.kind == "kl_rpn", run.train.roi_loss_weight
    name = "mobilenet_rfcn_voc" if run.model.roi.head == "rfcn" else "mobilenet_voc"
    if kl_rpn:
        name += "_klrpn"
    if run.model.roi.log_variance:
        name += "_kl"
    if weight != (10 if kl_rpn else 1):
        name += f"_weight{weight:g}"
    return name


def same_for_all(train: TrainConfig, run: Run) -> TrainConfig:
    """The scale's recipe with what belongs to the method: the weight of the second stage's losses,
    which part learns, and for how many passes. The gradient norm is clipped in units of that
    weight, since Adam does not see a factor on the whole loss but clipping does."""
    assert train.max_grad_norm is not None
    weight, passes = run.train.roi_loss_weight, max(1, run.passes)
    return replace(
        train,
        roi_loss_weight=weight,
        max_grad_norm=train.max_grad_norm * weight,
        only=run.train.only,
        iterations=train.iterations * passes,
        lr_drops=tuple(drop * passes for drop in train.lr_drops),
    )


def shrunk_sides(data: DataConfig, short_side: int) -> tuple[int, ...] | None:
    """The short sides of multi-scale training when the test images' becomes ``short_side`` px."""
    if data.train_short_sides is None:
        return None
    return tuple(round(side * short_side / data.short_side) for side in data.train_short_sides)


SCALES: dict[str, Callable[[Run], Run]] = {"mini": mini, "lite": lite, "paper": paper}
TITLES = {
    "mini": "mini (synthetic scenes): trend only, not comparable with the paper's numbers",
    "lite": "lite (subset of real VOC photos, small backbone): real, not comparable with the "
    "paper's numbers",
    "paper": "paper (published recipe)",
}
