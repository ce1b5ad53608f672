"""Every network that the KL-RPN paper trains, at full size, and ours (recipe and choices:
docs/kl_rpn.md).

Differences of a KL-RPN run from its baseline: the region proposal network with its loss, the weight
10 of the second stage's losses (Eq. 9), Adam with the paper's rate, and no gradient clipping.
Baselines: faster-rcnn.pytorch for Faster R-CNN, RFCN_CoupleNet.pytorch for R-FCN. ImageNet weights
are torchvision's; a Caffe file needs data.pixels = "caffe" and, for a ResNet,
model.backbone.resnet_layout = "caffe".
"""

from dataclasses import replace

from data.config import DataConfig
from experiments.records import Run, TrainConfig, epoch_schedule
from models.backbones.base import BackboneConfig
from models.build import ModelConfig
from models.roi import RoIConfig
from models.rpn import RPNConfig

LN_THIRD = -1.0986122886681098  # log variance of a negative anchor at its best, ln(1/3)
MULTI_SCALE = (400, 500, 600, 700, 800)  # px, short sides of R-FCN's multi-scale training
COCO = DataConfig(
    layout="coco",
    train=("trainval35k",),
    test="minival",
    short_side=600,
    long_side=None,
    train_long_side=1200,
    pixels="torchvision",
    on_bad_box="skip",
)
COCO_RFCN = replace(COCO, train=("trainval",), train_short_sides=MULTI_SCALE)
VOC0712 = DataConfig(
    layout="voc",
    train=("2007_trainval", "2012_trainval"),
    test="2007_test",
    short_side=600,
    long_side=None,
    train_long_side=1200,
    pixels="torchvision",
    train_difficult=True,
)
VOC07_RFCN = replace(VOC0712, train=("2007_trainval",), train_short_sides=MULTI_SCALE)

RPN_COCO = RPNConfig(min_size=0.0, post_nms_test=1000)
RPN_VOC = replace(RPN_COCO, anchor_sizes=(128.0, 256.0, 512.0), post_nms_test=300)
KLRPN_COCO, KLRPN_VOC = replace(RPN_COCO, kind="kl_rpn"), replace(RPN_VOC, kind="kl_rpn")
VGG16_ROI = RoIConfig(dropout=0.5, rois_per_image=256)
R101_ROI = RoIConfig(head="conv5")
VGG16, R101 = BackboneConfig(name="vgg16"), BackboneConfig(name="resnet101")

VGG16_COCO = ModelConfig(num_classes=80, backbone=VGG16, rpn=RPN_COCO, roi=VGG16_ROI)
R101_COCO = ModelConfig(num_classes=80, backbone=R101, rpn=RPN_COCO, roi=R101_ROI)
RFCN_COCO = replace(R101_COCO, roi=RoIConfig(head="rfcn"))
VGG16_VOC = replace(VGG16_COCO, num_classes=20, rpn=RPN_VOC)
R101_VOC = replace(R101_COCO, num_classes=20, rpn=RPN_VOC)
RFCN_VOC = replace(R101_VOC, roi=RoIConfig(head="rfcn"))

VGG16_SGD = TrainConfig(
    lr=1e-2,
    weight_decay=5e-4,
    bias_lr_factor=2.0,
    bias_decay=False,
    max_grad_norm=10.0,
    **epoch_schedule(images=117_266, batch_size=16, epochs=10, drop_every=4),
)
R101_SGD = replace(VGG16_SGD, weight_decay=1e-4, bias_lr_factor=1.0, max_grad_norm=None)
RFCN_SGD = replace(
    R101_SGD,
    lr=1e-3,
    batch_size=8,
    iterations=120_000,
    lr_drops=(90_000,),
    weight_decay=5e-4,
    bias_lr_factor=2.0,
)
VGG16_VOC_SGD = replace(
    VGG16_SGD, lr=1e-3, **epoch_schedule(images=16_551, batch_size=1, epochs=6, drop_every=5)
)
R101_VOC_SGD = replace(
    R101_SGD, lr=1e-3, **epoch_schedule(images=16_551, batch_size=1, epochs=7, drop_every=5)
)
RFCN_VOC_SGD = replace(
    R101_SGD, lr=4e-3, **epoch_schedule(images=5_011, batch_size=2, epochs=20, drop_every=8)
)

vgg16_coco = Run(name="vgg16_coco", model=VGG16_COCO, data=COCO, train=VGG16_SGD, short_mini=True)
vgg16_coco_klrpn = replace(
    vgg16_coco,
    name="vgg16_coco_klrpn",
    model=replace(VGG16_COCO, rpn=KLRPN_COCO),
    train=replace(VGG16_SGD, optimizer="adam", lr=6e-5, max_grad_norm=None, roi_loss_weight=10.0),
)
# both papers in one detector, ours: KL-RPN, and the KL Loss box head, whose boxes are coded by
# their edges
vgg16_coco_klrpn_kl = replace(
    vgg16_coco_klrpn,
    name="vgg16_coco_klrpn_kl",
    model=replace(
        vgg16_coco_klrpn.model,
        roi=replace(VGG16_ROI, box_coding="edges", log_variance=True, box_loss="kl"),
    ),
)

# controls, ours: Eq. 9's weight given to the RPN, and taken from KL-RPN
vgg16_coco_weight10 = replace(
    vgg16_coco, name="vgg16_coco_weight10", train=replace(VGG16_SGD, roi_loss_weight=10.0)
)
vgg16_coco_klrpn_weight1 = replace(
    vgg16_coco_klrpn,
    name="vgg16_coco_klrpn_weight1",
    train=replace(vgg16_coco_klrpn.train, roi_loss_weight=1.0),
)

# the region proposal network alone, ours: what training length and the readings below change in it
rpn_alone = replace(
    vgg16_coco, name="rpn_alone", model=replace(VGG16_COCO, roi=replace(VGG16_ROI, head="none"))
)
klrpn_alone = replace(
    rpn_alone,
    name="klrpn_alone",
    model=replace(rpn_alone.model, rpn=KLRPN_COCO),
    train=replace(vgg16_coco_klrpn.train, roi_loss_weight=1.0),
)

# readings of KL-RPN, ours: one choice that the paper leaves open, or one change, each
klrpn_gamma_1 = replace(
    klrpn_alone,
    name="klrpn_gamma_1",
    model=replace(klrpn_alone.model, rpn=replace(KLRPN_COCO, mean_error_weight=1.0)),
)
klrpn_gamma_exponent = replace(
    klrpn_alone,
    name="klrpn_gamma_exponent",
    model=replace(klrpn_alone.model, rpn=replace(KLRPN_COCO, mean_error_weight_place="exponent")),
)
klrpn_detached = replace(
    klrpn_alone,
    name="klrpn_detached",
    model=replace(klrpn_alone.model, rpn=replace(KLRPN_COCO, train_negative_means=False)),
)
klrpn_mean = replace(
    klrpn_alone,
    name="klrpn_mean",
    model=replace(klrpn_alone.model, rpn=replace(KLRPN_COCO, coordinate_reduction="mean")),
)
klrpn_third = replace(
    klrpn_alone,
    name="klrpn_third",
    model=replace(klrpn_alone.model, rpn=replace(KLRPN_COCO, log_variance_bias=LN_THIRD)),
)
klrpn_quarter_positive = replace(
    klrpn_alone,
    name="klrpn_quarter_positive",
    model=replace(klrpn_alone.model, rpn=replace(KLRPN_COCO, positive_share=0.25)),
)
klrpn_warm = replace(klrpn_alone, name="klrpn_warm", start="rpn_alone")
rpn_again = replace(rpn_alone, name="rpn_again", start="rpn_alone")
klrpn_adam = replace(klrpn_alone, name="klrpn_adam", printed_optimizer=True)
klrpn_adam_10 = replace(klrpn_adam, name="klrpn_adam_10", train=replace(klrpn_alone.train, lr=6e-4))
rpn_sgd = replace(rpn_alone, name="rpn_sgd", printed_optimizer=True)

# how many anchors an image are sampled, for both sides: a third of 256, half, twice, 5 and 10 times
klrpn_anchors_third = replace(
    klrpn_alone,
    name="klrpn_anchors_third",
    model=replace(klrpn_alone.model, rpn=replace(KLRPN_COCO, anchors_per_image=85)),
)
klrpn_anchors_half = replace(
    klrpn_alone,
    name="klrpn_anchors_half",
    model=replace(klrpn_alone.model, rpn=replace(KLRPN_COCO, anchors_per_image=128)),
)
klrpn_anchors_2 = replace(
    klrpn_alone,
    name="klrpn_anchors_2",
    model=replace(klrpn_alone.model, rpn=replace(KLRPN_COCO, anchors_per_image=512)),
)
klrpn_anchors_5 = replace(
    klrpn_alone,
    name="klrpn_anchors_5",
    model=replace(klrpn_alone.model, rpn=replace(KLRPN_COCO, anchors_per_image=1280)),
)
klrpn_anchors_10 = replace(
    klrpn_alone,
    name="klrpn_anchors_10",
    model=replace(klrpn_alone.model, rpn=replace(KLRPN_COCO, anchors_per_image=2560)),
)
rpn_anchors_third = replace(
    rpn_alone,
    name="rpn_anchors_third",
    model=replace(rpn_alone.model, rpn=replace(RPN_COCO, anchors_per_image=85)),
)
rpn_anchors_half = replace(
    rpn_alone,
    name="rpn_anchors_half",
    model=replace(rpn_alone.model, rpn=replace(RPN_COCO, anchors_per_image=128)),
)
rpn_anchors_2 = replace(
    rpn_alone,
    name="rpn_anchors_2",
    model=replace(rpn_alone.model, rpn=replace(RPN_COCO, anchors_per_image=512)),
)
rpn_anchors_5 = replace(
    rpn_alone,
    name="rpn_anchors_5",
    model=replace(rpn_alone.model, rpn=replace(RPN_COCO, anchors_per_image=1280)),
)
rpn_anchors_10 = replace(
    rpn_alone,
    name="rpn_anchors_10",
    model=replace(rpn_alone.model, rpn=replace(RPN_COCO, anchors_per_image=2560)),
)

r101_coco = Run(name="r101_coco", model=R101_COCO, data=COCO, train=R101_SGD, short_mini=True)
r101_coco_klrpn = replace(
    r101_coco,
    name="r101_coco_klrpn",
    model=replace(R101_COCO, rpn=KLRPN_COCO),
    train=replace(R101_SGD, optimizer="adam", lr=6e-5, roi_loss_weight=10.0),
)

rfcn_r101_coco = Run(
    name="rfcn_r101_coco", model=RFCN_COCO, data=COCO_RFCN, train=RFCN_SGD, short_mini=True
)
rfcn_r101_coco_klrpn = replace(
    rfcn_r101_coco,
    name="rfcn_r101_coco_klrpn",
    model=replace(RFCN_COCO, rpn=KLRPN_COCO),
    train=replace(RFCN_SGD, optimizer="adam", lr=4e-5, roi_loss_weight=10.0),
)

vgg16_voc = Run(
    name="vgg16_voc", model=VGG16_VOC, data=VOC0712, train=VGG16_VOC_SGD, short_mini=True
)
vgg16_voc_klrpn = replace(
    vgg16_voc,
    name="vgg16_voc_klrpn",
    model=replace(VGG16_VOC, rpn=KLRPN_VOC),
    train=replace(
        VGG16_VOC_SGD, optimizer="adam", lr=2e-5, max_grad_norm=None, roi_loss_weight=10.0
    ),
)

r101_voc = Run(name="r101_voc", model=R101_VOC, data=VOC0712, train=R101_VOC_SGD, short_mini=True)
r101_voc_klrpn = replace(
    r101_voc,
    name="r101_voc_klrpn",
    model=replace(R101_VOC, rpn=KLRPN_VOC),
    train=replace(R101_VOC_SGD, optimizer="adam", lr=2e-5, roi_loss_weight=10.0),
)

rfcn_r101_voc = Run(
    name="rfcn_r101_voc", model=RFCN_VOC, data=VOC07_RFCN, train=RFCN_VOC_SGD, short_mini=True
)
rfcn_r101_voc_klrpn = replace(
    rfcn_r101_voc,
    name="rfcn_r101_voc_klrpn",
    model=replace(RFCN_VOC, rpn=KLRPN_VOC),
    train=replace(RFCN_VOC_SGD, optimizer="adam", lr=4e-5, roi_loss_weight=10.0),
)
