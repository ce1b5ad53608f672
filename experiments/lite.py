"""The lite scale: MobileNetV2 on Pascal VOC 2007, or on COCO for masks; and the same at the papers'
resolution."""

from dataclasses import replace

from data.config import DataConfig
from experiments.records import Run, TrainConfig
from experiments.shrink import pooled_smoothly, same_for_all, shrunk_sample, shrunk_sides
from models.build import ModelConfig
from models.roi import RoIConfig
from models.rpn import RPNConfig

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


def lite(run: Run) -> Run:
    """Pascal VOC 2007 at a short side of 300 px with MobileNetV2.

    A network takes about half an hour on two cores.
    All backbones of a table become the same network, so runs that differ in nothing else get one
    name and are trained once; Detectron's networks keep their heads, which KL Loss Table 3
    compares. Mask R-CNN learns from COCO, because VOC's boxes have no masks.
    """
    recipe = LITE_1X_TRAIN if run.passes else LITE_TRAIN
    return replace(
        run,
        start="imagenet" if run.start == "scratch" else run.start,
        name=lite_name(run),
        model=lite_model(run),
        data=lite_data(run),
        train=same_for_all(recipe, run),
        short_mini=False,
    )


def lite600(run: Run) -> Run:
    """Lite at a short side of 600 px, the papers' resolution on VOC: for a GPU.

    Everything in network pixels doubles, so an object meets the same anchors and the same levels.
    Four times as many anchors exist and reach suppression. As many are sampled as in the papers,
    256 an image unless a run says otherwise; 13 % of them are positive (docs/scales.md).
    """
    small = lite(run)
    data, rpn, roi = small.data, small.model.rpn, small.model.roi
    return replace(
        small,
        data=replace(
            data,
            short_side=2 * data.short_side,
            long_side=data.long_side and 2 * data.long_side,
            train_short_sides=shrunk_sides(run.data, 2 * data.short_side),
        ),
        model=replace(
            small.model,
            rpn=replace(
                rpn,
                anchor_sizes=tuple(2 * size for size in rpn.anchor_sizes),
                anchors_per_image=run.model.rpn.anchors_per_image,
                pre_nms_train=4 * rpn.pre_nms_train,
                pre_nms_test=4 * rpn.pre_nms_test,
            ),
            roi=replace(roi, canonical_size=2 * roi.canonical_size),
        ),
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
    return replace(
        model,
        num_classes=20 if model.mask is None else 80,
        backbone=backbone,
        rpn=lite_rpn(model.rpn, pyramid=pyramid),
        roi=lite_roi(model.roi, pyramid=pyramid, keeps_conv5=run.passes > 0),
        mask=None if model.mask is None else replace(model.mask, channels=128),
        iou=None if model.iou is None else replace(model.iou, rois=64),
    )


def lite_rpn(rpn: RPNConfig, *, pyramid: bool) -> RPNConfig:
    """Anchors of half their size, as many of them positive as at full size, and fewer proposals.

    Of 64 sampled anchors 15 % are positive, as of the paper's 256 on VOC (docs/scales.md).
    """
    sizes = (32.0, 64.0, 128.0, 256.0)
    return replace(
        rpn,
        channels=256,
        anchors_per_image=shrunk_sample(rpn, 64),
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
    if run.model.roi.head == "none":
        return run.name
    kl_rpn, weight = run.model.rpn.kind == "kl_rpn", run.train.roi_loss_weight
    name = "mobilenet_rfcn_voc" if run.model.roi.head == "rfcn" else "mobilenet_voc"
    if kl_rpn:
        name += "_klrpn"
    if run.model.roi.box_loss != "smooth_l1":
        name += f"_{run.model.roi.box_loss}"
    if weight != (10 if kl_rpn else 1):
        name += f"_weight{weight:g}"
    return name
