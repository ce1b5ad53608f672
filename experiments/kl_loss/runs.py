"""Every network that the KL Loss paper trains, at full size, and some of ours (recipe:
docs/kl_loss.md).

Differences of a KL run from its baseline: edge offsets in the box head and the RPN (Eq. 1;
docs/kl_loss.md point 3) and the log variance layer. Recipe, schedule and data are the same.
ImageNet weights are torchvision's, so pixels follow its convention; a Caffe file needs data.pixels
= "caffe" and, for a ResNet, model.backbone.resnet_layout = "caffe" or "detectron". COCO has a few
boxes without area, which Detectron leaves out too.
VGG follows py-faster-rcnn, ResNet-50 Detectron.
"""

from dataclasses import replace
from typing import Any

from data.config import DataConfig
from experiments.records import Run, TrainConfig
from models.backbones.base import BackboneConfig
from models.build import ModelConfig
from models.iou_net import IoUConfig
from models.mask import MaskConfig
from models.roi import RoIConfig
from models.rpn import RPNConfig

# fields of a region proposal network and of a second stage
EDGES: dict[str, Any] = {"box_coding": "edges"}
# fields of a second stage
KL: dict[str, Any] = {"box_coding": "edges", "log_variance": True, "box_loss": "kl"}

COCO = DataConfig(
    layout="coco",
    train=("train2014",),
    test="val2014",
    short_side=600,
    long_side=1000,
    pixels="torchvision",
    on_bad_box="skip",
)
VOC07 = DataConfig(
    layout="voc",
    train=("2007_trainval",),
    test="2007_test",
    short_side=600,
    long_side=1000,
    pixels="torchvision",
)

VGG_RPN = RPNConfig()
VGG_RPN_VOC = replace(VGG_RPN, anchor_sizes=(128.0, 256.0, 512.0))
VGG_ROI = RoIConfig(pooling="max")
VGG_ROI_VOC = replace(VGG_ROI, dropout=0.5)

vgg16_coco = Run(
    name="vgg16_coco",
    model=ModelConfig(
        num_classes=80, backbone=BackboneConfig(name="vgg16"), rpn=VGG_RPN, roi=VGG_ROI
    ),
    data=COCO,
    train=TrainConfig(batch_size=2, iterations=490_000, lr=1e-3, lr_drops=(350_000,)),
)
vgg16_coco_kl = replace(
    vgg16_coco,
    name="vgg16_coco_kl",
    model=replace(vgg16_coco.model, rpn=replace(VGG_RPN, **EDGES), roi=replace(VGG_ROI, **KL)),
)

vgg16_voc = Run(
    name="vgg16_voc",
    model=ModelConfig(
        num_classes=20, backbone=BackboneConfig(name="vgg16"), rpn=VGG_RPN_VOC, roi=VGG_ROI_VOC
    ),
    data=VOC07,
    train=TrainConfig(batch_size=2, iterations=70_000, lr=1e-3, lr_drops=(50_000,)),
)
vgg16_voc_kl = replace(
    vgg16_voc,
    name="vgg16_voc_kl",
    model=replace(
        vgg16_voc.model, rpn=replace(VGG_RPN_VOC, **EDGES), roi=replace(VGG_ROI_VOC, **KL)
    ),
)

VGGM_RPN = replace(VGG_RPN_VOC, channels=256)
VGGM_ROI = replace(VGG_ROI_VOC, fc_dims=(4096, 1024), pool_size=6)

vggm_voc = Run(
    name="vggm_voc",
    model=ModelConfig(
        num_classes=20,
        backbone=BackboneConfig(name="vgg_cnn_m_1024", frozen_stages=1),
        rpn=VGGM_RPN,
        roi=VGGM_ROI,
    ),
    data=replace(VOC07, pixels="caffe"),
    train=TrainConfig(batch_size=1, iterations=70_000, lr=1e-3, lr_drops=(50_000,)),
)
vggm_voc_kl = replace(
    vggm_voc,
    name="vggm_voc_kl",
    model=replace(vggm_voc.model, rpn=replace(VGGM_RPN, **EDGES), roi=replace(VGGM_ROI, **KL)),
)

# ResNet-50: Tables 3, 4 and 6, Figure 6
COCO17 = DataConfig(
    layout="coco",
    train=("train2017",),
    test="val2017",
    short_side=800,
    long_side=1333,
    pixels="torchvision",
    size_divisor=32,
    on_bad_box="skip",
)
FPN_RPN = RPNConfig(
    anchor_sizes=(32.0, 64.0, 128.0, 256.0, 512.0),
    channels=256,
    softmax=False,
    pre_nms_train=2000,
    post_nms_train=2000,
    pre_nms_test=1000,
    post_nms_test=1000,
    min_size=0.0,
)
FPN_ROI = RoIConfig(rois_per_image=512, fc_dims=(1024, 1024))
FPN = ModelConfig(
    num_classes=80, backbone=BackboneConfig(name="resnet50", pyramid=True), rpn=FPN_RPN, roi=FPN_ROI
)
FPN_KL = replace(FPN, rpn=replace(FPN_RPN, **EDGES), roi=replace(FPN_ROI, **KL))
C4_RPN = replace(FPN_RPN, channels=1024, pre_nms_train=12000, pre_nms_test=6000)
C4_ROI = replace(FPN_ROI, head="conv5", pool_size=14, sampling_ratio=0)
C4 = ModelConfig(num_classes=80, backbone=BackboneConfig(name="resnet50"), rpn=C4_RPN, roi=C4_ROI)
C4_KL = replace(C4, rpn=replace(C4_RPN, **EDGES), roi=replace(C4_ROI, **KL))
SCHEDULE_1X = TrainConfig(
    batch_size=16,
    iterations=90_000,
    lr=0.02,
    lr_drops=(60_000, 80_000),
    warmup_iterations=500,
    weight_decay=1e-4,
    bias_decay=False,
)
SCHEDULE_2X = replace(SCHEDULE_1X, iterations=180_000, lr_drops=(120_000, 160_000))
C4_2X = replace(SCHEDULE_1X, batch_size=8, iterations=360_000, lr=0.01, lr_drops=(240_000, 320_000))

r50_fpn_1x = Run(
    name="r50_fpn_1x", model=FPN, data=COCO17, train=SCHEDULE_1X, passes=1, nms_iou=0.5
)
r50_fpn_2x = replace(r50_fpn_1x, name="r50_fpn_2x", train=SCHEDULE_2X, passes=2)
r50_fpn_kl = replace(r50_fpn_2x, name="r50_fpn_kl", model=FPN_KL)

r50_fpn_mask = replace(
    r50_fpn_2x,
    name="r50_fpn_mask",
    model=replace(FPN, mask=MaskConfig()),
    data=replace(COCO17, masks=True),
)
r50_fpn_mask_kl = replace(
    r50_fpn_mask, name="r50_fpn_mask_kl", model=replace(FPN_KL, mask=MaskConfig())
)

r50_c4 = replace(r50_fpn_2x, name="r50_c4", model=C4, train=C4_2X)
r50_c4_kl = replace(r50_c4, name="r50_c4_kl", model=C4_KL)

# Fast R-CNN: a region proposal network alone, then detectors on its saved proposals
r50_fpn_rpn = replace(
    r50_fpn_1x,
    name="r50_fpn_rpn",
    model=replace(FPN, rpn=replace(FPN_RPN, post_nms_test=2000), roi=replace(FPN_ROI, head="none")),
)
r50_fpn_fast_1x = replace(
    r50_fpn_1x,
    name="r50_fpn_fast_1x",
    model=replace(FPN, rpn=replace(FPN_RPN, kind="saved")),
    proposals="r50_fpn_rpn",
)
r50_fpn_fast_2x = replace(r50_fpn_fast_1x, name="r50_fpn_fast_2x", train=SCHEDULE_2X, passes=2)
r50_fpn_fast_kl = replace(
    r50_fpn_fast_2x,
    name="r50_fpn_fast_kl",
    model=replace(FPN_KL, rpn=replace(FPN_RPN, kind="saved", **EDGES)),
)

# IoU-Net: trained as a whole with its own schedule, or its head alone on a finished detector
r50_fpn_iou = replace(
    r50_fpn_2x,
    name="r50_fpn_iou",
    model=replace(FPN, roi=replace(FPN_ROI, pooling="precise"), iou=IoUConfig()),
    data=replace(COCO17, long_side=1200),
    train=replace(
        SCHEDULE_1X,
        iterations=160_000,
        lr=0.01,
        lr_drops=(120_000,),
        warmup_iterations=10_000,
        warmup_factor=0.4,
    ),
)
r50_fpn_fast_iou = replace(
    r50_fpn_fast_2x,
    name="r50_fpn_fast_iou",
    model=replace(r50_fpn_fast_2x.model, iou=IoUConfig()),
    train=replace(SCHEDULE_1X, trainable_part="iou"),
    passes=1,
    start="r50_fpn_fast_2x",
)
r50_fpn_mask_iou = replace(
    r50_fpn_mask,
    name="r50_fpn_mask_iou",
    model=replace(r50_fpn_mask.model, iou=IoUConfig()),
    train=replace(SCHEDULE_1X, trainable_part="iou"),
    passes=1,
    start="r50_fpn_mask",
)

# controls, ours: what the KL Loss rows mix (docs/kl_loss.md points 2, 31)
r50_fpn_edges = replace(
    r50_fpn_2x,
    name="r50_fpn_edges",
    model=replace(FPN, rpn=replace(FPN_RPN, **EDGES), roi=replace(FPN_ROI, **EDGES)),
)
r50_fpn_2x_again = replace(r50_fpn_2x, name="r50_fpn_2x_again", start="r50_fpn_2x")
r50_fpn_kl_warm = replace(r50_fpn_kl, name="r50_fpn_kl_warm", start="r50_fpn_2x")
