"""Every network that the KL Loss paper trains for Tables 1, 2 and 5, at full size (recipe: README.md here).

Differences of a KL run from its baseline: edge offsets in the box head and the RPN (Eq. 1; README.md point 3) and the
log variance layer. Recipe, schedule and data are the same. ImageNet weights are torchvision's, so pixels follow its
convention; a Caffe file needs data.pixels = "caffe". COCO has a few boxes without area, which Detectron leaves out too.
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
