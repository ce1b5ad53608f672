"""Every network that the KL Loss paper trains, at full size, and some of ours (recipe: docs/kl_loss.md).

Differences of a KL run from its baseline: edge offsets in the box head and the RPN (Eq. 1; docs/kl_loss.md point 3) and the
log variance layer. Recipe, schedule and data are the same. ImageNet weights are torchvision's, so pixels follow its
convention; a Caffe file needs data.pixels = "caffe" and, for a ResNet, model.resnet_layout = "caffe" or "detectron".
COCO has a few boxes without area, which Detectron leaves out too.
VGG follows py-faster-rcnn, ResNet-50 Detectron.
"""

from dataclasses import replace

from data.loader import DataConfig
from experiments.records import Run, TrainConfig
from models.build import ModelConfig

COCO = DataConfig(layout="coco", train=("train2014",), test="val2014", short_side=600, long_side=1000,
                  pixels="torchvision", on_bad_box="skip")
VOC07 = DataConfig(layout="voc", train=("2007_trainval",), test="2007_test", short_side=600, long_side=1000,
                   pixels="torchvision")

vgg16_coco = Run(
    name="vgg16_coco",
    model=ModelConfig(backbone="vgg16", num_classes=80, pooling="max"),
    data=COCO,
    train=TrainConfig(batch_size=2, iterations=490_000, lr=1e-3, lr_drops=(350_000,)),
)
vgg16_coco_kl = replace(
    vgg16_coco, name="vgg16_coco_kl", model=replace(vgg16_coco.model, box_coding="edges", log_variance=True))

vgg16_voc = Run(
    name="vgg16_voc",
    model=ModelConfig(backbone="vgg16", num_classes=20, dropout=0.5, anchor_sizes=(128.0, 256.0, 512.0), pooling="max"),
    data=VOC07,
    train=TrainConfig(batch_size=2, iterations=70_000, lr=1e-3, lr_drops=(50_000,)),
)
vgg16_voc_kl = replace(
    vgg16_voc, name="vgg16_voc_kl", model=replace(vgg16_voc.model, box_coding="edges", log_variance=True))

vggm_voc = Run(
    name="vggm_voc",
    model=ModelConfig(backbone="vgg_cnn_m_1024", num_classes=20, dropout=0.5, anchor_sizes=(128.0, 256.0, 512.0),
                      fc_dims=(4096, 1024), rpn_dim=256, pool_size=6, pooling="max", frozen_stages=1),
    data=replace(VOC07, pixels="caffe"),
    train=TrainConfig(batch_size=1, iterations=70_000, lr=1e-3, lr_drops=(50_000,)),
)
vggm_voc_kl = replace(
    vggm_voc, name="vggm_voc_kl", model=replace(vggm_voc.model, box_coding="edges", log_variance=True))

# ResNet-50: Tables 3, 4 and 6, Figure 6
COCO17 = DataConfig(layout="coco", train=("train2017",), test="val2017", short_side=800, long_side=1333,
                    pixels="torchvision", size_divisor=32, on_bad_box="skip")
FPN = ModelConfig(
    backbone="resnet50", num_classes=80, pyramid=True, anchor_sizes=(32.0, 64.0, 128.0, 256.0, 512.0), rpn_dim=256,
    rpn_softmax=False, pre_nms_train=2000, post_nms_train=2000, pre_nms_test=1000, post_nms_test=1000, min_size=0.0,
    rois_per_image=512, fc_dims=(1024, 1024))
C4 = replace(FPN, pyramid=False, rpn_dim=1024, pre_nms_train=12000, pre_nms_test=6000, pool_size=14, sampling_ratio=0)
SCHEDULE_1X = TrainConfig(
    batch_size=16, iterations=90_000, lr=0.02, lr_drops=(60_000, 80_000), warmup_iterations=500, weight_decay=1e-4,
    bias_decay=False)
SCHEDULE_2X = replace(SCHEDULE_1X, iterations=180_000, lr_drops=(120_000, 160_000))
C4_2X = replace(SCHEDULE_1X, batch_size=8, iterations=360_000, lr=0.01, lr_drops=(240_000, 320_000))

r50_fpn_1x = Run(name="r50_fpn_1x", model=FPN, data=COCO17, train=SCHEDULE_1X, passes=1)
r50_fpn_2x = replace(r50_fpn_1x, name="r50_fpn_2x", train=SCHEDULE_2X, passes=2)
r50_fpn_kl = replace(r50_fpn_2x, name="r50_fpn_kl", model=replace(FPN, box_coding="edges", log_variance=True))

r50_fpn_mask = replace(
    r50_fpn_2x, name="r50_fpn_mask", model=replace(FPN, mask=True), data=replace(COCO17, masks=True))
r50_fpn_mask_kl = replace(
    r50_fpn_mask, name="r50_fpn_mask_kl", model=replace(r50_fpn_mask.model, box_coding="edges", log_variance=True))

r50_c4 = replace(r50_fpn_2x, name="r50_c4", model=C4, train=C4_2X)
r50_c4_kl = replace(r50_c4, name="r50_c4_kl", model=replace(C4, box_coding="edges", log_variance=True))

# Fast R-CNN: a region proposal network alone, then detectors on its saved proposals
r50_fpn_rpn = replace(r50_fpn_1x, name="r50_fpn_rpn", model=replace(FPN, second_stage="none", post_nms_test=2000))
r50_fpn_fast_1x = replace(
    r50_fpn_1x, name="r50_fpn_fast_1x", model=replace(FPN, region_proposal="saved"), proposals="r50_fpn_rpn")
r50_fpn_fast_2x = replace(r50_fpn_fast_1x, name="r50_fpn_fast_2x", train=SCHEDULE_2X, passes=2)
r50_fpn_fast_kl = replace(
    r50_fpn_fast_2x, name="r50_fpn_fast_kl",
    model=replace(r50_fpn_fast_2x.model, box_coding="edges", log_variance=True))

# IoU-Net: trained as a whole with its own schedule, or its head alone on a finished detector
r50_fpn_iou = replace(
    r50_fpn_2x, name="r50_fpn_iou", model=replace(FPN, iou_head=True, pooling="precise"),
    data=replace(COCO17, long_side=1200),
    train=replace(SCHEDULE_1X, iterations=160_000, lr=0.01, lr_drops=(120_000,), warmup_iterations=10_000,
                  warmup_factor=0.4))
r50_fpn_fast_iou = replace(
    r50_fpn_fast_2x, name="r50_fpn_fast_iou", model=replace(r50_fpn_fast_2x.model, iou_head=True),
    train=replace(SCHEDULE_1X, only="iou_head"), passes=1, start="r50_fpn_fast_2x")
r50_fpn_mask_iou = replace(
    r50_fpn_mask, name="r50_fpn_mask_iou", model=replace(r50_fpn_mask.model, iou_head=True),
    train=replace(SCHEDULE_1X, only="iou_head"), passes=1, start="r50_fpn_mask")

# controls, ours: what the KL Loss rows mix (docs/kl_loss.md points 2, 31)
r50_fpn_edges = replace(r50_fpn_2x, name="r50_fpn_edges", model=replace(FPN, box_coding="edges"))
r50_fpn_2x_again = replace(r50_fpn_2x, name="r50_fpn_2x_again", start="r50_fpn_2x")
r50_fpn_kl_warm = replace(r50_fpn_kl, name="r50_fpn_kl_warm", start="r50_fpn_2x")
